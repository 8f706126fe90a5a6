//! Open interest: whether positions are built up with the price or given up, by whom, and who pays for it.

use serde::{Deserialize, Serialize};

use crate::score::component::{Component, Inputs, Reading};

/// Raw: change over 5 bars (percent). Score: regime, divergence, structure and crowding as METHODS.md weighs them.
#[derive(Clone, Serialize, Deserialize)]
pub struct OpenInterest;

impl Component for OpenInterest {
    const NAME: &'static str = "open_interest";

    fn next(&mut self, inputs: Inputs<'_>) -> Option<Reading> {
        let open = inputs.stake?.open_interest.as_ref()?;
        Some(Reading { raw: open.changes[1]?, score: 50.0 + 50.0 * open.lean()? })
    }
}
