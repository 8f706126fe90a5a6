//! Tables of what rests in order books.

use super::{
    Kind::*,
    Table,
    analysis::{CONFIG_HASH, EXCHANGE, KNOWN_AT, MARKET, RETRACTED, REVISION, SYMBOL, TS, TS_CLOSE},
    col,
};

/// The order book in buckets of price at each base close.
pub static BOOK_HEAT: Table = Table {
    name: "book_heat",
    doc: "The order book within 1 % of mid at the end of each base bar, in buckets of price; one whose size is not all told has no row.",
    columns: &[
        TS,
        TS_CLOSE,
        EXCHANGE,
        MARKET,
        SYMBOL,
        col("bucket", I64, "", "its number from mid on: -1, -2, .. bids, 1, 2, .. asks"),
        col("side", Symbol, "", "bid or ask"),
        col("price_from", F64, "quote", "where the bucket begins"),
        col("price_to", F64, "quote", "where it ends, exclusive"),
        col("size", F64, "base", "size of its levels; contracts of inverse contracts"),
        col("n_levels", I64, "", "their number"),
        col("quality", Symbol, "", "of the book: ok, partial or suspect"),
        KNOWN_AT,
        REVISION,
        RETRACTED,
        CONFIG_HASH,
    ],
    designated: "ts",
    key: &["ts", "exchange", "market", "symbol", "bucket"],
    partition_by: "DAY",
    derived: true,
};

/// Large resting orders at each base close.
pub static BOOK_WALLS: Table = Table {
    name: "book_walls",
    doc: "Levels much larger than usual near mid at the end of each base bar: since when they stand, and whether what went was taken or pulled; METHODS.md says which.",
    columns: &[
        TS,
        TS_CLOSE,
        EXCHANGE,
        MARKET,
        SYMBOL,
        col("wall", I64, "", "its number at the close: bids before asks, by rising price"),
        col("side", Symbol, "", "bid or ask"),
        col("price", F64, "quote", "of the level"),
        col("size", F64, "base", "at the close; contracts of inverse contracts, as all sizes here"),
        col("largest", F64, "base", "the largest at a close since it stands"),
        col("since", Ts, "", "the close from which it stands"),
        col("age", F64, "seconds", "from then to this close"),
        col("times_median", F64, "", "size over the median size of the side's levels within 1 % of mid"),
        col("distance_bps", F64, "basis points", "from mid"),
        col("lost", F64, "base", "what went since the close before"),
        col("filled_at_most", F64, "base", "what takers took of it at most, by the trades near its price"),
        col("pulled_at_least", F64, "base", "what went without a trade"),
        col("state", Symbol, "", "new, standing; at its end pulled, filled or gone"),
        col("quality", Symbol, "", "of the book: ok, partial or suspect"),
        KNOWN_AT,
        REVISION,
        RETRACTED,
        CONFIG_HASH,
    ],
    designated: "ts",
    key: &["ts", "exchange", "market", "symbol", "wall"],
    partition_by: "DAY",
    derived: true,
};
