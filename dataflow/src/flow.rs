//! What takers bought and sold within a bar, as components read it.

use std::sync::{Arc, LazyLock};

use serde::{Deserialize, Serialize};

use crate::{bar::Number, footprint::Footprint, operator::shared};

/// Parts of a bar, of equal length.
pub const SLOTS: usize = 6;
/// Classes of worth: trades worth at least 1, 2, 4, .. quote, and above them none.
pub const CLASSES: u8 = 32;

/// Trades of one side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Side {
    /// Their number.
    pub n: u64,
    /// Their size (base).
    pub volume: f64,
    /// Their value (quote).
    pub turnover: f64,
}

/// Trades by who took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sides {
    /// Takers bought.
    pub bought: Side,
    /// Takers sold.
    pub sold: Side,
}

impl Side {
    /// None.
    pub const NONE: Side = Side { n: 0, volume: 0.0, turnover: 0.0 };
}

impl Sides {
    /// Whether there was a trade.
    pub fn is_active(&self) -> bool {
        0 < self.bought.n + self.sold.n
    }

    /// Size of all (base).
    pub fn volume(&self) -> f64 {
        self.bought.volume + self.sold.volume
    }

    /// Value of all (quote).
    pub fn turnover(&self) -> f64 {
        self.bought.turnover + self.sold.turnover
    }

    /// Size bought less size sold (base).
    pub fn delta(&self) -> f64 {
        self.bought.volume - self.sold.volume
    }

    /// The same over the size of all; none without a trade.
    pub fn balance(&self) -> Option<f64> {
        self.is_active().then(|| self.delta() / self.volume())
    }
}

/// Trades of one class of worth.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Class {
    /// They are worth at least 2 to this power, in quote, and less than twice as much; class 0 also less, the last also more.
    pub class: u8,
    /// Their number.
    pub n: u64,
    /// Value that takers bought less what they sold (quote).
    pub delta: f64,
}

/// What takers bought and sold within a bar.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Flow {
    /// In all of it.
    pub whole: Sides,
    /// In its slots, oldest first.
    pub slots: [Sides; SLOTS],
    /// By worth, smallest first; those that have a trade.
    pub classes: Box<[Class]>,
    /// The price around which most was traded, if anything was.
    pub poc: Number,
    /// By level of price; none of bars that are open or came from the store.
    pub footprint: Option<Footprint>,
}

impl Flow {
    /// That of a bar in which nobody traded.
    pub fn quiet() -> Arc<Flow> {
        static QUIET: LazyLock<Arc<Flow>> = LazyLock::new(Arc::default);
        QUIET.clone()
    }

    /// Bytes it takes where it is shared.
    pub(crate) fn bytes(&self) -> usize {
        shared::<Flow>() + size_of_val(&*self.classes) + self.footprint.as_ref().map_or(0, Footprint::bytes)
    }
}
