-- How many bars of one instrument and timeframe there are since a time, and the end of the newest.
SELECT COUNT(*) AS data_points, MAX(ts_close) AS last_bar
FROM bars
WHERE exchange = $exchange AND market = $market AND symbol = $symbol AND timeframe = $timeframe AND ts >= $from
