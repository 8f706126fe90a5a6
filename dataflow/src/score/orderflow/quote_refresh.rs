//! What makers did at the best prices beside being taken, against its usual size: `squash(y / root mean square of the last 20)`.

use serde::{Deserialize, Serialize};

use super::taken;
use crate::{
    book::Feature,
    score::{
        component::{Component, Inputs, Reading, squash},
        window::Recently,
    },
};

const FLOW: Feature = Feature::named("ofi");

/// Above 50 while bids are renewed and asks withdrawn.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct QuoteRefresh {
    values: Recently,
}

impl Component for QuoteRefresh {
    const NAME: &'static str = "quote_refresh";

    fn next(&mut self, inputs: Inputs<'_>) -> Option<Reading> {
        let beside = || {
            let whole = taken(&inputs)?;
            let flow = inputs.depth?.value(inputs.book(FLOW)?)?;
            Some((flow - (whole.bought.turnover - whole.sold.turnover)) / whole.turnover())
        };
        let raw = beside();
        let score = squash(self.values.over_usual(raw)?);
        Some(Reading { raw: raw?, score })
    }
}
