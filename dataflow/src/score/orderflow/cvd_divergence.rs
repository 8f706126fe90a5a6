//! What takers do against what the price does, each over what is usual: `50 + 25 (f - p)`.

use serde::{Deserialize, Serialize};

use super::{HORIZON, WINDOW};
use crate::score::component::{Component, Inputs, Reading};

/// Above 50 while takers buy more than the price tells.
#[derive(Clone, Serialize, Deserialize)]
pub struct CvdDivergence;

impl Component for CvdDivergence {
    const NAME: &'static str = "cvd_divergence";

    fn next(&mut self, inputs: Inputs<'_>) -> Option<Reading> {
        let flow = inputs.flow?;
        let deltas = |n: usize| Some(flow.last(n)?.map(|bar| bar.flow.whole.delta()));
        let squares: f64 = deltas(WINDOW)?.map(|delta| delta * delta).sum();
        let usual = (squares / WINDOW as f64).sqrt();
        let before = flow.last(HORIZON + 1)?.next()?.close;
        let root = (HORIZON as f64).sqrt();
        let taken = deltas(HORIZON)?.sum::<f64>() / (Some(usual).filter(|usual| *usual != 0.0)? * root);
        let moved = (inputs.bar.close - before) / (flow.moves()?.sigma_of_closes()? * root);
        let raw = libm::tanh(taken) - libm::tanh(moved);
        Some(Reading { raw, score: 50.0 + 25.0 * raw })
    }
}
