//! Relative strength index: `100 u / (u + d)`, u and d Wilder's averages of gains and losses; 0 if both are 0.

use serde::{Deserialize, Serialize};

use crate::{
    bar::Bar,
    indicator::{Indicator, rounding::percent, smooth::Smooth},
};

/// Of closes (as TA-Lib).
#[derive(Clone, Serialize, Deserialize)]
pub struct Rsi {
    period: u32,
    close: Option<f64>,
    gain: Smooth,
    loss: Smooth,
}

impl Rsi {
    /// Over `period` changes.
    pub const fn new(period: u32) -> Rsi {
        Rsi { period, close: None, gain: Smooth::wilder(period), loss: Smooth::wilder(period) }
    }

    fn value(&mut self, close: f64) -> Option<f64> {
        let change = close - self.close.replace(close)?;
        let gain = self.gain.next(change.max(0.0));
        let loss = self.loss.next((-change).max(0.0));
        let (gain, loss) = (gain?, loss?);
        Some(percent(gain, gain + loss))
    }
}

impl Indicator for Rsi {
    type Output = [Option<f64>; 1];

    fn columns(&self) -> Vec<String> {
        vec![format!("rsi_{}", self.period)]
    }

    fn next(&mut self, bar: &Bar) -> [Option<f64>; 1] {
        [self.value(bar.close)]
    }
}
