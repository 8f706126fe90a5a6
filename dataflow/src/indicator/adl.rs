//! Accumulation/distribution line: running sum of `V ((C - L) - (H - C)) / (H - L)`, 0 if `H = L`.

use serde::{Deserialize, Serialize};

use crate::{
    bar::Bar,
    indicator::{Indicator, rounding::sign},
};

/// As TA-Lib's AD.
#[derive(Clone, Serialize, Deserialize)]
pub struct Adl {
    value: f64,
}

impl Adl {
    /// From the first bar on.
    pub const fn new() -> Adl {
        Adl { value: 0.0 }
    }
}

impl Default for Adl {
    fn default() -> Adl {
        Adl::new()
    }
}

/// One bar's term: its volume by where in the range it closed.
pub(crate) fn money_flow_volume(bar: &Bar) -> f64 {
    let range = bar.high - bar.low;
    let place = (bar.close - bar.low) - (bar.high - bar.close);
    if range == 0.0 || sign(place, bar.close) == 0.0 { 0.0 } else { bar.volume * (place / range) }
}

impl Indicator for Adl {
    type Output = [Option<f64>; 1];

    fn columns(&self) -> Vec<String> {
        vec!["adl".into()]
    }

    fn next(&mut self, bar: &Bar) -> [Option<f64>; 1] {
        self.value += money_flow_volume(bar);
        [Some(self.value)]
    }
}
