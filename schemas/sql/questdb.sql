CREATE TABLE IF NOT EXISTS instruments (
    ts TIMESTAMP,
    exchange SYMBOL,
    market SYMBOL,
    symbol SYMBOL,
    native_symbol SYMBOL,
    price_decimals LONG,
    size_decimals LONG,
    tick_size DOUBLE,
    lot_size DOUBLE,
    contract_size DOUBLE,
    min_size DOUBLE,
    max_size DOUBLE,
    min_notional DOUBLE,
    contract_type SYMBOL,
    base SYMBOL,
    quote SYMBOL,
    settlement SYMBOL,
    expiry TIMESTAMP,
    status SYMBOL,
    known_at TIMESTAMP
) TIMESTAMP(ts) PARTITION BY YEAR WAL
DEDUP UPSERT KEYS(ts, exchange, market, symbol);

CREATE TABLE IF NOT EXISTS open_interest (
    ts TIMESTAMP,
    exchange SYMBOL,
    market SYMBOL,
    symbol SYMBOL,
    source SYMBOL,
    open_interest DOUBLE,
    open_interest_value DOUBLE,
    known_at TIMESTAMP
) TIMESTAMP(ts) PARTITION BY MONTH WAL
DEDUP UPSERT KEYS(ts, exchange, market, symbol, source);

CREATE TABLE IF NOT EXISTS funding (
    ts TIMESTAMP,
    exchange SYMBOL,
    market SYMBOL,
    symbol SYMBOL,
    source SYMBOL,
    funding_rate DOUBLE,
    funding_interval DOUBLE,
    settles_at TIMESTAMP,
    mark DOUBLE,
    known_at TIMESTAMP
) TIMESTAMP(ts) PARTITION BY MONTH WAL
DEDUP UPSERT KEYS(ts, exchange, market, symbol, source);

CREATE TABLE IF NOT EXISTS ratios (
    ts TIMESTAMP,
    exchange SYMBOL,
    market SYMBOL,
    symbol SYMBOL,
    kind SYMBOL,
    period SYMBOL,
    long DOUBLE,
    short DOUBLE,
    known_at TIMESTAMP
) TIMESTAMP(ts) PARTITION BY MONTH WAL
DEDUP UPSERT KEYS(ts, exchange, market, symbol, kind, period);

CREATE TABLE IF NOT EXISTS risk_limits (
    ts TIMESTAMP,
    exchange SYMBOL,
    market SYMBOL,
    symbol SYMBOL,
    tier LONG,
    position_limit DOUBLE,
    leverage_max DOUBLE,
    maintenance_margin DOUBLE,
    initial_margin DOUBLE,
    known_at TIMESTAMP
) TIMESTAMP(ts) PARTITION BY MONTH WAL
DEDUP UPSERT KEYS(ts, exchange, market, symbol, tier);

CREATE TABLE IF NOT EXISTS fear_greed (
    ts TIMESTAMP,
    value LONG,
    label SYMBOL,
    known_at TIMESTAMP
) TIMESTAMP(ts) PARTITION BY YEAR WAL
DEDUP UPSERT KEYS(ts);

CREATE TABLE IF NOT EXISTS liquidations (
    ts TIMESTAMP,
    exchange SYMBOL,
    market SYMBOL,
    symbol SYMBOL,
    side SYMBOL,
    price DOUBLE,
    size DOUBLE,
    n LONG,
    completeness SYMBOL,
    known_at TIMESTAMP
) TIMESTAMP(ts) PARTITION BY DAY WAL
DEDUP UPSERT KEYS(ts, exchange, market, symbol, side, price, size, n);

