-- The newest confluence of one instrument.
SELECT * FROM live.confluence
WHERE exchange = $exchange AND market = $market AND symbol = $symbol
ORDER BY ts
