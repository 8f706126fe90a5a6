-- The newest score of an instrument, of those that had closed at $at, if that is given.
SELECT * FROM confluence
WHERE exchange = $exchange AND market = $market AND symbol = $symbol
    AND ($at IS NULL OR ts_close <= $at) AND ($from IS NULL OR ts >= $from)
ORDER BY ts DESC
LIMIT 1
