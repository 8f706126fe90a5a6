//! Named queries: the SQL behind each endpoint, one file in `sql/` each.

use crate::params::Type;
use crate::params::Type::{Float, Int, Text, Time};

/// A named query.
#[derive(Debug)]
pub struct Named {
    /// Its name, that of its file.
    pub name: &'static str,
    /// Its SQL.
    pub sql: &'static str,
    /// Its parameters; each may be null.
    pub parameters: &'static [(&'static str, Type)],
}

const INSTRUMENT: [(&str, Type); 3] = [("exchange", Text), ("market", Text), ("symbol", Text)];

macro_rules! named {
    ($($constant:ident = $name:literal ($($parameter:expr),*);)*) => {
        $(
            #[doc = concat!("`sql/", $name, ".sql`")]
            pub static $constant: Named = Named {
                name: $name,
                sql: include_str!(concat!("../sql/", $name, ".sql")),
                parameters: &[$($parameter),*],
            };
        )*
        /// Every named query.
        pub static NAMED: &[&Named] = &[$(&$constant),*];
    };
}

named! {
    BARS = "bars" (INSTRUMENT[0], INSTRUMENT[1], INSTRUMENT[2], ("timeframe", Text), ("from", Time), ("to", Time), ("limit", Int));
    BARS_COUNT = "bars_count" (INSTRUMENT[0], INSTRUMENT[1], INSTRUMENT[2], ("timeframe", Text), ("from", Time));
    BOOK_HEAT = "book_heat" (INSTRUMENT[0], INSTRUMENT[1], INSTRUMENT[2], ("at", Time));
    BOOK_WALLS = "book_walls" (INSTRUMENT[0], INSTRUMENT[1], INSTRUMENT[2], ("at", Time));
    COMPONENTS = "components" (INSTRUMENT[0], INSTRUMENT[1], INSTRUMENT[2], ("at", Time), ("from", Time));
    DIMENSIONS = "dimensions" (INSTRUMENT[0], INSTRUMENT[1], INSTRUMENT[2], ("ts", Time));
    FOOTPRINT = "footprint" (INSTRUMENT[0], INSTRUMENT[1], INSTRUMENT[2], ("timeframe", Text), ("at", Time));
    FRONTIER = "frontier" (("run", Text));
    INDICATORS = "indicators" (INSTRUMENT[0], INSTRUMENT[1], INSTRUMENT[2], ("timeframe", Text), ("from", Time), ("to", Time), ("limit", Int));
    INSTRUMENTS = "instruments" ();
    LIVE_BARS = "live_bars" (INSTRUMENT[0], INSTRUMENT[1], INSTRUMENT[2]);
    LIVE_BOOK = "live_book" (INSTRUMENT[0], INSTRUMENT[1], INSTRUMENT[2]);
    LIVE_COMPONENTS = "live_components" (INSTRUMENT[0], INSTRUMENT[1], INSTRUMENT[2]);
    LIVE_CONFLUENCE = "live_confluence" (INSTRUMENT[0], INSTRUMENT[1], INSTRUMENT[2]);
    LIVE_DIMENSIONS = "live_dimensions" (INSTRUMENT[0], INSTRUMENT[1], INSTRUMENT[2]);
    LIVE_FLOW = "live_flow" (INSTRUMENT[0], INSTRUMENT[1], INSTRUMENT[2]);
    LIVE_FOOTPRINTS = "live_footprints" (INSTRUMENT[0], INSTRUMENT[1], INSTRUMENT[2]);
    LIVE_INDICATORS = "live_indicators" (INSTRUMENT[0], INSTRUMENT[1], INSTRUMENT[2]);
    LIVE_LIQUIDATIONS = "live_liquidations" (INSTRUMENT[0], INSTRUMENT[1], INSTRUMENT[2]);
    LIVE_MARKET_STATE = "live_market_state" (INSTRUMENT[0], INSTRUMENT[1], INSTRUMENT[2], ("timeframe", Text), ("ts", Time));
    LIVE_OPEN_INTEREST = "live_open_interest" (INSTRUMENT[0], INSTRUMENT[1], INSTRUMENT[2]);
    LIVE_SETUPS = "live_setups" (INSTRUMENT[0], INSTRUMENT[1], INSTRUMENT[2]);
    MARKET_STATE = "market_state" (INSTRUMENT[0], INSTRUMENT[1], INSTRUMENT[2], ("timeframe", Text), ("ts", Time));
    NEWEST_CONFLUENCE = "newest_confluence" (INSTRUMENT[0], INSTRUMENT[1], INSTRUMENT[2], ("at", Time), ("from", Time));
    SETTINGS = "settings" (("hash", Text));
    SETUP = "setup" (INSTRUMENT[0], INSTRUMENT[1], INSTRUMENT[2], ("timeframe", Text), ("from", Time), ("at", Time));
    SIGNAL = "signal" (("signal_id", Text));
    SIGNAL_EVENTS = "signal_events" (("ts", Time), ("signal_id", Text));
    SIGNALS = "signals" (
        INSTRUMENT[0], INSTRUMENT[1], INSTRUMENT[2], ("signal_type", Text), ("status", Text), ("min_score", Float),
        ("from", Time), ("to", Time), ("sort", Text), ("sign", Float), ("limit", Int), ("offset", Int)
    );
    SIGNALS_COUNT = "signals_count" (
        INSTRUMENT[0], INSTRUMENT[1], INSTRUMENT[2], ("signal_type", Text), ("status", Text), ("min_score", Float),
        ("from", Time), ("to", Time)
    );
    TOP_SYMBOLS = "top_symbols" (("limit", Int));
}
