//! Linearly weighted moving average: `sum(j C_j) / (n (n + 1) / 2)`, j = 1 (oldest) .. n.

use serde::{Deserialize, Serialize};

use crate::{
    bar::Bar,
    indicator::{
        Indicator,
        window::{Window, sum_by},
    },
};

/// Of closes.
#[derive(Clone, Serialize, Deserialize)]
pub struct Wma {
    period: usize,
    closes: Window,
}

impl Wma {
    /// Over `period` bars.
    pub fn new(period: usize) -> Wma {
        Wma { period, closes: Window::new(period) }
    }
}

impl Indicator for Wma {
    type Output = [Option<f64>; 1];

    fn columns(&self) -> Vec<String> {
        vec![format!("wma_{}", self.period)]
    }

    fn next(&mut self, bar: &Bar) -> [Option<f64>; 1] {
        let weights = (self.period * (self.period + 1) / 2) as f64;
        [self.closes.push(bar.close).map(|closes| sum_by(closes, |i, close| (i + 1) as f64 * close) / weights)]
    }
}