CREATE TABLE IF NOT EXISTS bars (
    ts TIMESTAMP,
    ts_close TIMESTAMP,
    exchange SYMBOL,
    market SYMBOL,
    symbol SYMBOL,
    timeframe SYMBOL,
    open DOUBLE,
    high DOUBLE,
    low DOUBLE,
    close DOUBLE,
    volume DOUBLE,
    turnover DOUBLE,
    buy_volume DOUBLE,
    sell_volume DOUBLE,
    n_trades LONG,
    n_buys LONG,
    vwap DOUBLE,
    first_trade_id VARCHAR,
    last_trade_id VARCHAR,
    source SYMBOL,
    quality SYMBOL,
    known_at TIMESTAMP,
    revision LONG,
    retracted BOOLEAN,
    config_hash SYMBOL
) TIMESTAMP(ts) PARTITION BY DAY WAL
DEDUP UPSERT KEYS(ts, exchange, market, symbol, timeframe);

CREATE TABLE IF NOT EXISTS order_flow (
    ts TIMESTAMP,
    ts_close TIMESTAMP,
    exchange SYMBOL,
    market SYMBOL,
    symbol SYMBOL,
    timeframe SYMBOL,
    n_buys LONG,
    n_sells LONG,
    buy_volume DOUBLE,
    sell_volume DOUBLE,
    buy_turnover DOUBLE,
    sell_turnover DOUBLE,
    n_buys_1 LONG,
    n_sells_1 LONG,
    buy_volume_1 DOUBLE,
    sell_volume_1 DOUBLE,
    buy_turnover_1 DOUBLE,
    sell_turnover_1 DOUBLE,
    n_buys_2 LONG,
    n_sells_2 LONG,
    buy_volume_2 DOUBLE,
    sell_volume_2 DOUBLE,
    buy_turnover_2 DOUBLE,
    sell_turnover_2 DOUBLE,
    n_buys_3 LONG,
    n_sells_3 LONG,
    buy_volume_3 DOUBLE,
    sell_volume_3 DOUBLE,
    buy_turnover_3 DOUBLE,
    sell_turnover_3 DOUBLE,
    n_buys_4 LONG,
    n_sells_4 LONG,
    buy_volume_4 DOUBLE,
    sell_volume_4 DOUBLE,
    buy_turnover_4 DOUBLE,
    sell_turnover_4 DOUBLE,
    n_buys_5 LONG,
    n_sells_5 LONG,
    buy_volume_5 DOUBLE,
    sell_volume_5 DOUBLE,
    buy_turnover_5 DOUBLE,
    sell_turnover_5 DOUBLE,
    n_buys_6 LONG,
    n_sells_6 LONG,
    buy_volume_6 DOUBLE,
    sell_volume_6 DOUBLE,
    buy_turnover_6 DOUBLE,
    sell_turnover_6 DOUBLE,
    worth VARCHAR,
    known_at TIMESTAMP,
    revision LONG,
    retracted BOOLEAN,
    config_hash SYMBOL
) TIMESTAMP(ts) PARTITION BY DAY WAL
DEDUP UPSERT KEYS(ts, exchange, market, symbol, timeframe);

CREATE TABLE IF NOT EXISTS footprint (
    ts TIMESTAMP,
    ts_close TIMESTAMP,
    exchange SYMBOL,
    market SYMBOL,
    symbol SYMBOL,
    timeframe SYMBOL,
    level LONG,
    price_from DOUBLE,
    price_to DOUBLE,
    n_buys LONG,
    n_sells LONG,
    buy_volume DOUBLE,
    sell_volume DOUBLE,
    buy_imbalance BOOLEAN,
    sell_imbalance BOOLEAN,
    is_poc BOOLEAN,
    known_at TIMESTAMP,
    revision LONG,
    retracted BOOLEAN,
    config_hash SYMBOL
) TIMESTAMP(ts) PARTITION BY DAY WAL
DEDUP UPSERT KEYS(ts, exchange, market, symbol, timeframe, level);

