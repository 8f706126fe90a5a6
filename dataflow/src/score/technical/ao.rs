//! Awesome oscillator over ATR: `50 + 50 (.5 tanh(v/2) + .3 tanh(2 m) + .2 t)`, v its value, m its change, t the mean
//! sign of its last 5 changes.

use serde::{Deserialize, Serialize};

use crate::{
    indicator::{
        rounding::sign,
        window::{Window, sum_by},
    },
    score::component::{Col, Columns, Component, Inputs, MissingColumn, Reading},
};

/// Needs 6 values in a row.
#[derive(Clone, Serialize, Deserialize)]
pub struct Ao {
    ao: Col,
    atr: Col,
    values: Window,
}

impl Ao {
    /// Reads `ao` and `atr_14`.
    pub fn new(columns: &Columns<'_>) -> Result<Ao, MissingColumn> {
        Ok(Ao { ao: columns.get("ao")?, atr: columns.get("atr_14")?, values: Window::new(6) })
    }
}

impl Component for Ao {
    const NAME: &'static str = "ao";

    fn next(&mut self, inputs: Inputs<'_>) -> Option<Reading> {
        let values = self.values.push_or_reset(inputs.get(self.ao))?;
        let atr = inputs.get(self.atr).filter(|atr| *atr != 0.0)?;
        let [.., previous, last] = values else { return None };
        let trend = sum_by(&values[1..], |i, value| sign(value - values[i], inputs.bar.close)) / 5.0;
        let (value, momentum) = (last / atr, (last - previous) / atr);
        let score = 50.0 + 50.0 * (0.5 * libm::tanh(value / 2.0) + 0.3 * libm::tanh(2.0 * momentum) + 0.2 * trend);
        Some(Reading { raw: value, score })
    }
}
