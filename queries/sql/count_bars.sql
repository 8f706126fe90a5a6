-- How many bars there are of one instrument since a time, and the end of the newest.
SELECT COUNT(*) AS data_points, MAX(ts_close) AS last_bar
FROM bars
WHERE exchange = $exchange AND market = $market AND symbol = $symbol AND ts >= $from
