//! What components that read more than indicators share: windows of bars that have a number, and parts of a whole.

use serde::{Deserialize, Serialize};

use crate::indicator::window::{Window, sum_by};

/// Bars of a window.
pub(super) const WINDOW: usize = 20;
/// After so many bars without the number its window begins anew.
pub(super) const MISSED_MAX: u8 = 50;

/// The last 20 bars that have a number, which lie close enough together.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Recently {
    window: Window,
    n_missed: u8,
}

impl Default for Recently {
    fn default() -> Recently {
        Recently { window: Window::new(WINDOW), n_missed: 0 }
    }
}

impl Recently {
    /// Takes the next bar's, and gives the last 20, oldest first, if it has one and there are as many.
    pub(super) fn push(&mut self, value: Option<f64>) -> Option<&[f64]> {
        self.n_missed = if value.is_some() { 0 } else { self.n_missed + 1 };
        if self.n_missed == MISSED_MAX {
            self.n_missed = 0;
            return self.window.push_or_reset(None);
        }
        self.window.push(value?)
    }

    /// Takes the next bar's, and gives it over its usual size: the root of the mean square of the last 20.
    pub(super) fn over_usual(&mut self, value: Option<f64>) -> Option<f64> {
        let (values, value) = (self.push(value)?, value?);
        let usual = (sum_by(values, |_, value| value * value) / values.len() as f64).sqrt();
        (usual != 0.0).then(|| value / usual)
    }
}

/// The weighted mean of those that are there.
pub(super) fn part(of: impl IntoIterator<Item = (f64, Option<f64>)>) -> Option<f64> {
    let there = of.into_iter().filter_map(|(weight, value)| Some((weight, value?)));
    let (weights, sum) =
        there.fold((0.0, 0.0), |(weights, sum), (weight, value)| (weights + weight, sum + weight * value));
    (0.0 < weights).then(|| sum / weights)
}

/// `(a - b) / (a + b)`.
pub(super) fn rel(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    let (a, b) = a.zip(b)?;
    (a + b != 0.0).then(|| (a - b) / (a + b))
}
