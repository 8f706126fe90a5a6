//! Tables `book_features`, `book_heat` and `book_walls`.

use std::sync::Arc;

use prism_schemas::{
    Ts,
    decimal::POW10,
    table::{BOOK_COLUMNS, BOOK_FEATURES, BOOK_HEAT, BOOK_WALLS},
};

use super::{
    column::Columns,
    leaf::{Common, Leaf, Row},
    quality,
};
use crate::{
    bar::Quality,
    book::{BookFeatures, heat::Bucket, resting::Resting, walls::Wall},
};

impl Row for BookFeatures {
    fn instrument(&self) -> u32 {
        self.instrument
    }

    fn span(&self) -> (Ts, Ts) {
        (self.start, self.end)
    }
}

pub(super) fn leaf(common: &Common) -> Leaf<BookFeatures> {
    let mut columns = Columns::<BookFeatures>::new();
    for (at, name) in BOOK_COLUMNS.iter().enumerate() {
        columns = columns.float(name, move |row| row.number(at));
    }
    let columns =
        columns.int("n_updates", |row| Some(row.n_updates as i64)).word("quality", |row| quality(row.quality));
    Leaf::new(&BOOK_FEATURES, common, columns)
}

/// Part of what rests in a book at the end of a base bar.
pub(super) struct Part<T> {
    instrument: u32,
    span: (Ts, Ts),
    /// Its number among those of the bar.
    slot: u32,
    quality: Quality,
    of: Arc<Resting>,
    own: T,
}

impl<T: 'static> Row for Part<T> {
    fn instrument(&self) -> u32 {
        self.instrument
    }

    fn span(&self) -> (Ts, Ts) {
        self.span
    }

    fn slot(&self) -> u32 {
        self.slot
    }
}

impl<T> Part<T> {
    fn new(row: &BookFeatures, of: &Arc<Resting>, slot: usize, own: T) -> Part<T> {
        let BookFeatures { instrument, start, end, quality, .. } = *row;
        Part { instrument, span: (start, end), slot: slot as u32, quality, of: of.clone(), own }
    }
}

fn side(is_ask: bool) -> &'static str {
    if is_ask { "ask" } else { "bid" }
}

/// A bucket of a side, and its place from mid.
pub(super) struct Hot {
    is_ask: bool,
    place: usize,
    bucket: Bucket,
}

/// The buckets of a book.
pub(super) fn buckets(row: &BookFeatures, see: &mut dyn FnMut(Part<Hot>)) {
    let Some(resting) = &row.resting else { return };
    for (at, buckets) in resting.heat.sides.iter().enumerate() {
        for (place, bucket) in buckets.iter().enumerate() {
            let hot = Hot { is_ask: at == 1, place, bucket: *bucket };
            see(Part::new(row, resting, 2 * place + at, hot));
        }
    }
}

pub(super) fn heat(common: &Common) -> Leaf<Part<Hot>> {
    let prices = |row: &Part<Hot>| row.of.heat.prices(row.own.is_ask, row.own.place);
    let columns = Columns::<Part<Hot>>::new()
        .int("bucket", |row| Some((1 + row.own.place as i64) * if row.own.is_ask { 1 } else { -1 }))
        .word("side", |row| side(row.own.is_ask))
        .float("price_from", move |row| Some(prices(row).0))
        .float("price_to", move |row| Some(prices(row).1))
        .float("size", |row| Some(row.own.bucket.size))
        .int("n_levels", |row| Some(row.own.bucket.n.into()))
        .word("quality", |row| quality(row.quality));
    Leaf::new(&BOOK_HEAT, common, columns)
}

/// A wall, and what takers took of what it lost at most.
pub(super) struct Standing {
    wall: Wall,
    taken: Option<f64>,
}

/// The walls of a book.
pub(super) fn standing(row: &BookFeatures, see: &mut dyn FnMut(Part<Standing>)) {
    let Some(resting) = &row.resting else { return };
    for (at, (wall, taken)) in resting.walls.iter().zip(&row.taken).enumerate() {
        see(Part::new(row, resting, at, Standing { wall: *wall, taken: taken.get() }));
    }
}

impl Part<Standing> {
    fn size(&self, size: i64) -> f64 {
        size as f64 / POW10[self.of.decimals.1 as usize] as f64
    }

    fn lost(&self) -> Option<f64> {
        self.own.wall.lost().map(|lost| self.size(lost))
    }

    fn pulled(&self) -> Option<f64> {
        Some(self.lost()? - self.own.taken?)
    }

    fn state(&self) -> &'static str {
        let Wall { is_over, before, .. } = self.own.wall;
        match (is_over, self.lost().zip(self.pulled())) {
            (false, _) if before.is_none() => "new",
            (false, _) => "standing",
            (true, None) => "gone",
            (true, Some((lost, pulled))) if lost <= 2.0 * pulled => "pulled",
            (true, Some(_)) => "filled",
        }
    }

    fn distance(&self) -> f64 {
        let off = (2 * i128::from(self.own.wall.price) - self.of.sum).abs();
        10_000.0 * off as f64 / self.of.sum as f64
    }
}

pub(super) fn walls(common: &Common) -> Leaf<Part<Standing>> {
    let usual = |row: &Part<Standing>| row.of.usual[usize::from(row.own.wall.is_ask)];
    let columns = Columns::<Part<Standing>>::new()
        .int("wall", |row| Some(row.slot.into()))
        .word("side", |row| side(row.own.wall.is_ask))
        .float("price", |row| Some(row.own.wall.price as f64 / POW10[row.of.decimals.0 as usize] as f64))
        .float("size", |row| Some(row.size(row.own.wall.size)))
        .float("largest", |row| Some(row.size(row.own.wall.largest)))
        .ts("since", |row| Some(row.own.wall.since))
        .float("age", |row| Some((row.span.1 - row.own.wall.since) as f64 / 1e9))
        .float("times_median", move |row| Some(row.own.wall.size as f64 / usual(row)? as f64))
        .float("distance_bps", |row| Some(row.distance()))
        .float("lost", |row| row.lost())
        .float("filled_at_most", |row| row.own.taken)
        .float("pulled_at_least", |row| row.pulled())
        .word("state", |row| row.state())
        .word("quality", |row| quality(row.quality));
    Leaf::new(&BOOK_WALLS, common, columns)
}
