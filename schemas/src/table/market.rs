//! Tables of the market itself: bars, order books and indicators.

use super::{Kind::*, Table, col};

/// Bars per instrument and timeframe.
pub static BARS: Table = Table {
    name: "bars",
    doc: "OHLCV and flow per instrument and timeframe.",
    columns: &[
        col("ts", Ts, "", "start of the bar"),
        col("ts_close", Ts, "", "end of the bar, exclusive"),
        col("exchange", Symbol, "", "venue"),
        col("market", Symbol, "", "spot, linear or inverse"),
        col("symbol", Symbol, "", "canonical symbol"),
        col("timeframe", Symbol, "", "duration of the bar"),
        col("open", F64, "quote", "first trade's price"),
        col("high", F64, "quote", "highest price"),
        col("low", F64, "quote", "lowest price"),
        col("close", F64, "quote", "last trade's price"),
        col("volume", F64, "base", "traded size"),
        col("turnover", F64, "quote", "traded value"),
        col("buy_volume", F64, "base", "size bought by takers"),
        col("sell_volume", F64, "base", "size sold by takers"),
        col("n_trades", I64, "", "number of trades"),
        col("n_buys", I64, "", "number of trades bought by takers"),
        col("vwap", F64, "quote", "turnover / volume"),
        col("first_trade_id", Text, "", "the venue's id of the first trade, or its row number"),
        col("last_trade_id", Text, "", "the venue's id of the last trade, or its row number"),
        col("source", Symbol, "", "trades, or venue for a backfilled kline"),
        col("quality", Symbol, "", "ok, partial, suspect or gap"),
        col("known_at", Ts, "", "when this version became known"),
        col("revision", I64, "", "number of earlier versions of this key with other values"),
        col("retracted", Bool, "", "true if the row no longer exists"),
        col("config_hash", Symbol, "", "hash of the settings that shape results"),
    ],
    designated: "ts",
    key: &["ts", "exchange", "market", "symbol", "timeframe"],
    partition_by: "DAY",
    derived: true,
};

macro_rules! order_flow {
    ($($slot:literal $of:literal),+ $(,)?) => {
        /// Columns of `order_flow` for the bar and each of its slots: numbers, sizes and values of what takers bought and sold.
        pub static FLOW_COLUMNS: &[[&str; 6]] = &[$([
            concat!("n_buys", $slot),
            concat!("n_sells", $slot),
            concat!("buy_volume", $slot),
            concat!("sell_volume", $slot),
            concat!("buy_turnover", $slot),
            concat!("sell_turnover", $slot),
        ]),+];

        /// What takers bought and sold per instrument and role timeframe.
        pub static ORDER_FLOW: Table = Table {
            name: "order_flow",
            doc: "What takers bought and sold within the bars of the role timeframes: in all, in six slots of equal length, and by worth.",
            columns: &[
                col("ts", Ts, "", "start of the bar"),
                col("ts_close", Ts, "", "end of the bar, exclusive"),
                col("exchange", Symbol, "", "venue"),
                col("market", Symbol, "", "spot, linear or inverse"),
                col("symbol", Symbol, "", "canonical symbol"),
                col("timeframe", Symbol, "", "role timeframe"),
                $(
                    col(concat!("n_buys", $slot), I64, "", concat!("trades bought by takers", $of)),
                    col(concat!("n_sells", $slot), I64, "", concat!("trades sold by takers", $of)),
                    col(concat!("buy_volume", $slot), F64, "base", concat!("size bought by takers", $of)),
                    col(concat!("sell_volume", $slot), F64, "base", concat!("size sold by takers", $of)),
                    col(concat!("buy_turnover", $slot), F64, "quote", concat!("value bought by takers", $of)),
                    col(concat!("sell_turnover", $slot), F64, "quote", concat!("value sold by takers", $of)),
                )+
                col("worth", Text, "", "by worth, `class:trades:delta` and a space between: trades of at least 2^class quote, and the value bought less sold of it; null without trades"),
                col("known_at", Ts, "", "when this version became known"),
                col("revision", I64, "", "number of earlier versions of this key with other values"),
                col("retracted", Bool, "", "true if the row no longer exists"),
                col("config_hash", Symbol, "", "hash of the settings that shape results"),
            ],
            designated: "ts",
            key: &["ts", "exchange", "market", "symbol", "timeframe"],
            partition_by: "DAY",
            derived: true,
        };
    };
}

order_flow! {
    "" "",
    "_1" " in the first sixth of the bar",
    "_2" " in the second",
    "_3" " in the third",
    "_4" " in the fourth",
    "_5" " in the fifth",
    "_6" " in the last",
}

