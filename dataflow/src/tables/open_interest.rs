//! Table `open_interest_analysis`.

use std::sync::Arc;

use prism_schemas::{Ts, table::OPEN_INTEREST_ANALYSIS};

use super::{
    column::Columns,
    leaf::{Common, Leaf, Row},
};
use crate::{analyse::Analysed, positions::Positions, score::stakes::OpenInterest};

/// A bar as a row of what is open.
pub(super) struct Open(Arc<Analysed>);

impl From<Arc<Analysed>> for Open {
    fn from(row: Arc<Analysed>) -> Open {
        Open(row)
    }
}

impl Row for Open {
    fn instrument(&self) -> u32 {
        self.0.bar().instrument
    }

    fn span(&self) -> (Ts, Ts) {
        (self.0.bar().start, self.0.bar().end)
    }

    fn slot(&self) -> u32 {
        self.0.bar().timeframe as u32
    }

    fn is_absent(&self) -> bool {
        self.read().is_none()
    }
}

impl Open {
    fn read(&self) -> Option<&OpenInterest> {
        self.0.stake.as_ref()?.open_interest.as_ref()
    }

    fn positions(&self) -> Option<&Positions> {
        self.0.bar().positions.as_deref()
    }
}

pub(super) fn leaf(common: &Common) -> Leaf<Open> {
    let regime = |row: &Open| row.read().and_then(|read| read.regime).map_or("", |(_, word)| word);
    let columns = Columns::<Open>::new()
        .word("timeframe", |row| row.0.bar().timeframe.name())
        .float("open_interest", |row| row.positions()?.open_interest.get())
        .float("open_interest_value", |row| row.positions()?.worth.get())
        .float("funding_rate", |row| row.positions()?.funding_rate.get())
        .float("change_1", |row| row.read()?.changes[0])
        .float("change_5", |row| row.read()?.changes[1])
        .float("change_19", |row| row.read()?.changes[2])
        .word("regime", regime)
        .float("regime_strength", |row| Some(row.read()?.regime?.0))
        .float("divergence", |row| row.read()?.divergence)
        .float("structure", |row| row.read()?.structure)
        .float("crowding", |row| row.read()?.crowding)
        .float("concentration", |row| row.read()?.concentration);
    Leaf::new(&OPEN_INTEREST_ANALYSIS, common, columns)
}
