-- The setup of an instrument's role timeframe that was the newest at $at.
SELECT * FROM setups
WHERE exchange = $exchange AND market = $market AND symbol = $symbol AND timeframe = $timeframe AND ts >= $from AND ts_close <= $at
ORDER BY ts DESC
LIMIT 1
