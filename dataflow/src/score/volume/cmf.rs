//! Chaikin money flow, smoothed: `squash(8 x)`, `x = mean(cmf_20, 3)`.

use serde::{Deserialize, Serialize};

use crate::{
    indicator::window::{Window, mean},
    score::component::{Col, Columns, Component, Inputs, MissingColumn, Reading, squash},
};

/// Above 50 while bars close near their highs.
#[derive(Clone, Serialize, Deserialize)]
pub struct Cmf {
    cmf: Col,
    values: Window,
}

impl Cmf {
    /// Reads `cmf_20`.
    pub fn new(columns: &Columns<'_>) -> Result<Cmf, MissingColumn> {
        Ok(Cmf { cmf: columns.get("cmf_20")?, values: Window::new(3) })
    }
}

impl Component for Cmf {
    const NAME: &'static str = "cmf";

    fn next(&mut self, inputs: Inputs<'_>) -> Option<Reading> {
        let raw = mean(self.values.push_or_reset(inputs.get(self.cmf))?);
        Some(Reading { raw, score: squash(8.0 * raw) })
    }
}
