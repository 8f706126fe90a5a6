//! Tables of analysis: scores and relations.

use super::{Column, Kind::*, Table, col};

pub(super) const TS: Column = col("ts", Ts, "", "start of the bar");
pub(super) const TS_CLOSE: Column = col("ts_close", Ts, "", "end of the bar, exclusive");
pub(super) const EXCHANGE: Column = col("exchange", Symbol, "", "venue");
pub(super) const MARKET: Column = col("market", Symbol, "", "spot, linear or inverse");
pub(super) const SYMBOL: Column = col("symbol", Symbol, "", "canonical symbol");
pub(super) const KNOWN_AT: Column = col("known_at", Ts, "", "when this version became known");
pub(super) const REVISION: Column =
    col("revision", I64, "", "number of earlier versions of this key with other values");
pub(super) const RETRACTED: Column = col("retracted", Bool, "", "true if the row no longer exists");
pub(super) const CONFIG_HASH: Column = col("config_hash", Symbol, "", "hash of the settings that shape results");

/// Components per role timeframe.
pub static COMPONENT_SCORES: Table = Table {
    name: "component_scores",
    doc: "Each component's value and score per role timeframe at its close.",
    columns: &[
        TS,
        TS_CLOSE,
        EXCHANGE,
        MARKET,
        SYMBOL,
        col("timeframe", Symbol, "", "role timeframe"),
        col("dimension", Symbol, "", "dimension it belongs to"),
        col("component", Symbol, "", "its name"),
        col("raw_value", F64, "", "the measured value, see METHODS.md"),
        col("raw_score", F64, "0..100", "score before divergence"),
        col("div", F64, "points", "bonus or malus from disagreeing higher timeframes"),
        col("div_type", Symbol, "", "bullish, bearish or none"),
        col("score", F64, "0..100", "raw_score + div, clipped"),
        col("weight", F64, "0..1", "share among the present components of its dimension"),
        col("impact", F64, "points", "weight x score"),
        col("label", Symbol, "", "the score in words"),
        col("coverage", F64, "0..1", "present weight of its dimension"),
        KNOWN_AT,
        REVISION,
        RETRACTED,
        CONFIG_HASH,
    ],
    designated: "ts",
    key: &["ts", "exchange", "market", "symbol", "timeframe", "dimension", "component"],
    partition_by: "DAY",
    derived: true,
};

/// Dimensions per role timeframe, and over all of them at base closes.
pub static DIMENSION_SCORES: Table = Table {
    name: "dimension_scores",
    doc: "Each dimension's score per role timeframe at its close, and over all roles (`all`) at each base close.",
    columns: &[
        TS,
        TS_CLOSE,
        EXCHANGE,
        MARKET,
        SYMBOL,
        col("timeframe", Symbol, "", "role timeframe, or all"),
        col("dimension", Symbol, "", "its name"),
        col("score", F64, "0..100", "50 is neutral"),
        col("weight", F64, "0..1", "share among the present dimensions"),
        col("impact", F64, "points", "weight x score"),
        col("coverage", F64, "0..1", "present component weight"),
        KNOWN_AT,
        REVISION,
        RETRACTED,
        CONFIG_HASH,
    ],
    designated: "ts",
    key: &["ts", "exchange", "market", "symbol", "timeframe", "dimension"],
    partition_by: "DAY",
    derived: true,
};

macro_rules! confluence {
    ($($dimension:literal),+ $(,)?) => {
        /// The dimensions with columns in `confluence`, and those: score, weight, contribution and coverage.
        pub static DIMENSION_COLUMNS: &[(&str, [&str; 4])] = &[$((
            $dimension,
            [
                concat!($dimension, "_score"),
                concat!($dimension, "_weight"),
                concat!($dimension, "_contribution"),
                concat!($dimension, "_coverage"),
            ],
        )),+];

/// The confluence of all dimensions at base closes.
pub static CONFLUENCE: Table = Table {
    name: "confluence",
    doc: "The confluence score of all present dimensions at each base close.",
    columns: &[
        TS,
        TS_CLOSE,
        EXCHANGE,
        MARKET,
        SYMBOL,
        col("profile", Symbol, "", "score profile"),
        col("score", F64, "0..100", "50 is neutral"),
        col("coverage", F64, "0..1", "component weight present in at least one role"),
                $(
                    col(concat!($dimension, "_score"), F64, "0..100", concat!($dimension, " dimension")),
                    col(concat!($dimension, "_weight"), F64, "0..1", "its share"),
                    col(concat!($dimension, "_contribution"), F64, "points", "share x score"),
                    col(concat!($dimension, "_coverage"), F64, "0..1", "its coverage"),
                )+
        col("consensus", Symbol, "", "BUY, SELL or NEUTRAL: most vote weight of the roles"),
        col("consensus_strength", F64, "0..1", "its share of all vote weight"),
        col("reliability", F64, "0..1", "product of the four factors"),
        col("reliability_quality", F64, "0..1", "what `quality` makes of it: 1 ok, .5 partial, .25 suspect"),
        col("reliability_coverage", F64, "0..1", "role-weighted coverage, absent roles count 0"),
        col("reliability_agreement", F64, "0..1", "1 - range of the dimensions / 100"),
        col("reliability_calibration", F64, "0..1", "1 until learnt from forward returns"),
        col("price", F64, "quote", "close of the base bar"),
        col("quality", Symbol, "", "of the base bar; partial if a role's windows reach over a hole"),
        KNOWN_AT,
        REVISION,
        RETRACTED,
        CONFIG_HASH,
    ],
    designated: "ts",
    key: &["ts", "exchange", "market", "symbol"],
    partition_by: "DAY",
    derived: true,
};
    };
}

confluence!("technical", "volume", "orderflow", "orderbook", "pricestructure", "sentiment");

/// Regression of each symbol's returns on its benchmark's.
pub static RELATIONS: Table = Table {
    name: "relations",
    doc: "Alpha, beta and correlation of each symbol's returns against its benchmark over a rolling window.",
    columns: &[
        TS,
        TS_CLOSE,
        EXCHANGE,
        MARKET,
        SYMBOL,
        col("benchmark", Symbol, "", "benchmark symbol of the same exchange and market"),
        col("timeframe", Symbol, "", "timeframe of the returns"),
        col("window", I64, "pairs", "number of return pairs"),
        col("alpha", F64, "log return per bar", "intercept"),
        col("beta", F64, "", "slope"),
        col("correlation", F64, "-1..1", "Pearson; null if the symbol did not move"),
        col("r2", F64, "0..1", "correlation squared"),
        col("residual_volatility", F64, "log return", "population deviation of the residuals"),
        KNOWN_AT,
        REVISION,
        RETRACTED,
        CONFIG_HASH,
    ],
    designated: "ts",
    key: &["ts", "exchange", "market", "symbol", "benchmark", "timeframe", "window"],
    partition_by: "DAY",
    derived: true,
};