CREATE TABLE IF NOT EXISTS book_features (
    ts TIMESTAMP,
    ts_close TIMESTAMP,
    exchange SYMBOL,
    market SYMBOL,
    symbol SYMBOL,
    bid DOUBLE,
    bid_size DOUBLE,
    ask DOUBLE,
    ask_size DOUBLE,
    mid DOUBLE,
    spread DOUBLE,
    spread_bps DOUBLE,
    microprice DOUBLE,
    bid_depth_5 DOUBLE,
    bid_depth_10 DOUBLE,
    bid_depth_25 DOUBLE,
    ask_depth_5 DOUBLE,
    ask_depth_10 DOUBLE,
    ask_depth_25 DOUBLE,
    bid_depth_10bp DOUBLE,
    bid_depth_50bp DOUBLE,
    bid_depth_100bp DOUBLE,
    bid_depth_200bp DOUBLE,
    ask_depth_10bp DOUBLE,
    ask_depth_50bp DOUBLE,
    ask_depth_100bp DOUBLE,
    ask_depth_200bp DOUBLE,
    imbalance_1 DOUBLE,
    imbalance_5 DOUBLE,
    imbalance_10 DOUBLE,
    imbalance_25 DOUBLE,
    imbalance_weighted DOUBLE,
    slippage_buy_1k DOUBLE,
    slippage_buy_10k DOUBLE,
    slippage_buy_100k DOUBLE,
    slippage_buy_1m DOUBLE,
    slippage_sell_1k DOUBLE,
    slippage_sell_10k DOUBLE,
    slippage_sell_100k DOUBLE,
    slippage_sell_1m DOUBLE,
    bid_slope DOUBLE,
    ask_slope DOUBLE,
    support DOUBLE,
    support_share DOUBLE,
    resistance DOUBLE,
    resistance_share DOUBLE,
    ofi DOUBLE,
    spread_mean DOUBLE,
    mid_mean DOUBLE,
    imbalance_mean DOUBLE,
    live_share DOUBLE,
    n_updates LONG,
    quality SYMBOL,
    known_at TIMESTAMP,
    revision LONG,
    retracted BOOLEAN,
    config_hash SYMBOL
) TIMESTAMP(ts) PARTITION BY DAY WAL
DEDUP UPSERT KEYS(ts, exchange, market, symbol);

CREATE TABLE IF NOT EXISTS book_heat (
    ts TIMESTAMP,
    ts_close TIMESTAMP,
    exchange SYMBOL,
    market SYMBOL,
    symbol SYMBOL,
    bucket LONG,
    side SYMBOL,
    price_from DOUBLE,
    price_to DOUBLE,
    size DOUBLE,
    n_levels LONG,
    quality SYMBOL,
    known_at TIMESTAMP,
    revision LONG,
    retracted BOOLEAN,
    config_hash SYMBOL
) TIMESTAMP(ts) PARTITION BY DAY WAL
DEDUP UPSERT KEYS(ts, exchange, market, symbol, bucket);

CREATE TABLE IF NOT EXISTS book_walls (
    ts TIMESTAMP,
    ts_close TIMESTAMP,
    exchange SYMBOL,
    market SYMBOL,
    symbol SYMBOL,
    wall LONG,
    side SYMBOL,
    price DOUBLE,
    size DOUBLE,
    largest DOUBLE,
    since TIMESTAMP,
    age DOUBLE,
    times_median DOUBLE,
    distance_bps DOUBLE,
    lost DOUBLE,
    filled_at_most DOUBLE,
    pulled_at_least DOUBLE,
    state SYMBOL,
    quality SYMBOL,
    known_at TIMESTAMP,
    revision LONG,
    retracted BOOLEAN,
    config_hash SYMBOL
) TIMESTAMP(ts) PARTITION BY DAY WAL
DEDUP UPSERT KEYS(ts, exchange, market, symbol, wall);

