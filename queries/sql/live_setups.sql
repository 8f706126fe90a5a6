-- The newest setup of each role timeframe of one instrument.
SELECT * FROM live.setups
WHERE exchange = $exchange AND market = $market AND symbol = $symbol
ORDER BY timeframe
