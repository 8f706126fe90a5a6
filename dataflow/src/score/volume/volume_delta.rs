//! Net taker flow `d = sum(volume_delta, 14) / sum(V, 14)`, the stronger the trend the more:
//! `50 + 50 tanh(2 d (.5 + adx_14/50))`.

use serde::{Deserialize, Serialize};

use crate::score::{
    component::{Col, Columns, Component, Inputs, MissingColumn, Reading},
    volume::NetFlow,
};

/// Above 50 while takers buy.
#[derive(Clone, Serialize, Deserialize)]
pub struct VolumeDelta {
    volume_delta: Col,
    adx: Col,
    flow: NetFlow,
}

impl VolumeDelta {
    /// Reads `volume_delta` and `adx_14`.
    pub fn new(columns: &Columns<'_>) -> Result<VolumeDelta, MissingColumn> {
        let (volume_delta, adx) = (columns.get("volume_delta")?, columns.get("adx_14")?);
        Ok(VolumeDelta { volume_delta, adx, flow: NetFlow::new(14) })
    }
}

impl Component for VolumeDelta {
    const NAME: &'static str = "volume_delta";

    fn next(&mut self, inputs: Inputs<'_>) -> Option<Reading> {
        let raw = self.flow.next(inputs.bar, inputs.get(self.volume_delta))?;
        let adx = inputs.get(self.adx)?;
        Some(Reading { raw, score: 50.0 + 50.0 * libm::tanh(2.0 * raw * (0.5 + adx / 50.0)) })
    }
}
