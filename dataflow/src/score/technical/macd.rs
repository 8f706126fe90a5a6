//! MACD over ATR: `50 + 50 (.4 tanh(2 h) + .3 tanh(line/2) + .15 sign(histogram change) + .15 sign(line change))`, h
//! the histogram.

use serde::{Deserialize, Serialize};

use crate::{
    indicator::rounding::sign,
    score::component::{Col, Columns, Component, Inputs, MissingColumn, Reading},
};

/// Needs line and histogram of two bars in a row.
#[derive(Clone, Serialize, Deserialize)]
pub struct Macd {
    line: Col,
    histogram: Col,
    atr: Col,
    previous: Option<(f64, f64)>,
}

impl Macd {
    /// Reads `macd_line`, `macd_histogram` and `atr_14`.
    pub fn new(columns: &Columns<'_>) -> Result<Macd, MissingColumn> {
        let (line, histogram) = (columns.get("macd_line")?, columns.get("macd_histogram")?);
        Ok(Macd { line, histogram, atr: columns.get("atr_14")?, previous: None })
    }
}

impl Component for Macd {
    const NAME: &'static str = "macd";

    fn next(&mut self, inputs: Inputs<'_>) -> Option<Reading> {
        let current = inputs.get(self.line).zip(inputs.get(self.histogram));
        let previous = std::mem::replace(&mut self.previous, current);
        let ((line, histogram), (line_1, histogram_1)) = current.zip(previous)?;
        let atr = inputs.get(self.atr).filter(|atr| *atr != 0.0)?;
        let raw = histogram / atr;
        let value = 0.4 * libm::tanh(2.0 * raw) + 0.3 * libm::tanh(line / atr / 2.0);
        let slope = |change| 0.15 * sign(change, inputs.bar.close);
        let slopes = slope(histogram - histogram_1) + slope(line - line_1);
        Some(Reading { raw, score: 50.0 + 50.0 * (value + slopes) })
    }
}
