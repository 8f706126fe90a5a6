//! Volume-weighted average price of the UTC day so far: sum of turnover / sum of volume; a bar without turnover counts
//! `t V`, `t = (H + L + C) / 3`.

use prism_schemas::time::DAY;

use serde::{Deserialize, Serialize};

use crate::{bar::Bar, indicator::Indicator};

/// Absent while the day has no volume.
#[derive(Clone, Serialize, Deserialize)]
pub struct VwapDay {
    day: i64,
    turnover: f64,
    volume: f64,
}

impl VwapDay {
    /// From the first bar of each day on, by the bar's start.
    pub const fn new() -> VwapDay {
        VwapDay { day: i64::MIN, turnover: 0.0, volume: 0.0 }
    }
}

impl Default for VwapDay {
    fn default() -> VwapDay {
        VwapDay::new()
    }
}

impl Indicator for VwapDay {
    type Output = [Option<f64>; 1];

    fn columns(&self) -> Vec<String> {
        vec!["vwap_day".into()]
    }

    fn next(&mut self, bar: &Bar) -> [Option<f64>; 1] {
        let day = bar.start.div_euclid(DAY);
        if day != self.day {
            *self = VwapDay { day, turnover: 0.0, volume: 0.0 };
        }
        self.turnover += bar.turnover.get().unwrap_or_else(|| bar.typical() * bar.volume);
        self.volume += bar.volume;
        [(self.volume != 0.0).then(|| self.turnover / self.volume)]
    }
}
