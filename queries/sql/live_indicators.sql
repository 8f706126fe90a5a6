-- The newest indicators of each timeframe of one instrument.
SELECT * FROM live.indicators
WHERE exchange = $exchange AND market = $market AND symbol = $symbol
ORDER BY ts
