//! Prices at which something happened in a series: swings, breaks, gaps, blocks, levels, where most was traded, and setups
//! made of them.

mod blocks;
mod gaps;
mod levels;
mod profile;
mod setups;
mod swings;
#[cfg(test)]
mod tests;

use std::{collections::VecDeque, sync::Arc};

use prism_schemas::Ts;
use serde::{Deserialize, Serialize};

pub use blocks::{Block, Blocks};
pub use gaps::Gaps;
pub use levels::{Level, Levels};
pub use profile::Profile;
pub use setups::{Setup, Setups};
pub use swings::{Swing, Swings};

use crate::{bar::Bar, operator::shared};

/// Bars, the newest, that are kept as they were: those of a volume profile.
pub const BARS: usize = 50;
/// Bars, the newest, of a range, and that say what volume is usual.
pub const USUAL: usize = 20;

/// Which side something is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Way {
    /// Buyers.
    Bullish,
    /// Sellers.
    Bearish,
}

impl Way {
    /// Both, in the order in which they are looked at.
    pub const BOTH: [Way; 2] = [Way::Bullish, Way::Bearish];

    /// In a word.
    pub fn name(self) -> &'static str {
        match self {
            Way::Bullish => "bullish",
            Way::Bearish => "bearish",
        }
    }
}

/// A part of the axis of prices.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Zone {
    /// Its lower end.
    pub from: f64,
    /// Its upper end.
    pub to: f64,
    /// Start of the bar it is of.
    pub origin: Ts,
}

impl Zone {
    /// How near a price is on the side that a zone of this way supports: 1 at its near end, half with each `unit` further
    /// away, and down to 0 through it.
    pub fn pull(&self, way: Way, price: f64, unit: f64) -> f64 {
        let (into, through) = match way {
            Way::Bullish => (price - self.to, price - self.from),
            Way::Bearish => (self.from - price, self.to - price),
        };
        if 0.0 <= into {
            libm::exp2(-into / unit)
        } else if through <= 0.0 {
            0.0
        } else {
            through / (self.to - self.from)
        }
    }
}

/// What happened at a bar.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Change {
    /// To what: as in `structure_levels`.
    pub kind: &'static str,
    /// For whom it is good.
    pub way: Way,
    /// What it is from then on.
    pub state: &'static str,
    /// Where it is.
    pub zone: Zone,
    /// How much it counts, 0..1, of those that have it.
    pub strength: Option<f64>,
}

/// What a bar made of its series' structure.
#[derive(Clone, Debug, PartialEq)]
pub struct Structured {
    /// What changed, in order.
    pub changes: Box<[Change]>,
    /// Where most was traded in the last bars, this one included.
    pub profile: Option<Profile>,
    /// Where positions of either direction would be given up and closed.
    pub setups: Setups,
}

impl Structured {
    /// Bytes it takes where it is shared.
    pub(crate) fn bytes(&self) -> usize {
        shared::<Structured>() + size_of_val(&*self.changes)
    }
}

/// A bar as it is kept.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Candle {
    start: Ts,
    open: f64,
    high: f64,
    low: f64,
    close: f64,
    volume: f64,
}

impl Candle {
    fn of(bar: &Bar) -> Candle {
        let Bar { start, open, high, low, close, volume, .. } = *bar;
        Candle { start, open, high, low, close, volume }
    }
}

/// The mean volume of bars; 0 of none.
fn mean_volume<'a>(bars: impl ExactSizeIterator<Item = &'a Candle>) -> f64 {
    let n = bars.len().max(1) as f64;
    bars.map(|bar| bar.volume).sum::<f64>() / n
}

/// The highest and lowest price, and how straight the way through the last bars was, 0..1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    /// The highest.
    pub top: f64,
    /// The lowest.
    pub bottom: f64,
    /// How far the closes came over how far they went.
    pub straight: f64,
}

/// The structure of a series after its last bar, gaps aside; METHODS.md 2 defines all of it.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Structure {
    /// Bars so far.
    n_bars: u64,
    last: VecDeque<Candle>,
    /// Swings, and the trend they were broken in.
    pub swings: Swings,
    /// Open fair value gaps.
    pub gaps: Gaps,
    /// Order blocks that stand.
    pub blocks: Blocks,
    /// Where swings came together.
    pub levels: Levels,
    /// Where most was traded.
    pub profile: Option<Profile>,
}

impl Structure {
    /// Takes the next bar, which is no gap, with its average true range; says what changed.
    pub(crate) fn push(&mut self, bar: &Bar, unit: Option<f64>) -> Option<Arc<Structured>> {
        let mut changes = Vec::new();
        let broken = self.swings.break_at(bar.close, &mut changes);
        if self.last.len() == BARS {
            self.last.pop_front();
        }
        self.last.push_back(Candle::of(bar));
        let last = self.last.make_contiguous();
        self.gaps.push(last, &mut changes);
        self.blocks.push(last, broken, &mut changes);
        let confirmed = self.swings.confirm(last, &mut changes);
        for (swing, volume) in confirmed.into_iter().flatten() {
            if let Some(unit) = unit.filter(|unit| 0.0 < *unit) {
                // That of two bars ago.
                self.levels.join(swing, volume, self.n_bars.saturating_sub(2), unit);
            }
        }
        self.profile = if last.len() == BARS { Profile::of(last) } else { None };
        self.n_bars += 1;
        let (profile, setups) = (self.profile, setups::setups(self, bar.close, unit));
        let is_any = !changes.is_empty() || profile.is_some() || setups != [None; 2];
        is_any.then(|| Arc::new(Structured { changes: changes.into(), profile, setups }))
    }

    /// The number of the next bar.
    pub fn n_bars(&self) -> u64 {
        self.n_bars
    }

    /// The mean volume of the last 20 bars.
    pub fn usual_volume(&self) -> f64 {
        mean_volume(self.last.range(self.last.len().saturating_sub(USUAL)..))
    }

    /// That of the last 20 bars, if there are as many and they have one.
    pub fn range(&self) -> Option<Range> {
        let from = self.last.len().checked_sub(USUAL)?;
        let bars = || self.last.range(from..);
        let top = bars().map(|bar| bar.high).fold(f64::MIN, f64::max);
        let bottom = bars().map(|bar| bar.low).fold(f64::MAX, f64::min);
        let went: f64 = bars().zip(bars().skip(1)).map(|(a, b)| (b.close - a.close).abs()).sum();
        let came = (self.last.back()?.close - self.last[from].close).abs();
        let straight = if went == 0.0 { 0.0 } else { came / went };
        (1e-12 * top < top - bottom).then_some(Range { top, bottom, straight })
    }
}
