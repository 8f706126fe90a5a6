//! Columns of a leaf: how each is drawn from the rows, one line a column.

use std::{
    fmt::{Display, Write},
    rc::Rc,
    sync::Arc,
};

use arrow::array::{ArrayRef, BooleanArray, Float64Array, Int64Array, StringBuilder, TimestampMicrosecondArray};
use prism_schemas::{InstrumentId, Ts};

use super::{leaf::Drawn, names::Names};

type Draw<R> = Box<dyn Fn(&[Drawn<R>]) -> ArrayRef>;
type Same<R> = Box<dyn Fn(&R, &R) -> bool>;

/// A column, by name.
pub(super) struct Column<R> {
    pub(super) name: &'static str,
    /// Its values.
    pub(super) draw: Draw<R>,
    /// Whether two rows have the same value.
    pub(super) same: Same<R>,
}

/// Columns in their order, one line each.
pub(super) struct Columns<R>(Vec<Column<R>>);

impl<R: 'static> Columns<R> {
    pub(super) fn new() -> Columns<R> {
        Columns(Vec::new())
    }

    pub(super) fn into_vec(self) -> Vec<Column<R>> {
        self.0
    }

    fn with(
        mut self,
        name: &'static str,
        draw: impl Fn(&[Drawn<R>]) -> ArrayRef + 'static,
        same: impl Fn(&R, &R) -> bool + 'static,
    ) -> Columns<R> {
        self.0.push(Column { name, draw: Box::new(draw), same: Box::new(same) });
        self
    }

    /// A number; absent where there is none or it is not finite.
    pub(super) fn float(self, name: &'static str, get: impl Fn(&R) -> Option<f64> + Clone + 'static) -> Columns<R> {
        let finite = move |row: &R| get(row).filter(|value| value.is_finite());
        let same = finite.clone();
        let draw = move |rows: &[Drawn<R>]| {
            Arc::new(rows.iter().map(|drawn| finite(&drawn.row)).collect::<Float64Array>()) as ArrayRef
        };
        self.with(name, draw, move |a, b| same(a) == same(b))
    }

    /// A whole number.
    pub(super) fn int(self, name: &'static str, get: impl Fn(&R) -> Option<i64> + Clone + 'static) -> Columns<R> {
        let same = get.clone();
        let draw = move |rows: &[Drawn<R>]| {
            Arc::new(rows.iter().map(|drawn| get(&drawn.row)).collect::<Int64Array>()) as ArrayRef
        };
        self.with(name, draw, move |a, b| same(a) == same(b))
    }

    /// A point in time.
    pub(super) fn ts(self, name: &'static str, get: impl Fn(&R) -> Option<Ts> + Clone + 'static) -> Columns<R> {
        let same = get.clone();
        self.with(name, move |rows| times(rows.iter().map(|drawn| get(&drawn.row))), move |a, b| same(a) == same(b))
    }

    /// A truth value.
    pub(super) fn flag(self, name: &'static str, get: impl Fn(&R) -> bool + Clone + 'static) -> Columns<R> {
        let same = get.clone();
        self.with(name, move |rows| flags(rows.iter().map(|drawn| get(&drawn.row))), move |a, b| same(a) == same(b))
    }

    /// A word of a small set.
    pub(super) fn word(self, name: &'static str, get: impl Fn(&R) -> &'static str + Clone + 'static) -> Columns<R> {
        let same = get.clone();
        self.with(name, move |rows| texts(rows.iter().map(|drawn| get(&drawn.row))), move |a, b| same(a) == same(b))
    }

    /// A word that is another where the row is retracted.
    pub(super) fn word_or(
        self,
        name: &'static str,
        retracted: &'static str,
        get: impl Fn(&R) -> &'static str + Clone + 'static,
    ) -> Columns<R> {
        let same = get.clone();
        let of = move |drawn: &Drawn<R>| if drawn.retracted { retracted } else { get(&drawn.row) };
        self.with(name, move |rows| texts(rows.iter().map(&of)), move |a, b| same(a) == same(b))
    }

    /// What is written as text.
    pub(super) fn shown<T: Display + PartialEq>(
        self,
        name: &'static str,
        get: impl Fn(&R) -> Option<T> + Clone + 'static,
    ) -> Columns<R> {
        let same = get.clone();
        let draw = move |rows: &[Drawn<R>]| {
            let mut builder = StringBuilder::with_capacity(rows.len(), 12 * rows.len());
            for drawn in rows {
                match get(&drawn.row) {
                    Some(value) => {
                        // Memory does not refuse.
                        let _ = write!(builder, "{value}");
                        builder.append_value("");
                    }
                    None => builder.append_null(),
                }
            }
            Arc::new(builder.finish()) as ArrayRef
        };
        self.with(name, draw, move |a, b| same(a) == same(b))
    }

    /// The same for every row.
    pub(super) fn constant(self, name: &'static str, text: &str) -> Columns<R> {
        let text: Rc<str> = text.into();
        self.with(name, move |rows| texts(rows.iter().map(|_| &*text)), |_, _| true)
    }

    /// A part of the instrument's name.
    pub(super) fn place(
        self,
        name: &'static str,
        names: &Rc<Names>,
        part: fn(&InstrumentId) -> &str,
        instrument: fn(&R) -> u32,
    ) -> Columns<R> {
        let names = names.clone();
        let draw = move |rows: &[Drawn<R>]| {
            let ids: Vec<Arc<InstrumentId>> = rows.iter().map(|drawn| names.id(instrument(&drawn.row))).collect();
            texts(ids.iter().map(|id| part(id)))
        };
        self.with(name, draw, move |a, b| instrument(a) == instrument(b))
    }
}

/// Times, in microseconds.
pub(super) fn times(values: impl Iterator<Item = Option<Ts>>) -> ArrayRef {
    let micros = values.map(|ts| ts.map(|ts| ts.div_euclid(1_000)));
    Arc::new(micros.collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
}

/// Truth values.
pub(super) fn flags(values: impl Iterator<Item = bool>) -> ArrayRef {
    Arc::new(values.map(Some).collect::<BooleanArray>())
}

/// Texts, in no more room than they take; an empty one is absent.
pub(super) fn texts<'a>(values: impl Iterator<Item = &'a str> + Clone) -> ArrayRef {
    let (n, bytes) = values.clone().fold((0, 0), |(n, bytes), text| (n + 1, bytes + text.len()));
    let mut builder = StringBuilder::with_capacity(n, bytes);
    values.for_each(|text| builder.append_option((!text.is_empty()).then_some(text)));
    Arc::new(builder.finish())
}
