//! What takers pay to buy more than they get where they sell, and whether makers keep their quotes as near as ever:
//! `50 + 50 tanh(2 imbalance) (1 - E)`.

use serde::{Deserialize, Serialize};

use super::{basis_points, taken};
use crate::score::{
    component::{Component, Inputs, Reading},
    orderbook::Efficiency,
};

/// Away from 50 towards the takers' side, the more the quoted spread has widened.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct EffectiveSpread {
    efficiency: Efficiency,
}

impl Component for EffectiveSpread {
    const NAME: &'static str = "effective_spread";

    fn next(&mut self, inputs: Inputs<'_>) -> Option<Reading> {
        let efficiency = self.efficiency.next(&inputs)?;
        let raw = basis_points(inputs.flow?.moves()?.traded_spread()?, &inputs);
        let imbalance = taken(&inputs)?.balance()?;
        Some(Reading { raw, score: 50.0 + 50.0 * libm::tanh(2.0 * imbalance) * (1.0 - efficiency) })
    }
}
