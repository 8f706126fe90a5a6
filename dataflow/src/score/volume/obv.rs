//! On-balance volume: `squash(z (1 + rho)/2)`, z the z-score of its 5-bar change D among the last 20, rho its
//! correlation with C over 20 bars.

use serde::{Deserialize, Serialize};

use crate::{
    indicator::window::{Window, constant, correlation, deviation, mean},
    score::component::{Col, Columns, Component, Inputs, MissingColumn, Reading, squash},
};

/// Absent if D, obv or C is constant over its 20.
#[derive(Clone, Serialize, Deserialize)]
pub struct Obv {
    obv: Col,
    /// Now and the 5 before; what the changes are made of.
    recent: Window,
    changes: Window,
    values: Window,
    closes: Window,
}

impl Obv {
    /// Reads `obv`.
    pub fn new(columns: &Columns<'_>) -> Result<Obv, MissingColumn> {
        let (changes, values, closes) = (Window::new(20), Window::new(25), Window::new(20));
        Ok(Obv { obv: columns.get("obv")?, recent: Window::new(6), changes, values, closes })
    }
}

impl Component for Obv {
    const NAME: &'static str = "obv";

    fn next(&mut self, inputs: Inputs<'_>) -> Option<Reading> {
        let obv = inputs.get(self.obv);
        let change = self.recent.push_or_reset(obv).map(|recent| recent[5] - recent[0]);
        let changes = self.changes.push_or_reset(change);
        let (values, closes) = (self.values.push_or_reset(obv), self.closes.push(inputs.bar.close));
        let (changes, values) = (changes?, values?);
        if constant(changes, values) {
            return None;
        }
        let rho = correlation(&values[5..], closes?)?;
        let middle = mean(changes);
        let raw = (change? - middle) / deviation(changes, middle);
        Some(Reading { raw, score: squash(raw * (1.0 + rho) / 2.0) })
    }
}
