//! How Kraken calls pairs, differently by request and by stream, and how it writes their numbers.
//!
//! Documented at <https://docs.kraken.com/api/docs/rest-api/get-tradable-asset-pairs>; streams (v2) have the names that
//! everybody uses, requests have `XBT` and `XDG`, and keys with an X or a Z before old assets.

use prism_schemas::event::Instrument;
use prism_schemas::{Decimal, Ts, time};

use crate::identity;
use crate::venue::Venue;

/// Assets that are older than the naming of today: their letters in keys have an X before them.
const OLD: [&str; 11] = ["BTC", "ETH", "XRP", "LTC", "DOGE", "ETC", "XLM", "XMR", "ZEC", "REP", "MLN"];
/// Money, with a Z.
const MONEY: [&str; 5] = ["USD", "EUR", "GBP", "JPY", "CAD"];
/// Decimals of volumes.
const VOLUME: u32 = 8;
/// Decimals of prices in requests, at least.
const PRICE: u32 = 5;

/// A pair as it is called.
#[derive(Clone)]
pub(super) struct Pair {
    /// Under which requests answer it.
    pub(super) key: String,
    /// As people write it.
    pub(super) altname: String,
    /// As streams called it once (v1).
    pub(super) wsname: String,
    /// As streams call it.
    pub(super) name: String,
    /// The assets' own keys.
    pub(super) assets: [String; 2],
    pub(super) decimals: u32,
    pub(super) is_open: bool,
}

/// As requests call an asset.
fn alias(asset: &str) -> &str {
    match asset {
        "BTC" => "XBT",
        "DOGE" => "XDG",
        other => other,
    }
}

fn key(asset: &str) -> String {
    match asset {
        old if OLD.contains(&old) => format!("X{}", alias(old)),
        money if MONEY.contains(&money) => format!("Z{money}"),
        other => other.into(),
    }
}

impl Pair {
    pub(super) fn of(symbol: &str, instrument: &Instrument) -> Pair {
        let (base, quote, is_open) = identity(symbol, instrument);
        let altname = format!("{}{}", alias(base), alias(quote));
        let assets = [key(base), key(quote)];
        // Pairs of old assets have old keys, but for those with a dog.
        let is_old = OLD.contains(&base) && base != "DOGE" && (MONEY.contains(&quote) || quote == "BTC");
        let decimals = instrument.tick_size.map_or(instrument.price_decimals, |tick| tick.shortest().decimals);
        Pair {
            key: if is_old { assets.concat() } else { altname.clone() },
            altname,
            wsname: format!("{}/{}", alias(base), alias(quote)),
            name: format!("{base}/{quote}"),
            assets,
            decimals,
            is_open,
        }
    }

    /// The symbol of a pair that is called so, and how it is called otherwise.
    pub(super) fn find(venue: &Venue, asked: &str) -> Option<(String, Pair)> {
        let mut all = venue.instruments.iter().map(|(symbol, one)| (symbol, Pair::of(symbol, one)));
        let found = all.find(|(symbol, pair)| {
            [&pair.key, &pair.altname, &pair.wsname, &pair.name, *symbol].into_iter().any(|name| name == asked)
        });
        found.map(|(symbol, pair)| (symbol.clone(), pair))
    }

    /// A price as streams write it.
    pub(super) fn price(&self, price: Decimal) -> String {
        fixed(price, self.decimals)
    }

    /// A price as requests write it.
    pub(super) fn long_price(&self, price: Decimal) -> String {
        fixed(price, self.decimals.max(PRICE))
    }
}

/// A volume.
pub(super) fn volume(volume: Decimal) -> String {
    fixed(volume, VOLUME)
}

/// With so many decimals, zeros too; with more if it has more.
fn fixed(number: Decimal, decimals: u32) -> String {
    number.at(decimals).map_or_else(|| number.to_string(), |mantissa| Decimal::new(mantissa, decimals).to_string())
}

/// An instant to the microsecond.
pub(super) fn instant(ts: Ts) -> String {
    let fraction = ts.rem_euclid(time::SECOND);
    let whole = time::format_ts(ts - fraction);
    format!("{}.{:06}Z", whole.trim_end_matches('Z'), fraction / 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(symbol: &str) -> Pair {
        Pair::of(symbol, &Instrument { tick_size: Some(Decimal::new(1, 1)), ..Instrument::default() })
    }

    /// As `AssetPairs` answered in 2026.
    #[test]
    fn pairs_are_called_as_on_the_venue() {
        for (symbol, expected) in [
            ("BTCUSD", ["XXBTZUSD", "XBTUSD", "XBT/USD", "BTC/USD"]),
            ("DOGEUSD", ["XDGUSD", "XDGUSD", "XDG/USD", "DOGE/USD"]),
            ("ETHBTC", ["XETHXXBT", "ETHXBT", "ETH/XBT", "ETH/BTC"]),
            ("SOLUSD", ["SOLUSD", "SOLUSD", "SOL/USD", "SOL/USD"]),
            ("BTCUSDT", ["XBTUSDT", "XBTUSDT", "XBT/USDT", "BTC/USDT"]),
        ] {
            let Pair { key, altname, wsname, name, .. } = pair(symbol);
            assert_eq!([&key, &altname, &wsname, &name], expected.each_ref().map(|text| *text), "{symbol}");
        }
        assert_eq!(pair("DOGEUSD").assets, ["XXDG", "ZUSD"]);
    }

    #[test]
    fn numbers_keep_their_zeros() {
        let pair = pair("BTCUSD");
        assert_eq!(pair.price(Decimal::new(45_285, 0)), "45285.0");
        assert_eq!(pair.long_price(Decimal::new(452_852, 1)), "45285.20000");
        assert_eq!(volume(Decimal::new(173, 4)), "0.01730000");
        assert_eq!(instant(1_658_238_960_123_456_789), "2022-07-19T13:56:00.123456Z");
        assert_eq!(instant(1_658_238_960_000_000_000), "2022-07-19T13:56:00.000000Z");
    }
}
