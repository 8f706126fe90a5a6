//! Setups: where a position entered at the close would be given up, and where it would be closed.

use super::{Profile, Structure, Way};

/// What a stop stands away from the price that it is behind, as a share of it.
const BUFFER: f64 = 0.002;
/// Units that a stop is away at least.
const NEAREST: f64 = 1.5;
/// Units within which a price counts for a stop.
const FARTHEST: f64 = 5.0;

/// A setup of one direction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Setup {
    /// Where it is given up.
    pub stop: f64,
    /// Behind what: `swing_low`, `swing_high`, `order_block`, or `atr`.
    pub basis: &'static str,
    /// Where it is closed: at twice the distance of the stop at least, and at three times.
    pub targets: [f64; 2],
}

/// Both directions, bullish first.
pub type Setups = [Option<Setup>; 2];

/// Those of a structure at a close, with its average true range.
pub(super) fn setups(of: &Structure, close: f64, unit: Option<f64>) -> Setups {
    let Some(unit) = unit.filter(|unit| 0.0 < *unit) else { return [None; 2] };
    Way::BOTH.map(|way| setup(of, way, close, unit))
}

/// Prices as a bullish setup sees them: those of a bearish one are mirrored at 0.
fn setup(of: &Structure, way: Way, close: f64, unit: f64) -> Option<Setup> {
    let (sign, across) = match way {
        Way::Bullish => (1.0, Way::Bearish),
        Way::Bearish => (-1.0, Way::Bullish),
    };
    // The end of a block that price comes through last, and that which it meets first.
    let [behind, ahead] = [way, across].map(|side| {
        of.blocks.standing(side).iter().map(move |block| match way {
            Way::Bullish => block.zone.from,
            Way::Bearish => block.zone.to,
        })
    });
    let [high, low] = of.swings.standing.map(|swing| swing.map(|swing| swing.zone.from));
    let (own, word, other) = match way {
        Way::Bullish => (low, "swing_low", high),
        Way::Bearish => (high, "swing_high", low),
    };
    let close = sign * close;
    let counts = |(price, _): &(f64, _)| close - FARTHEST * unit <= *price && *price < close;
    let named = own.map(|price| (price, word)).into_iter().chain(behind.map(|price| (price, "order_block")));
    let nearest = named
        .map(|(price, word)| (sign * price, word))
        .filter(counts)
        .reduce(|best, next| if best.0 < next.0 { next } else { best });
    let least = NEAREST * unit;
    let (distance, basis) = match nearest {
        Some((price, word)) => {
            let distance = close - (1.0 - sign * BUFFER) * price;
            if least < distance { (distance, word) } else { (least, "atr") }
        }
        None => (least, "atr"),
    };
    let of_profile = of.profile.iter().flat_map(|Profile { poc, vah, val, .. }| [*poc, *vah, *val]);
    let levels = of.levels.all().iter().map(|level| level.price());
    let aims: Vec<f64> = other.into_iter().chain(ahead).chain(levels).chain(of_profile).map(|aim| sign * aim).collect();
    let aim = |from: f64| {
        let within = aims.iter().copied().filter(|aim| from <= *aim && *aim <= from + 2.0 * distance);
        within.reduce(f64::min).unwrap_or(from)
    };
    let first = aim(close + 2.0 * distance);
    let targets = [first, aim(first + distance)].map(|target| sign * target);
    let stop = sign * (close - distance);
    (0.0 < stop && 0.0 < targets[1]).then_some(Setup { stop, basis, targets })
}
