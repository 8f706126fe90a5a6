//! Chaikin money flow: sum of the accumulation/distribution terms over sum of V, both over n bars; absent without
//! volume.

use serde::{Deserialize, Serialize};

use crate::{
    bar::Bar,
    indicator::{
        Indicator,
        adl::money_flow_volume,
        window::{Window, sum},
    },
};

/// From -1 (all volume closed at the low) to 1.
#[derive(Clone, Serialize, Deserialize)]
pub struct Cmf {
    period: usize,
    flows: Window,
    volumes: Window,
}

impl Cmf {
    /// Over `period` bars.
    pub fn new(period: usize) -> Cmf {
        Cmf { period, flows: Window::new(period), volumes: Window::new(period) }
    }

    fn value(&mut self, bar: &Bar) -> Option<f64> {
        let (flows, volumes) = (self.flows.push(money_flow_volume(bar)), self.volumes.push(bar.volume));
        let (flow, volume) = (sum(flows?), sum(volumes?));
        (volume != 0.0).then(|| (flow / volume).clamp(-1.0, 1.0))
    }
}

impl Indicator for Cmf {
    type Output = [Option<f64>; 1];

    fn columns(&self) -> Vec<String> {
        vec![format!("cmf_{}", self.period)]
    }

    fn next(&mut self, bar: &Bar) -> [Option<f64>; 1] {
        [self.value(bar)]
    }
}
