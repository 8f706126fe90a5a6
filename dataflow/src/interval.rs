//! An interval of an instrument: its bar, and what else was there, as components read them.

use std::sync::Arc;

use crate::{bar::Bar, book::Depth};

/// A bar with what else is known of its interval.
#[derive(Clone, Debug, PartialEq)]
pub struct Interval {
    /// The bar.
    pub bar: Arc<Bar>,
    /// The order book over a bar of a role, where it was sound.
    pub depth: Option<Arc<Depth>>,
}

impl From<Arc<Bar>> for Interval {
    fn from(bar: Arc<Bar>) -> Interval {
        Interval { bar, depth: None }
    }
}
