//! Mean volume: `sum(V, n) / n`.

use serde::{Deserialize, Serialize};

use crate::{
    bar::Bar,
    indicator::{
        Indicator,
        window::{Window, mean},
    },
};

/// Of volumes in base.
#[derive(Clone, Serialize, Deserialize)]
pub struct VolumeSma {
    period: usize,
    volumes: Window,
}

impl VolumeSma {
    /// Over `period` bars.
    pub fn new(period: usize) -> VolumeSma {
        VolumeSma { period, volumes: Window::new(period) }
    }
}

impl Indicator for VolumeSma {
    type Output = [Option<f64>; 1];

    fn columns(&self) -> Vec<String> {
        vec![format!("volume_sma_{}", self.period)]
    }

    fn next(&mut self, bar: &Bar) -> [Option<f64>; 1] {
        [self.volumes.push(bar.volume).map(mean)]
    }
}
