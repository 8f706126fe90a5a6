-- The newest score of an instrument.
SELECT * FROM confluence
WHERE exchange = $exchange AND market = $market AND symbol = $symbol AND ($at IS NULL OR (ts_close <= $at AND ts >= $from))
ORDER BY ts DESC
LIMIT 1
