//! How unsteady funding is: against rates that leap above their mean, the more the less steady they are.

use serde::{Deserialize, Serialize};

use super::funding;
use crate::{
    indicator::window::{sum, sum_by},
    score::{
        component::{Component, Inputs, Reading},
        window::{Recently, WINDOW},
    },
};

/// A deviation at which rates are half steady.
const UNSTEADY: f64 = 0.000_05;
/// Rates that deviate less do not move.
const STILL: f64 = 1e-12;

/// Raw: deviation of the last 20 rates (basis points of eight hours).
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct FundingVolatility {
    last: Recently,
}

impl Component for FundingVolatility {
    const NAME: &'static str = "funding_volatility";

    fn next(&mut self, inputs: Inputs<'_>) -> Option<Reading> {
        let last = self.last.push(funding(&inputs).map(|(_, comparable)| comparable))?;
        let n = WINDOW as f64;
        let mean = sum(last) / n;
        let deviation = (sum_by(last, |_, rate| (rate - mean) * (rate - mean)) / n).sqrt();
        let raw = 1e4 * deviation;
        if deviation <= STILL {
            return Some(Reading { raw, score: 50.0 });
        }
        let [before, middle, now] = [WINDOW - 19, WINDOW - 10, WINDOW - 1].map(|at| last[at]);
        let away = (now - mean) / deviation;
        let acceleration = (now - 2.0 * middle + before) / (deviation * 6.0_f64.sqrt());
        let steady = 1.0 / (1.0 + deviation / UNSTEADY);
        let leap = 0.6 * libm::tanh(away / 2.0) + 0.4 * libm::tanh(acceleration / 2.0);
        Some(Reading { raw, score: 50.0 - 50.0 * leap * (1.0 - steady) })
    }
}
