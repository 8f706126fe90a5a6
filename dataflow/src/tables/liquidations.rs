//! Table `liquidation_analysis`.

use std::sync::Arc;

use prism_schemas::{Ts, table::LIQUIDATION_ANALYSIS};

use super::{
    column::Columns,
    leaf::{Common, Leaf, Row},
};
use crate::{analyse::Analysed, positions::Forced, score::stakes::Liquidations};

/// A bar as a row of who was forced out.
pub(super) struct Out(Arc<Analysed>);

impl From<Arc<Analysed>> for Out {
    fn from(row: Arc<Analysed>) -> Out {
        Out(row)
    }
}

impl Row for Out {
    fn instrument(&self) -> u32 {
        self.0.bar().instrument
    }

    fn span(&self) -> (Ts, Ts) {
        (self.0.bar().start, self.0.bar().end)
    }

    fn slot(&self) -> u32 {
        self.0.bar().timeframe as u32
    }

    fn is_absent(&self) -> bool {
        self.read().is_none()
    }
}

impl Out {
    fn read(&self) -> Option<&Liquidations> {
        self.0.stake.as_ref()?.liquidations.as_ref()
    }

    fn forced(&self) -> Forced {
        self.0.bar().positions.as_ref().and_then(|positions| positions.forced).unwrap_or(Forced::NONE)
    }
}

pub(super) fn leaf(common: &Common) -> Leaf<Out> {
    let columns = Columns::<Out>::new()
        .word("timeframe", |row| row.0.bar().timeframe.name())
        .int("n_longs", |row| Some(row.forced().longs.n as i64))
        .int("n_shorts", |row| Some(row.forced().shorts.n as i64))
        .float("long_volume", |row| Some(row.forced().longs.volume))
        .float("short_volume", |row| Some(row.forced().shorts.volume))
        .float("long_turnover", |row| Some(row.forced().longs.turnover))
        .float("short_turnover", |row| Some(row.forced().shorts.turnover))
        .float("largest", |row| Some(row.forced().largest))
        .word("completeness", |row| if row.forced().is_all { "all" } else { "at_least" })
        .float("imbalance", |row| row.forced().imbalance())
        .float("weighted_imbalance", |row| row.read()?.weighted_imbalance)
        .float("acceleration", |row| Some(row.read()?.acceleration))
        .word("cascade", |row| row.read().map_or("none", |read| read.cascade))
        .float("reversal_potential", |row| Some(row.read()?.reversal_potential));
    Leaf::new(&LIQUIDATION_ANALYSIS, common, columns)
}
