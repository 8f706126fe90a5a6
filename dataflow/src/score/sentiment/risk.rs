//! How little it takes to force positions out, against the side that is crowded.

use serde::{Deserialize, Serialize};

use super::positions;
use crate::score::{
    component::{Col, Columns, Component, Inputs, MissingColumn, Reading},
    window::part,
};

/// Leverage that is as high as it gets.
const LEVERAGE: f64 = 100.0;

/// Raw: 0..1, from leverage, margin and maintenance margin of the smallest tier, measured by the usual range of a bar.
#[derive(Clone, Serialize, Deserialize)]
pub struct Risk {
    atr: Col,
}

impl Risk {
    /// Reads `atr_14`.
    pub fn new(columns: &Columns<'_>) -> Result<Risk, MissingColumn> {
        Ok(Risk { atr: columns.get("atr_14")? })
    }
}

impl Component for Risk {
    const NAME: &'static str = "risk";

    fn next(&mut self, inputs: Inputs<'_>) -> Option<Reading> {
        let of = positions(&inputs)?;
        let margins = of.margins?;
        let range = inputs.get(self.atr).filter(|atr| 0.0 < *atr)? / inputs.bar.close;
        let room = (margins.initial - margins.maintenance).max(0.0);
        let raw = 0.4 * (margins.leverage / LEVERAGE).min(1.0)
            + 0.3 * libm::exp2(-room / (4.0 * range))
            + 0.3 * libm::exp2(-margins.maintenance / range);
        let crowding = inputs.stake.and_then(|stake| stake.open_interest.as_ref()?.crowding);
        let accounts = of.accounts.get().map(|ratio| -libm::tanh(libm::log(ratio)));
        let against = part([(0.6, crowding), (0.4, accounts)])?;
        Some(Reading { raw, score: 50.0 + 50.0 * raw * against })
    }
}
