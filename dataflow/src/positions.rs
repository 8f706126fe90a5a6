//! What is known of the positions in a contract over a bar: what is open, what holding it costs, who was forced out.

use serde::{Deserialize, Serialize};

use crate::{bar::Number, flow::Side, operator::shared};

/// How long what a venue told of open interest or funding holds.
pub const HOLDS: i64 = 10 * prism_schemas::time::MINUTE;

/// Positions over a bar.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Positions {
    /// Open contracts at its end, counted once (base; of inverse contracts contracts).
    pub open_interest: Number,
    /// Their worth (quote).
    pub worth: Number,
    /// What longs pay shorts at the next settlement, as a share.
    pub funding_rate: Number,
    /// Forced orders within it, where there were any.
    pub forced: Option<Forced>,
}

/// Forced orders of a bar.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Forced {
    /// Sales, which close longs.
    pub longs: Side,
    /// Purchases, which close shorts.
    pub shorts: Side,
    /// Worth of the largest (quote).
    pub largest: f64,
    /// Whether the venue tells each of them; else these are lower bounds.
    pub is_all: bool,
}

impl Forced {
    /// None so far.
    pub const NONE: Forced = Forced { longs: Side::NONE, shorts: Side::NONE, largest: 0.0, is_all: true };

    /// Worth of all (quote).
    pub fn worth(&self) -> f64 {
        self.longs.turnover + self.shorts.turnover
    }

    /// Worth of longs less that of shorts over both; none without an order.
    pub fn imbalance(&self) -> Option<f64> {
        (0.0 < self.worth()).then(|| (self.longs.turnover - self.shorts.turnover) / self.worth())
    }
}

impl Positions {
    /// Bytes it takes where it is shared.
    pub(crate) fn bytes() -> usize {
        shared::<Positions>()
    }
}
