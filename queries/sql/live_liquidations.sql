-- The newest liquidation_analysis of one instrument.
SELECT * FROM live.liquidation_analysis
WHERE exchange = $exchange AND market = $market AND symbol = $symbol
ORDER BY ts
