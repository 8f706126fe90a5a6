//! Flow against price: `50 + 25 (f - p)`, `f = tanh(3 sum(volume_delta, 14)/sum(V, 14))`,
//! `p = tanh((C - C_14)/(atr_14 sqrt(14)))`.

use serde::{Deserialize, Serialize};

use crate::{
    indicator::window::Window,
    score::{
        component::{Col, Columns, Component, Inputs, MissingColumn, Reading},
        volume::NetFlow,
    },
};

/// Above 50 while takers buy more than the price shows.
#[derive(Clone, Serialize, Deserialize)]
pub struct Divergence {
    volume_delta: Col,
    atr: Col,
    flow: NetFlow,
    /// Now and the 14 before.
    closes: Window,
}

impl Divergence {
    /// Reads `volume_delta` and `atr_14`.
    pub fn new(columns: &Columns<'_>) -> Result<Divergence, MissingColumn> {
        let (volume_delta, atr) = (columns.get("volume_delta")?, columns.get("atr_14")?);
        Ok(Divergence { volume_delta, atr, flow: NetFlow::new(14), closes: Window::new(15) })
    }
}

impl Component for Divergence {
    const NAME: &'static str = "divergence";

    fn next(&mut self, inputs: Inputs<'_>) -> Option<Reading> {
        let flow = self.flow.next(inputs.bar, inputs.get(self.volume_delta));
        let closes = self.closes.push(inputs.bar.close)?;
        let atr = inputs.get(self.atr).filter(|atr| *atr != 0.0)?;
        let price = libm::tanh((closes[14] - closes[0]) / (atr * 14f64.sqrt()));
        let raw = libm::tanh(3.0 * flow?) - price;
        Some(Reading { raw, score: 50.0 + 25.0 * raw })
    }
}