macro_rules! book_features {
    ($($name:literal $unit:literal $doc:literal),+ $(,)?) => {
        /// Numbers of `book_features` in their order; METHODS.md defines each.
        pub static BOOK_COLUMNS: &[&str] = &[$($name),+];

        /// The order book at each base close.
        pub static BOOK_FEATURES: Table = Table {
            name: "book_features",
            doc: "The order book at the end of each base bar, and over it; null where the book is not the venue's.",
            columns: &[
                col("ts", Ts, "", "start of the bar"),
                col("ts_close", Ts, "", "end of the bar, exclusive"),
                col("exchange", Symbol, "", "venue"),
                col("market", Symbol, "", "spot, linear or inverse"),
                col("symbol", Symbol, "", "canonical symbol"),
                $(col($name, F64, $unit, $doc),)+
                col("n_updates", I64, "", "events that changed the book"),
                col("quality", Symbol, "", "ok, partial, suspect or gap"),
                col("known_at", Ts, "", "when this version became known"),
                col("revision", I64, "", "number of earlier versions of this key with other values"),
                col("retracted", Bool, "", "true if the row no longer exists"),
                col("config_hash", Symbol, "", "hash of the settings that shape results"),
            ],
            designated: "ts",
            key: &["ts", "exchange", "market", "symbol"],
            partition_by: "DAY",
            derived: true,
        };
    };
}

book_features! {
    "bid" "quote" "best bid",
    "bid_size" "base" "its size; contracts of inverse contracts, as all sizes here",
    "ask" "quote" "best ask",
    "ask_size" "base" "its size",
    "mid" "quote" "between bid and ask",
    "spread" "quote" "ask - bid",
    "spread_bps" "basis points" "spread / mid",
    "microprice" "quote" "bid and ask, each weighted by the other's size",
    "bid_depth_5" "base" "size of the best 5 bids",
    "bid_depth_10" "base" "size of the best 10 bids",
    "bid_depth_25" "base" "size of the best 25 bids",
    "ask_depth_5" "base" "size of the best 5 asks",
    "ask_depth_10" "base" "size of the best 10 asks",
    "ask_depth_25" "base" "size of the best 25 asks",
    "bid_depth_10bp" "base" "size of bids within 10 basis points of mid",
    "bid_depth_50bp" "base" "size of bids within 50 basis points of mid",
    "bid_depth_100bp" "base" "size of bids within 100 basis points of mid",
    "bid_depth_200bp" "base" "size of bids within 200 basis points of mid",
    "ask_depth_10bp" "base" "size of asks within 10 basis points of mid",
    "ask_depth_50bp" "base" "size of asks within 50 basis points of mid",
    "ask_depth_100bp" "base" "size of asks within 100 basis points of mid",
    "ask_depth_200bp" "base" "size of asks within 200 basis points of mid",
    "imbalance_1" "-1..1" "(bid_size - ask_size) / (bid_size + ask_size)",
    "imbalance_5" "-1..1" "(bids - asks) / (bids + asks), sizes of the best 5",
    "imbalance_10" "-1..1" "(bids - asks) / (bids + asks), sizes of the best 10",
    "imbalance_25" "-1..1" "(bids - asks) / (bids + asks), sizes of the best 25",
    "imbalance_weighted" "-1..1" "(bids - asks) / (bids + asks), the best 25 counting less with their distance from mid",
    "slippage_buy_1k" "basis points" "cost against mid of buying for 1,000 quote at once",
    "slippage_buy_10k" "basis points" "cost against mid of buying for 10,000 quote at once",
    "slippage_buy_100k" "basis points" "cost against mid of buying for 100,000 quote at once",
    "slippage_buy_1m" "basis points" "cost against mid of buying for 1,000,000 quote at once",
    "slippage_sell_1k" "basis points" "cost against mid of selling for 1,000 quote at once",
    "slippage_sell_10k" "basis points" "cost against mid of selling for 10,000 quote at once",
    "slippage_sell_100k" "basis points" "cost against mid of selling for 100,000 quote at once",
    "slippage_sell_1m" "basis points" "cost against mid of selling for 1,000,000 quote at once",
    "bid_slope" "base" "size that comes with a basis point from mid, best 25 bids",
    "ask_slope" "base" "size that comes with a basis point from mid, best 25 asks",
    "support" "quote" "mean price of the strongest cluster of bids within 1 % of mid",
    "support_share" "0..1" "its share of their size",
    "resistance" "quote" "mean price of the strongest cluster of asks within 1 % of mid",
    "resistance_share" "0..1" "its share of their size",
    "ofi" "base" "order-flow imbalance over the bar: what came to the best levels less what left them, bids - asks",
    "spread_mean" "quote" "spread over the bar, weighted by time",
    "mid_mean" "quote" "mid over the bar, weighted by time",
    "imbalance_mean" "-1..1" "imbalance_1 over the bar, weighted by time",
    "live_share" "0..1" "share of the bar in which the book was the venue's",
}

