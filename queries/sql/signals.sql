-- A page of signals; $sign is 1 for ascending and -1 for descending order.
SELECT * FROM signals
WHERE ($symbol IS NULL OR symbol = $symbol)
    AND ($exchange IS NULL OR exchange = $exchange) AND ($market IS NULL OR market = $market)
    AND ($signal_type IS NULL OR signal = $signal_type)
    AND ($status IS NULL OR status = $status)
    AND ($min_score IS NULL OR score >= $min_score)
    AND ($from IS NULL OR ts >= $from) AND ($to IS NULL OR ts < $to)
ORDER BY
    CASE WHEN $sort = 'symbol' THEN symbol END,
    $sign * CASE $sort
        WHEN 'score' THEN score
        WHEN 'strength' THEN strength
        WHEN 'reliability' THEN reliability
        WHEN 'timestamp' THEN CAST(CAST(ts AS BIGINT) AS DOUBLE)
    END,
    ts DESC, signal_id
LIMIT $limit OFFSET $offset
