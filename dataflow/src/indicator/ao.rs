//! Awesome oscillator: `mean(m, 5) - mean(m, 34)`, `m = (H + L) / 2`.

use serde::{Deserialize, Serialize};

use crate::{
    bar::Bar,
    indicator::{
        Indicator,
        window::{Window, mean},
    },
};

/// Of bar midpoints.
#[derive(Clone, Serialize, Deserialize)]
pub struct Ao {
    fast: usize,
    middles: Window,
}

impl Ao {
    /// Over `fast` and `slow` bars.
    pub fn new(fast: usize, slow: usize) -> Ao {
        assert!(fast <= slow);
        Ao { fast, middles: Window::new(slow) }
    }
}

impl Indicator for Ao {
    type Output = [Option<f64>; 1];

    fn columns(&self) -> Vec<String> {
        vec!["ao".into()]
    }

    fn next(&mut self, bar: &Bar) -> [Option<f64>; 1] {
        let middles = self.middles.push((bar.high + bar.low) / 2.0);
        [middles.map(|middles| mean(&middles[middles.len() - self.fast..]) - mean(middles))]
    }
}
