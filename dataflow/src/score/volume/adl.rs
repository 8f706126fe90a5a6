//! Slope of the accumulation/distribution line: `squash(3 r)`, r its correlation with time over 20 bars.

use serde::{Deserialize, Serialize};

use crate::{
    indicator::window::{Window, correlation},
    score::component::{Col, Columns, Component, Inputs, MissingColumn, Reading, squash},
};

/// The times of 20 bars, evenly spaced.
const TIMES: [f64; 20] = [0., 1., 2., 3., 4., 5., 6., 7., 8., 9., 10., 11., 12., 13., 14., 15., 16., 17., 18., 19.];

/// Absent if all 20 values are equal.
#[derive(Clone, Serialize, Deserialize)]
pub struct Adl {
    adl: Col,
    values: Window,
}

impl Adl {
    /// Reads `adl`.
    pub fn new(columns: &Columns<'_>) -> Result<Adl, MissingColumn> {
        Ok(Adl { adl: columns.get("adl")?, values: Window::new(TIMES.len()) })
    }
}

impl Component for Adl {
    const NAME: &'static str = "adl";

    fn next(&mut self, inputs: Inputs<'_>) -> Option<Reading> {
        let raw = correlation(self.values.push_or_reset(inputs.get(self.adl))?, &TIMES)?;
        Some(Reading { raw, score: squash(3.0 * raw) })
    }
}
