//! What is known of the positions in a contract over a bar: what is open, what holding it costs, who was forced out.

use std::cmp::Ordering;

use prism_schemas::time::MINUTE;
use serde::{Deserialize, Serialize};

use crate::{bar::Number, flow::Side, operator::shared};

/// How long what a venue told of open interest or funding holds.
pub const HOLDS: i64 = 10 * MINUTE;
/// How long what it told of ratios, intervals and margins holds at most, which are asked for less often.
const HOLDS_LONGER: i64 = 30 * MINUTE;

/// How long that holds: live writers say it again as it was told, and what is older than the horizon changes nothing.
pub(crate) fn holds_longer(horizon: i64) -> i64 {
    horizon.clamp(HOLDS, HOLDS_LONGER)
}

/// Positions over a bar.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Positions {
    /// Open contracts at its end, counted once (base; of inverse contracts contracts).
    pub open_interest: Number,
    /// Their worth (quote).
    pub worth: Number,
    /// What longs pay shorts at the next settlement, as a share.
    pub funding_rate: Number,
    /// Hours between settlements.
    pub funding_interval: Number,
    /// Long over short accounts.
    pub accounts: Number,
    /// Long over short positions of top traders.
    pub top_positions: Number,
    /// What the venue's smallest tier asks for.
    pub margins: Option<Margins>,
    /// Forced orders within it, where there were any.
    pub forced: Option<Forced>,
}

/// What a tier of positions asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Margins {
    /// The greatest leverage.
    pub leverage: f64,
    /// To open a position, as a share of its value.
    pub initial: f64,
    /// Below which it is closed by force, as a share of its value.
    pub maintenance: f64,
}

impl Margins {
    /// Which of two told of one time counts.
    pub(crate) fn order(&self, other: &Margins) -> Ordering {
        let key = |of: &Margins| [of.leverage, of.initial, of.maintenance];
        let pairs = key(self).into_iter().zip(key(other));
        pairs.map(|(a, b)| a.total_cmp(&b)).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
    }
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
    /// Of which nothing is known.
    pub const NONE: Positions = Positions {
        open_interest: Number::ABSENT,
        worth: Number::ABSENT,
        funding_rate: Number::ABSENT,
        funding_interval: Number::ABSENT,
        accounts: Number::ABSENT,
        top_positions: Number::ABSENT,
        margins: None,
        forced: None,
    };

    /// Bytes it takes where it is shared.
    pub(crate) fn bytes() -> usize {
        shared::<Positions>()
    }
}
