//! Bids against asks of the best levels, by distance and over time, and how unusual that is: `50 + 50 (.7 tanh(2x) + .3 tanh(z/2))`.
//!
//! z: hftbacktest, "Market Making with Alpha - Order Book Imbalance".

use serde::{Deserialize, Serialize};

use crate::{
    book::Feature,
    indicator::window::{constant, deviation, mean},
    score::{
        component::{Component, Inputs, Reading},
        window::{Recently, part},
    },
};

const LEVELS: [(f64, Feature); 4] = [
    (0.1, Feature::named("imbalance_1")),
    (0.2, Feature::named("imbalance_5")),
    (0.3, IMBALANCE_10),
    (0.4, Feature::named("imbalance_25")),
];
const IMBALANCE_10: Feature = Feature::named("imbalance_10");
const WEIGHTED: Feature = Feature::named("imbalance_weighted");
const OVER_TIME: Feature = Feature::named("imbalance_mean");

/// Above 50 while bids outweigh asks, more so than before.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Imbalance {
    values: Recently,
}

impl Component for Imbalance {
    const NAME: &'static str = "imbalance";

    fn next(&mut self, inputs: Inputs<'_>) -> Option<Reading> {
        let now = inputs.book(IMBALANCE_10);
        let (values, now) = (self.values.push(now)?, now?);
        if constant(values, &[]) {
            return None;
        }
        let usual = mean(values);
        let z = (now - usual) / deviation(values, usual);
        let levels = part(LEVELS.map(|(weight, level)| (weight, inputs.book(level))))?;
        let raw = 0.35 * levels + 0.35 * inputs.book(WEIGHTED)? + 0.3 * inputs.book(OVER_TIME)?;
        let score = 50.0 + 50.0 * (0.7 * libm::tanh(2.0 * raw) + 0.3 * libm::tanh(z / 2.0));
        Some(Reading { raw, score })
    }
}