CREATE TABLE IF NOT EXISTS indicators (
    ts TIMESTAMP,
    ts_close TIMESTAMP,
    exchange SYMBOL,
    market SYMBOL,
    symbol SYMBOL,
    timeframe SYMBOL,
    sma_5 DOUBLE,
    sma_10 DOUBLE,
    sma_20 DOUBLE,
    sma_50 DOUBLE,
    sma_200 DOUBLE,
    ema_9 DOUBLE,
    ema_12 DOUBLE,
    ema_20 DOUBLE,
    ema_26 DOUBLE,
    ema_50 DOUBLE,
    ema_200 DOUBLE,
    dema_20 DOUBLE,
    tema_20 DOUBLE,
    wma_20 DOUBLE,
    rsi_14 DOUBLE,
    macd_line DOUBLE,
    macd_signal_line DOUBLE,
    macd_histogram DOUBLE,
    stochastic_k DOUBLE,
    stochastic_d DOUBLE,
    williams_r_14 DOUBLE,
    cci_20 DOUBLE,
    ao DOUBLE,
    roc_10 DOUBLE,
    adx_14 DOUBLE,
    plus_di_14 DOUBLE,
    minus_di_14 DOUBLE,
    atr_14 DOUBLE,
    atr_20 DOUBLE,
    atr_50 DOUBLE,
    bollinger_upper DOUBLE,
    bollinger_middle DOUBLE,
    bollinger_lower DOUBLE,
    bollinger_percent_b DOUBLE,
    bollinger_width DOUBLE,
    keltner_upper DOUBLE,
    keltner_middle DOUBLE,
    keltner_lower DOUBLE,
    donchian_upper DOUBLE,
    donchian_lower DOUBLE,
    donchian_middle DOUBLE,
    obv DOUBLE,
    adl DOUBLE,
    cmf_20 DOUBLE,
    mfi_14 DOUBLE,
    vwap_day DOUBLE,
    volume_sma_20 DOUBLE,
    relative_volume DOUBLE,
    volume_delta DOUBLE,
    cvd DOUBLE,
    psar DOUBLE,
    supertrend DOUBLE,
    supertrend_direction DOUBLE,
    quality SYMBOL,
    known_at TIMESTAMP,
    revision LONG,
    retracted BOOLEAN,
    config_hash SYMBOL
) TIMESTAMP(ts) PARTITION BY DAY WAL
DEDUP UPSERT KEYS(ts, exchange, market, symbol, timeframe);

CREATE TABLE IF NOT EXISTS footprint_analysis (
    ts TIMESTAMP,
    ts_close TIMESTAMP,
    exchange SYMBOL,
    market SYMBOL,
    symbol SYMBOL,
    timeframe SYMBOL,
    height DOUBLE,
    n_levels LONG,
    poc DOUBLE,
    poc_volume DOUBLE,
    n_buy_imbalances LONG,
    n_sell_imbalances LONG,
    stacked_buys LONG,
    stacked_buys_from DOUBLE,
    stacked_buys_to DOUBLE,
    stacked_sells LONG,
    stacked_sells_from DOUBLE,
    stacked_sells_to DOUBLE,
    naked_poc_above DOUBLE,
    naked_poc_above_ts TIMESTAMP,
    naked_poc_below DOUBLE,
    naked_poc_below_ts TIMESTAMP,
    known_at TIMESTAMP,
    revision LONG,
    retracted BOOLEAN,
    config_hash SYMBOL
) TIMESTAMP(ts) PARTITION BY DAY WAL
DEDUP UPSERT KEYS(ts, exchange, market, symbol, timeframe);

CREATE TABLE IF NOT EXISTS open_interest_analysis (
    ts TIMESTAMP,
    ts_close TIMESTAMP,
    exchange SYMBOL,
    market SYMBOL,
    symbol SYMBOL,
    timeframe SYMBOL,
    open_interest DOUBLE,
    open_interest_value DOUBLE,
    funding_rate DOUBLE,
    change_1 DOUBLE,
    change_5 DOUBLE,
    change_19 DOUBLE,
    regime SYMBOL,
    regime_strength DOUBLE,
    divergence DOUBLE,
    structure DOUBLE,
    crowding DOUBLE,
    concentration DOUBLE,
    known_at TIMESTAMP,
    revision LONG,
    retracted BOOLEAN,
    config_hash SYMBOL
) TIMESTAMP(ts) PARTITION BY DAY WAL
DEDUP UPSERT KEYS(ts, exchange, market, symbol, timeframe);

