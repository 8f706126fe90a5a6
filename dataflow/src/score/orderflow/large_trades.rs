//! What takers bought and sold with trades of a size that is rare: `50 + 50 tanh(3x)`.

use serde::{Deserialize, Serialize};

use super::taken;
use crate::{
    flow::CLASSES,
    score::component::{Component, Inputs, Reading},
};

/// One trade of so many is large.
const ONE_OF: u64 = 20;

/// Above 50 while large trades buy.
#[derive(Clone, Serialize, Deserialize)]
pub struct LargeTrades;

impl Component for LargeTrades {
    const NAME: &'static str = "large_trades";

    fn next(&mut self, inputs: Inputs<'_>) -> Option<Reading> {
        let flow = inputs.flow?;
        let counts = flow.counts()?;
        let (all, mut n_above) = (counts.iter().sum::<u64>(), 0);
        let mut is_rare = |n: &u64| {
            n_above += n;
            ONE_OF * n_above <= all
        };
        let least = usize::from(CLASSES) - counts.iter().rev().take_while(|n| is_rare(n)).count();
        let whole = taken(&inputs)?.turnover();
        let large = flow.now().classes.iter().filter(|class| least <= usize::from(class.class));
        let raw = large.map(|class| class.delta).sum::<f64>() / whole;
        Some(Reading { raw, score: 50.0 + 50.0 * libm::tanh(3.0 * raw) })
    }
}
