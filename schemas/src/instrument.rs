//! Instruments: exchange, market and symbol name what is traded.

use serde::{Deserialize, Serialize};

/// What kind of contract is traded, and so what a size and a price mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Market {
    /// The asset itself; size in base.
    Spot,
    /// A contract settled in quote; size in base.
    Linear,
    /// A contract settled in base; size in contracts of a fixed quote value.
    Inverse,
}

impl Market {
    /// Its name as stored.
    pub const fn name(self) -> &'static str {
        match self {
            Market::Spot => "spot",
            Market::Linear => "linear",
            Market::Inverse => "inverse",
        }
    }

    /// Reads its name.
    pub fn parse(text: &str) -> Option<Market> {
        [Market::Spot, Market::Linear, Market::Inverse].into_iter().find(|market| market.name() == text)
    }
}

/// The triple that names an instrument, ordered by its parts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct InstrumentId {
    /// The venue, lower case.
    pub exchange: String,
    /// The kind of contract.
    pub market: Market,
    /// Canonical spelling, `BTCUSDT`.
    pub symbol: String,
}

impl InstrumentId {
    /// From its three parts.
    pub fn new(exchange: &str, market: Market, symbol: &str) -> InstrumentId {
        InstrumentId { exchange: exchange.into(), market, symbol: symbol.into() }
    }
}

impl std::fmt::Display for InstrumentId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}", self.exchange, self.market.name(), self.symbol)
    }
}

/// The canonical spelling of what a user typed: `btc/usdt`, `BTC-USDT` and `BTCUSDT` are the same.
pub fn canonical_symbol(text: &str) -> String {
    text.chars().filter(|c| !matches!(c, '/' | '-' | ' ')).map(|c| c.to_ascii_uppercase()).collect()
}

/// FNV-1a over 64 bits: stable on every machine and version, for ids and partitions.
pub fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_meet() {
        for text in ["btc/usdt", "BTC-USDT", "BTCUSDT"] {
            assert_eq!(canonical_symbol(text), "BTCUSDT");
        }
        assert_eq!(canonical_symbol("BTCUSD_PERP"), "BTCUSD_PERP");
    }

    #[test]
    fn fnv1a_is_the_published_function() {
        assert_eq!(fnv1a(b""), 0xcbf29ce484222325);
        assert_eq!(fnv1a(b"foobar"), 0x85944171f73967e8);
    }
}
