//! Money flow index: `100 up / (up + down)` over n changes, t V counted by the sign of the change of
//! `t = (H + L + C) / 3`; 0 if both are 0.

use serde::{Deserialize, Serialize};

use crate::{
    bar::Bar,
    indicator::{
        Indicator,
        rounding::{percent, sign},
        window::{Window, sum_by},
    },
};

/// As TA-Lib, but for its 0 while the flow is below 1, and its flows of changes that rounding made.
#[derive(Clone, Serialize, Deserialize)]
pub struct Mfi {
    period: usize,
    typical: Option<f64>,
    /// Positive up, negative down.
    flows: Window,
}

impl Mfi {
    /// Over `period` changes.
    pub fn new(period: usize) -> Mfi {
        Mfi { period, typical: None, flows: Window::new(period) }
    }

    fn value(&mut self, bar: &Bar) -> Option<f64> {
        let typical = bar.typical();
        let previous = self.typical.replace(typical)?;
        let flows = self.flows.push(sign(typical - previous, bar.close) * typical * bar.volume)?;
        let up = sum_by(flows, |_, flow| flow.max(0.0));
        let down = sum_by(flows, |_, flow| (-flow).max(0.0));
        Some(percent(up, up + down))
    }
}

impl Indicator for Mfi {
    type Output = [Option<f64>; 1];

    fn columns(&self) -> Vec<String> {
        vec![format!("mfi_{}", self.period)]
    }

    fn next(&mut self, bar: &Bar) -> [Option<f64>; 1] {
        [self.value(bar)]
    }
}
