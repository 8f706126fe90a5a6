//! Donchian channel: highest high and lowest low of n bars, and their mean.

use serde::{Deserialize, Serialize};

use crate::{
    bar::Bar,
    indicator::{
        Indicator,
        window::{Window, highest, lowest},
    },
};

/// Includes the current bar.
#[derive(Clone, Serialize, Deserialize)]
pub struct Donchian {
    highs: Window,
    lows: Window,
}

impl Donchian {
    /// Over `period` bars.
    pub fn new(period: usize) -> Donchian {
        Donchian { highs: Window::new(period), lows: Window::new(period) }
    }
}

impl Indicator for Donchian {
    type Output = [Option<f64>; 3];

    fn columns(&self) -> Vec<String> {
        ["upper", "lower", "middle"].map(|name| format!("donchian_{name}")).into()
    }

    fn next(&mut self, bar: &Bar) -> [Option<f64>; 3] {
        let (highs, lows) = (self.highs.push(bar.high), self.lows.push(bar.low));
        highs.zip(lows).map_or([None; 3], |(highs, lows)| {
            let (upper, lower) = (highest(highs), lowest(lows));
            [Some(upper), Some(lower), Some((upper + lower) / 2.0)]
        })
    }
}
