//! Takers over 20 bars, by size and by number, and what they did to the price: `50 + 50 tanh(2x)`.

use serde::{Deserialize, Serialize};

use crate::score::{
    component::{Component, Inputs, Reading},
    window::{WINDOW, part, rel},
};

/// Raw: bought over sold volume.
#[derive(Clone, Serialize, Deserialize)]
pub struct VolumeSentiment;

impl Component for VolumeSentiment {
    const NAME: &'static str = "volume_sentiment";

    fn next(&mut self, inputs: Inputs<'_>) -> Option<Reading> {
        let flow = inputs.flow?;
        let sum = flow.sum(WINDOW)?;
        let (bought, sold) = (sum.bought.volume, sum.sold.volume);
        let moved = inputs.bar.close - flow.last(WINDOW)?.next()?.close;
        let usual = flow.moves()?.sigma_of_closes();
        let impact = usual.map(|usual| libm::tanh(moved / (usual * ((WINDOW - 1) as f64).sqrt())));
        let by_number = rel(Some(sum.bought.n as f64), Some(sum.sold.n as f64));
        let lean = part([(0.4, rel(Some(bought), Some(sold))), (0.4, by_number), (0.2, impact)])?;
        (0.0 < sold).then(|| Reading { raw: bought / sold, score: 50.0 + 50.0 * libm::tanh(2.0 * lean) })
    }
}
