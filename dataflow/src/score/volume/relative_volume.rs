//! Relative volume v, signed by the bar's direction: `squash(sign(C - O) v)`.

use serde::{Deserialize, Serialize};

use crate::score::component::{Col, Columns, Component, Inputs, MissingColumn, Reading, sign, squash};

/// Above 50 on a rising bar, the more volume the further.
#[derive(Clone, Serialize, Deserialize)]
pub struct RelativeVolume {
    relative_volume: Col,
}

impl RelativeVolume {
    /// Reads `relative_volume`.
    pub fn new(columns: &Columns<'_>) -> Result<RelativeVolume, MissingColumn> {
        Ok(RelativeVolume { relative_volume: columns.get("relative_volume")? })
    }
}

impl Component for RelativeVolume {
    const NAME: &'static str = "relative_volume";

    fn next(&mut self, inputs: Inputs<'_>) -> Option<Reading> {
        let raw = inputs.get(self.relative_volume)?;
        Some(Reading { raw, score: squash(sign(inputs.bar.close - inputs.bar.open) * raw) })
    }
}
