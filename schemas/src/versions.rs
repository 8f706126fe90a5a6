//! Versions of rows as they travel: the rows of one table as columns.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::datatypes::{Float64Type, Int64Type, TimestampMicrosecondType};
use arrow::error::ArrowError;

use crate::row::{push_key, push_text};
use crate::table::Kind;
use crate::{Cell, Table, Ts, Version};

/// Versions of rows of one table, in the order they became known.
#[derive(Clone, Debug, PartialEq)]
pub struct Versions {
    table: &'static Table,
    rows: RecordBatch,
}

impl Versions {
    /// A batch with the table's columns: anything else is a mistake of the program that made it.
    pub fn new(table: &'static Table, rows: RecordBatch) -> Result<Versions, ArrowError> {
        let fields = rows.schema_ref().fields();
        let mut pairs = table.columns.iter().zip(fields);
        let fits =
            pairs.all(|(column, field)| column.name == field.name() && column.kind.arrow() == *field.data_type());
        match fits && table.columns.len() == fields.len() {
            true => Ok(Versions { table, rows }),
            false => Err(ArrowError::SchemaError(format!("{} does not hold {}", table.name, rows.schema()))),
        }
    }

    /// Rows one by one as columns, those of a table together; an empty text is absent.
    pub fn of(rows: &[Version]) -> Result<Vec<Versions>, ArrowError> {
        let mut by_table: BTreeMap<&str, (&'static Table, Vec<&[Cell]>)> = BTreeMap::new();
        for row in rows {
            if row.cells.len() != row.table.columns.len() {
                let message = format!("a row of {} has {} cells", row.table.name, row.cells.len());
                return Err(ArrowError::SchemaError(message));
            }
            by_table.entry(row.table.name).or_insert((row.table, Vec::new())).1.push(&row.cells);
        }
        let batches = by_table.into_values().map(|(table, rows)| {
            let rows = table.batch(&rows.into_iter())?;
            Ok(Versions { table, rows })
        });
        batches.collect()
    }

    /// Those of each table together, in their order.
    pub fn together(all: &[Versions]) -> Result<Vec<Versions>, ArrowError> {
        let mut by_table: BTreeMap<&str, (&'static Table, Vec<&RecordBatch>)> = BTreeMap::new();
        for versions in all.iter().filter(|versions| !versions.is_empty()) {
            by_table.entry(versions.table.name).or_insert((versions.table, Vec::new())).1.push(&versions.rows);
        }
        let concatenated = by_table.into_values().map(|(table, batches)| {
            let rows = match &batches[..] {
                [one] => (*one).clone(),
                [first, ..] => concat_batches(&first.schema(), batches)?,
                [] => RecordBatch::new_empty(table.schema()),
            };
            Ok(Versions { table, rows })
        });
        concatenated.collect()
    }

    /// The table they belong to.
    pub fn table(&self) -> &'static Table {
        self.table
    }

    /// Their columns, those of the table.
    pub fn rows(&self) -> &RecordBatch {
        &self.rows
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.rows.num_rows()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A column of times, in microseconds; 0 where absent.
    pub fn times(&self, column: &str) -> Option<&[i64]> {
        let column = self.rows.column(self.table.position(column)?);
        Some(column.as_primitive_opt::<TimestampMicrosecondType>()?.values())
    }

    /// When each became known, in microseconds. Times in the graph are whole multiples of them.
    pub fn known_at(&self) -> &[i64] {
        self.times("known_at").unwrap_or(&[])
    }

    /// The newest time at which one became known.
    pub fn newest(&self) -> Option<Ts> {
        self.known_at().iter().max().map(|micros| micros.saturating_mul(1_000))
    }

    /// Those for whose place `is_wanted` says so.
    pub fn filter(&self, is_wanted: impl Fn(usize) -> bool) -> Versions {
        let wanted: BooleanArray = (0..self.len()).map(|at| Some(is_wanted(at))).collect();
        if wanted.true_count() == self.len() {
            return self.clone();
        }
        // A row left out unsaid would be worse than no process: but a mask as long as the batch always fits.
        let rows =
            filter_record_batch(&self.rows, &wanted).unwrap_or_else(|error| panic!("{}: {error}", self.table.name));
        Versions { table: self.table, rows }
    }

    /// Those that became known at a time of this range.
    pub fn known_within(&self, range: std::ops::Range<Ts>) -> Versions {
        let known = self.known_at();
        self.filter(|at| known.get(at).is_some_and(|micros| range.contains(&micros.saturating_mul(1_000))))
    }

    /// One by one.
    pub fn each(&self, see: impl FnMut(Version)) {
        each_row(self.table, &self.rows, see);
    }

    /// One by one, at hand.
    pub fn to_vec(&self) -> Vec<Version> {
        let mut rows = Vec::with_capacity(self.len());
        self.each(|row| rows.push(row));
        rows
    }
}

/// The rows of a batch that has the table's columns; an empty text is absent.
pub fn each_row(table: &'static Table, batch: &RecordBatch, mut see: impl FnMut(Version)) {
    let columns: Vec<Cells> = table.columns.iter().zip(batch.columns()).map(|(c, a)| Cells::of(c.kind, a)).collect();
    for at in 0..batch.num_rows() {
        see(Version { table, cells: columns.iter().map(|column| column.cell(at)).collect() });
    }
}

/// One column, ready to give cells.
pub struct Cells<'a> {
    kind: Kind,
    array: &'a dyn Array,
    /// The last text, so that runs of equal names share it.
    last: RefCell<Arc<str>>,
}

impl<'a> Cells<'a> {
    /// Of an array of the kind.
    pub fn of(kind: Kind, array: &'a ArrayRef) -> Cells<'a> {
        Cells { kind, array: array.as_ref(), last: RefCell::new(Arc::from("")) }
    }

    /// Appends a row's part of a key, as [`crate::row::push_key`] does.
    pub fn push_key(&self, at: usize, key: &mut String) {
        match self.kind {
            Kind::Symbol | Kind::Text if self.array.is_valid(at) => {
                push_text(self.array.as_string::<i32>().value(at), key);
                key.push('|');
            }
            _ => push_key(std::iter::once(&self.cell(at)), key),
        }
    }

    /// The cell of a row; an empty text is absent.
    pub fn cell(&self, at: usize) -> Cell {
        if self.array.is_null(at) {
            return Cell::Null;
        }
        match self.kind {
            Kind::Ts => Cell::Ts(self.array.as_primitive::<TimestampMicrosecondType>().value(at).saturating_mul(1_000)),
            Kind::F64 => Cell::Float(self.array.as_primitive::<Float64Type>().value(at)),
            Kind::I64 => Cell::Int(self.array.as_primitive::<Int64Type>().value(at)),
            Kind::Bool => Cell::Bool(self.array.as_boolean().value(at)),
            Kind::Symbol | Kind::Text => match self.array.as_string::<i32>().value(at) {
                "" => Cell::Null,
                text => {
                    let mut last = self.last.borrow_mut();
                    if **last != *text {
                        *last = Arc::from(text);
                    }
                    Cell::Text(last.clone())
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{BARS, RUNS};

    fn row(table: &'static Table, values: &[(&str, Cell)]) -> Version {
        let value = |name: &str| values.iter().find(|(column, _)| *column == name).map(|(_, cell)| cell.clone());
        Version { table, cells: table.columns.iter().map(|column| value(column.name).unwrap_or(Cell::Null)).collect() }
    }

    fn bar(symbol: &str, known: Ts) -> Version {
        row(&BARS, &[("symbol", symbol.into()), ("known_at", Cell::Ts(known))])
    }

    #[test]
    fn rows_of_each_table_keep_their_order() {
        let run = row(&RUNS, &[("run_id", "live".into())]);
        let rows = [bar("B|", 1_000), run.clone(), bar("A", 3_000), bar("", 2_000)];
        let all = Versions::of(&rows).unwrap();
        assert_eq!(
            all.iter().map(|rows| (rows.table().name, rows.len())).collect::<Vec<_>>(),
            [("bars", 3), ("runs", 1)]
        );
        let absent = row(&BARS, &[("known_at", Cell::Ts(2_000))]);
        assert_eq!(all[0].to_vec(), [bar("B|", 1_000), bar("A", 3_000), absent.clone()]);
        for (at, row) in all[0].to_vec().iter().enumerate() {
            let mut key = String::new();
            for position in BARS.key_positions() {
                Cells::of(BARS.columns[position].kind, all[0].rows().column(position)).push_key(at, &mut key);
            }
            assert_eq!(key, row.key());
        }
        assert_eq!(all[0].newest(), Some(3_000));
        assert_eq!(all[0].known_within(2_000..3_000).to_vec(), [absent]);
        assert_eq!(all[0].known_within(0..Ts::MAX), all[0]);
        let twice = Versions::together(&[all[0].clone(), all[1].clone(), all[0].clone()]).unwrap();
        assert_eq!(twice.iter().map(Versions::len).collect::<Vec<_>>(), [6, 1]);
        assert_eq!(twice[1].to_vec(), [run]);
    }

    #[test]
    fn what_does_not_fit_its_table_is_refused() {
        let wrong = row(&BARS, &[("close", "high".into())]);
        let short = Version { table: &BARS, cells: Vec::new() };
        for rows in [[bar("A", 0), wrong], [bar("A", 0), short]] {
            assert!(Versions::of(&rows).is_err());
        }
        let runs = Versions::of(&[row(&RUNS, &[])]).unwrap().remove(0);
        assert!(Versions::new(&BARS, runs.rows().clone()).is_err());
        assert!(Versions::new(&RUNS, runs.rows().clone()).is_ok());
    }
}
