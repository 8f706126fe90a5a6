//! Greed or fear that the market's own numbers show: calm, momentum, volume and trend. After the Crypto Fear & Greed index
//! (<https://alternative.me/crypto/fear-and-greed-index/>), without its surveys.

use serde::{Deserialize, Serialize};

use crate::score::component::{Col, Columns, Component, Inputs, MissingColumn, Reading};

/// Raw: -100 fear to 100 greed.
#[derive(Clone, Serialize, Deserialize)]
pub struct MarketMood {
    atr: Col,
    usual_atr: Col,
    rsi: Col,
    relative_volume: Col,
    ema: Col,
}

impl MarketMood {
    /// Reads `atr_14`, `atr_50`, `rsi_14`, `relative_volume` and `ema_50`.
    pub fn new(columns: &Columns<'_>) -> Result<MarketMood, MissingColumn> {
        Ok(MarketMood {
            atr: columns.get("atr_14")?,
            usual_atr: columns.get("atr_50")?,
            rsi: columns.get("rsi_14")?,
            relative_volume: columns.get("relative_volume")?,
            ema: columns.get("ema_50")?,
        })
    }
}

impl Component for MarketMood {
    const NAME: &'static str = "market_mood";

    fn next(&mut self, inputs: Inputs<'_>) -> Option<Reading> {
        let above = |col| inputs.get(col).filter(|value| 0.0 < *value);
        let (atr, usual_atr) = (above(self.atr)?, above(self.usual_atr)?);
        let volume = inputs.get(self.relative_volume)?;
        let (open, close) = (inputs.bar.open, inputs.bar.close);
        let calm = -libm::tanh(2.0 * (atr / usual_atr - 1.0));
        let momentum = (inputs.get(self.rsi)? - 50.0) / 50.0;
        let volume = libm::tanh((close - open) / atr) * volume / (1.0 + volume);
        let trend = libm::tanh((close - inputs.get(self.ema)?) / (2.0 * atr));
        let mood = 0.3 * calm + 0.3 * momentum + 0.2 * volume + 0.2 * trend;
        Some(Reading { raw: 100.0 * mood, score: 50.0 + 50.0 * mood })
    }
}
