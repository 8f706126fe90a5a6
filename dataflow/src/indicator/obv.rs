//! On-balance volume: V at the first bar, then `+ V`, `- V` or nothing by the sign of the close change.

use serde::{Deserialize, Serialize};

use crate::{bar::Bar, indicator::Indicator};

/// As TA-Lib.
#[derive(Clone, Serialize, Deserialize)]
pub struct Obv {
    close: Option<f64>,
    value: f64,
}

impl Obv {
    /// From the first bar on.
    pub const fn new() -> Obv {
        Obv { close: None, value: 0.0 }
    }
}

impl Default for Obv {
    fn default() -> Obv {
        Obv::new()
    }
}

impl Indicator for Obv {
    type Output = [Option<f64>; 1];

    fn columns(&self) -> Vec<String> {
        vec!["obv".into()]
    }

    fn next(&mut self, bar: &Bar) -> [Option<f64>; 1] {
        match self.close.replace(bar.close) {
            Some(close) if bar.close < close => self.value -= bar.volume,
            Some(close) if bar.close == close => {}
            _ => self.value += bar.volume,
        }
        [Some(self.value)]
    }
}
