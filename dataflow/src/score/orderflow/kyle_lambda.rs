//! How far what takers buy less what they sell moves the price, against how far it moves anyhow: `squash(l D / (sigma sqrt(6)))`.
//!
//! Kyle (1985), "Continuous Auctions and Insider Trading".

use serde::{Deserialize, Serialize};

use super::{WINDOW, basis_points};
use crate::{
    flow::SLOTS,
    score::component::{Component, Inputs, Reading, squash},
};

/// Above 50 while takers buy and that moves the price.
#[derive(Clone, Serialize, Deserialize)]
pub struct KyleLambda;

impl Component for KyleLambda {
    const NAME: &'static str = "kyle_lambda";

    fn next(&mut self, inputs: Inputs<'_>) -> Option<Reading> {
        let flow = inputs.flow?;
        let moves = flow.moves()?;
        let (sigma, changes) = (moves.sigma()?, moves.changes());
        let first = changes.clone().next()?.0;
        if changes.clone().all(|(delta, _)| delta == first) {
            return None;
        }
        let n = changes.clone().count() as f64;
        let mean = |of: fn((f64, f64)) -> f64| changes.clone().map(of).sum::<f64>() / n;
        let (mean_delta, mean_change) = (mean(|(delta, _)| delta), mean(|(_, change)| change));
        let together = |(delta, change): (f64, f64)| (delta - mean_delta) * (change - mean_change);
        let alone = |(delta, _): (f64, f64)| (delta - mean_delta) * (delta - mean_delta);
        let lambda = changes.clone().map(together).sum::<f64>() / changes.map(alone).sum::<f64>();
        let usual = flow.last(WINDOW)?.map(|bar| bar.flow.whole.volume()).sum::<f64>() / WINDOW as f64;
        let moved = lambda * flow.now().whole.delta() / (sigma * (SLOTS as f64).sqrt());
        Some(Reading { raw: basis_points(lambda * usual, &inputs), score: squash(moved) })
    }
}
