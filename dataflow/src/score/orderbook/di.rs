//! Drift of the microprice from the bar's mean mid, in spreads, and depth imbalance: `50 + 25 (tanh(m/2) + tanh(2 imbalance_5))`.
//!
//! Microprice: Stoikov (2018), its first step.

use serde::{Deserialize, Serialize};

use crate::{
    book::Feature,
    score::component::{Component, Inputs, Reading},
};

const MICROPRICE: Feature = Feature::named("microprice");
const MID: Feature = Feature::named("mid_mean");
const SPREAD: Feature = Feature::named("spread_mean");
const IMBALANCE: Feature = Feature::named("imbalance_5");

/// Above 50 where the book has come to lean upwards.
#[derive(Clone, Serialize, Deserialize)]
pub struct Di;

impl Component for Di {
    const NAME: &'static str = "di";

    fn next(&mut self, inputs: Inputs<'_>) -> Option<Reading> {
        let raw = (inputs.book(MICROPRICE)? - inputs.book(MID)?) / inputs.book(SPREAD)?;
        let leaning = libm::tanh(raw / 2.0) + libm::tanh(2.0 * inputs.book(IMBALANCE)?);
        Some(Reading { raw, score: 50.0 + 25.0 * leaning })
    }
}
