//! Whether what takers bought less what they sold rises: `squash(3 r)`, r its correlation with time.

use serde::{Deserialize, Serialize};

use super::HORIZON;
use crate::{
    flow::SLOTS,
    indicator::window::correlation,
    score::component::{Component, Inputs, Reading, squash},
};

/// Above 50 while the running sum rises, slot by slot.
#[derive(Clone, Serialize, Deserialize)]
pub struct CvdSlope;

impl Component for CvdSlope {
    const NAME: &'static str = "cvd_slope";

    fn next(&mut self, inputs: Inputs<'_>) -> Option<Reading> {
        let (mut sums, mut sum) = ([0.0; HORIZON * SLOTS], 0.0);
        for (at, slot) in inputs.flow?.slots(HORIZON)?.enumerate() {
            sum += slot.delta();
            sums[at] = sum;
        }
        let times: [f64; HORIZON * SLOTS] = std::array::from_fn(|at| at as f64);
        let raw = correlation(&sums, &times)?;
        Some(Reading { raw, score: squash(3.0 * raw) })
    }
}
