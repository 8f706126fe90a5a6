//! Williams %R w, x = 100 + w: x between 20 and 80, back towards 50 beyond: `80 - 1.5 (x - 80)` and
//! `20 + 1.5 (20 - x)`.

use serde::{Deserialize, Serialize};

use crate::{
    indicator::window::{Window, highest, lowest},
    score::component::{Col, Columns, Component, Inputs, MissingColumn, Reading},
};

/// Absent if the range of the 14 bars is 0.
#[derive(Clone, Serialize, Deserialize)]
pub struct WilliamsR {
    williams_r: Col,
    highs: Window,
    lows: Window,
}

impl WilliamsR {
    /// Reads `williams_r_14`.
    pub fn new(columns: &Columns<'_>) -> Result<WilliamsR, MissingColumn> {
        let williams_r = columns.get("williams_r_14")?;
        Ok(WilliamsR { williams_r, highs: Window::new(14), lows: Window::new(14) })
    }
}

impl Component for WilliamsR {
    const NAME: &'static str = "williams_r";

    fn next(&mut self, inputs: Inputs<'_>) -> Option<Reading> {
        let (highs, lows) = (self.highs.push(inputs.bar.high), self.lows.push(inputs.bar.low));
        let moved = lowest(lows?) < highest(highs?);
        let raw = inputs.get(self.williams_r).filter(|_| moved)?;
        let score = match 100.0 + raw {
            x if 80.0 < x => 80.0 - 1.5 * (x - 80.0),
            x if x < 20.0 => 20.0 + 1.5 * (20.0 - x),
            x => x,
        };
        Some(Reading { raw, score })
    }
}
