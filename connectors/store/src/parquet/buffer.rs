//! Rows that wait in memory, by table, and how many bytes they take.

use std::collections::BTreeMap;

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::TimestampMicrosecondType;
use arrow::error::ArrowError;
use prism_schemas::time::DAY;
use prism_schemas::{Cell, Table, Version};

/// Rows of a table that are turned into columns, a fraction of their size, at once.
const PACK_ROWS: usize = 1024;

/// Rows of all tables.
#[derive(Default)]
pub(super) struct Buffer {
    tables: BTreeMap<&'static str, Waiting>,
    bytes: usize,
}

/// Rows of one table, in the order they came: first those in columns.
struct Waiting {
    table: &'static Table,
    columns: Vec<RecordBatch>,
    rows: Vec<Version>,
    bytes: usize,
}

impl Buffer {
    /// Takes a row; fails if it does not fit its table.
    pub(super) fn push(&mut self, row: Version) -> Result<(), ArrowError> {
        let table = row.table;
        if row.cells.len() != table.columns.len() || !matches!(row.get(table.designated), Some(Cell::Ts(_))) {
            let message = format!("{}.{} cannot hold {:?}", table.name, table.designated, row.get(table.designated));
            return Err(ArrowError::SchemaError(message));
        }
        let empty = || Waiting { table, columns: Vec::new(), rows: Vec::new(), bytes: 0 };
        let waiting = self.tables.entry(table.name).or_insert_with(empty);
        let before = waiting.bytes;
        waiting.bytes += size_of::<Version>() + row.cells.capacity() * size_of::<Cell>();
        waiting.rows.push(row);
        if waiting.rows.len() == PACK_ROWS {
            waiting.pack()?;
        }
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
    fn pack(&mut self) -> Result<(), ArrowError> {
        if !self.rows.is_empty() {
            let batch = self.table.batch(&self.rows.iter().map(|row| row.cells.as_slice()))?;
            self.rows.clear();
            self.columns.push(batch);
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
        self.pack()?;
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
