-- The newest open_interest_analysis of one instrument.
SELECT * FROM live.open_interest_analysis
WHERE exchange = $exchange AND market = $market AND symbol = $symbol
ORDER BY ts
