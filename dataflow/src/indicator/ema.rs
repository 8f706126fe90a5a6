//! Exponential moving average: `ema += 2 / (n + 1) (C - ema)`, seeded with the mean of the first n closes (as TA-Lib).

use serde::{Deserialize, Serialize};

use crate::{
    bar::Bar,
    indicator::{Indicator, smooth::Smooth},
};

/// Of closes.
#[derive(Clone, Serialize, Deserialize)]
pub struct Ema {
    period: u32,
    ema: Smooth,
}

impl Ema {
    /// Over `period` bars.
    pub const fn new(period: u32) -> Ema {
        Ema { period, ema: Smooth::ema(period) }
    }
}

impl Indicator for Ema {
    type Output = [Option<f64>; 1];

    fn columns(&self) -> Vec<String> {
        vec![format!("ema_{}", self.period)]
    }

    fn next(&mut self, bar: &Bar) -> [Option<f64>; 1] {
        [self.ema.next(bar.close)]
    }
}
