//! Rows that wait in memory, by table, and how many bytes they take.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::TimestampMicrosecondType;
use arrow::error::ArrowError;
use prism_schemas::time::DAY;
use prism_schemas::{Table, Versions};

/// Batches of fewer rows than this are put together.
const SMALL: usize = 1024;

/// Rows of all tables.
#[derive(Default)]
pub(super) struct Buffer {
    tables: BTreeMap<&'static str, Waiting>,
    bytes: usize,
}

/// Rows of one table, in the order they came.
struct Waiting {
    table: &'static Table,
    columns: Vec<RecordBatch>,
    /// How many of them, at the end, are small, and the rows in those.
    small: (usize, usize),
    bytes: usize,
}

impl Buffer {
    /// Takes rows; fails if one has no time.
    pub(super) fn push(&mut self, versions: &Versions) -> Result<(), ArrowError> {
        let (table, rows) = (versions.table(), versions.rows());
        let has_times = rows.column_by_name(table.designated).is_some_and(|times| times.null_count() == 0);
        if !has_times {
            let message = format!("{}.{} cannot hold null", table.name, table.designated);
            return Err(ArrowError::SchemaError(message));
        }
        let empty = || Waiting { table, columns: Vec::new(), small: (0, 0), bytes: 0 };
        let waiting = self.tables.entry(table.name).or_insert_with(empty);
        let before = waiting.bytes;
        waiting.push(rows.clone())?;
        self.bytes = self.bytes + waiting.bytes - before;
        Ok(())
    }

    /// Bytes of memory that rows take.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Gives the rows of each table and day, sorted, the newest of each key; they leave the buffer once they are taken
    /// without an error.
    pub(super) fn drain<E: From<ArrowError>>(
        &mut self,
        mut take: impl FnMut(&'static Table, i64, &RecordBatch) -> Result<(), E>,
    ) -> Result<(), E> {
        while let Some(mut entry) = self.tables.first_entry() {
            let waiting = entry.get_mut();
            let before = waiting.bytes;
            let outcome = waiting.drain(&mut take);
            self.bytes = self.bytes + waiting.bytes - before;
            outcome?;
            entry.remove();
        }
        Ok(())
    }
}

impl Waiting {
    fn push(&mut self, rows: RecordBatch) -> Result<(), ArrowError> {
        self.bytes += rows.get_array_memory_size();
        let n_rows = rows.num_rows();
        self.columns.push(rows);
        if SMALL <= n_rows {
            self.small = (0, 0);
            return Ok(());
        }
        self.small = (self.small.0 + 1, self.small.1 + n_rows);
        if SMALL <= self.small.1 {
            let from = self.columns.len() - self.small.0;
            let together = concat_batches(&self.table.schema(), &self.columns[from..])?;
            self.columns.truncate(from);
            self.columns.push(together);
            self.small = (0, 0);
            self.count();
        }
        Ok(())
    }

    fn count(&mut self) {
        self.bytes = self.columns.iter().map(RecordBatch::get_array_memory_size).sum();
    }

    fn drain<E: From<ArrowError>>(
        &mut self,
        take: &mut impl FnMut(&'static Table, i64, &RecordBatch) -> Result<(), E>,
    ) -> Result<(), E> {
        self.small = (0, 0);
        // Each step replaces what it was made of: there are never three copies.
        self.columns = vec![concat_batches(&self.table.schema(), &self.columns)?];
        let newest = self.table.newest_per_key(&self.columns[0])?;
        self.columns = vec![newest];
        let newest = self.columns[0].clone();
        let designated = self.table.position(self.table.designated).unwrap_or_default();
        let ts = newest.column(designated).as_primitive::<TimestampMicrosecondType>().values();
        let day = |micros: &i64| micros.div_euclid(DAY / 1_000);
        let mut from = 0;
        while let Some(number) = ts.get(from).map(day) {
            let n_rows = ts[from..].partition_point(|micros| day(micros) == number);
            if let Err(error) = take(self.table, number, &newest.slice(from, n_rows)) {
                self.columns = vec![newest.slice(from, newest.num_rows() - from)];
                self.count();
                return Err(error);
            }
            from += n_rows;
        }
        self.columns.clear();
        self.bytes = 0;
        Ok(())
    }
}