macro_rules! indicators {
    ($($name:literal $unit:literal $doc:literal),+ $(,)?) => {
        /// Indicator columns in the order of the registry; METHODS.md defines each.
        pub static INDICATOR_COLUMNS: &[&str] = &[$($name),+];

        /// Indicators per instrument and timeframe, one wide row a bar.
        pub static INDICATORS: Table = Table {
            name: "indicators",
            doc: "Indicators per bar; null until warm; no row for a gap bar.",
            columns: &[
                col("ts", Ts, "", "start of the bar"),
                col("ts_close", Ts, "", "end of the bar, exclusive"),
                col("exchange", Symbol, "", "venue"),
                col("market", Symbol, "", "spot, linear or inverse"),
                col("symbol", Symbol, "", "canonical symbol"),
                col("timeframe", Symbol, "", "duration of the bar"),
                $(col($name, F64, $unit, $doc),)+
                col("quality", Symbol, "", "the bar's; partial if windows reach over a hole"),
                col("known_at", Ts, "", "when this version became known"),
                col("revision", I64, "", "number of earlier versions of this key with other values"),
                col("retracted", Bool, "", "true if the row no longer exists"),
                col("config_hash", Symbol, "", "hash of the settings that shape results"),
            ],
            designated: "ts",
            key: &["ts", "exchange", "market", "symbol", "timeframe"],
            partition_by: "DAY",
            derived: true,
        };
    };
}

indicators! {
    "sma_5" "quote" "simple moving average of 5 closes",
    "sma_10" "quote" "simple moving average of 10 closes",
    "sma_20" "quote" "simple moving average of 20 closes",
    "sma_50" "quote" "simple moving average of 50 closes",
    "sma_200" "quote" "simple moving average of 200 closes",
    "ema_9" "quote" "exponential moving average, period 9",
    "ema_12" "quote" "exponential moving average, period 12",
    "ema_20" "quote" "exponential moving average, period 20",
    "ema_26" "quote" "exponential moving average, period 26",
    "ema_50" "quote" "exponential moving average, period 50",
    "ema_200" "quote" "exponential moving average, period 200",
    "dema_20" "quote" "double exponential moving average",
    "tema_20" "quote" "triple exponential moving average",
    "wma_20" "quote" "linearly weighted moving average",
    "rsi_14" "0..100" "relative strength index, Wilder",
    "macd_line" "quote" "EMA 12 - EMA 26",
    "macd_signal_line" "quote" "EMA 9 of the line",
    "macd_histogram" "quote" "line - signal line",
    "stochastic_k" "0..100" "stochastic 14, smoothed by 3",
    "stochastic_d" "0..100" "mean of 3 k",
    "williams_r_14" "-100..0" "Williams %R",
    "cci_20" "" "commodity channel index",
    "ao" "quote" "awesome oscillator 5/34",
    "roc_10" "percent" "rate of change",
    "adx_14" "0..100" "average directional index",
    "plus_di_14" "0..100" "positive directional indicator",
    "minus_di_14" "0..100" "negative directional indicator",
    "atr_14" "quote" "average true range, Wilder",
    "atr_20" "quote" "average true range, period 20",
    "atr_50" "quote" "average true range, period 50",
    "bollinger_upper" "quote" "mean of 20 closes + 2 deviations",
    "bollinger_middle" "quote" "mean of 20 closes",
    "bollinger_lower" "quote" "mean of 20 closes - 2 deviations",
    "bollinger_percent_b" "" "position of the close between the bands",
    "bollinger_width" "" "distance of the bands over the middle",
    "keltner_upper" "quote" "EMA 20 + 2 ATR 20",
    "keltner_middle" "quote" "EMA 20",
    "keltner_lower" "quote" "EMA 20 - 2 ATR 20",
    "donchian_upper" "quote" "highest high of 20",
    "donchian_lower" "quote" "lowest low of 20",
    "donchian_middle" "quote" "middle of the channel",
    "obv" "base" "on-balance volume",
    "adl" "base" "accumulation/distribution line",
    "cmf_20" "-1..1" "Chaikin money flow",
    "mfi_14" "0..100" "money flow index",
    "vwap_day" "quote" "volume-weighted price of the UTC day so far",
    "volume_sma_20" "base" "mean volume of 20 bars",
    "relative_volume" "" "volume over its baseline",
    "volume_delta" "base" "taker buys - taker sells",
    "cvd" "base" "running sum of volume_delta",
    "psar" "quote" "parabolic SAR 0.02/0.2",
    "supertrend" "quote" "SuperTrend 10/3",
    "supertrend_direction" "" "1 up, -1 down",
}
