//! Distance from the day's volume-weighted price: with it while near, against it when stretched.

use serde::{Deserialize, Serialize};

use super::Unit;
use crate::score::component::{Col, Columns, Component, Inputs, MissingColumn, Reading};

/// Absent while nothing was traded today.
#[derive(Clone, Serialize, Deserialize)]
pub struct Vwap {
    unit: Unit,
    vwap: Col,
}

impl Vwap {
    /// Reads `vwap_day`.
    pub fn new(unit: Unit, columns: &Columns<'_>) -> Result<Vwap, MissingColumn> {
        Ok(Vwap { unit, vwap: columns.get("vwap_day")? })
    }
}

impl Component for Vwap {
    const NAME: &'static str = "vwap";

    fn next(&mut self, inputs: Inputs<'_>) -> Option<Reading> {
        let (_, unit) = self.unit.of(inputs)?;
        let raw = ((inputs.bar.close - inputs.get(self.vwap)?) / unit).clamp(-1.0, 1.0);
        Some(Reading { raw, score: 50.0 + 50.0 * libm::tanh(10.0 * raw) * (0.5 - raw.abs()) })
    }
}
