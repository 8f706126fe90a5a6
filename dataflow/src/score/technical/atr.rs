//! Volatility in the direction of the trend: `50 + 50 tanh((C - ema_20)/atr_14) min(x, 2)/2`, `x = atr_14 / atr_50`.

use serde::{Deserialize, Serialize};

use crate::score::component::{Col, Columns, Component, Inputs, MissingColumn, Reading};

/// Above 50 over the average, the further the more volatility expands.
#[derive(Clone, Serialize, Deserialize)]
pub struct Atr {
    ema: Col,
    fast: Col,
    slow: Col,
}

impl Atr {
    /// Reads `ema_20`, `atr_14` and `atr_50`.
    pub fn new(columns: &Columns<'_>) -> Result<Atr, MissingColumn> {
        Ok(Atr { ema: columns.get("ema_20")?, fast: columns.get("atr_14")?, slow: columns.get("atr_50")? })
    }
}

impl Component for Atr {
    const NAME: &'static str = "atr";

    fn next(&mut self, inputs: Inputs<'_>) -> Option<Reading> {
        let (ema, fast, slow) = (inputs.get(self.ema)?, inputs.get(self.fast)?, inputs.get(self.slow)?);
        if fast == 0.0 || slow == 0.0 {
            return None;
        }
        let raw = fast / slow;
        let score = 50.0 + 50.0 * libm::tanh((inputs.bar.close - ema) / fast) * raw.min(2.0) / 2.0;
        Some(Reading { raw, score })
    }
}
