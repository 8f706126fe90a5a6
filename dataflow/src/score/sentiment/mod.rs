//! Sentiment: who is long, what that costs, who is forced out, and the mood that the market's own numbers show.

use crate::{
    positions::Positions,
    score::{
        component::{Columns, Inputs, MissingColumn, sign},
        profile::{Dimension, Weighted},
    },
};

mod funding_rate;
mod funding_volatility;
mod liquidations;
mod long_short_ratio;
mod market_mood;
mod risk;
#[cfg(test)]
mod tests;
mod volume_sentiment;

pub use funding_rate::FundingRate;
pub use funding_volatility::FundingVolatility;
pub use liquidations::Liquidations;
pub use long_short_ratio::LongShortRatio;
pub use market_mood::MarketMood;
pub use risk::Risk;
pub use volume_sentiment::VolumeSentiment;

/// Hours to which funding rates are compared, and the interval where none is told.
const HOURS: f64 = 8.0;

/// The dimension with its components and their weights.
pub fn dimension(weight: f64, columns: &Columns<'_>) -> Result<Dimension, MissingColumn> {
    let components = vec![
        Weighted { weight: 0.20, component: Box::new(LongShortRatio::default()) },
        Weighted { weight: 0.15, component: Box::new(FundingRate::default()) },
        Weighted { weight: 0.10, component: Box::new(FundingVolatility::default()) },
        Weighted { weight: 0.15, component: Box::new(Liquidations) },
        Weighted { weight: 0.10, component: Box::new(VolumeSentiment) },
        Weighted { weight: 0.15, component: Box::new(MarketMood::new(columns)?) },
        Weighted { weight: 0.15, component: Box::new(Risk::new(columns)?) },
    ];
    Ok(Dimension { name: "sentiment", weight, components })
}

/// What is known of positions at the bar's end.
fn positions<'a>(inputs: &Inputs<'a>) -> Option<&'a Positions> {
    inputs.bar.positions.as_deref()
}

/// The funding rate, and what it is over eight hours.
fn funding(inputs: &Inputs<'_>) -> Option<(f64, f64)> {
    let of = positions(inputs)?;
    let rate = of.funding_rate.get()?;
    Some((rate, rate * HOURS / of.funding_interval.get().unwrap_or(HOURS)))
}

/// With the crowd while it grows, -.5 and .5 at most, and against it beyond 1.
fn crowd(u: f64) -> f64 {
    if u.abs() <= 1.0 { 2.0 * u * (1.0 - u.abs()) } else { -sign(u) * libm::tanh(u.abs() - 1.0) }
}
