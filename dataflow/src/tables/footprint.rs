//! Tables `footprint` and `footprint_analysis`.

use std::sync::Arc;

use prism_schemas::{
    Ts,
    table::{FOOTPRINT, FOOTPRINT_ANALYSIS},
};

use super::{
    column::Columns,
    leaf::{Common, Leaf, Row},
};
use crate::{
    analyse::Analysed,
    bar::Bar,
    footprint::{Footprint, Level, Stack},
    score::naked::Poc,
};

fn footprint(bar: &Bar) -> Option<&Footprint> {
    bar.flow.as_ref()?.footprint.as_ref()
}

/// A level of a bar, by its place.
pub(super) struct At {
    bar: Arc<Bar>,
    place: usize,
}

impl Row for At {
    fn instrument(&self) -> u32 {
        self.bar.instrument
    }

    fn span(&self) -> (Ts, Ts) {
        (self.bar.start, self.bar.end)
    }

    fn slot(&self) -> u32 {
        (self.bar.timeframe as u32) << 16 | self.place as u32
    }
}

impl At {
    fn footprint(&self) -> Option<&Footprint> {
        footprint(&self.bar)
    }

    fn level(&self) -> Option<&Level> {
        self.footprint()?.levels.get(self.place)
    }

    fn price(&self, halves: u8) -> Option<f64> {
        Some(self.footprint()?.height.price(self.level()?.number, halves))
    }
}

/// The levels of a bar.
pub(super) fn of(bar: &Arc<Bar>, see: &mut dyn FnMut(At)) {
    let n = footprint(bar).map_or(0, |footprint| footprint.levels.len());
    (0..n).for_each(|place| see(At { bar: bar.clone(), place }));
}

pub(super) fn levels(common: &Common) -> Leaf<At> {
    let columns = Columns::<At>::new()
        .word("timeframe", |row| row.bar.timeframe.name())
        .int("level", |row| Some(row.place as i64))
        .float("price_from", |row| row.price(0))
        .float("price_to", |row| row.price(2))
        .int("n_buys", |row| Some(row.level()?.n[0].into()))
        .int("n_sells", |row| Some(row.level()?.n[1].into()))
        .float("buy_volume", |row| Some(row.level()?.volume[0]))
        .float("sell_volume", |row| Some(row.level()?.volume[1]))
        .flag("buy_imbalance", |row| row.level().is_some_and(|level| level.is_imbalanced[0]))
        .flag("sell_imbalance", |row| row.level().is_some_and(|level| level.is_imbalanced[1]))
        .flag("is_poc", |row| row.footprint().is_some_and(|footprint| usize::from(footprint.poc) == row.place));
    Leaf::new(&FOOTPRINT, common, columns)
}

fn read<T>(row: &Analysed, of: impl FnOnce(&Footprint) -> T) -> Option<T> {
    footprint(row.bar()).map(of)
}

fn n_imbalances(row: &Analysed, side: usize) -> Option<i64> {
    read(row, |of| of.levels.iter().filter(|level| level.is_imbalanced[side]).count() as i64)
}

/// Of a stack of levels: how many, and where it begins and ends.
fn stack(row: &Analysed, side: usize) -> Option<(i64, f64, f64)> {
    read(row, |of| {
        let Stack { first, n } = of.stacks[side]?;
        let price = |place: u8, halves| of.height.price(of.levels[usize::from(place)].number, halves);
        Some((n.into(), price(first, 0), price(first + n - 1, 2)))
    })?
}

fn above(row: &Analysed) -> Option<Poc> {
    row.stake.as_ref()?.naked.as_ref()?.above
}

fn below(row: &Analysed) -> Option<Poc> {
    row.stake.as_ref()?.naked.as_ref()?.below
}

/// Whether a bar has a row of what is made of its footprint.
pub(super) fn has(row: &Analysed) -> bool {
    footprint(row.bar()).is_some()
}

pub(super) fn whole(common: &Common) -> Leaf<Arc<Analysed>> {
    let columns = Columns::<Arc<Analysed>>::new()
        .word("timeframe", |row| row.bar().timeframe.name())
        .float("height", |row| read(row, |of| of.height.price(1, 0)))
        .int("n_levels", |row| read(row, |of| of.levels.len() as i64))
        .float("poc", |row| read(row, Footprint::poc))
        .float("poc_volume", |row| read(row, |of| of.poc_volume))
        .int("n_buy_imbalances", |row| n_imbalances(row, 0))
        .int("n_sell_imbalances", |row| n_imbalances(row, 1))
        .int("stacked_buys", |row| Some(stack(row, 0).map_or(0, |(n, ..)| n)))
        .float("stacked_buys_from", |row| Some(stack(row, 0)?.1))
        .float("stacked_buys_to", |row| Some(stack(row, 0)?.2))
        .int("stacked_sells", |row| Some(stack(row, 1).map_or(0, |(n, ..)| n)))
        .float("stacked_sells_from", |row| Some(stack(row, 1)?.1))
        .float("stacked_sells_to", |row| Some(stack(row, 1)?.2))
        .float("naked_poc_above", |row| Some(above(row)?.0))
        .ts("naked_poc_above_ts", |row| Some(above(row)?.1))
        .float("naked_poc_below", |row| Some(below(row)?.0))
        .ts("naked_poc_below_ts", |row| Some(below(row)?.1));
    Leaf::new(&FOOTPRINT_ANALYSIS, common, columns)
}
