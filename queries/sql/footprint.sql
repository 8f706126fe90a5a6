-- The trades of one bar by level of price.
SELECT * FROM footprint
WHERE exchange = $exchange AND market = $market AND symbol = $symbol AND timeframe = $timeframe AND ts = $at
ORDER BY level
