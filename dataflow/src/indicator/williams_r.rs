//! Williams %R: `-100 (highest - C) / (highest - lowest)` over n bars, 0 on a zero range.

use serde::{Deserialize, Serialize};

use crate::{
    bar::Bar,
    indicator::{
        Indicator,
        window::{Window, highest, lowest},
    },
};

/// From -100 (at the low) to 0 (at the high).
#[derive(Clone, Serialize, Deserialize)]
pub struct WilliamsR {
    period: usize,
    highs: Window,
    lows: Window,
}

impl WilliamsR {
    /// Over `period` bars.
    pub fn new(period: usize) -> WilliamsR {
        WilliamsR { period, highs: Window::new(period), lows: Window::new(period) }
    }

    fn value(&mut self, bar: &Bar) -> Option<f64> {
        let (highs, lows) = (self.highs.push(bar.high), self.lows.push(bar.low));
        let (high, low) = (highest(highs?), lowest(lows?));
        // The sign is in the difference: -100 times 0 would be -0.
        Some(if high == low { 0.0 } else { (100.0 * (bar.close - high) / (high - low)).max(-100.0) })
    }
}

impl Indicator for WilliamsR {
    type Output = [Option<f64>; 1];

    fn columns(&self) -> Vec<String> {
        vec![format!("williams_r_{}", self.period)]
    }

    fn next(&mut self, bar: &Bar) -> [Option<f64>; 1] {
        [self.value(bar)]
    }
}
