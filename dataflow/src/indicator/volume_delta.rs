//! Volume delta: `buy_volume - sell_volume`, and cvd, its running sum.

use serde::{Deserialize, Serialize};

use crate::{bar::Bar, indicator::Indicator};

/// Taker flow; absent on bars that do not know it.
#[derive(Clone, Serialize, Deserialize)]
pub struct VolumeDelta {
    cvd: f64,
}

impl VolumeDelta {
    /// From the first bar with flow on.
    pub const fn new() -> VolumeDelta {
        VolumeDelta { cvd: 0.0 }
    }
}

impl Default for VolumeDelta {
    fn default() -> VolumeDelta {
        VolumeDelta::new()
    }
}

impl Indicator for VolumeDelta {
    type Output = [Option<f64>; 2];

    fn columns(&self) -> Vec<String> {
        ["volume_delta", "cvd"].map(String::from).into()
    }

    fn next(&mut self, bar: &Bar) -> [Option<f64>; 2] {
        let Some(delta) = bar.volume_delta() else { return [None; 2] };
        self.cvd += delta;
        [Some(delta), Some(self.cvd)]
    }
}
