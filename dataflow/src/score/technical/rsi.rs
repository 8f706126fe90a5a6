//! RSI r: `50 + 2 (r - 50)` between 30 and 70, back towards 50 beyond (exhaustion): `90 - 40 (r - 70)/30` and
//! `10 + 40 (30 - r)/30`.

use serde::{Deserialize, Serialize};

use crate::score::component::{Col, Columns, Component, Inputs, MissingColumn, Reading};

/// Absent while every close so far is equal: then 0 says nothing.
#[derive(Clone, Serialize, Deserialize)]
pub struct Rsi {
    rsi: Col,
    first: Option<f64>,
    moved: bool,
}

impl Rsi {
    /// Reads `rsi_14`.
    pub fn new(columns: &Columns<'_>) -> Result<Rsi, MissingColumn> {
        Ok(Rsi { rsi: columns.get("rsi_14")?, first: None, moved: false })
    }
}

impl Component for Rsi {
    const NAME: &'static str = "rsi";

    fn next(&mut self, inputs: Inputs<'_>) -> Option<Reading> {
        self.moved |= *self.first.get_or_insert(inputs.bar.close) != inputs.bar.close;
        let rsi = inputs.get(self.rsi).filter(|_| self.moved)?;
        let score = if 70.0 < rsi {
            90.0 - 40.0 * (rsi - 70.0) / 30.0
        } else if rsi < 30.0 {
            10.0 + 40.0 * (30.0 - rsi) / 30.0
        } else {
            50.0 + 2.0 * (rsi - 50.0)
        };
        Some(Reading { raw: rsi, score })
    }

    fn label(rsi: f64, _score: f64) -> &'static str {
        match rsi {
            r if r < 30.0 => "strongly oversold",
            r if r < 45.0 => "moderately oversold",
            r if r <= 55.0 => "neutral",
            r if r <= 70.0 => "moderately overbought",
            _ => "strongly overbought",
        }
    }
}
