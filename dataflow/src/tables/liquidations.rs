//! Table `liquidation_analysis`.

use std::sync::Arc;

use prism_schemas::table::LIQUIDATION_ANALYSIS;

use super::{
    column::Columns,
    leaf::{Common, Leaf},
};
use crate::{analyse::Analysed, positions::Forced, score::stakes::Liquidations};

fn read(row: &Analysed) -> Option<&Liquidations> {
    row.stake.as_ref()?.liquidations.as_ref()
}

fn forced(row: &Analysed) -> Forced {
    row.bar().positions.as_ref().and_then(|positions| positions.forced).unwrap_or(Forced::NONE)
}

/// Whether a bar has a row.
pub(super) fn has(row: &Analysed) -> bool {
    read(row).is_some()
}

pub(super) fn leaf(common: &Common) -> Leaf<Arc<Analysed>> {
    let columns = Columns::<Arc<Analysed>>::new()
        .word("timeframe", |row| row.bar().timeframe.name())
        .int("n_longs", |row| Some(forced(row).longs.n as i64))
        .int("n_shorts", |row| Some(forced(row).shorts.n as i64))
        .float("long_volume", |row| Some(forced(row).longs.volume))
        .float("short_volume", |row| Some(forced(row).shorts.volume))
        .float("long_turnover", |row| Some(forced(row).longs.turnover))
        .float("short_turnover", |row| Some(forced(row).shorts.turnover))
        .float("largest", |row| Some(forced(row).largest))
        .word("completeness", |row| if forced(row).is_all { "all" } else { "at_least" })
        .float("imbalance", |row| forced(row).imbalance())
        .float("weighted_imbalance", |row| read(row)?.weighted_imbalance)
        .float("acceleration", |row| Some(read(row)?.acceleration))
        .word("cascade", |row| read(row).map_or("none", |read| read.cascade))
        .float("reversal_potential", |row| Some(read(row)?.reversal_potential));
    Leaf::new(&LIQUIDATION_ANALYSIS, common, columns)
}
