//! Tables of what venues tell when they are asked: open interest, funding, ratios, margin tiers, sentiment.

use super::{Kind::*, Table, col};

/// Open interest, every five minutes.
pub static OPEN_INTEREST: Table = Table {
    name: "open_interest",
    doc: "Open interest as venues publish it, every five minutes.",
    columns: &[
        col("ts", Ts, "", "the venue's time of it"),
        col("exchange", Symbol, "", "venue"),
        col("market", Symbol, "", "linear or inverse"),
        col("symbol", Symbol, "", "canonical symbol"),
        col("open_interest", F64, "base or contracts", "open contracts"),
        col("open_interest_value", F64, "quote", "their value, where the venue says it"),
        col("known_at", Ts, "", "when it became known"),
    ],
    designated: "ts",
    key: &["ts", "exchange", "market", "symbol"],
    partition_by: "MONTH",
    derived: false,
};

/// Funding rates that were settled.
pub static FUNDING: Table = Table {
    name: "funding",
    doc: "Funding rates that were settled.",
    columns: &[
        col("ts", Ts, "", "when it was settled"),
        col("exchange", Symbol, "", "venue"),
        col("market", Symbol, "", "linear or inverse"),
        col("symbol", Symbol, "", "canonical symbol"),
        col("funding_rate", F64, "", "what longs pay shorts, as a share of the position's value"),
        col("mark", F64, "quote", "mark price it was settled at, where the venue says it"),
        col("known_at", Ts, "", "when it became known"),
    ],
    designated: "ts",
    key: &["ts", "exchange", "market", "symbol"],
    partition_by: "MONTH",
    derived: false,
};

/// Long/short ratios.
pub static RATIOS: Table = Table {
    name: "ratios",
    doc: "Who holds or takes which side, every five minutes.",
    columns: &[
        col("ts", Ts, "", "the venue's time of it"),
        col("exchange", Symbol, "", "venue"),
        col("market", Symbol, "", "linear or inverse"),
        col("symbol", Symbol, "", "canonical symbol"),
        col("kind", Symbol, "", "account, top_account, top_position or taker"),
        col("period", Symbol, "", "what it is of"),
        col("long", F64, "", "share of the long side; taker: bought size"),
        col("short", F64, "", "share of the short side; taker: sold size"),
        col("known_at", Ts, "", "when it became known"),
    ],
    designated: "ts",
    key: &["ts", "exchange", "market", "symbol", "kind", "period"],
    partition_by: "MONTH",
    derived: false,
};

/// Margin tiers.
pub static RISK_LIMITS: Table = Table {
    name: "risk_limits",
    doc: "Margin tiers of each instrument, a row each.",
    columns: &[
        col("ts", Ts, "", "the venue's time of the answer"),
        col("exchange", Symbol, "", "venue"),
        col("market", Symbol, "", "linear or inverse"),
        col("symbol", Symbol, "", "canonical symbol"),
        col("tier", I64, "", "from 1, the smallest positions first"),
        col("position_limit", F64, "quote; inverse: base", "greatest position value of the tier"),
        col("leverage_max", F64, "", "greatest leverage"),
        col("maintenance_margin", F64, "", "share of the position's value"),
        col("initial_margin", F64, "", "share of the position's value"),
        col("known_at", Ts, "", "when it became known"),
    ],
    designated: "ts",
    key: &["ts", "exchange", "market", "symbol", "tier"],
    partition_by: "MONTH",
    derived: false,
};

/// The index of fear and greed.
pub static FEAR_GREED: Table = Table {
    name: "fear_greed",
    doc: "The Crypto Fear & Greed index, a row a day.",
    columns: &[
        col("ts", Ts, "", "the day"),
        col("value", I64, "0..100", "0 is extreme fear, 100 extreme greed"),
        col("label", Symbol, "", "what the source calls it"),
        col("known_at", Ts, "", "when it became known"),
    ],
    designated: "ts",
    key: &["ts"],
    partition_by: "YEAR",
    derived: false,
};
