//! Where rows are kept: a directory of Parquet files, or QuestDB.

use prism_schemas::table::RUNS;
use prism_schemas::{Cell, Table, Version};

use crate::parquet::{Store, StoreError};
use crate::questdb::{QuestDbError, Sink};

/// Keeps the rows of one run.
pub enum Keeper {
    /// Parquet files.
    Parquet(Store),
    /// Tables of a server.
    QuestDb(Box<Sink>),
}

/// What can go wrong with a keeper.
#[derive(Debug, thiserror::Error)]
pub enum KeeperError {
    /// The directory.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The server.
    #[error(transparent)]
    QuestDb(#[from] QuestDbError),
}

impl Keeper {
    /// Takes rows, which must come in the order they became known.
    pub fn write(&mut self, rows: Vec<Version>) -> Result<(), KeeperError> {
        match self {
            Keeper::Parquet(store) => Ok(store.write(rows)?),
            Keeper::QuestDb(sink) => Ok(sink.write(&rows)?),
        }
    }

    /// True if all rows taken are kept; false while the server is away, which is no error.
    pub fn flush(&mut self) -> Result<bool, KeeperError> {
        match self {
            Keeper::Parquet(store) => store.flush().map(|()| true).map_err(KeeperError::from),
            Keeper::QuestDb(sink) => Ok(sink.flush()?),
        }
    }

    /// Waits until all rows taken are kept and can be read.
    pub fn finish(&mut self) -> Result<(), KeeperError> {
        while !self.flush()? {
            std::thread::sleep(PATIENCE);
        }
        if let Keeper::QuestDb(sink) = self {
            loop {
                let tables = sink.client().wal_tables()?;
                if let Some(table) = tables.iter().find(|table| table.suspended) {
                    return Err(table.problem(sink.client()).into());
                }
                if tables.iter().all(|table| table.lag() == 0) {
                    break;
                }
                std::thread::sleep(PATIENCE);
            }
        }
        Ok(())
    }

    /// Reads the kept rows of a table, in the order of their designated timestamp.
    pub fn scan(&self, table: &'static Table, see: impl FnMut(Version)) -> Result<(), KeeperError> {
        match self {
            Keeper::Parquet(store) => Ok(store.scan(table, see)?),
            Keeper::QuestDb(sink) => Ok(sink.client().scan(&sink.target(table), see)?),
        }
    }

    /// The row of `runs` that tells how far a run is kept.
    pub fn run(&self, run_id: &str) -> Result<Option<Version>, KeeperError> {
        let mut found = None;
        self.scan(&RUNS, |row| {
            if row.get("run_id") == Some(&Cell::text(run_id)) {
                found = Some(row);
            }
        })?;
        Ok(found)
    }
}

/// Between two looks.
const PATIENCE: std::time::Duration = std::time::Duration::from_millis(20);
