//! Who waits near the price: depth of bids against asks up to 10, 50, 100 and 200 basis points, `50 + 50 tanh(2x) E (1 - K/2)`.

use serde::{Deserialize, Serialize};

use crate::{
    book::Feature,
    indicator::window::mean,
    score::{
        component::{Component, Inputs, Reading},
        window::{Recently, part, rel},
    },
};

/// Bids, asks and what they weigh, nearest first.
const DEPTHS: [(f64, Feature, Feature); 4] = [
    (0.4, Feature::named("bid_depth_10bp"), Feature::named("ask_depth_10bp")),
    (0.3, Feature::named("bid_depth_50bp"), Feature::named("ask_depth_50bp")),
    (0.2, Feature::named("bid_depth_100bp"), Feature::named("ask_depth_100bp")),
    (0.1, Feature::named("bid_depth_200bp"), Feature::named("ask_depth_200bp")),
];
const BEST: [Feature; 2] = [Feature::named("bid_depth_5"), Feature::named("ask_depth_5")];
const ALL: [Feature; 2] = [Feature::named("bid_depth_25"), Feature::named("ask_depth_25")];
const SPREAD: Feature = Feature::named("spread_mean");
const MID: Feature = Feature::named("mid_mean");

/// How near both sides are, against how near they mostly were: 1 or less.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(in crate::score) struct Efficiency {
    spreads: Recently,
}

impl Efficiency {
    /// Takes the next bar and gives its efficiency.
    pub(in crate::score) fn next(&mut self, inputs: &Inputs<'_>) -> Option<f64> {
        let spread = inputs.book(SPREAD).zip(inputs.book(MID)).map(|(spread, mid)| spread / mid);
        let spreads = self.spreads.push(spread)?;
        Some((mean(spreads) / spread?).min(1.0))
    }
}

/// Above 50 while more waits to buy than to sell; nearer to 50 where the spread is wide or a few levels hold most.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Liquidity {
    efficiency: Efficiency,
}

impl Component for Liquidity {
    const NAME: &'static str = "liquidity";

    fn next(&mut self, inputs: Inputs<'_>) -> Option<Reading> {
        let efficiency = self.efficiency.next(&inputs)?;
        let raw = part(DEPTHS.map(|(weight, bid, ask)| (weight, rel(inputs.book(bid), inputs.book(ask)))))?;
        let both = |sides: [Feature; 2]| Some(inputs.book(sides[0])? + inputs.book(sides[1])?);
        let concentration = both(BEST)? / both(ALL).filter(|size| *size != 0.0)?;
        let score = 50.0 + 50.0 * libm::tanh(2.0 * raw) * efficiency * (1.0 - concentration / 2.0);
        Some(Reading { raw, score })
    }
}
