//! Tables of what venues tell when they are asked: open interest, funding, ratios, margin tiers, sentiment.

use super::{Kind::*, Table, col};

/// Where a value stands.
const SOURCES: &str = "history: the venue's own series; ticker: the first ticker of each five minutes that says it";

/// Open interest.
pub static OPEN_INTEREST: Table = Table {
    name: "open_interest",
    doc: "Open interest, every five minutes: as venues publish it, and as it stands in their tickers.",
    columns: &[
        col("ts", Ts, "", "the venue's time of it"),
        col("exchange", Symbol, "", "venue"),
        col("market", Symbol, "", "linear or inverse"),
        col("symbol", Symbol, "", "canonical symbol"),
        col("source", Symbol, "", SOURCES),
        col("open_interest", F64, "base or contracts", "open contracts, counted once: longs, or shorts"),
        col("open_interest_value", F64, "quote", "their value, where the venue says it"),
        col("known_at", Ts, "", "when it became known"),
    ],
    designated: "ts",
    key: &["ts", "exchange", "market", "symbol", "source"],
    partition_by: "MONTH",
    derived: false,
};

/// Funding rates.
pub static FUNDING: Table = Table {
    name: "funding",
    doc: "Funding rates: those that were settled, and every five minutes the one that would be settled next.",
    columns: &[
        col("ts", Ts, "", "history: when it was settled; ticker: the venue's time of it"),
        col("exchange", Symbol, "", "venue"),
        col("market", Symbol, "", "linear or inverse"),
        col("symbol", Symbol, "", "canonical symbol"),
        col("source", Symbol, "", SOURCES),
        col("funding_rate", F64, "", "what longs pay shorts at a settlement, as a share of the position's value"),
        col("funding_interval", F64, "hours", "between the settlement before and this one, where it is known"),
        col("settles_at", Ts, "", "when it was or would be settled, where the venue says it"),
        col("mark", F64, "quote", "mark price it was settled at, or of the ticker, where the venue says it"),
        col("known_at", Ts, "", "when it became known"),
    ],
    designated: "ts",
    key: &["ts", "exchange", "market", "symbol", "source"],
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
