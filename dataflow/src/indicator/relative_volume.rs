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

    /// The mean at this time of day on earlier days; then counts this bar.
    fn time_of_day(&mut self, bar: &Bar) -> Option<f64> {
        if bar.timeframe < Timeframe::M1 || Timeframe::H12 < bar.timeframe {
            return None;
        }
        let length = bar.timeframe.length();
        if self.times.is_empty() {
            let n = (DAY / length) as usize;
            self.times.resize_with(n.div_ceil(BLOCK), || Arc::new([Time { n_bars: 0, mean: 0.0 }; BLOCK]));
        }
        let at = (bar.start.rem_euclid(DAY) / length) as usize;
        let time = &mut Arc::make_mut(&mut self.times[at / BLOCK])[at % BLOCK];
        let baseline = (N_MIN <= time.n_bars).then_some(time.mean);
        time.n_bars = N_MAX.min(time.n_bars + 1);
        time.mean += (bar.volume - time.mean) / f64::from(time.n_bars);
        baseline
    }
}

impl Indicator for RelativeVolume {
    type Output = [Option<f64>; 1];

    fn columns(&self) -> Vec<String> {
        vec!["relative_volume".into()]
    }

    fn next(&mut self, bar: &Bar) -> [Option<f64>; 1] {
        let baseline = self.time_of_day(bar).or(self.recent);
        self.recent = self.volumes.push(bar.volume).map(mean);
        [baseline.filter(|baseline| *baseline != 0.0).map(|baseline| bar.volume / baseline)]
    }
}
