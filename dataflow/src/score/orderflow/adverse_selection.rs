//! What makers lose since the price goes on with takers: `50 + 50 tanh(2 imbalance) tanh(2A / sigma)`.
//!
//! Huang, Stoll (1996), "Dealer versus Auction Markets".

use serde::{Deserialize, Serialize};

use super::{basis_points, taken};
use crate::score::component::{Component, Inputs, Reading};

/// With the takers' side while the price goes on with them, against it while it comes back.
#[derive(Clone, Serialize, Deserialize)]
pub struct AdverseSelection;

impl Component for AdverseSelection {
    const NAME: &'static str = "adverse_selection";

    fn next(&mut self, inputs: Inputs<'_>) -> Option<Reading> {
        let moves = inputs.flow?.moves()?;
        let lost = 2.0 * moves.adverse()?;
        let imbalance = taken(&inputs)?.balance()?;
        let score = 50.0 + 50.0 * libm::tanh(2.0 * imbalance) * libm::tanh(lost / moves.sigma()?);
        Some(Reading { raw: basis_points(lost, &inputs), score })
    }
}
