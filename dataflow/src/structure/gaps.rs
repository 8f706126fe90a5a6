//! Fair value gaps: prices that three bars in one direction left untraded on one side.

use serde::{Deserialize, Serialize};

use super::{Candle, Change, Way, Zone};

/// Open gaps of a side that are kept.
const OPEN: usize = 16;

/// Those that are open, by way, oldest first.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Gaps([Vec<Zone>; 2]);

impl Gaps {
    /// The open ones of a way, oldest first.
    pub fn open(&self, way: Way) -> &[Zone] {
        &self.0[way as usize]
    }

    /// The last bar may fill some and open one.
    pub(super) fn push(&mut self, last: &[Candle], changes: &mut Vec<Change>) {
        let [.., bar] = last else { return };
        let told = |way, state, zone| Change { kind: "fair_value_gap", way, state, zone, strength: None };
        for way in Way::BOTH {
            let is_filled = |gap: &Zone| match way {
                Way::Bullish => bar.low <= gap.from,
                Way::Bearish => gap.to <= bar.high,
            };
            changes.extend(self.open(way).iter().filter(|gap| is_filled(gap)).map(|gap| told(way, "filled", *gap)));
            self.0[way as usize].retain(|gap| !is_filled(gap));
        }
        let [.., first, middle, third] = last else { return };
        let (way, from, to) = if first.high < third.low && middle.open < middle.close {
            (Way::Bullish, first.high, third.low)
        } else if third.high < first.low && middle.close < middle.open {
            (Way::Bearish, third.high, first.low)
        } else {
            return;
        };
        let gap = Zone { from, to, origin: middle.start };
        let open = &mut self.0[way as usize];
        if open.len() == OPEN {
            open.remove(0);
        }
        open.push(gap);
        changes.push(told(way, "open", gap));
    }
}
