-- Large resting orders of one instrument, at the end of the bar that starts then.
SELECT * FROM book_walls
WHERE exchange = $exchange AND market = $market AND symbol = $symbol AND ts = $at
ORDER BY price
