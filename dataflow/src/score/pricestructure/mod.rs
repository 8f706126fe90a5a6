//! Price structure: where price is against blocks, value, levels, swings and ranges of before.

use serde::{Deserialize, Serialize};

use crate::{
    score::{
        component::{Col, Columns, Inputs, MissingColumn, Reading},
        profile::{Dimension, Weighted},
    },
    structure::Structure,
};

mod market_structure;
mod order_blocks;
mod range;
mod support_resistance;
mod value_area;
mod vwap;

#[cfg(test)]
mod tests;

pub use market_structure::MarketStructure;
pub use order_blocks::OrderBlocks;
pub use range::Range;
pub use support_resistance::SupportResistance;
pub use value_area::ValueArea;
pub use vwap::Vwap;

/// The dimension with its components and their weights.
pub fn dimension(weight: f64, columns: &Columns<'_>) -> Result<Dimension, MissingColumn> {
    let unit = Unit(columns.get("atr_14")?);
    let components = vec![
        Weighted { weight: 0.22, component: Box::new(OrderBlocks::new(unit)) },
        Weighted { weight: 0.18, component: Box::new(ValueArea::new(unit)) },
        Weighted { weight: 0.18, component: Box::new(Vwap::new(unit, columns)?) },
        Weighted { weight: 0.18, component: Box::new(SupportResistance::new(unit)) },
        Weighted { weight: 0.16, component: Box::new(MarketStructure::new(unit)) },
        Weighted { weight: 0.08, component: Box::new(Range::new(unit)) },
    ];
    Ok(Dimension { name: "pricestructure", weight, components })
}

/// What distances are measured by: `atr_14`.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub struct Unit(Col);

impl Unit {
    /// The structure before the bar, and the unit where that is above 0.
    fn of<'a>(self, inputs: Inputs<'a>) -> Option<(&'a Structure, f64)> {
        inputs.structure.zip(inputs.get(self.0).filter(|unit| 0.0 < *unit))
    }
}

/// `50 + 50 x` of an x in -1..1, which is the raw value.
fn reading(raw: f64) -> Reading {
    Reading { raw, score: 50.0 + 50.0 * raw }
}

/// The most; 0 of none.
fn most(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(0.0, f64::max)
}
