//! Order imbalance ratio of the best levels over time: `50 + 50 tanh(2r)`. Shen (2015), "Order Imbalance Based Strategy in
//! High Frequency Trading", 2.4.

use serde::{Deserialize, Serialize};

use crate::{
    book::Feature,
    score::component::{Component, Inputs, Reading},
};

const OVER_TIME: Feature = Feature::named("imbalance_mean");

/// Above 50 while the best bid was the larger one.
#[derive(Clone, Serialize, Deserialize)]
pub struct Oir;

impl Component for Oir {
    const NAME: &'static str = "oir";

    fn next(&mut self, inputs: Inputs<'_>) -> Option<Reading> {
        let raw = inputs.book(OVER_TIME)?;
        Some(Reading { raw, score: 50.0 + 50.0 * libm::tanh(2.0 * raw) })
    }
}
