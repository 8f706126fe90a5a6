//! Order-flow imbalance over depth, against its usual size: `squash(x / root mean square of the last 20)`. Cont, Kukanov,
//! Stoikov (2014), "The Price Impact of Order Book Events": impact goes with 1 / depth.

use serde::{Deserialize, Serialize};

use super::WINDOW;
use crate::{
    book::Feature,
    indicator::window::{Window, sum_by},
    score::component::{Component, Inputs, Reading, squash},
};

const FLOW: Feature = Feature::named("ofi");
const DEPTH: [Feature; 2] = [Feature::named("bid_depth_5"), Feature::named("ask_depth_5")];

/// Above 50 while more came to the best bid than to the best ask. Told, and counted nowhere: its weight is 0.
#[derive(Clone, Serialize, Deserialize)]
pub struct Ofi {
    flows: Window,
}

impl Ofi {
    /// Over 20 flows.
    pub fn new() -> Ofi {
        Ofi { flows: Window::new(WINDOW) }
    }
}

impl Default for Ofi {
    fn default() -> Ofi {
        Ofi::new()
    }
}

impl Component for Ofi {
    const NAME: &'static str = "ofi";

    fn next(&mut self, inputs: Inputs<'_>) -> Option<Reading> {
        let depth = (inputs.book(DEPTH[0])? + inputs.book(DEPTH[1])?) / 2.0;
        let raw = Some(inputs.book(FLOW)? / depth).filter(|_| depth != 0.0)?;
        let flows = self.flows.push(raw)?;
        let usual = (sum_by(flows, |_, flow| flow * flow) / flows.len() as f64).sqrt();
        (usual != 0.0).then(|| Reading { raw, score: squash(raw / usual) })
    }
}
