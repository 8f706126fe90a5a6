-- What tells how an instrument trades at its newest base close: its usual ranges, and what its book costs.
SELECT i.atr_14, i.atr_50, b.spread_bps, b.slippage_buy_100k, b.slippage_sell_100k
FROM live.indicators AS i
LEFT JOIN (
    SELECT * FROM live.book_features
    WHERE exchange = $exchange AND market = $market AND symbol = $symbol AND ts = $ts
) AS b ON b.ts = i.ts
WHERE i.exchange = $exchange AND i.market = $market AND i.symbol = $symbol AND i.timeframe = $timeframe AND i.ts = $ts
