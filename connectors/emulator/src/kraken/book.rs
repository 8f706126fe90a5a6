//! Kraken's books: the levels of a depth as they change, and a checksum of the best ten.
//!
//! Documented at <https://docs.kraken.com/api/docs/guides/spot-ws-book-v2>.

use prism_schemas::Ts;

use super::pairs::{Pair, instant, volume};
use crate::venue::{Known, Level};
use crate::view::View;

/// The depths that there are.
pub(super) const DEPTHS: [usize; 5] = [10, 25, 100, 500, 1_000];
/// Levels of a side that the checksum is of.
const CHECKED: usize = 10;

/// A book on one connection.
pub(super) struct Book {
    pub(super) depth: usize,
    view: View,
    /// Whether all of it is yet to be told.
    is_new: bool,
}

impl Book {
    /// Who wants no snapshot is told changes alone.
    pub(super) fn new(depth: usize) -> Book {
        Book { depth, view: View::new(depth, false), is_new: true }
    }

    /// What changed, if anything did; all of it at first.
    pub(super) fn told(&mut self, pair: &Pair, known: &Known, ts: Ts) -> Option<String> {
        let [bids, asks] = self.view.changes(known);
        let kind = if std::mem::take(&mut self.is_new) { "snapshot" } else { "update" };
        if kind == "update" && bids.is_empty() && asks.is_empty() {
            return None;
        }
        let side = |levels: &[Level]| {
            let level =
                |(price, size): &Level| format!("{{\"price\":{},\"qty\":{}}}", pair.price(*price), volume(*size));
            levels.iter().map(level).collect::<Vec<_>>().join(",")
        };
        Some(format!(
            "{{\"channel\":\"book\",\"type\":\"{kind}\",\"data\":[{{\"symbol\":\"{}\",\"bids\":[{}],\"asks\":[{}],\
             \"checksum\":{},\"timestamp\":\"{}\"}}]}}",
            pair.name,
            side(&bids),
            side(&asks),
            checksum(pair, self.view.sides()),
            instant(ts),
        ))
    }
}

/// CRC-32 of the digits of prices and volumes, without points and zeros before them: asks, then bids, the best first.
fn checksum(pair: &Pair, [bids, asks]: &[Vec<Level>; 2]) -> u32 {
    let mut digits = String::new();
    for (price, size) in asks.iter().take(CHECKED).chain(bids.iter().take(CHECKED)) {
        for number in [pair.price(*price), volume(*size)] {
            digits.push_str(number.replace('.', "").trim_start_matches('0'));
        }
    }
    crc32fast::hash(digits.as_bytes())
}

#[cfg(test)]
mod tests {
    use prism_schemas::Decimal;
    use prism_schemas::event::Instrument;

    use super::*;

    /// The example of the page.
    #[test]
    fn the_checksum_is_the_documented_one() {
        let pair = Pair::of("BTCUSD", &Instrument { tick_size: Some(Decimal::new(1, 1)), ..Instrument::default() });
        let level = |(price, size): &(&str, &str)| Some((Decimal::parse(price)?, Decimal::parse(size)?));
        let side = |levels: &[(&str, &str)]| levels.iter().filter_map(level).collect::<Vec<_>>();
        let asks = side(&[
            ("45285.2", "0.00100000"),
            ("45286.4", "1.54571953"),
            ("45286.6", "1.54571109"),
            ("45289.6", "1.54560911"),
            ("45290.2", "0.15890660"),
            ("45291.8", "1.54553491"),
            ("45294.7", "0.04454749"),
            ("45296.1", "0.35380000"),
            ("45297.5", "0.09945542"),
            ("45299.5", "0.18772827"),
        ]);
        let bids = side(&[
            ("45283.5", "0.10000000"),
            ("45283.4", "1.54582015"),
            ("45282.1", "0.10000000"),
            ("45281.0", "0.10000000"),
            ("45280.3", "1.54592586"),
            ("45279.0", "0.07990000"),
            ("45277.6", "0.03310103"),
            ("45277.5", "0.30000000"),
            ("45277.3", "1.54602737"),
            ("45276.6", "0.15445238"),
        ]);
        assert_eq!(checksum(&pair, &[bids, asks]), 3_310_070_434);
    }
}
