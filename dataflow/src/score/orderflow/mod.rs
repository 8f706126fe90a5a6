//! Order flow: who takes how eagerly, what it does to the price, and whether makers stand their ground.

use crate::{
    flow::Sides,
    score::{
        component::Inputs,
        profile::{Dimension, Weighted},
        window::WINDOW,
    },
};

mod absorption;
mod adverse_selection;
mod cvd_divergence;
mod cvd_slope;
mod effective_spread;
mod flow_imbalance;
mod kyle_lambda;
mod large_trades;
mod open_interest;
mod quote_refresh;
mod realised_spread;
mod runs;
mod vpin;

#[cfg(test)]
mod tests;

pub use absorption::Absorption;
pub use adverse_selection::AdverseSelection;
pub use cvd_divergence::CvdDivergence;
pub use cvd_slope::CvdSlope;
pub use effective_spread::EffectiveSpread;
pub use flow_imbalance::FlowImbalance;
pub use kyle_lambda::KyleLambda;
pub use large_trades::LargeTrades;
pub use open_interest::OpenInterest;
pub use quote_refresh::QuoteRefresh;
pub use realised_spread::RealisedSpread;
pub use runs::Runs;
pub use vpin::Vpin;

/// Bars that make the longest of the horizons in which takers are counted.
const HORIZON: usize = 5;

/// The dimension with its components and their weights.
pub fn dimension(weight: f64) -> Dimension {
    let components = vec![
        Weighted { weight: 0.14, component: Box::new(FlowImbalance) },
        Weighted { weight: 0.08, component: Box::new(CvdSlope) },
        Weighted { weight: 0.05, component: Box::new(CvdDivergence) },
        Weighted { weight: 0.04, component: Box::new(Runs) },
        Weighted { weight: 0.05, component: Box::new(LargeTrades) },
        Weighted { weight: 0.08, component: Box::new(Absorption) },
        Weighted { weight: 0.07, component: Box::new(QuoteRefresh::default()) },
        Weighted { weight: 0.06, component: Box::new(EffectiveSpread::default()) },
        Weighted { weight: 0.06, component: Box::new(RealisedSpread) },
        Weighted { weight: 0.11, component: Box::new(Vpin) },
        Weighted { weight: 0.08, component: Box::new(KyleLambda) },
        Weighted { weight: 0.08, component: Box::new(AdverseSelection) },
        Weighted { weight: 0.10, component: Box::new(OpenInterest) },
    ];
    Dimension { name: "orderflow", weight, components }
}

/// What takers bought and sold in the bar, where there was a trade.
fn taken<'a>(inputs: &Inputs<'a>) -> Option<&'a Sides> {
    Some(&inputs.flow?.now().whole).filter(|whole| whole.is_active())
}

/// `10^4 x / C`.
fn basis_points(x: f64, inputs: &Inputs<'_>) -> f64 {
    1e4 * x / inputs.bar.close
}
