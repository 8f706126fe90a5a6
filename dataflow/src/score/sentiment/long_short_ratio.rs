//! Accounts and top traders' positions: with a crowd that grows, against one of three quarters; with top traders.

use serde::{Deserialize, Serialize};

use super::{crowd, positions};
use crate::{
    indicator::window::sum_by,
    score::{
        component::{Component, Inputs, Reading},
        window::{Recently, WINDOW, part},
    },
};

/// Logarithms whose usual change is less than this do not move.
const STILL: f64 = 1e-12;

/// Raw: long over short accounts.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct LongShortRatio {
    last: Recently,
}

impl Component for LongShortRatio {
    const NAME: &'static str = "long_short_ratio";

    fn next(&mut self, inputs: Inputs<'_>) -> Option<Reading> {
        let of = positions(&inputs);
        let accounts = of.and_then(|of| of.accounts.get());
        let now = accounts.map(libm::log);
        let persistence = self.last.push(now).and_then(|last| {
            let n = (WINDOW - 1) as f64;
            let squares = sum_by(&last[1..], |i, next| (next - last[i]) * (next - last[i]));
            let usual = Some((squares / n).sqrt()).filter(|usual| STILL < *usual)?;
            Some(libm::tanh((last[WINDOW - 1] - last[0]) / (usual * n.sqrt())))
        });
        let (raw, now) = accounts.zip(now)?;
        let top = of?.top_positions.get().map(|ratio| libm::tanh(libm::log(ratio)));
        let lean = part([(0.5, Some(crowd(now / libm::log(3.0)))), (0.3, top), (0.2, persistence)])?;
        Some(Reading { raw, score: 50.0 + 50.0 * lean })
    }
}
