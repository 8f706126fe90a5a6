-- The newest order book features of one instrument.
SELECT * FROM live.book_features
WHERE exchange = $exchange AND market = $market AND symbol = $symbol
ORDER BY ts
