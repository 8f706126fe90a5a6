//! Forced orders: against those who are being forced out, with them once it is over.

use serde::{Deserialize, Serialize};

use crate::score::component::{Component, Inputs, Reading};

/// Raw: longs less shorts forced out lately over both, -1..1.
#[derive(Clone, Serialize, Deserialize)]
pub struct Liquidations;

impl Component for Liquidations {
    const NAME: &'static str = "liquidations";

    fn next(&mut self, inputs: Inputs<'_>) -> Option<Reading> {
        let of = inputs.stake?.liquidations.as_ref()?;
        let raw = of.weighted_imbalance?;
        let lean = 0.6 * of.reversal_potential / 100.0 - 0.4 * raw * libm::tanh(of.over_mean);
        Some(Reading { raw, score: 50.0 + 50.0 * lean })
    }
}
