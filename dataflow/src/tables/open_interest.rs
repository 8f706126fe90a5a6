//! Table `open_interest_analysis`.

use std::sync::Arc;

use prism_schemas::table::OPEN_INTEREST_ANALYSIS;

use super::{
    column::Columns,
    leaf::{Common, Leaf},
};
use crate::{analyse::Analysed, positions::Positions, score::stakes::OpenInterest};

fn read(row: &Analysed) -> Option<&OpenInterest> {
    row.stake.as_ref()?.open_interest.as_ref()
}

fn positions(row: &Analysed) -> Option<&Positions> {
    row.bar().positions.as_deref()
}

/// Whether a bar has a row.
pub(super) fn has(row: &Analysed) -> bool {
    read(row).is_some()
}

pub(super) fn leaf(common: &Common) -> Leaf<Arc<Analysed>> {
    let regime = |row: &Arc<Analysed>| read(row).and_then(|read| read.regime).map_or("", |(_, word)| word);
    let columns = Columns::<Arc<Analysed>>::new()
        .word("timeframe", |row| row.bar().timeframe.name())
        .float("open_interest", |row| positions(row)?.open_interest.get())
        .float("open_interest_value", |row| positions(row)?.worth.get())
        .float("funding_rate", |row| positions(row)?.funding_rate.get())
        .float("change_1", |row| read(row)?.changes[0])
        .float("change_5", |row| read(row)?.changes[1])
        .float("change_19", |row| read(row)?.changes[2])
        .word("regime", regime)
        .float("regime_strength", |row| Some(read(row)?.regime?.0))
        .float("divergence", |row| read(row)?.divergence)
        .float("structure", |row| read(row)?.structure)
        .float("crowding", |row| read(row)?.crowding)
        .float("concentration", |row| read(row)?.concentration);
    Leaf::new(&OPEN_INTEREST_ANALYSIS, common, columns)
}
