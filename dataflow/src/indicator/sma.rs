//! Simple moving average: `sum(C, n) / n`.

use serde::{Deserialize, Serialize};

use crate::{
    bar::Bar,
    indicator::{
        Indicator,
        window::{Window, mean},
    },
};

/// Of closes.
#[derive(Clone, Serialize, Deserialize)]
pub struct Sma {
    period: usize,
    closes: Window,
}

impl Sma {
    /// Over `period` bars.
    pub fn new(period: usize) -> Sma {
        Sma { period, closes: Window::new(period) }
    }
}

impl Indicator for Sma {
    type Output = [Option<f64>; 1];

    fn columns(&self) -> Vec<String> {
        vec![format!("sma_{}", self.period)]
    }

    fn next(&mut self, bar: &Bar) -> [Option<f64>; 1] {
        [self.closes.push(bar.close).map(mean)]
    }
}
