//! Order book: who waits how near, and what it would cost to move the price.

use serde::{Deserialize, Serialize};

use crate::{
    indicator::window::Window,
    score::profile::{Dimension, Weighted},
};

mod di;
mod imbalance;
mod impact;
mod liquidity;
mod ofi;
mod oir;

#[cfg(test)]
mod tests;

pub use di::Di;
pub use imbalance::Imbalance;
pub use impact::Impact;
pub use liquidity::Liquidity;
pub use ofi::Ofi;
pub use oir::Oir;

/// Bars of a window.
const WINDOW: usize = 20;
/// After so many bars without the number its window begins anew.
const MISSED_MAX: u8 = 50;

/// The last 20 bars that have a number, which lie close enough together.
#[derive(Clone, Serialize, Deserialize)]
struct Recently {
    window: Window,
    n_missed: u8,
}

impl Default for Recently {
    fn default() -> Recently {
        Recently { window: Window::new(WINDOW), n_missed: 0 }
    }
}

impl Recently {
    /// Takes the next bar's, and gives the last 20, oldest first, if it has one and there are as many.
    fn push(&mut self, value: Option<f64>) -> Option<&[f64]> {
        self.n_missed = if value.is_some() { 0 } else { self.n_missed + 1 };
        if self.n_missed == MISSED_MAX {
            self.n_missed = 0;
            return self.window.push_or_reset(None);
        }
        self.window.push(value?)
    }
}

/// The dimension with its components and their weights.
pub fn dimension(weight: f64) -> Dimension {
    let components = vec![
        Weighted { weight: 0.30, component: Box::new(Liquidity::default()) },
        Weighted { weight: 0.30, component: Box::new(Imbalance::default()) },
        Weighted { weight: 0.25, component: Box::new(Impact) },
        Weighted { weight: 0.10, component: Box::new(Oir) },
        Weighted { weight: 0.05, component: Box::new(Di) },
        Weighted { weight: 0.0, component: Box::new(Ofi::default()) },
    ];
    Dimension { name: "orderbook", weight, components }
}

/// The weighted mean of those that are there.
fn part(of: impl IntoIterator<Item = (f64, Option<f64>)>) -> Option<f64> {
    let there = of.into_iter().filter_map(|(weight, value)| Some((weight, value?)));
    let (weights, sum) =
        there.fold((0.0, 0.0), |(weights, sum), (weight, value)| (weights + weight, sum + weight * value));
    (0.0 < weights).then(|| sum / weights)
}

/// `(a - b) / (a + b)`.
fn rel(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    let (a, b) = a.zip(b)?;
    (a + b != 0.0).then(|| (a - b) / (a + b))
}
