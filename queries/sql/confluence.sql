-- The newest confluence rows of one instrument.
SELECT * FROM confluence
WHERE exchange = $exchange AND market = $market AND symbol = $symbol
ORDER BY ts DESC
LIMIT $limit
