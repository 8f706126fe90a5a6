//! Tables of positions in contracts: what is open, and who is forced out.

use super::{
    Kind::*,
    Table,
    analysis::{CONFIG_HASH, EXCHANGE, KNOWN_AT, MARKET, RETRACTED, REVISION, SYMBOL, TS, TS_CLOSE},
    col,
};

/// Forced orders.
pub static LIQUIDATIONS: Table = Table {
    name: "liquidations",
    doc: "Forced orders as venues tell them.",
    columns: &[
        col("ts", Ts, "", "the venue's time of it"),
        EXCHANGE,
        col("market", Symbol, "", "linear or inverse"),
        SYMBOL,
        col("side", Symbol, "", "the order's: sell closes a long, buy a short"),
        col("price", F64, "quote", "where it was filled, if the venue says it, else the order's or that of bankruptcy"),
        col("size", F64, "base or contracts", "contracts on inverse markets"),
        col("n", I64, "", "its number among equal ones received in one instant, from 0"),
        col("completeness", Symbol, "", "all, or latest_per_second where the venue leaves some out"),
        col("known_at", Ts, "", "when it became known"),
    ],
    designated: "ts",
    key: &["ts", "exchange", "market", "symbol", "side", "price", "size", "n"],
    partition_by: "DAY",
    derived: false,
};

/// Open interest per role timeframe.
pub static OPEN_INTEREST_ANALYSIS: Table = Table {
    name: "open_interest_analysis",
    doc: "Open interest at the closes of role timeframes, and how price and funding go with it; METHODS.md defines each number.",
    columns: &[
        TS,
        TS_CLOSE,
        EXCHANGE,
        col("market", Symbol, "", "linear or inverse"),
        SYMBOL,
        col("timeframe", Symbol, "", "role timeframe"),
        col("open_interest", F64, "base or contracts", "open contracts at the close, counted once"),
        col("open_interest_value", F64, "quote", "their worth"),
        col("funding_rate", F64, "", "what longs pay shorts at the next settlement, as a share"),
        col("change_1", F64, "%", "change over one bar"),
        col("change_5", F64, "%", "over 5 bars"),
        col("change_19", F64, "%", "over 19 bars"),
        col("regime", Symbol, "", "long_buildup, short_buildup, short_covering, long_unwinding or none"),
        col("regime_strength", F64, "-1..1", "how strongly, above 0 bullish"),
        col("divergence", F64, "-1..1", "whether positions stand behind the price, below 0 bearish"),
        col("structure", F64, "-1..1", "whether they are built over all horizons with the price"),
        col("crowding", F64, "-1..1", "below 0: longs pay to hold what is being built up"),
        col("concentration", F64, "", "open value over the turnover of the last 20 bars"),
        KNOWN_AT,
        REVISION,
        RETRACTED,
        CONFIG_HASH,
    ],
    designated: "ts",
    key: &["ts", "exchange", "market", "symbol", "timeframe"],
    partition_by: "DAY",
    derived: true,
};

/// Forced orders per role timeframe.
pub static LIQUIDATION_ANALYSIS: Table = Table {
    name: "liquidation_analysis",
    doc: "Forced orders within the bars of role timeframes, while one of the last 20 bars has any; METHODS.md defines each number.",
    columns: &[
        TS,
        TS_CLOSE,
        EXCHANGE,
        MARKET,
        SYMBOL,
        col("timeframe", Symbol, "", "role timeframe"),
        col("n_longs", I64, "", "forced sales, which close longs"),
        col("n_shorts", I64, "", "forced purchases, which close shorts"),
        col("long_volume", F64, "base", "size of longs forced out"),
        col("short_volume", F64, "base", "size of shorts forced out"),
        col("long_turnover", F64, "quote", "worth of longs forced out"),
        col("short_turnover", F64, "quote", "worth of shorts forced out"),
        col("largest", F64, "quote", "worth of the largest order"),
        col("completeness", Symbol, "", "all, or at_least where the venue leaves some out: sums are lower bounds"),
        col("imbalance", F64, "-1..1", "longs less shorts over both"),
        col("weighted_imbalance", F64, "-1..1", "the same over 20 bars, halved every 5 bars"),
        col("acceleration", F64, "", "how much more than in the bar before, over the mean of 20 bars"),
        col("cascade", Symbol, "", "cascade, building, fading or none"),
        col("reversal_potential", F64, "-100..100", "above 0 where longs were forced out and it is over"),
        KNOWN_AT,
        REVISION,
        RETRACTED,
        CONFIG_HASH,
    ],
    designated: "ts",
    key: &["ts", "exchange", "market", "symbol", "timeframe"],
    partition_by: "DAY",
    derived: true,
};
