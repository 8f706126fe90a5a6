//! Where rows are kept: a directory of Parquet files, or QuestDB.

use prism_schemas::{RowStore, StoreError, Table, Version};

use crate::parquet::Store;
use crate::questdb::Sink;

/// Keeps the rows of one run.
pub enum Keeper {
    /// Parquet files.
    Parquet(Store),
    /// Tables of a server.
    QuestDb(Box<Sink>),
}

/// What can go wrong with a keeper.
pub type KeeperError = StoreError;

impl Keeper {
    /// As the trait.
    pub fn as_store(&self) -> &dyn RowStore {
        match self {
            Keeper::Parquet(store) => store,
            Keeper::QuestDb(sink) => &**sink,
        }
    }

    /// As the trait.
    pub fn as_store_mut(&mut self) -> &mut dyn RowStore {
        match self {
            Keeper::Parquet(store) => store,
            Keeper::QuestDb(sink) => &mut **sink,
        }
    }

    /// Takes rows, which must come in the order they became known.
    pub fn write(&mut self, rows: Vec<Version>) -> Result<(), KeeperError> {
        self.as_store_mut().write(rows)
    }

    /// True if all rows taken are kept; false while the server is away, which is no error.
    pub fn flush(&mut self) -> Result<bool, KeeperError> {
        self.as_store_mut().flush()
    }

    /// Waits until all rows taken are kept and can be read.
    pub fn finish(&mut self) -> Result<(), KeeperError> {
        while !self.as_store_mut().finish()? {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        Ok(())
    }

    /// Reads the kept rows of a table, in the order of their designated timestamp.
    pub fn scan(&self, table: &'static Table, mut see: impl FnMut(Version)) -> Result<(), KeeperError> {
        self.as_store().scan(table, &mut see)
    }

    /// The row of `runs` that tells how far a run is kept.
    pub fn run(&self, run_id: &str) -> Result<Option<Version>, KeeperError> {
        self.as_store().run(run_id)
    }
}
