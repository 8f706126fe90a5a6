//! Where rows leave the graph: equal ones cancel, the rest count revisions and go out in columns.

use std::{rc::Rc, sync::Arc};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use prism_schemas::{Table, Ts, Versions};

use super::{
    Sink,
    column::{Column, Columns, flags, texts, times},
    names::Names,
    revisions::{Key, Revisions},
};
use crate::types::{Diff, Time};

/// Rows that go out together at most.
const ROWS_MAX: usize = 1_024;

/// What a leaf draws.
pub(super) trait Row: 'static {
    /// Number of its instrument.
    fn instrument(&self) -> u32;

    /// Start and end of its bar.
    fn span(&self) -> (Ts, Ts);

    /// What tells it from other rows of the table with its instrument and start.
    fn slot(&self) -> u32 {
        0
    }

    /// Whether the table has no row of it.
    fn is_absent(&self) -> bool {
        false
    }

    /// Whether it can change however old it is.
    fn is_open(&self) -> bool {
        false
    }
}

/// A row with its tail.
pub(super) struct Drawn<R> {
    pub(super) row: R,
    known_at: Time,
    revision: i64,
    pub(super) retracted: bool,
}

/// A table's rows on their way out.
pub(super) struct Leaf<R> {
    table: &'static Table,
    schema: SchemaRef,
    /// All but the tail.
    columns: Vec<Column<R>>,
    config_hash: Rc<str>,
    /// Rows of the instant, and whether they came or went.
    changes: Vec<(Key, Diff, R)>,
    revisions: Revisions,
    drawn: Vec<Drawn<R>>,
    sink: Sink,
}

/// What all leaves have in common.
#[derive(Clone)]
pub(super) struct Common {
    pub(super) names: Rc<Names>,
    pub(super) config_hash: Rc<str>,
    /// Closed rows can change for so long after their last version.
    pub(super) keep: Time,
    pub(super) sink: Sink,
}

impl<R: Row> Leaf<R> {
    /// Draws a table with these columns between its place and its tail.
    pub(super) fn new(table: &'static Table, common: &Common, columns: Columns<R>) -> Leaf<R> {
        let names = &common.names;
        let place = Columns::new()
            .ts("ts", |row: &R| Some(row.span().0))
            .ts("ts_close", |row| Some(row.span().1))
            .place("exchange", names, |id| &id.exchange, R::instrument)
            .place("market", names, |id| id.market.name(), R::instrument)
            .place("symbol", names, |id| &id.symbol, R::instrument);
        let all: Vec<Column<R>> = place.into_vec().into_iter().chain(columns.into_vec()).collect();
        let tail = ["known_at", "revision", "retracted", "config_hash"];
        let drawn: Vec<&str> = all.iter().map(|column| column.name).chain(tail).collect();
        let expected: Vec<&str> = table.columns.iter().map(|column| column.name).collect();
        assert_eq!(drawn, expected, "the columns of {}", table.name);
        Leaf {
            table,
            schema: table.schema(),
            columns: all,
            config_hash: common.config_hash.clone(),
            changes: Vec::new(),
            revisions: Revisions::new(common.keep),
            drawn: Vec::new(),
            sink: common.sink.clone(),
        }
    }

    /// A row came or went at this instant.
    pub(super) fn take(&mut self, row: R, diff: Diff) {
        if !row.is_absent() {
            self.changes.push(((row.instrument(), row.span().0, row.slot()), diff, row));
        }
    }

    /// All rows of the instant were taken.
    pub(super) fn settle(&mut self, time: Time) {
        // Of several rows of a key the last that came and the last that went count.
        self.changes.sort_by_key(|(key, ..)| *key);
        let mut changes = std::mem::take(&mut self.changes);
        let mut ahead = changes.drain(..).peekable();
        while let Some((key, diff, row)) = ahead.next() {
            let mut change = [None, None];
            change[usize::from(0 < diff)] = Some(row);
            while let Some((_, diff, row)) = ahead.next_if(|(next, ..)| *next == key) {
                change[usize::from(0 < diff)] = Some(row);
            }
            let (row, is_new, retracted) = match change {
                [Some(old), Some(new)] if self.is_same(&old, &new) => continue,
                [Some(_), Some(new)] => (new, false, false),
                [Some(old), None] => (old, false, true),
                [None, Some(new)] => (new, true, false),
                [None, None] => continue,
            };
            let revision = self.revisions.next(key, time, is_new, !retracted && row.is_open());
            self.drawn.push(Drawn { row, known_at: time, revision, retracted });
            if ROWS_MAX <= self.drawn.len() {
                self.flush();
            }
        }
        drop(ahead);
        // An instant may hold a whole history: its room is not kept.
        changes.shrink_to(4 * ROWS_MAX);
        self.changes = changes;
        self.revisions.sweep(time);
    }

    /// Sends rows that form, and when they became known.
    pub(super) fn form(&mut self, rows: impl Iterator<Item = (R, Time)>) {
        let present = rows.filter(|(row, _)| !row.is_absent());
        self.drawn.extend(present.map(|(row, known_at)| Drawn { row, known_at, revision: 0, retracted: false }));
        self.flush();
    }

    fn is_same(&self, old: &R, new: &R) -> bool {
        self.columns.iter().all(|column| (column.same)(old, new))
    }

    /// Sends what is drawn.
    pub(super) fn flush(&mut self) {
        if self.drawn.is_empty() {
            return;
        }
        let rows = &self.drawn;
        let mut arrays: Vec<_> = self.columns.iter().map(|column| (column.draw)(rows)).collect();
        arrays.push(times(rows.iter().map(|drawn| Some(drawn.known_at as Ts))));
        arrays.push(Arc::new(rows.iter().map(|drawn| Some(drawn.revision)).collect::<arrow::array::Int64Array>()));
        arrays.push(flags(rows.iter().map(|drawn| drawn.retracted)));
        arrays.push(texts(rows.iter().map(|_| &*self.config_hash)));
        let versions = RecordBatch::try_new(self.schema.clone(), arrays)
            .and_then(|rows| Versions::new(self.table, rows))
            .unwrap_or_else(|error| panic!("the columns of {}: {error}", self.table.name));
        self.drawn.clear();
        (self.sink)(versions);
    }
}
