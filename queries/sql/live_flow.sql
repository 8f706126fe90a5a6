-- The newest order_flow of one instrument.
SELECT * FROM live.order_flow
WHERE exchange = $exchange AND market = $market AND symbol = $symbol
ORDER BY ts
