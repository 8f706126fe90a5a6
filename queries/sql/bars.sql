-- The newest bars of one instrument and timeframe in a range of time, newest first.
SELECT * FROM bars
WHERE exchange = $exchange AND market = $market AND symbol = $symbol AND timeframe = $timeframe
    AND ($from IS NULL OR ts >= $from) AND ($to IS NULL OR ts < $to)
ORDER BY ts DESC
LIMIT $limit
