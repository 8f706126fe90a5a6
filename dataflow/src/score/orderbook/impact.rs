//! What buying costs against selling the same: `50 + 50 tanh(2x)`, x the asymmetry of slippage at 1k, 10k, 100k and 1m quote.

use serde::{Deserialize, Serialize};

use crate::{
    book::Feature,
    score::{
        component::{Component, Inputs, Reading},
        window::{part, rel},
    },
};

/// Buying, selling and what they weigh.
const SLIPPAGES: [(f64, Feature, Feature); 4] = [
    (0.1, Feature::named("slippage_buy_1k"), Feature::named("slippage_sell_1k")),
    (0.2, Feature::named("slippage_buy_10k"), Feature::named("slippage_sell_10k")),
    (0.3, Feature::named("slippage_buy_100k"), Feature::named("slippage_sell_100k")),
    (0.4, Feature::named("slippage_buy_1m"), Feature::named("slippage_sell_1m")),
];

/// Above 50 where buying moves the price further than selling.
#[derive(Clone, Serialize, Deserialize)]
pub struct Impact;

impl Component for Impact {
    const NAME: &'static str = "impact";

    fn next(&mut self, inputs: Inputs<'_>) -> Option<Reading> {
        let raw = part(SLIPPAGES.map(|(weight, buy, sell)| (weight, rel(inputs.book(buy), inputs.book(sell)))))?;
        Some(Reading { raw, score: 50.0 + 50.0 * libm::tanh(2.0 * raw) })
    }
}
