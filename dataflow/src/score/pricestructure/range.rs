//! Range: back to its middle from within, on with what leaves it, and against what left it and came back.

use serde::{Deserialize, Serialize};

use super::{Unit, reading};
use crate::score::component::{Component, Inputs, Reading};

/// Absent while there are not 20 bars before.
#[derive(Clone, Serialize, Deserialize)]
pub struct Range {
    unit: Unit,
}

impl Range {
    /// Measures in this unit.
    pub fn new(unit: Unit) -> Range {
        Range { unit }
    }
}

impl Component for Range {
    const NAME: &'static str = "range";

    fn next(&mut self, inputs: Inputs<'_>) -> Option<Reading> {
        let (structure, unit) = self.unit.of(inputs)?;
        let (range, bar) = (structure.range()?, inputs.bar);
        let share = |beyond: f64| (beyond / unit).clamp(0.0, 1.0);
        let place = 2.0 * (bar.close - range.bottom) / (range.top - range.bottom) - 1.0;
        let back = if place.abs() <= 1.0 { -4.0 * place * (1.0 - place.abs()) } else { 0.0 };
        let left = share(bar.close - range.top) - share(range.bottom - bar.close);
        let returned = (share(range.bottom - bar.low) - share(bar.high - range.top)) * (1.0 - left.abs());
        Some(reading(0.5 * (1.0 - range.straight) * back + 0.5 * returned + left))
    }
}
