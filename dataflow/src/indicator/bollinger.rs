//! Bollinger bands: `m +- 2 s`, m the mean and s the population deviation of n closes;
//! `%b = (C - lower) / (upper - lower)`, width `(upper - lower) / m`.

use serde::{Deserialize, Serialize};

use crate::{
    bar::Bar,
    indicator::{
        Indicator,
        window::{Window, constant, deviation, mean},
    },
};

/// Of closes; %b is absent while all of them are equal.
#[derive(Clone, Serialize, Deserialize)]
pub struct Bollinger {
    deviations: f64,
    closes: Window,
}

impl Bollinger {
    /// Over `period` bars, `deviations` wide to either side.
    pub fn new(period: usize, deviations: f64) -> Bollinger {
        Bollinger { deviations, closes: Window::new(period) }
    }
}

impl Indicator for Bollinger {
    type Output = [Option<f64>; 5];

    fn columns(&self) -> Vec<String> {
        ["upper", "middle", "lower", "percent_b", "width"].map(|name| format!("bollinger_{name}")).into()
    }

    fn next(&mut self, bar: &Bar) -> [Option<f64>; 5] {
        let Some(closes) = self.closes.push(bar.close) else { return [None; 5] };
        if constant(closes, closes) {
            return [Some(bar.close), Some(bar.close), Some(bar.close), None, Some(0.0)];
        }
        let middle = mean(closes);
        let reach = self.deviations * deviation(closes, middle);
        let (upper, lower) = (middle + reach, middle - reach);
        let range = upper - lower;
        [Some(upper), Some(middle), Some(lower), Some((bar.close - lower) / range), Some(range / middle)]
    }
}
