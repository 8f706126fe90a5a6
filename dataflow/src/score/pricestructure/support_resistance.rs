//! Support and resistance: the strongest level a little below the close less the strongest a little above.

use serde::{Deserialize, Serialize};

use super::{Unit, most, reading};
use crate::{
    score::component::{Component, Inputs, Reading},
    structure::{Level, Structure},
};

/// Bars in which half of what age counts for is lost.
const HALF_LIFE: f64 = 100.0;

/// Absent if there is no level.
#[derive(Clone, Serialize, Deserialize)]
pub struct SupportResistance {
    unit: Unit,
}

impl SupportResistance {
    /// Measures in this unit.
    pub fn new(unit: Unit) -> SupportResistance {
        SupportResistance { unit }
    }
}

/// How much a level counts, 0..1, by its swings, their volume and its age.
fn strength(level: &Level, structure: &Structure, usual: f64) -> f64 {
    let n = f64::from(level.n_swings);
    let volume = if usual == 0.0 { 0.0 } else { (level.volume / (2.0 * n * usual)).min(1.0) };
    let age = (structure.n_bars() - level.last) as f64;
    0.5 * (n / 4.0).min(1.0) + 0.3 * volume + 0.2 * libm::exp2(-age / HALF_LIFE)
}

impl Component for SupportResistance {
    const NAME: &'static str = "support_resistance";

    fn next(&mut self, inputs: Inputs<'_>) -> Option<Reading> {
        let (structure, unit) = self.unit.of(inputs)?;
        let (levels, usual) = (structure.levels.all(), structure.usual_volume());
        let side = |sign: f64| {
            let beyond = levels.iter().map(|level| (level, sign * (inputs.bar.close - level.price()) / unit));
            let counts = beyond.filter(|(_, far)| 0.0 < *far);
            most(counts.map(|(level, far)| strength(level, structure, usual) * far * libm::exp2(1.0 - far)))
        };
        (!levels.is_empty()).then(|| reading((side(1.0) - side(-1.0)).clamp(-1.0, 1.0)))
    }
}
