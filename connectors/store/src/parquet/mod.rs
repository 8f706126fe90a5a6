//! The embedded store: tables as Parquet files below one directory, upserted by key (`prism_schemas::layout`).

mod buffer;
mod days;
mod file;
mod lock;
mod merge;
mod reader;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use arrow::error::ArrowError;
use prism_schemas::layout::run_folder;
use prism_schemas::store::{StoreResult, is_run_name, withdrawal};
use prism_schemas::table::TABLES;
use prism_schemas::{Health, RowStore, Table, Ts, Version, Versions, each_row};

use buffer::Buffer;
use days::Days;
use lock::Lock;
pub use reader::Reader;

/// Bytes of buffered rows that make `write` put them on disk.
const BUFFER_MAX: usize = 16 << 20;
/// Rows that are withdrawn at once.
const WITHDRAWN: usize = 4_096;

/// What can go wrong with a store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk refused: free space, then flush again; nothing buffered is lost.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Somebody else writes here.
    #[error(
        "{} is being written by another process{}: stop it, or name another directory or --run",
        path.display(),
        if holder.is_empty() { String::new() } else { format!(" (pid {holder})") }
    )]
    Locked {
        /// The run's directory.
        path: PathBuf,
        /// Its process, as far as known.
        holder: String,
    },
    /// The name of a run does not fit a path.
    #[error("\"{0}\" is no name of a run: use 1 to 32 of a-z, 0-9 and -")]
    Name(String),
    /// A stored file cannot be read: move it away and compute its day again.
    #[error("{} cannot be read, move it away and compute its day again: {detail}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What the reader said.
        detail: String,
    },
    /// A stored file has a column of another type.
    #[error(
        "{}: column {column} is {found}, this prism has {expected}: move the file away and compute its day again",
        path.display()
    )]
    Type {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
        /// Its type in the file.
        found: String,
        /// The type it should have.
        expected: String,
    },
    /// A row does not fit its table: a mistake of the program that made it.
    #[error("{0}")]
    Row(#[from] ArrowError),
}

/// The rows of one run below a directory. One writer of a run at a time, any number of readers.
pub struct Store {
    run_id: String,
    dir: PathBuf,
    days: Days,
    buffer: Buffer,
    buffer_max: usize,
    marked: Option<Ts>,
    /// None if it was opened for reading.
    _lock: Option<Lock>,
}

impl Store {
    /// Opens the rows of a run for writing, creating what is absent; refuses if another process writes them.
    pub fn open(root: &Path, run_id: &str) -> Result<Store, StoreError> {
        let mut store = Store::open_read(root, run_id)?;
        std::fs::create_dir_all(&store.dir).map_err(|source| StoreError::Io { path: store.dir.clone(), source })?;
        store._lock = Some(Lock::take(&store.dir)?);
        days::sync_parents(&store.dir)?;
        store.days.recover()?;
        Ok(store)
    }

    /// Opens the rows of a run for reading only; it need not exist yet.
    pub fn open_read(root: &Path, run_id: &str) -> Result<Store, StoreError> {
        if !is_run_name(run_id) {
            return Err(StoreError::Name(run_id.into()));
        }
        let dir = run_folder(run_id).map_or_else(|| root.to_path_buf(), |folder| root.join(folder));
        Ok(Store {
            run_id: run_id.into(),
            days: Days::new(dir.clone()),
            dir,
            buffer: Buffer::default(),
            buffer_max: BUFFER_MAX,
            marked: None,
            _lock: None,
        })
    }

    /// Buffers versions, which must arrive in the order they became known: the last of a key wins.
    pub fn write(&mut self, rows: Vec<Versions>) -> Result<(), StoreError> {
        for versions in rows {
            self.buffer.push(&versions)?;
            if self.buffer_max <= self.buffer.bytes() {
                self.stage()?;
            }
        }
        Ok(())
    }

