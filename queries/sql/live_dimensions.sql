-- The newest dimension_scores of one instrument.
SELECT * FROM live.dimension_scores
WHERE exchange = $exchange AND market = $market AND symbol = $symbol
ORDER BY timeframe, dimension
