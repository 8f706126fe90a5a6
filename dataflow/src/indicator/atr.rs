//! Average true range: Wilder's average over n of the true range.

use serde::{Deserialize, Serialize};

use crate::{
    bar::Bar,
    indicator::{Indicator, smooth::Smooth, true_range::TrueRange},
};

/// As TA-Lib: the first bar has no true range.
#[derive(Clone, Serialize, Deserialize)]
pub struct Atr {
    period: u32,
    true_range: TrueRange,
    average: Smooth,
}

impl Atr {
    /// Over `period` bars.
    pub const fn new(period: u32) -> Atr {
        Atr { period, true_range: TrueRange::new(), average: Smooth::wilder(period) }
    }

    /// The value itself, for the bands made from it.
    pub(crate) fn value(&mut self, bar: &Bar) -> Option<f64> {
        let true_range = self.true_range.next(bar)?;
        self.average.next(true_range)
    }
}

impl Indicator for Atr {
    type Output = [Option<f64>; 1];

    fn columns(&self) -> Vec<String> {
        vec![format!("atr_{}", self.period)]
    }

    fn next(&mut self, bar: &Bar) -> [Option<f64>; 1] {
        [self.value(bar)]
    }
}