    /// Puts what is buffered on disk, where readers do not see it before it is durable.
    fn stage(&mut self) -> Result<(), StoreError> {
        let days = &mut self.days;
        self.buffer.drain(|table, day, rows| days.stage(table, day, rows))
    }

    /// Makes all rows taken durable and seen by readers. What fails stays buffered.
    pub fn flush(&mut self) -> Result<(), StoreError> {
        self.stage()?;
        self.days.publish()?;
        self.days.tidy()
    }

    /// As `flush`; then each table and day is one file.
    pub fn finish(&mut self) -> Result<(), StoreError> {
        self.stage()?;
        self.days.publish()?;
        self.days.merge_all()
    }

    /// The flushed rows of a table, by timestamp and key.
    pub fn read(&self, table: &'static Table) -> Result<Vec<Version>, StoreError> {
        let mut rows = Vec::new();
        self.scan(table, |row| rows.push(row))?;
        Ok(rows)
    }

    /// As `read`, row by row.
    pub fn scan(&self, table: &'static Table, mut see: impl FnMut(Version)) -> Result<(), StoreError> {
        for file in self.files(table)? {
            for batch in Days::read(table, &file)? {
                each_row(table, &batch?, &mut see);
            }
        }
        Ok(())
    }

    /// The files of a table's days, oldest first.
    pub fn files(&self, table: &Table) -> Result<Vec<PathBuf>, StoreError> {
        self.days.files(table)
    }

    fn withdraw_rows(
        &mut self,
        config_hash: &str,
        since: Ts,
        frontier: Ts,
        see: &mut dyn FnMut(&[Versions]),
    ) -> Result<u64, StoreError> {
        self.flush()?;
        let mut n_rows = 0;
        for table in TABLES.iter().copied().filter(|table| table.derived) {
            for file in self.files(table)? {
                let mut left = Vec::new();
                for batch in Days::read(table, &file)? {
                    each_row(table, &batch?, |row| left.extend(withdrawal(&row, config_hash, since, frontier)));
                    if WITHDRAWN <= left.len() {
                        n_rows += left.len() as u64;
                        self.withdraw_these(&std::mem::take(&mut left), see)?;
                    }
                }
                n_rows += left.len() as u64;
                self.withdraw_these(&left, see)?;
            }
        }
        self.flush()?;
        Ok(n_rows)
    }

    fn withdraw_these(&mut self, rows: &[Version], see: &mut dyn FnMut(&[Versions])) -> Result<(), StoreError> {
        if rows.is_empty() {
            return Ok(());
        }
        let rows = Versions::of(rows)?;
        see(&rows);
        self.write(rows)
    }
}

impl RowStore for Store {
    fn address(&self) -> String {
        self.dir.display().to_string()
    }

    fn run_id(&self) -> &str {
        &self.run_id
    }

    fn write(&mut self, rows: Vec<Versions>) -> StoreResult<()> {
        Ok(Store::write(self, rows)?)
    }

    fn flush(&mut self) -> StoreResult<bool> {
        Store::flush(self)?;
        Ok(true)
    }

    fn mark(&mut self, frontier: Ts) {
        self.marked = Some(frontier);
    }

    fn readable(&mut self) -> StoreResult<Option<Ts>> {
        Ok(self.marked)
    }

    fn finish(&mut self) -> StoreResult<bool> {
        Store::finish(self)?;
        Ok(true)
    }

    fn scan(&self, table: &'static Table, see: &mut dyn FnMut(Version)) -> StoreResult<()> {
        Ok(Store::scan(self, table, see)?)
    }

    fn withdraw(
        &mut self,
        config_hash: &str,
        since: Ts,
        frontier: Ts,
        see: &mut dyn FnMut(&[Versions]),
    ) -> StoreResult<Option<u64>> {
        Ok(Some(self.withdraw_rows(config_hash, since, frontier, see)?))
    }

    fn health(&mut self) -> Health {
        Health::default()
    }
}