CREATE TABLE IF NOT EXISTS liquidation_analysis (
    ts TIMESTAMP,
    ts_close TIMESTAMP,
    exchange SYMBOL,
    market SYMBOL,
    symbol SYMBOL,
    timeframe SYMBOL,
    n_longs LONG,
    n_shorts LONG,
    long_volume DOUBLE,
    short_volume DOUBLE,
    long_turnover DOUBLE,
    short_turnover DOUBLE,
    largest DOUBLE,
    completeness SYMBOL,
    imbalance DOUBLE,
    weighted_imbalance DOUBLE,
    acceleration DOUBLE,
    cascade SYMBOL,
    reversal_potential DOUBLE,
    known_at TIMESTAMP,
    revision LONG,
    retracted BOOLEAN,
    config_hash SYMBOL
) TIMESTAMP(ts) PARTITION BY DAY WAL
DEDUP UPSERT KEYS(ts, exchange, market, symbol, timeframe);

CREATE TABLE IF NOT EXISTS sentiment (
    ts TIMESTAMP,
    ts_close TIMESTAMP,
    exchange SYMBOL,
    market SYMBOL,
    symbol SYMBOL,
    timeframe SYMBOL,
    long_short_ratio DOUBLE,
    top_position_ratio DOUBLE,
    funding_rate DOUBLE,
    funding_interval DOUBLE,
    funding_hourly DOUBLE,
    funding_annual DOUBLE,
    leverage_max DOUBLE,
    initial_margin DOUBLE,
    maintenance_margin DOUBLE,
    known_at TIMESTAMP,
    revision LONG,
    retracted BOOLEAN,
    config_hash SYMBOL
) TIMESTAMP(ts) PARTITION BY DAY WAL
DEDUP UPSERT KEYS(ts, exchange, market, symbol, timeframe);

CREATE TABLE IF NOT EXISTS structure_levels (
    ts TIMESTAMP,
    ts_close TIMESTAMP,
    exchange SYMBOL,
    market SYMBOL,
    symbol SYMBOL,
    timeframe SYMBOL,
    event LONG,
    kind SYMBOL,
    side SYMBOL,
    state SYMBOL,
    price_from DOUBLE,
    price_to DOUBLE,
    origin TIMESTAMP,
    strength DOUBLE,
    known_at TIMESTAMP,
    revision LONG,
    retracted BOOLEAN,
    config_hash SYMBOL
) TIMESTAMP(ts) PARTITION BY DAY WAL
DEDUP UPSERT KEYS(ts, exchange, market, symbol, timeframe, event);

CREATE TABLE IF NOT EXISTS volume_profile (
    ts TIMESTAMP,
    ts_close TIMESTAMP,
    exchange SYMBOL,
    market SYMBOL,
    symbol SYMBOL,
    timeframe SYMBOL,
    poc DOUBLE,
    vah DOUBLE,
    val DOUBLE,
    low DOUBLE,
    high DOUBLE,
    volume DOUBLE,
    known_at TIMESTAMP,
    revision LONG,
    retracted BOOLEAN,
    config_hash SYMBOL
) TIMESTAMP(ts) PARTITION BY DAY WAL
DEDUP UPSERT KEYS(ts, exchange, market, symbol, timeframe);

CREATE TABLE IF NOT EXISTS setups (
    ts TIMESTAMP,
    ts_close TIMESTAMP,
    exchange SYMBOL,
    market SYMBOL,
    symbol SYMBOL,
    timeframe SYMBOL,
    long_stop DOUBLE,
    long_basis SYMBOL,
    long_target_1 DOUBLE,
    long_target_2 DOUBLE,
    short_stop DOUBLE,
    short_basis SYMBOL,
    short_target_1 DOUBLE,
    short_target_2 DOUBLE,
    known_at TIMESTAMP,
    revision LONG,
    retracted BOOLEAN,
    config_hash SYMBOL
) TIMESTAMP(ts) PARTITION BY DAY WAL
DEDUP UPSERT KEYS(ts, exchange, market, symbol, timeframe);

