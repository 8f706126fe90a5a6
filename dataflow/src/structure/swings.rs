//! Swing points, and the breaks of those that stand.

use serde::{Deserialize, Serialize};

use super::{Candle, Change, Way, Zone};

/// Bars on each side of a swing point.
const WING: usize = 2;
/// Bars before a swing point, at most, that count for its strength.
const STRONG: usize = 20;

/// A swing point.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Swing {
    /// Its price, twice, and its bar.
    pub zone: Zone,
    /// 0..1: of how many bars before it is the extreme.
    pub strength: f64,
}

/// Swing highs and lows of a series; `[highs, lows]`.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Swings {
    /// 1 up, -1 down, 0 before the first break.
    pub trend: i8,
    /// The newest that no close has gone beyond.
    pub standing: [Option<Swing>; 2],
    /// Prices of the newest and the one before.
    pub newest: [[Option<f64>; 2]; 2],
}

impl Swings {
    /// A standing swing is broken by this close: in which way, and how strong it was.
    pub(super) fn break_at(&mut self, close: f64, changes: &mut Vec<Change>) -> Option<(Way, f64)> {
        let [high, low] = &mut self.standing;
        let (way, trend, swing) = match (high.take_if(|high| high.zone.from < close), low) {
            (Some(high), _) => (Way::Bullish, 1, high),
            (None, low) => (Way::Bearish, -1, low.take_if(|low| close < low.zone.from)?),
        };
        let kind = if self.trend == -trend { "choch" } else { "bos" };
        self.trend = trend;
        changes.push(Change { kind, way, state: "broken", zone: swing.zone, strength: Some(swing.strength) });
        Some((way, swing.strength))
    }

    /// The bar before the last two may be a swing high, a swing low, or both: their prices, with its volume.
    pub(super) fn confirm(&mut self, last: &[Candle], changes: &mut Vec<Change>) -> [Option<(f64, f64)>; 2] {
        let Some(at) = last.len().checked_sub(1 + WING).filter(|at| WING <= *at) else { return [None; 2] };
        let highs: fn(&Candle) -> f64 = |bar| bar.high;
        let lows: fn(&Candle) -> f64 = |bar| -bar.low;
        [(0, "swing_high", Way::Bearish, highs), (1, "swing_low", Way::Bullish, lows)].map(|(side, kind, way, of)| {
            let own = of(&last[at]);
            let is_one =
                last[at - WING..at].iter().all(|bar| of(bar) < own) && last[at + 1..].iter().all(|bar| of(bar) <= own);
            if !is_one {
                return None;
            }
            let n_beaten = last[..at].iter().rev().take(STRONG).take_while(|bar| of(bar) < own).count();
            let (price, strength) = (own.abs(), n_beaten as f64 / STRONG as f64);
            let zone = Zone { from: price, to: price, origin: last[at].start };
            self.standing[side] = Some(Swing { zone, strength });
            self.newest[side] = [Some(price), self.newest[side][0]];
            changes.push(Change { kind, way, state: "confirmed", zone, strength: Some(strength) });
            Some((price, last[at].volume))
        })
    }
}
