-- The newest footprint_analysis of one instrument.
SELECT * FROM live.footprint_analysis
WHERE exchange = $exchange AND market = $market AND symbol = $symbol
ORDER BY ts