CREATE TABLE IF NOT EXISTS component_scores (
    ts TIMESTAMP,
    ts_close TIMESTAMP,
    exchange SYMBOL,
    market SYMBOL,
    symbol SYMBOL,
    timeframe SYMBOL,
    dimension SYMBOL,
    component SYMBOL,
    raw_value DOUBLE,
    raw_score DOUBLE,
    div DOUBLE,
    div_type SYMBOL,
    score DOUBLE,
    weight DOUBLE,
    impact DOUBLE,
    label SYMBOL,
    coverage DOUBLE,
    known_at TIMESTAMP,
    revision LONG,
    retracted BOOLEAN,
    config_hash SYMBOL
) TIMESTAMP(ts) PARTITION BY DAY WAL
DEDUP UPSERT KEYS(ts, exchange, market, symbol, timeframe, dimension, component);

CREATE TABLE IF NOT EXISTS dimension_scores (
    ts TIMESTAMP,
    ts_close TIMESTAMP,
    exchange SYMBOL,
    market SYMBOL,
    symbol SYMBOL,
    timeframe SYMBOL,
    dimension SYMBOL,
    score DOUBLE,
    weight DOUBLE,
    impact DOUBLE,
    coverage DOUBLE,
    known_at TIMESTAMP,
    revision LONG,
    retracted BOOLEAN,
    config_hash SYMBOL
) TIMESTAMP(ts) PARTITION BY DAY WAL
DEDUP UPSERT KEYS(ts, exchange, market, symbol, timeframe, dimension);

CREATE TABLE IF NOT EXISTS confluence (
    ts TIMESTAMP,
    ts_close TIMESTAMP,
    exchange SYMBOL,
    market SYMBOL,
    symbol SYMBOL,
    profile SYMBOL,
    score DOUBLE,
    coverage DOUBLE,
    technical_score DOUBLE,
    technical_weight DOUBLE,
    technical_contribution DOUBLE,
    technical_coverage DOUBLE,
    volume_score DOUBLE,
    volume_weight DOUBLE,
    volume_contribution DOUBLE,
    volume_coverage DOUBLE,
    orderflow_score DOUBLE,
    orderflow_weight DOUBLE,
    orderflow_contribution DOUBLE,
    orderflow_coverage DOUBLE,
    orderbook_score DOUBLE,
    orderbook_weight DOUBLE,
    orderbook_contribution DOUBLE,
    orderbook_coverage DOUBLE,
    pricestructure_score DOUBLE,
    pricestructure_weight DOUBLE,
    pricestructure_contribution DOUBLE,
    pricestructure_coverage DOUBLE,
    sentiment_score DOUBLE,
    sentiment_weight DOUBLE,
    sentiment_contribution DOUBLE,
    sentiment_coverage DOUBLE,
    consensus SYMBOL,
    consensus_strength DOUBLE,
    reliability DOUBLE,
    reliability_quality DOUBLE,
    reliability_coverage DOUBLE,
    reliability_agreement DOUBLE,
    reliability_calibration DOUBLE,
    price DOUBLE,
    quality SYMBOL,
    known_at TIMESTAMP,
    revision LONG,
    retracted BOOLEAN,
    config_hash SYMBOL
) TIMESTAMP(ts) PARTITION BY DAY WAL
DEDUP UPSERT KEYS(ts, exchange, market, symbol);

CREATE TABLE IF NOT EXISTS signals (
    ts TIMESTAMP,
    ts_close TIMESTAMP,
    exchange SYMBOL,
    market SYMBOL,
    symbol SYMBOL,
    timeframe SYMBOL,
    signal_id SYMBOL,
    profile SYMBOL,
    signal SYMBOL,
    direction SYMBOL,
    status SYMBOL,
    status_reason VARCHAR,
    status_ts TIMESTAMP,
    score DOUBLE,
    strength DOUBLE,
    reliability DOUBLE,
    price DOUBLE,
    entry_price DOUBLE,
    stop_loss DOUBLE,
    stop_basis SYMBOL,
    target_1 DOUBLE,
    target_2 DOUBLE,
    risk_reward DOUBLE,
    position_size_percent DOUBLE,
    stop_ts TIMESTAMP,
    target_1_ts TIMESTAMP,
    target_2_ts TIMESTAMP,
    known_at TIMESTAMP,
    revision LONG,
    retracted BOOLEAN,
    config_hash SYMBOL
) TIMESTAMP(ts) PARTITION BY MONTH WAL
DEDUP UPSERT KEYS(ts, signal_id);

