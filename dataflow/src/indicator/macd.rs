//! Moving average convergence/divergence: line `EMA(12, C) - EMA(26, C)`, signal line `EMA(9, line)`, histogram
//! `line - signal line`.

use serde::{Deserialize, Serialize};

use crate::{
    bar::Bar,
    indicator::{Indicator, smooth::Smooth},
};

/// Each average has its own seed; TA-Lib's MACD seeds the fast one later and agrees from bar 200 or so.
#[derive(Clone, Serialize, Deserialize)]
pub struct Macd {
    fast: Smooth,
    slow: Smooth,
    signal_line: Smooth,
}

impl Macd {
    /// Over `fast`, `slow` and `signal_line` bars.
    pub const fn new(fast: u32, slow: u32, signal_line: u32) -> Macd {
        Macd { fast: Smooth::ema(fast), slow: Smooth::ema(slow), signal_line: Smooth::ema(signal_line) }
    }
}

impl Indicator for Macd {
    type Output = [Option<f64>; 3];

    fn columns(&self) -> Vec<String> {
        ["macd_line", "macd_signal_line", "macd_histogram"].map(String::from).into()
    }

    fn next(&mut self, bar: &Bar) -> [Option<f64>; 3] {
        let (fast, slow) = (self.fast.next(bar.close), self.slow.next(bar.close));
        let line = fast.zip(slow).map(|(fast, slow)| fast - slow);
        let signal_line = line.and_then(|line| self.signal_line.next(line));
        [line, signal_line, line.zip(signal_line).map(|(line, signal_line)| line - signal_line)]
    }
}
