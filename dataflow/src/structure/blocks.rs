//! Order blocks: the last bar against a move that broke a swing, and whether price came back to it.

use serde::{Deserialize, Serialize};

use super::{Candle, Change, USUAL, Way, Zone, mean_volume};

/// Blocks of a side that are kept.
const STANDING: usize = 8;
/// Bars before a break among which its block is.
const BACK: usize = 20;

/// How far price came back to a block: the further, the less it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Visit {
    /// Not at all.
    Fresh,
    /// Into it.
    Tested,
    /// To its middle or beyond.
    Mitigated,
}

impl Visit {
    fn name(self) -> &'static str {
        match self {
            Visit::Fresh => "fresh",
            Visit::Tested => "tested",
            Visit::Mitigated => "mitigated",
        }
    }

    /// How much of it is left, 0..1.
    pub fn left(self) -> f64 {
        match self {
            Visit::Fresh => 1.0,
            Visit::Tested => 0.7,
            Visit::Mitigated => 0.4,
        }
    }
}

/// A block that stands.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Block {
    /// Where it is.
    pub zone: Zone,
    /// How much it counts, 0..1.
    pub strength: f64,
    /// How far price came back.
    pub visit: Visit,
}

/// Those that stand, by way, oldest first.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Blocks([Vec<Block>; 2]);

impl Blocks {
    /// Those of a way, oldest first.
    pub fn standing(&self, way: Way) -> &[Block] {
        &self.0[way as usize]
    }

    /// The last bar visits and breaks some, and if it broke a swing of some strength there may be a new one.
    pub(super) fn push(&mut self, last: &[Candle], broken: Option<(Way, f64)>, changes: &mut Vec<Change>) {
        let [.., bar] = last else { return };
        let told = |way, state, block: &Block| Change {
            kind: "order_block",
            way,
            state,
            zone: block.zone,
            strength: Some(block.strength),
        };
        for way in Way::BOTH {
            self.0[way as usize].retain_mut(|block| {
                let Zone { from, to, .. } = block.zone;
                let (is_broken, depth) = match way {
                    Way::Bullish => (bar.close < from, to - bar.low),
                    Way::Bearish => (to < bar.close, bar.high - from),
                };
                let middle = f64::midpoint(from, to);
                let is_half = match way {
                    Way::Bullish => bar.low <= middle,
                    Way::Bearish => middle <= bar.high,
                };
                let visit = match (is_half, 0.0 <= depth) {
                    (true, _) => Visit::Mitigated,
                    (false, true) => Visit::Tested,
                    (false, false) => Visit::Fresh,
                };
                if is_broken {
                    changes.push(told(way, "broken", block));
                } else if block.visit < visit {
                    block.visit = visit;
                    changes.push(told(way, visit.name(), block));
                }
                !is_broken
            });
        }
        let Some((way, swing)) = broken else { return };
        let Some(block) = Block::behind(last, way, swing) else { return };
        let standing = &mut self.0[way as usize];
        if standing.iter().any(|other| other.zone.origin == block.zone.origin) {
            return;
        }
        if standing.len() == STANDING {
            standing.remove(0);
        }
        standing.push(block);
        changes.push(told(way, block.visit.name(), &block));
    }
}

impl Block {
    /// That of a move of this way which ends with the last bar.
    fn behind(last: &[Candle], way: Way, swing: f64) -> Option<Block> {
        let end = last.len() - 1;
        let is_against = |bar: &Candle| match way {
            Way::Bullish => bar.close < bar.open,
            Way::Bearish => bar.open < bar.close,
        };
        let at = (end.saturating_sub(BACK)..end).rev().find(|at| is_against(&last[*at]))?;
        let usual = mean_volume(last[last.len().saturating_sub(USUAL)..].iter());
        let volume = if usual == 0.0 { 0.0 } else { mean_volume(last[at..].iter()) / usual };
        let strength = 0.6 * (volume / 2.0).min(1.0) + 0.4 * swing;
        let Candle { low, high, start, .. } = last[at];
        Some(Block { zone: Zone { from: low, to: high, origin: start }, strength, visit: Visit::Fresh })
    }
}
