-- The newest component_scores of one instrument.
SELECT * FROM live.component_scores
WHERE exchange = $exchange AND market = $market AND symbol = $symbol
ORDER BY timeframe, dimension, component
