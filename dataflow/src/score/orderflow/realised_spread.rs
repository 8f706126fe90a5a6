//! What makers keep of the traded spread once the price has moved on: `50 - 50 tanh(2 imbalance) (T - 2A) / (|T| + 2|A|)`.

use serde::{Deserialize, Serialize};

use super::{basis_points, taken};
use crate::score::{
    component::{Component, Inputs, Reading},
    flows::SAME,
};

/// Against the takers' side while makers earn, with it while they lose.
#[derive(Clone, Serialize, Deserialize)]
pub struct RealisedSpread;

impl Component for RealisedSpread {
    const NAME: &'static str = "realised_spread";

    fn next(&mut self, inputs: Inputs<'_>) -> Option<Reading> {
        let moves = inputs.flow?.moves()?;
        let (traded, adverse) = (moves.traded_spread()?, moves.adverse()?);
        let (kept, all) = (traded - 2.0 * adverse, traded.abs() + 2.0 * adverse.abs());
        let imbalance = taken(&inputs)?.balance()?;
        let score = 50.0 - 50.0 * libm::tanh(2.0 * imbalance) * (kept / all);
        (SAME * inputs.bar.close < all).then(|| Reading { raw: basis_points(kept, &inputs), score })
    }
}