CREATE TABLE IF NOT EXISTS signal_events (
    ts TIMESTAMP,
    ts_close TIMESTAMP,
    exchange SYMBOL,
    market SYMBOL,
    symbol SYMBOL,
    timeframe SYMBOL,
    signal_id SYMBOL,
    event SYMBOL,
    event_ts TIMESTAMP,
    price DOUBLE,
    score DOUBLE,
    known_at TIMESTAMP,
    revision LONG,
    retracted BOOLEAN,
    config_hash SYMBOL
) TIMESTAMP(ts) PARTITION BY MONTH WAL
DEDUP UPSERT KEYS(ts, signal_id, event);

CREATE TABLE IF NOT EXISTS relations (
    ts TIMESTAMP,
    ts_close TIMESTAMP,
    exchange SYMBOL,
    market SYMBOL,
    symbol SYMBOL,
    benchmark SYMBOL,
    timeframe SYMBOL,
    window LONG,
    alpha DOUBLE,
    beta DOUBLE,
    correlation DOUBLE,
    r2 DOUBLE,
    residual_volatility DOUBLE,
    known_at TIMESTAMP,
    revision LONG,
    retracted BOOLEAN,
    config_hash SYMBOL
) TIMESTAMP(ts) PARTITION BY DAY WAL
DEDUP UPSERT KEYS(ts, exchange, market, symbol, benchmark, timeframe, window);

CREATE TABLE IF NOT EXISTS late_events (
    ts TIMESTAMP,
    exchange SYMBOL,
    market SYMBOL,
    symbol SYMBOL,
    event_id VARCHAR,
    price DOUBLE,
    size DOUBLE,
    side SYMBOL,
    ts_recv TIMESTAMP,
    known_at TIMESTAMP,
    reason VARCHAR
) TIMESTAMP(ts) PARTITION BY DAY WAL
DEDUP UPSERT KEYS(ts, exchange, market, symbol, event_id);

CREATE TABLE IF NOT EXISTS quarantine (
    ts TIMESTAMP,
    exchange SYMBOL,
    market SYMBOL,
    symbol SYMBOL,
    rule SYMBOL,
    id VARCHAR,
    detail VARCHAR,
    raw VARCHAR,
    known_at TIMESTAMP
) TIMESTAMP(ts) PARTITION BY DAY WAL
DEDUP UPSERT KEYS(ts, exchange, market, symbol, rule, id);

CREATE TABLE IF NOT EXISTS feed_status (
    ts TIMESTAMP,
    exchange SYMBOL,
    market SYMBOL,
    symbol SYMBOL,
    channel SYMBOL,
    status SYMBOL,
    cause VARCHAR,
    known_at TIMESTAMP
) TIMESTAMP(ts) PARTITION BY MONTH WAL
DEDUP UPSERT KEYS(ts, exchange, market, symbol, channel, status);

CREATE TABLE IF NOT EXISTS quotas (
    ts TIMESTAMP,
    exchange SYMBOL,
    market SYMBOL,
    weight LONG,
    weight_left LONG,
    window_s LONG,
    requests LONG,
    success_rate DOUBLE,
    open BOOLEAN,
    known_at TIMESTAMP
) TIMESTAMP(ts) PARTITION BY MONTH WAL
DEDUP UPSERT KEYS(ts, exchange, market);

CREATE TABLE IF NOT EXISTS runs (
    ts TIMESTAMP,
    run_id SYMBOL,
    config_hash SYMBOL,
    config VARCHAR,
    frontier TIMESTAMP,
    events LONG,
    log_start VARCHAR,
    rebuilt_from TIMESTAMP
) TIMESTAMP(ts) PARTITION BY YEAR WAL
DEDUP UPSERT KEYS(ts, run_id);

