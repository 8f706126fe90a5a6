//! Double exponential moving average: `2 e1 - e2` with `e1 = EMA(n, C)`, `e2 = EMA(n, e1)`.

use serde::{Deserialize, Serialize};

use crate::{
    bar::Bar,
    indicator::{Indicator, smooth::Smooth},
};

/// Of closes.
#[derive(Clone, Serialize, Deserialize)]
pub struct Dema {
    period: u32,
    once: Smooth,
    twice: Smooth,
}

impl Dema {
    /// Over `period` bars.
    pub const fn new(period: u32) -> Dema {
        Dema { period, once: Smooth::ema(period), twice: Smooth::ema(period) }
    }

    fn value(&mut self, close: f64) -> Option<f64> {
        let once = self.once.next(close)?;
        let twice = self.twice.next(once)?;
        Some(2.0 * once - twice)
    }
}

impl Indicator for Dema {
    type Output = [Option<f64>; 1];

    fn columns(&self) -> Vec<String> {
        vec![format!("dema_{}", self.period)]
    }

    fn next(&mut self, bar: &Bar) -> [Option<f64>; 1] {
        [self.value(bar.close)]
    }
}
