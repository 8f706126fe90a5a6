//! Volume-synchronised probability of informed trading, in the direction that takers have: `50 + 50 tanh(3 vpin imbalance)`.
//!
//! Easley, Lopez de Prado, O'Hara (2012), "Flow Toxicity and Liquidity in a High-Frequency World"; the side is the true one.

use serde::{Deserialize, Serialize};

use super::{HORIZON, WINDOW};
use crate::score::component::{Component, Inputs, Reading};

/// Buckets of equal volume that the slots of the last 20 bars are cut into.
const BUCKETS: usize = 30;

/// Away from 50 towards the takers' side, the more one-sided each bucket is.
#[derive(Clone, Serialize, Deserialize)]
pub struct Vpin;

impl Component for Vpin {
    const NAME: &'static str = "vpin";

    fn next(&mut self, inputs: Inputs<'_>) -> Option<Reading> {
        let flow = inputs.flow?;
        let slots = flow.slots(WINDOW)?.filter(|slot| slot.is_active());
        let all: f64 = slots.clone().map(|slot| slot.volume()).sum();
        let bucket = all / BUCKETS as f64;
        let (mut deltas, mut at, mut room) = ([0.0; BUCKETS], 0, bucket);
        for slot in slots {
            let (volume, delta) = (slot.volume(), slot.delta());
            let mut left = volume;
            while room < left && at + 1 < BUCKETS {
                deltas[at] += delta * (room / volume);
                left -= room;
                (at, room) = (at + 1, bucket);
            }
            deltas[at] += delta * (left / volume);
            room -= left;
        }
        let raw = deltas.iter().map(|delta: &f64| delta.abs()).sum::<f64>() / all;
        let imbalance = flow.sum(HORIZON)?.balance()?;
        Some(Reading { raw, score: 50.0 + 50.0 * libm::tanh(3.0 * raw * imbalance) })
    }
}
