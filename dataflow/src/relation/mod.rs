//! Relations: each symbol's returns against its benchmark's.

mod pair;
mod regression;
mod returns;

use prism_schemas::Ts;

use crate::{bar::Bar, operator::Misplaced, registry::Registry, settings::Settings, types::Rows};

pub use regression::{Regression, regress};

/// Alpha, beta and correlation of a symbol at a close.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Relation {
    /// Dense number of the instrument.
    pub instrument: u32,
    /// Start of the bar.
    pub start: Ts,
    /// End of the bar.
    pub end: Ts,
    /// The regression over the window.
    pub regression: Regression,
}

/// Relations at every base close with a full window of pairs.
pub fn relations<'s>(
    bars: Rows<'s, Bar>,
    settings: &Settings,
    registry: Registry,
    misplaced: &Misplaced,
) -> Rows<'s, Relation> {
    let returns = returns::returns(bars, settings, misplaced);
    let pairs = pair::pairs(returns, settings, registry, misplaced);
    regression::rolling(pairs, settings, misplaced)
}
