//! Volume profile: at which prices most was traded.

use serde::{Deserialize, Serialize};

use super::Candle;

const BINS: usize = 48;
/// The share of volume in the value area.
const VALUE: f64 = 0.7;
/// Volumes are sums: those this near are equal.
const NEARLY: f64 = 1.0 - 1e-9;

/// Where some bars were traded.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// Point of control: the middle of the bin with the most volume.
    pub poc: f64,
    /// The upper end of the value area.
    pub vah: f64,
    /// Its lower end.
    pub val: f64,
    /// The lowest price.
    pub low: f64,
    /// The highest price.
    pub high: f64,
    /// All volume.
    pub volume: f64,
}

impl Profile {
    /// Of these bars, oldest first.
    pub(super) fn of(bars: &[Candle]) -> Option<Profile> {
        let high = bars.iter().map(|bar| bar.high).fold(f64::MIN, f64::max);
        let low = bars.iter().map(|bar| bar.low).fold(f64::MAX, f64::min);
        let volume: f64 = bars.iter().map(|bar| bar.volume).sum();
        if high - low <= 1e-12 * high || volume <= 0.0 {
            return None;
        }
        let height = (high - low) / BINS as f64;
        let bins = bins(bars, low, height);
        let most = bins.iter().copied().fold(0.0, f64::max);
        let middle = bins.iter().position(|bin| NEARLY * most <= *bin)?;
        let enough = NEARLY * VALUE * bins.iter().sum::<f64>();
        let (mut first, mut last, mut within) = (middle, middle, bins[middle]);
        while within < enough {
            let (below, above) = (first.checked_sub(1).map(|at| bins[at]), bins.get(last + 1));
            match (below, above) {
                (None, None) => break,
                (below, Some(above)) if below.is_none_or(|below| NEARLY * below <= *above) => {
                    last += 1;
                    within += above;
                }
                _ => {
                    first -= 1;
                    within += bins[first];
                }
            }
        }
        let price = |bins: f64| low + bins * height;
        let (poc, val, vah) = (price(middle as f64 + 0.5), price(first as f64), price(last as f64 + 1.0));
        Some(Profile { poc, vah, val, low, high, volume })
    }
}

/// Volume by bins of this height from `low` on.
fn bins(bars: &[Candle], low: f64, height: f64) -> [f64; BINS] {
    let mut bins = [0.0; BINS];
    let bin = |price: f64| (((price - low) / height) as usize).min(BINS - 1);
    for bar in bars {
        let width = bar.high - bar.low;
        if width <= 1e-12 * bar.high {
            bins[bin(bar.low)] += bar.volume;
            continue;
        }
        // One more on each side: a bound may be rounded to either.
        let (from, to) = (bin(bar.low).saturating_sub(1), (bin(bar.high) + 1).min(BINS - 1));
        for (at, sum) in bins.iter_mut().enumerate().take(to + 1).skip(from) {
            let (begin, end) = (low + at as f64 * height, low + (at + 1) as f64 * height);
            let overlap = bar.high.min(end) - bar.low.max(begin);
            if 0.0 < overlap {
                *sum += bar.volume * overlap / width;
            }
        }
    }
    bins
}
