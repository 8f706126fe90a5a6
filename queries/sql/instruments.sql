-- Every instrument that has a score or a bar.
SELECT DISTINCT exchange, market, symbol FROM bars
