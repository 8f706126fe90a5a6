//! Relative volume: `V / baseline`, the mean volume at this UTC time of day on earlier days, or else of the 20 bars
//! before.

use std::sync::Arc;

use prism_schemas::{Timeframe, time::DAY};

use serde::{Deserialize, Serialize};

use crate::{
    bar::Bar,
    indicator::{
        Indicator,
        window::{Window, mean},
    },
};

/// Earlier bars a time of day must have to be a baseline.
const N_MIN: u32 = 3;
/// Bars the running mean of a time of day looks back on: older ones fade.
const N_MAX: u32 = 20;

/// Times of day whose means lie together.
const BLOCK: usize = 24;

/// Of volumes in base; absent while there is no baseline or it is 0.
#[derive(Clone, Serialize, Deserialize)]
pub struct RelativeVolume {
    /// Means by time of day, in blocks that snapshots share until one of them moves on. Empty for timeframes without.
    times: Vec<Arc<[Time; BLOCK]>>,
    volumes: Window,
    /// Mean of the last bars, up to the previous one.
    recent: Option<f64>,
}

/// One time of day on the days so far.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Time {
    n_bars: u32,
    mean: f64,
}

impl RelativeVolume {
    /// Where times of day do not help: over the `period` bars before.
    pub fn new(period: usize) -> RelativeVolume {
        RelativeVolume { times: Vec::new(), volumes: Window::new(period), recent: None }
    }

    /// The bar's time of day, where that helps.
    fn time_of_day(bar: &Bar) -> Option<usize> {
        let helps = (Timeframe::M1..=Timeframe::H12).contains(&bar.timeframe);
        helps.then(|| (bar.start.rem_euclid(DAY) / bar.timeframe.length()) as usize)
    }

    /// What this bar's volume is compared with: the mean at its time of day on earlier days, or of the bars before.
    fn baseline(&self, bar: &Bar) -> Option<f64> {
        let time = Self::time_of_day(bar).and_then(|at| Some(self.times.get(at / BLOCK)?[at % BLOCK]));
        time.filter(|time| N_MIN <= time.n_bars).map(|time| time.mean).or(self.recent)
    }

    /// Counts this bar at its time of day.
    fn count(&mut self, bar: &Bar) {
        let Some(at) = Self::time_of_day(bar) else { return };
        if self.times.is_empty() {
            let n = (DAY / bar.timeframe.length()) as usize;
            self.times.resize_with(n.div_ceil(BLOCK), || Arc::new([Time { n_bars: 0, mean: 0.0 }; BLOCK]));
        }
        let time = &mut Arc::make_mut(&mut self.times[at / BLOCK])[at % BLOCK];
        time.n_bars = N_MAX.min(time.n_bars + 1);
        time.mean += (bar.volume - time.mean) / f64::from(time.n_bars);
    }
}

impl Indicator for RelativeVolume {
    type Output = [Option<f64>; 1];

    fn columns(&self) -> Vec<String> {
        vec!["relative_volume".into()]
    }

    fn next(&mut self, bar: &Bar) -> [Option<f64>; 1] {
        let values = self.peek(bar);
        self.count(bar);
        self.recent = self.volumes.push(bar.volume).map(mean);
        values
    }

    fn peek(&self, bar: &Bar) -> [Option<f64>; 1] {
        [self.baseline(bar).filter(|baseline| *baseline != 0.0).map(|baseline| bar.volume / baseline)]
    }
}
