-- The dimensions of an instrument's score over all roles.
SELECT * FROM dimension_scores
WHERE exchange = $exchange AND market = $market AND symbol = $symbol AND timeframe = 'all' AND ts = $ts
ORDER BY weight DESC, dimension
