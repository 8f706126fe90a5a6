//! SuperTrend: bands `(H + L) / 2 +- 3 atr` (Wilder, 10) that only tighten until the close crosses them; the lower one
//! while up, the upper one while down.

use serde::{Deserialize, Serialize};

use crate::{
    bar::Bar,
    indicator::{Atr, Indicator},
};

/// Value and direction (1 up, -1 down).
#[derive(Clone, Serialize, Deserialize)]
pub struct Supertrend {
    ranges: f64,
    atr: Atr,
    trend: Option<Trend>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
struct Trend {
    upper: f64,
    lower: f64,
    up: bool,
    close: f64,
}

impl Supertrend {
    /// Over `period` bars, `ranges` average true ranges wide to either side.
    pub const fn new(period: u32, ranges: f64) -> Supertrend {
        Supertrend { ranges, atr: Atr::new(period), trend: None }
    }
}

impl Indicator for Supertrend {
    type Output = [Option<f64>; 2];

    fn columns(&self) -> Vec<String> {
        ["supertrend", "supertrend_direction"].map(String::from).into()
    }

    fn next(&mut self, bar: &Bar) -> [Option<f64>; 2] {
        let Some(atr) = self.atr.value(bar) else { return [None; 2] };
        let close = bar.close;
        let middle = (bar.high + bar.low) / 2.0;
        let (upper, lower) = (middle + self.ranges * atr, middle - self.ranges * atr);
        let trend = match self.trend {
            None => Trend { upper, lower, up: middle <= close, close },
            Some(last) => {
                let upper = if upper < last.upper || last.upper < last.close { upper } else { last.upper };
                let lower = if last.lower < lower || last.close < last.lower { lower } else { last.lower };
                Trend { upper, lower, up: if last.up { lower <= close } else { upper < close }, close }
            }
        };
        self.trend = Some(trend);
        let value = if trend.up { trend.lower } else { trend.upper };
        [Some(value), Some(if trend.up { 1.0 } else { -1.0 })]
    }
}
