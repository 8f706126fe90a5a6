//! True range: `max(H - L, |H - C_1|, |L - C_1|)`, from the second bar on.

use serde::{Deserialize, Serialize};

use crate::bar::Bar;

/// Remembers the previous close.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct TrueRange {
    close: Option<f64>,
}

impl TrueRange {
    pub(crate) const fn new() -> TrueRange {
        TrueRange { close: None }
    }

    /// Takes the next bar; `None` on the first.
    pub(crate) fn next(&mut self, bar: &Bar) -> Option<f64> {
        let close = self.close.replace(bar.close)?;
        Some((bar.high - bar.low).max((bar.high - close).abs()).max((bar.low - close).abs()))
    }
}
