//! Value area: back to where most was traded from within it, away from it beyond.

use serde::{Deserialize, Serialize};

use super::Unit;
use crate::score::component::{Component, Inputs, Reading, sign};

/// Absent while there is no volume profile of the bar before.
#[derive(Clone, Serialize, Deserialize)]
pub struct ValueArea {
    unit: Unit,
}

impl ValueArea {
    /// Absent while this unit is.
    pub fn new(unit: Unit) -> ValueArea {
        ValueArea { unit }
    }
}

impl Component for ValueArea {
    const NAME: &'static str = "value_area";

    fn next(&mut self, inputs: Inputs<'_>) -> Option<Reading> {
        let (structure, _) = self.unit.of(inputs)?;
        let (profile, close) = (structure.profile?, inputs.bar.close);
        let half = if profile.poc <= close { profile.vah - profile.poc } else { profile.poc - profile.val };
        let raw = (close - profile.poc) / half;
        let far = raw.abs();
        let away = if far <= 1.0 { -2.0 * raw * (1.0 - far) } else { sign(raw) * libm::tanh(far - 1.0) };
        Some(Reading { raw, score: 50.0 + 50.0 * away })
    }
}
