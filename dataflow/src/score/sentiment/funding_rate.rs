//! Funding: with those who begin to pay for it, against those who pay a tenth of a percent in eight hours.

use serde::{Deserialize, Serialize};

use super::{crowd, funding};
use crate::score::{
    component::{Component, Inputs, Reading},
    window::{Recently, part},
};

/// A rate of eight hours from which on who pays it is at an extreme.
const EXTREME: f64 = 0.001;
/// A change of it that is fast within 20 bars.
const FAST: f64 = 0.000_2;

/// Raw: the rate of the next settlement (basis points).
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct FundingRate {
    last: Recently,
}

impl Component for FundingRate {
    const NAME: &'static str = "funding_rate";

    fn next(&mut self, inputs: Inputs<'_>) -> Option<Reading> {
        let of = funding(&inputs);
        let now = of.map(|(_, comparable)| comparable);
        let oldest = self.last.push(now).map(|last| last[0]);
        let (rate, comparable) = of?;
        let momentum = oldest.map(|oldest| libm::tanh((comparable - oldest) / FAST));
        let lean = part([(0.7, Some(crowd(comparable / EXTREME))), (0.3, momentum)])?;
        Some(Reading { raw: 1e4 * rate, score: 50.0 + 50.0 * lean })
    }
}
