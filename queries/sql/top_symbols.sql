-- Instruments by their newest confluence score.
SELECT * FROM live.confluence ORDER BY score DESC, symbol, exchange, market LIMIT $limit
