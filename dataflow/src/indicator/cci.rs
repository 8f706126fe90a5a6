//! Commodity channel index: `(t - mean t) / (0.015 x mean absolute deviation of t)`, `t = (H + L + C) / 3`; 0 if
//! either part is 0.

use serde::{Deserialize, Serialize};

use crate::{
    bar::Bar,
    indicator::{
        Indicator,
        window::{Window, constant, mean, sum_by},
    },
};

/// Of typical prices.
#[derive(Clone, Serialize, Deserialize)]
pub struct Cci {
    period: usize,
    typical: Window,
}

impl Cci {
    /// Over `period` bars.
    pub fn new(period: usize) -> Cci {
        Cci { period, typical: Window::new(period) }
    }
}

impl Indicator for Cci {
    type Output = [Option<f64>; 1];

    fn columns(&self) -> Vec<String> {
        vec![format!("cci_{}", self.period)]
    }

    fn next(&mut self, bar: &Bar) -> [Option<f64>; 1] {
        let typical = bar.typical();
        let value = self.typical.push(typical).map(|window| {
            let middle = mean(window);
            let deviation = sum_by(window, |_, x| (x - middle).abs()) / window.len() as f64;
            if constant(window, window) { 0.0 } else { (typical - middle) / (0.015 * deviation) }
        });
        [value]
    }
}
