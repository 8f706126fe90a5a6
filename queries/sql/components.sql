-- The newest row of each component and timeframe that was closed at $at.
SELECT * FROM (
    SELECT *, ROW_NUMBER() OVER (PARTITION BY timeframe, dimension, component ORDER BY ts DESC) AS n
    FROM component_scores
    WHERE exchange = $exchange AND market = $market AND symbol = $symbol AND ts >= $from AND ts < $at AND ts_close <= $at
) AS newest
WHERE n = 1
ORDER BY timeframe, dimension, component
