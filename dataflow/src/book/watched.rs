//! What books read of a base bar.

use std::sync::Arc;

use prism_schemas::decimal::POW10;

use super::{resting::Resting, sample::Inverse, walls::Wall};
use crate::{
    bar::{Bar, Number, Quality, Source},
    flow::Flow,
};

/// A base bar: how well its interval was watched, and what takers took.
#[derive(Clone, Debug)]
pub(super) struct Watched {
    pub(super) quality: Quality,
    pub(super) flow: Option<Arc<Flow>>,
}

impl Watched {
    /// Of each wall, how much of what it lost takers took at most.
    pub(super) fn taken(&self, resting: &Resting, inverse: Option<Inverse>) -> Box<[Number]> {
        let (price_decimals, size_decimals) = resting.decimals;
        let size_unit = POW10[size_decimals as usize] as f64;
        let taken = |wall: &Wall| {
            let (lost, flow) = (wall.lost()? as f64 / size_unit, self.flow.as_ref()?);
            let side = usize::from(!wall.is_ask);
            let taken = flow.footprint.as_ref().map(|levels| levels.at(wall.price, price_decimals, side));
            let (base, end) = taken.unwrap_or_default();
            let size = match inverse {
                None => base,
                // No less than the contracts that were traded below the level's end.
                Some(contract) => base * end / contract?,
            };
            Some(size.min(lost))
        };
        resting.walls.iter().map(|wall| taken(wall).into()).collect()
    }
}

impl From<&Bar> for Watched {
    fn from(bar: &Bar) -> Watched {
        let quality = match (bar.quality, bar.source) {
            // Trades were not watched all the time.
            (Quality::Ok, Source::Venue) => Quality::Partial,
            (quality, _) => quality,
        };
        Watched { quality, flow: bar.flow.clone() }
    }
}
