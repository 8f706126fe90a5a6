//! Bought against sold over a sixth of the bar, the bar and five bars, by size and by number: `50 + 50 tanh(2x)`.

use serde::{Deserialize, Serialize};

use super::HORIZON;
use crate::{
    flow::Sides,
    score::{
        component::{Component, Inputs, Reading},
        window::{part, rel},
    },
};

/// Weights of the horizons, shortest first.
const WEIGHTS: [f64; 3] = [0.2, 0.3, 0.5];

/// Above 50 while takers buy.
#[derive(Clone, Serialize, Deserialize)]
pub struct FlowImbalance;

impl Component for FlowImbalance {
    const NAME: &'static str = "flow_imbalance";

    fn next(&mut self, inputs: Inputs<'_>) -> Option<Reading> {
        let flow = inputs.flow?;
        let newest = flow.now().slots.iter().rev().find(|slot| slot.is_active()).copied();
        let horizons = [newest, Some(flow.now().whole), flow.sum(HORIZON)];
        let over = |of: fn(&Sides) -> Option<f64>| part(WEIGHTS.into_iter().zip(horizons.map(|sides| of(&sides?))));
        let by_number = |sides: &Sides| rel(Some(sides.bought.n as f64), Some(sides.sold.n as f64));
        let raw = 0.7 * over(Sides::balance)? + 0.3 * over(by_number)?;
        Some(Reading { raw, score: 50.0 + 50.0 * libm::tanh(2.0 * raw) })
    }
}
