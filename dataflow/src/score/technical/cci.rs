//! CCI c: `squash(c / 100)` up to 200 either way, then fading to 50 at 400.

use serde::{Deserialize, Serialize};

use crate::{
    indicator::window::{Window, constant},
    score::component::{Col, Columns, Component, Inputs, MissingColumn, Reading, sign, squash},
};

/// Absent if all 20 typical prices are equal.
#[derive(Clone, Serialize, Deserialize)]
pub struct Cci {
    cci: Col,
    typical: Window,
}

impl Cci {
    /// Reads `cci_20`.
    pub fn new(columns: &Columns<'_>) -> Result<Cci, MissingColumn> {
        Ok(Cci { cci: columns.get("cci_20")?, typical: Window::new(20) })
    }
}

impl Component for Cci {
    const NAME: &'static str = "cci";

    fn next(&mut self, inputs: Inputs<'_>) -> Option<Reading> {
        let typical = self.typical.push(inputs.bar.typical())?;
        let moved = !constant(typical, typical);
        let raw = inputs.get(self.cci).filter(|_| moved)?;
        let beyond = (raw.abs() - 200.0).max(0.0);
        let score = if beyond == 0.0 {
            squash(raw / 100.0)
        } else {
            50.0 + (squash(2.0 * sign(raw)) - 50.0) * (1.0 - beyond / 200.0).max(0.0)
        };
        Some(Reading { raw, score })
    }
}
