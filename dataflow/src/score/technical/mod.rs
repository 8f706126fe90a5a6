//! Technical: momentum and volatility read from price.

use crate::score::{
    component::{Columns, MissingColumn},
    profile::{Dimension, Weighted},
};

mod ao;
mod atr;
mod cci;
mod macd;
mod rsi;
mod williams_r;

#[cfg(test)]
pub(in crate::score) mod tests;

pub use ao::Ao;
pub use atr::Atr;
pub use cci::Cci;
pub use macd::Macd;
pub use rsi::Rsi;
pub use williams_r::WilliamsR;

/// The dimension with its components and their weights.
pub fn dimension(weight: f64, columns: &Columns<'_>) -> Result<Dimension, MissingColumn> {
    let components = vec![
        Weighted { weight: 0.20, component: Box::new(Rsi::new(columns)?) },
        Weighted { weight: 0.20, component: Box::new(Ao::new(columns)?) },
        Weighted { weight: 0.15, component: Box::new(Macd::new(columns)?) },
        Weighted { weight: 0.15, component: Box::new(WilliamsR::new(columns)?) },
        Weighted { weight: 0.15, component: Box::new(Cci::new(columns)?) },
        Weighted { weight: 0.15, component: Box::new(Atr::new(columns)?) },
    ];
    Ok(Dimension { name: "technical", weight, components })
}
