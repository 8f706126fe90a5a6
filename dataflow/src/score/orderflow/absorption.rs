//! Takers whom the price does not follow, for much is held against them: `50 - 50 tanh(2x)`.

use serde::{Deserialize, Serialize};

use super::{WINDOW, taken};
use crate::score::component::{Component, Inputs, Reading, sign};

/// Turnover counts fully from so many times its mean on.
const TIMES: f64 = 2.0;
/// And from so much of quote on.
const QUOTE: f64 = 50_000.0;

/// Below 50 while buyers are absorbed, above while sellers are.
#[derive(Clone, Serialize, Deserialize)]
pub struct Absorption;

impl Component for Absorption {
    const NAME: &'static str = "absorption";

    fn next(&mut self, inputs: Inputs<'_>) -> Option<Reading> {
        let flow = inputs.flow?;
        let usual = flow.last(WINDOW)?.map(|bar| bar.flow.whole.turnover()).sum::<f64>() / WINDOW as f64;
        let whole = taken(&inputs)?;
        let (balance, turnover) = (whole.balance()?, whole.turnover());
        let moved = (inputs.bar.close - inputs.bar.open) / flow.moves()?.sigma_of_closes()? * sign(whole.delta());
        let held = (1.0 - moved).clamp(0.0, 1.0);
        let raw = balance * (turnover / (TIMES * usual)).min(1.0) * (turnover / QUOTE).min(1.0) * held;
        Some(Reading { raw, score: 50.0 - 50.0 * libm::tanh(2.0 * raw) })
    }
}
