//! Market structure: the trend of breaks, whether swings rise, and open gaps near the close.

use serde::{Deserialize, Serialize};

use super::{Unit, most, reading};
use crate::{
    score::component::{Component, Inputs, Reading},
    structure::Way,
};

/// Absent while there are not two swings of each side.
#[derive(Clone, Serialize, Deserialize)]
pub struct MarketStructure {
    unit: Unit,
}

impl MarketStructure {
    /// Measures in this unit.
    pub fn new(unit: Unit) -> MarketStructure {
        MarketStructure { unit }
    }
}

impl Component for MarketStructure {
    const NAME: &'static str = "market_structure";

    fn next(&mut self, inputs: Inputs<'_>) -> Option<Reading> {
        let (structure, unit) = self.unit.of(inputs)?;
        let (swings, close) = (&structure.swings, inputs.bar.close);
        let [highs, lows] = swings.newest.map(|[newest, before]| Some(libm::tanh((newest? - before?) / unit)));
        let [up, down] = [(swings.standing[0], 1.0), (swings.standing[1], -1.0)].map(|(standing, sign)| {
            standing.map_or(0.0, |swing| (sign * (close - swing.zone.from) / unit).clamp(0.0, 1.0))
        });
        let trend = f64::from(swings.trend) * (1.0 - up.max(down)) + up - down;
        let [bullish, bearish] =
            Way::BOTH.map(|way| most(structure.gaps.open(way).iter().map(|gap| gap.pull(way, close, unit))));
        Some(reading(0.5 * trend + 0.15 * (highs? + lows?) + 0.2 * (bullish - bearish)))
    }
}
