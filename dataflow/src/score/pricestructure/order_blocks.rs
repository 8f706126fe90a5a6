//! Order blocks: the pull of the nearest strong one for buyers less that for sellers.

use serde::{Deserialize, Serialize};

use super::{Unit, most, reading};
use crate::{
    score::component::{Component, Inputs, Reading},
    structure::{Way, Zone},
};

/// Absent if no block stands.
#[derive(Clone, Serialize, Deserialize)]
pub struct OrderBlocks {
    unit: Unit,
}

impl OrderBlocks {
    /// Measures in this unit.
    pub fn new(unit: Unit) -> OrderBlocks {
        OrderBlocks { unit }
    }
}

impl Component for OrderBlocks {
    const NAME: &'static str = "order_blocks";

    fn next(&mut self, inputs: Inputs<'_>) -> Option<Reading> {
        let (structure, unit) = self.unit.of(inputs)?;
        let [bullish, bearish] = Way::BOTH.map(|way| {
            let pull = |zone: Zone| zone.pull(way, inputs.bar.close, unit);
            let standing = structure.blocks.standing(way);
            (standing.len(), most(standing.iter().map(|block| block.strength * block.visit.left() * pull(block.zone))))
        });
        (0 < bullish.0 + bearish.0).then(|| reading(bullish.1 - bearish.1))
    }
}
