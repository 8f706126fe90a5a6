//! Tables of prices at which something happened.

use super::{
    Kind::*,
    Table,
    analysis::{CONFIG_HASH, EXCHANGE, KNOWN_AT, MARKET, RETRACTED, REVISION, SYMBOL, TS, TS_CLOSE},
    col,
};

/// What changed in the structure of a series, per role timeframe.
pub static STRUCTURE_LEVELS: Table = Table {
    name: "structure_levels",
    doc: "What each bar of a role timeframe changed in the structure of its series: swings, breaks, fair value gaps, order blocks; a row is known when its bar closes, and never before; METHODS.md defines each.",
    columns: &[
        TS,
        TS_CLOSE,
        EXCHANGE,
        MARKET,
        SYMBOL,
        col("timeframe", Symbol, "", "role timeframe"),
        col("event", I64, "", "its number among those of the bar"),
        col("kind", Symbol, "", "swing_high, swing_low, bos, choch, fair_value_gap or order_block"),
        col("side", Symbol, "", "for whom it is good: bullish or bearish"),
        col(
            "state",
            Symbol,
            "",
            "confirmed (swings), broken, open, filled (gaps), fresh, tested, mitigated, broken (blocks)",
        ),
        col("price_from", F64, "quote", "its lower end"),
        col("price_to", F64, "quote", "its upper end; the same of swings and breaks"),
        col("origin", Ts, "", "start of the bar it is of"),
        col("strength", F64, "0..1", "how much it counts; null of gaps"),
        KNOWN_AT,
        REVISION,
        RETRACTED,
        CONFIG_HASH,
    ],
    designated: "ts",
    key: &["ts", "exchange", "market", "symbol", "timeframe", "event"],
    partition_by: "DAY",
    derived: true,
};

/// Where most was traded, per role timeframe.
pub static VOLUME_PROFILE: Table = Table {
    name: "volume_profile",
    doc: "At which prices most was traded in the last 50 bars of a role timeframe: point of control and value area of 70 %; METHODS.md says how.",
    columns: &[
        TS,
        TS_CLOSE,
        EXCHANGE,
        MARKET,
        SYMBOL,
        col("timeframe", Symbol, "", "role timeframe"),
        col("poc", F64, "quote", "point of control: the middle of the bin with the most volume"),
        col("vah", F64, "quote", "value area high"),
        col("val", F64, "quote", "value area low"),
        col("low", F64, "quote", "lowest price of the 50 bars"),
        col("high", F64, "quote", "highest price of the 50 bars"),
        col("volume", F64, "base", "of the 50 bars"),
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

/// Where positions would be given up and closed, per role timeframe.
pub static SETUPS: Table = Table {
    name: "setups",
    doc: "Where a position entered at the close of a bar of a role timeframe would be given up and closed, for either direction; METHODS.md says how.",
    columns: &[
        TS,
        TS_CLOSE,
        EXCHANGE,
        MARKET,
        SYMBOL,
        col("timeframe", Symbol, "", "role timeframe"),
        col("long_stop", F64, "quote", "where a long position is given up"),
        col("long_basis", Symbol, "", "what that is behind: swing_low, order_block or atr"),
        col("long_target_1", F64, "quote", "at twice the distance of the stop at least"),
        col("long_target_2", F64, "quote", "at three times that distance at least"),
        col("short_stop", F64, "quote", "where a short position is given up"),
        col("short_basis", Symbol, "", "what that is behind: swing_high, order_block or atr"),
        col("short_target_1", F64, "quote", "at twice the distance of the stop at least"),
        col("short_target_2", F64, "quote", "at three times that distance at least"),
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
