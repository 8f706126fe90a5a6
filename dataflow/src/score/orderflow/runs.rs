//! Slots in a row in which the same side took more: `squash(x)`, x the sum of their imbalances.

use serde::{Deserialize, Serialize};

use super::HORIZON;
use crate::score::component::{Component, Inputs, Reading, sign, squash};

/// The further from 50 the longer one side goes on taking.
#[derive(Clone, Serialize, Deserialize)]
pub struct Runs;

impl Component for Runs {
    const NAME: &'static str = "runs";

    fn next(&mut self, inputs: Inputs<'_>) -> Option<Reading> {
        let newest_first = inputs.flow?.slots(HORIZON)?.rev().filter_map(|slot| slot.balance());
        let side = sign(newest_first.clone().next()?);
        let raw = match side {
            0.0 => 0.0,
            side => newest_first.take_while(|balance| sign(*balance) == side).sum(),
        };
        Some(Reading { raw, score: squash(raw) })
    }
}
