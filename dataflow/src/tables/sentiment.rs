//! Table `sentiment`.

use std::sync::Arc;

use prism_schemas::table::SENTIMENT;

use super::{
    column::Columns,
    leaf::{Common, Leaf},
};
use crate::{
    analyse::Analysed,
    positions::{Margins, Positions},
};

/// Hours of a year, as rates are annualised.
const YEAR: f64 = 8_760.0;

fn positions(row: &Analysed) -> Option<&Positions> {
    row.bar().positions.as_deref()
}

fn margins(row: &Analysed) -> Option<Margins> {
    positions(row)?.margins
}

/// The funding rate of so many hours.
fn funding(row: &Analysed, hours: f64) -> Option<f64> {
    let of = positions(row)?;
    Some(of.funding_rate.get()? * hours / of.funding_interval.get()?)
}

/// Whether a bar has a row.
pub(super) fn has(row: &Analysed) -> bool {
    positions(row).is_some_and(|of| {
        let is_told = [of.accounts, of.top_positions, of.funding_rate].into_iter().any(|of| of.get().is_some());
        is_told || of.margins.is_some()
    })
}

pub(super) fn leaf(common: &Common) -> Leaf<Arc<Analysed>> {
    let columns = Columns::<Arc<Analysed>>::new()
        .word("timeframe", |row| row.bar().timeframe.name())
        .float("long_short_ratio", |row| positions(row)?.accounts.get())
        .float("top_position_ratio", |row| positions(row)?.top_positions.get())
        .float("funding_rate", |row| positions(row)?.funding_rate.get())
        .float("funding_interval", |row| positions(row)?.funding_interval.get())
        .float("funding_hourly", |row| funding(row, 1.0))
        .float("funding_annual", |row| funding(row, YEAR))
        .float("leverage_max", |row| Some(margins(row)?.leverage))
        .float("initial_margin", |row| Some(margins(row)?.initial))
        .float("maintenance_margin", |row| Some(margins(row)?.maintenance));
    Leaf::new(&SENTIMENT, common, columns)
}
