//! Triple exponential moving average: `3 e1 - 3 e2 + e3` with `e1 = EMA(n, C)`, `e2 = EMA(n, e1)`, `e3 = EMA(n, e2)`.

use serde::{Deserialize, Serialize};

use crate::{
    bar::Bar,
    indicator::{Indicator, smooth::Smooth},
};

/// Of closes.
#[derive(Clone, Serialize, Deserialize)]
pub struct Tema {
    period: u32,
    once: Smooth,
    twice: Smooth,
    thrice: Smooth,
}

impl Tema {
    /// Over `period` bars.
    pub const fn new(period: u32) -> Tema {
        Tema { period, once: Smooth::ema(period), twice: Smooth::ema(period), thrice: Smooth::ema(period) }
    }

    fn value(&mut self, close: f64) -> Option<f64> {
        let once = self.once.next(close)?;
        let twice = self.twice.next(once)?;
        let thrice = self.thrice.next(twice)?;
        Some(3.0 * once - 3.0 * twice + thrice)
    }
}

impl Indicator for Tema {
    type Output = [Option<f64>; 1];

    fn columns(&self) -> Vec<String> {
        vec![format!("tema_{}", self.period)]
    }

    fn next(&mut self, bar: &Bar) -> [Option<f64>; 1] {
        [self.value(bar.close)]
    }
}
