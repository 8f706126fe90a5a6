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
pub(super) use liquidity::Efficiency;
pub use liquidity::Liquidity;
pub use ofi::Ofi;
pub use oir::Oir;

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
