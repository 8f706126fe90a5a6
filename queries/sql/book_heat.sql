-- The order book of one instrument in buckets of price, at the end of the bar that starts then.
SELECT * FROM book_heat
WHERE exchange = $exchange AND market = $market AND symbol = $symbol AND ts = $at
ORDER BY price_from
