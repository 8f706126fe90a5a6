//! Tables of operations: what was refused, what came late, which feeds and runs there are.

use super::{Kind::*, Table, col};

/// Instruments as declared, discovered or inferred.
pub static INSTRUMENTS: Table = Table {
    name: "instruments",
    doc: "What is known of each instrument, newest declaration first.",
    columns: &[
        col("ts", Ts, "", "when it was declared"),
        col("exchange", Symbol, "", "venue"),
        col("market", Symbol, "", "spot, linear or inverse"),
        col("symbol", Symbol, "", "canonical symbol"),
        col("native_symbol", Symbol, "", "the venue's spelling"),
        col("price_decimals", I64, "", "decimals of prices"),
        col("size_decimals", I64, "", "decimals of sizes"),
        col("tick_size", F64, "quote", "smallest price step"),
        col("lot_size", F64, "base or contracts", "smallest size step"),
        col(
            "contract_size",
            F64,
            "quote",
            "value of one inverse contract; of a linear one whose venue counts contracts, base",
        ),
        col("min_size", F64, "base or contracts", "smallest order"),
        col("max_size", F64, "base or contracts", "greatest order"),
        col("min_notional", F64, "quote", "smallest order's value"),
        col("contract_type", Symbol, "", "the venue's word for it"),
        col("base", Symbol, "", "what is traded"),
        col("quote", Symbol, "", "what prices are in"),
        col("settlement", Symbol, "", "what profits are paid in; null on spot"),
        col("expiry", Ts, "", "when it ends; null if it never does"),
        col("status", Symbol, "", "the venue's trading status"),
        col("known_at", Ts, "", "when it became known"),
    ],
    designated: "ts",
    key: &["ts", "exchange", "market", "symbol"],
    partition_by: "YEAR",
    derived: false,
};

/// Trades that came after their horizon.
pub static LATE_EVENTS: Table = Table {
    name: "late_events",
    doc: "Trades known too late to correct anything.",
    columns: &[
        col("ts", Ts, "", "event time"),
        col("exchange", Symbol, "", "venue"),
        col("market", Symbol, "", "spot, linear or inverse"),
        col("symbol", Symbol, "", "canonical symbol"),
        col("event_id", Text, "", "the venue's id, or the row number"),
        col("price", F64, "quote", "its price"),
        col("size", F64, "base or contracts", "its size"),
        col("side", Symbol, "", "taker side"),
        col("ts_recv", Ts, "", "when it was received"),
        col("known_at", Ts, "", "its knowledge time"),
        col("reason", Text, "", "why it changed nothing"),
    ],
    designated: "ts",
    key: &["ts", "exchange", "market", "symbol", "event_id"],
    partition_by: "DAY",
    derived: false,
};

/// Frames and events that were refused.
pub static QUARANTINE: Table = Table {
    name: "quarantine",
    doc: "Frames that could not be decoded and events that broke a rule, with the reason.",
    columns: &[
        col("ts", Ts, "", "receive time"),
        col("exchange", Symbol, "", "venue"),
        col("market", Symbol, "", "market, if known"),
        col("symbol", Symbol, "", "symbol, if known"),
        col("rule", Symbol, "", "name of the rule"),
        col("id", Text, "", "identity of the event or hash of the frame"),
        col("detail", Text, "", "what was wrong"),
        col("raw", Text, "", "the frame, at most 1,000 characters"),
        col("known_at", Ts, "", "its knowledge time"),
    ],
    designated: "ts",
    key: &["ts", "exchange", "market", "symbol", "rule", "id"],
    partition_by: "DAY",
    derived: false,
};

/// Changes of feeds' states.
pub static FEED_STATUS: Table = Table {
    name: "feed_status",
    doc: "Changes of each feed's state.",
    columns: &[
        col("ts", Ts, "", "event time"),
        col("exchange", Symbol, "", "venue"),
        col("market", Symbol, "", "spot, linear or inverse"),
        col("symbol", Symbol, "", "canonical symbol"),
        col(
            "channel",
            Symbol,
            "",
            "book, trades, ticker, liquidation, kline or requests where it is of these alone; null: all of the feed",
        ),
        col("status", Symbol, "", "connected, disconnected, stale, skewed, gap, ..."),
        col("cause", Text, "", "why"),
        col("known_at", Ts, "", "its knowledge time"),
    ],
    designated: "ts",
    key: &["ts", "exchange", "market", "symbol", "channel", "status"],
    partition_by: "MONTH",
    derived: false,
};

/// Budgets of requests.
pub static QUOTAS: Table = Table {
    name: "quotas",
    doc: "How each venue's budget of requests is: a row in ten seconds while it is used, and when it closes or opens.",
    columns: &[
        col("ts", Ts, "", "when it was so"),
        col("exchange", Symbol, "", "venue"),
        col("market", Symbol, "", "spot, linear or inverse"),
        col("weight", I64, "", "weight that may be spent within the window"),
        col("weight_left", I64, "", "what is left of it"),
        col("window_s", I64, "s", "the window"),
        col("requests", I64, "", "requests since the start"),
        col("success_rate", F64, "0..1", "share of them that was answered"),
        col("open", Bool, "", "true while nobody asks, after failures in a row or a refusal"),
        col("known_at", Ts, "", "when it became known"),
    ],
    designated: "ts",
    key: &["ts", "exchange", "market"],
    partition_by: "MONTH",
    derived: false,
};

/// Runs and how far the store holds them.
pub static RUNS: Table = Table {
    name: "runs",
    doc: "Each run: its settings and how far its rows are stored.",
    columns: &[
        col("ts", Ts, "", "knowledge time of its first row"),
        col("run_id", Symbol, "", "live, replay or the name given"),
        col("config_hash", Symbol, "", "hash of the settings that shape results"),
        col("config", Text, "", "these settings as JSON"),
        col("frontier", Ts, "", "everything known before this is stored"),
        col("events", I64, "", "events read"),
        col("log_start", Text, "", "first offset of each partition when the run began, as JSON"),
        col(
            "rebuilt_from",
            Ts,
            "",
            "the log was read from here when the run last went on, and bars before came from the store; null if from log_start",
        ),
    ],
    designated: "ts",
    key: &["ts", "run_id"],
    partition_by: "YEAR",
    derived: false,
};
