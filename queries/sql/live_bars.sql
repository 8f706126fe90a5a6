-- The newest bar of each timeframe of one instrument.
SELECT * FROM live.bars
WHERE exchange = $exchange AND market = $market AND symbol = $symbol
ORDER BY ts
