//! Rate of change: `100 (C / C_n - 1)`, C_n the close n bars ago.

use serde::{Deserialize, Serialize};

use crate::{
    bar::Bar,
    indicator::{Indicator, window::Window},
};

/// Of closes, in percent.
#[derive(Clone, Serialize, Deserialize)]
pub struct Roc {
    period: usize,
    closes: Window,
}

impl Roc {
    /// Over `period` bars.
    pub fn new(period: usize) -> Roc {
        Roc { period, closes: Window::new(period + 1) }
    }
}

impl Indicator for Roc {
    type Output = [Option<f64>; 1];

    fn columns(&self) -> Vec<String> {
        vec![format!("roc_{}", self.period)]
    }

    fn next(&mut self, bar: &Bar) -> [Option<f64>; 1] {
        [self.closes.push(bar.close).map(|closes| 100.0 * (bar.close / closes[0] - 1.0))]
    }
}
