//! Order book: who waits how near, and what it would cost to move the price.

use crate::score::profile::{Dimension, Weighted};

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

/// The dimension with its components and their weights.
pub fn dimension(weight: f64) -> Dimension {
    let components = vec![
        Weighted { weight: 0.30, component: Box::new(Liquidity::new()) },
        Weighted { weight: 0.30, component: Box::new(Imbalance::new()) },
        Weighted { weight: 0.25, component: Box::new(Impact) },
        Weighted { weight: 0.10, component: Box::new(Oir) },
        Weighted { weight: 0.05, component: Box::new(Di) },
        Weighted { weight: 0.0, component: Box::new(Ofi::new()) },
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
