//! A bar with indicators and component readings.

use std::sync::Arc;

use super::WINDOW_OF_INDICATORS;
use crate::{
    bar::{Bar, Quality},
    interval::Interval,
    score::{component::Reading, stakes::Stake},
    structure::Structured,
    values::Values,
};

/// A bar with all that its own series says about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Analysed {
    /// The bar, and what else was read of its interval.
    pub interval: Interval,
    /// Indicator values in the order of the kept columns, then raw value and score of each component in the order of the
    /// profile. Nothing for a gap bar, no readings outside the roles.
    pub(super) values: Values,
    pub(super) n_columns: u16,
    /// Bars between this one and the last hole before it; no more than the longest window.
    pub(super) unbroken: u8,
    /// What is made of positions in its contract.
    pub stake: Option<Arc<Stake>>,
}

impl Analysed {
    /// The bar.
    #[inline]
    pub fn bar(&self) -> &Arc<Bar> {
        &self.interval.bar
    }

    /// The row of a gap bar.
    pub(super) fn gap(interval: &Interval, unbroken: u8) -> Analysed {
        Analysed { interval: interval.clone(), values: Values::default(), n_columns: 0, unbroken, stake: None }
    }

    /// Takes in what the bar changed in the structure of its series.
    pub(super) fn tell(&mut self, structure: Option<Arc<Structured>>) {
        if structure.is_some() {
            Arc::make_mut(self.stake.get_or_insert_default()).structure = structure;
        }
    }

    /// What it changed in the structure of its series.
    pub fn structure(&self) -> Option<&Structured> {
        self.stake.as_ref()?.structure.as_deref()
    }

    /// Whether what is made of so many bars before this one reaches over a hole.
    pub fn reaches_over_hole(&self, window: u8) -> bool {
        self.unbroken < window
    }

    /// How sound its indicators are.
    pub fn quality(&self) -> Quality {
        match self.bar().quality {
            Quality::Ok if self.reaches_over_hole(WINDOW_OF_INDICATORS) => Quality::Partial,
            quality => quality,
        }
    }

    /// The value of a kept column.
    pub fn indicator(&self, column: usize) -> Option<f64> {
        if column < usize::from(self.n_columns) { self.values.get(column) } else { None }
    }

    /// The reading of a component.
    #[inline]
    pub fn reading(&self, number: usize) -> Option<Reading> {
        let at = usize::from(self.n_columns) + 2 * number;
        Some(Reading { raw: self.values.get(at)?, score: self.values.get(at + 1)? })
    }

    /// A row for tests: indicator values and no readings.
    #[cfg(test)]
    pub(crate) fn of(bar: Bar, indicators: &[f64]) -> Analysed {
        let n_columns = indicators.len() as u16;
        Analysed {
            interval: Arc::new(bar).into(),
            values: Values::new(indicators),
            n_columns,
            unbroken: WINDOW_OF_INDICATORS,
            stake: None,
        }
    }
}
