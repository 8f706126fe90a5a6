//! Parabolic stop and reverse: `sar += af (ep - sar)`, af growing by 0.02 up to 0.2 with every new extreme (as TA-Lib
//! SAR).

use serde::{Deserialize, Serialize};

use crate::{bar::Bar, indicator::Indicator};

/// Trails the price and changes sides when touched.
#[derive(Clone, Serialize, Deserialize)]
pub struct Psar {
    acceleration: f64,
    maximum: f64,
    state: State,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
enum State {
    Empty,
    First { high: f64, low: f64 },
    Trailing(Trail),
}

#[derive(Clone, Copy, Serialize, Deserialize)]
struct Trail {
    long: bool,
    /// Stop for the next bar.
    sar: f64,
    /// Highest high since long, lowest low since short.
    extreme: f64,
    acceleration: f64,
    /// The previous bar's.
    high: f64,
    low: f64,
}

impl Psar {
    /// Accelerates by `acceleration` up to `maximum`.
    pub const fn new(acceleration: f64, maximum: f64) -> Psar {
        Psar { acceleration, maximum, state: State::Empty }
    }

    /// The trail when the second bar comes: short if it moves down more than up.
    fn start(&self, high: f64, low: f64, bar: &Bar) -> Trail {
        let (up, down) = (bar.high - high, low - bar.low);
        let long = !(0.0 < down && up < down);
        let (sar, extreme) = if long { (low, bar.high) } else { (high, bar.low) };
        Trail { long, sar, extreme, acceleration: self.acceleration, high: bar.high, low: bar.low }
    }

    /// The stop for this bar, and the trail after it.
    fn step(&self, trail: Trail, bar: &Bar) -> (f64, Trail) {
        let Trail { mut long, mut sar, mut extreme, mut acceleration, high, low } = trail;
        // The stop never enters the range of the last two bars.
        let above = |sar: f64| sar.max(high).max(bar.high);
        let below = |sar: f64| sar.min(low).min(bar.low);
        if if long { bar.low <= sar } else { sar <= bar.high } {
            sar = if long { above(extreme) } else { below(extreme) };
            long = !long;
            extreme = if long { bar.high } else { bar.low };
            acceleration = self.acceleration;
        } else if if long { extreme < bar.high } else { bar.low < extreme } {
            extreme = if long { bar.high } else { bar.low };
            acceleration = self.maximum.min(acceleration + self.acceleration);
        }
        let next = sar + acceleration * (extreme - sar);
        let next = if long { below(next) } else { above(next) };
        (sar, Trail { long, sar: next, extreme, acceleration, high: bar.high, low: bar.low })
    }
}

impl Indicator for Psar {
    type Output = [Option<f64>; 1];

    fn columns(&self) -> Vec<String> {
        vec!["psar".into()]
    }

    fn next(&mut self, bar: &Bar) -> [Option<f64>; 1] {
        let trail = match self.state {
            State::Empty => {
                self.state = State::First { high: bar.high, low: bar.low };
                return [None];
            }
            State::First { high, low } => self.start(high, low, bar),
            State::Trailing(trail) => trail,
        };
        let (sar, next) = self.step(trail, bar);
        self.state = State::Trailing(next);
        [Some(sar)]
    }
}
