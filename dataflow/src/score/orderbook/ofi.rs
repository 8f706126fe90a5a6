//! Order-flow imbalance over depth, against its usual size: `squash(x / root mean square of the last 20)`. Cont, Kukanov,
//! Stoikov (2014), "The Price Impact of Order Book Events": impact goes with 1 / depth.

use serde::{Deserialize, Serialize};

use crate::{
    book::Feature,
    score::{
        component::{Component, Inputs, Reading, squash},
        window::Recently,
    },
};

const FLOW: Feature = Feature::named("ofi");
const DEPTH: [Feature; 2] = [Feature::named("bid_depth_5"), Feature::named("ask_depth_5")];

/// Above 50 while more came to the best bid than to the best ask. Told, and counted nowhere: its weight is 0.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Ofi {
    flows: Recently,
}

impl Component for Ofi {
    const NAME: &'static str = "ofi";

    fn next(&mut self, inputs: Inputs<'_>) -> Option<Reading> {
        let depth = inputs.book(DEPTH[0]).zip(inputs.book(DEPTH[1])).map(|(bids, asks)| (bids + asks) / 2.0);
        let raw = inputs.book(FLOW).zip(depth.filter(|depth| *depth != 0.0)).map(|(flow, depth)| flow / depth);
        let score = squash(self.flows.over_usual(raw)?);
        Some(Reading { raw: raw?, score })
    }
}
