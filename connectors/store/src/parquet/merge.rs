//! Sorted files as one sorted stream with the newest row of each key, in memory for a few batches of each file.

use std::collections::VecDeque;

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::TimestampMicrosecondType;
use prism_schemas::Table;

use super::StoreError;
use super::file::Rows;

/// The rows of several files of a table; a later file wins.
pub(super) struct Merged {
    table: &'static Table,
    designated: usize,
    files: Vec<Ahead>,
}

/// A file and what was read of it but not given yet.
struct Ahead {
    rows: Rows,
    waiting: VecDeque<RecordBatch>,
    is_over: bool,
}

impl Merged {
    /// Of files in the order they were written, each sorted.
    pub(super) fn new(table: &'static Table, files: Vec<Rows>) -> Merged {
        let designated = table.position(table.designated).unwrap_or_default();
        let ahead = |rows| Ahead { rows, waiting: VecDeque::new(), is_over: false };
        Merged { table, designated, files: files.into_iter().map(ahead).collect() }
    }

    fn times<'a>(&self, batch: &'a RecordBatch) -> &'a [i64] {
        batch.column(self.designated).as_primitive::<TimestampMicrosecondType>().values()
    }

    /// The time before which all rows are read; none if all are.
    fn bound(&self) -> Option<i64> {
        let last = |file: &Ahead| self.times(file.waiting.back()?).last().copied();
        self.files.iter().filter(|file| !file.is_over).map(|file| last(file).unwrap_or(i64::MIN)).min()
    }

    fn read(&mut self, at: usize) -> Result<(), StoreError> {
        let file = &mut self.files[at];
        match file.rows.next() {
            None => file.is_over = true,
            Some(batch) => {
                let batch = batch?;
                if 0 < batch.num_rows() {
                    file.waiting.push_back(batch);
                }
            }
        }
        Ok(())
    }

    fn step(&mut self) -> Result<Option<RecordBatch>, StoreError> {
        loop {
            for at in 0..self.files.len() {
                while self.files[at].waiting.is_empty() && !self.files[at].is_over {
                    self.read(at)?;
                }
            }
            let bound = self.bound();
            let mut ready = Vec::new();
            for at in 0..self.files.len() {
                while let Some(batch) = self.files[at].waiting.pop_front() {
                    let n_rows = match bound {
                        Some(bound) => self.times(&batch).partition_point(|ts| *ts < bound),
                        None => batch.num_rows(),
                    };
                    if 0 < n_rows {
                        ready.push(batch.slice(0, n_rows));
                    }
                    if n_rows < batch.num_rows() {
                        self.files[at].waiting.push_front(batch.slice(n_rows, batch.num_rows() - n_rows));
                        break;
                    }
                }
            }
            if !ready.is_empty() {
                let rows = concat_batches(&self.table.schema(), &ready)?;
                return Ok(Some(self.table.newest_per_key(&rows)?));
            }
            if bound.is_none() {
                return Ok(None);
            }
            // All that is read begins at the same instant: the files that end there must tell more.
            for at in 0..self.files.len() {
                let last = self.files[at].waiting.back().and_then(|batch| self.times(batch).last().copied());
                if !self.files[at].is_over && last == bound {
                    self.read(at)?;
                }
            }
        }
    }
}

impl Iterator for Merged {
    type Item = Result<RecordBatch, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step().transpose()
    }
}
