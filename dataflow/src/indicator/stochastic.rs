//! Stochastic oscillator: raw `100 (C - low14) / (high14 - low14)` (0 on a zero range), `k = mean(raw, 3)`,
//! `d = mean(k, 3)`.

use serde::{Deserialize, Serialize};

use crate::{
    bar::Bar,
    indicator::{
        Indicator,
        rounding::percent,
        window::{Window, highest, lowest, mean},
    },
};

/// Slow stochastic (TA-Lib STOCH 14/3/3): k waits for d.
#[derive(Clone, Serialize, Deserialize)]
pub struct Stochastic {
    highs: Window,
    lows: Window,
    raw: Window,
    k: Window,
}

impl Stochastic {
    /// Range over `period` bars, smoothed over `k` and then `d`.
    pub fn new(period: usize, k: usize, d: usize) -> Stochastic {
        Stochastic { highs: Window::new(period), lows: Window::new(period), raw: Window::new(k), k: Window::new(d) }
    }

    fn values(&mut self, bar: &Bar) -> Option<(f64, f64)> {
        let (highs, lows) = (self.highs.push(bar.high), self.lows.push(bar.low));
        let (high, low) = (highest(highs?), lowest(lows?));
        let raw = percent(bar.close - low, high - low);
        let k = mean(self.raw.push(raw)?);
        let d = mean(self.k.push(k)?);
        Some((k, d))
    }
}

impl Indicator for Stochastic {
    type Output = [Option<f64>; 2];

    fn columns(&self) -> Vec<String> {
        ["stochastic_k", "stochastic_d"].map(String::from).into()
    }

    fn next(&mut self, bar: &Bar) -> [Option<f64>; 2] {
        self.values(bar).map_or([None; 2], |(k, d)| [Some(k), Some(d)])
    }
}
