-- Every instrument that has a score.
SELECT DISTINCT exchange, market, symbol FROM confluence
