//! Table `book_features`.

use prism_schemas::{
    Ts,
    table::{BOOK_COLUMNS, BOOK_FEATURES},
};

use super::{
    column::Columns,
    leaf::{Common, Leaf, Row},
    quality,
};
use crate::book::BookFeatures;

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
