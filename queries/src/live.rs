//! Rows in memory: every row not stored yet, and the newest of each series.

mod table;

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use arrow::array::{AsArray, RecordBatch};
use arrow::error::ArrowError;
use prism_schemas::table::TABLES;
use prism_schemas::{Cell, InstrumentId, Market, Table, Ts, Version, Versions};

use self::table::LiveTable;

/// The tables that have a view of their newest rows, `live.<name>`.
pub const LIVE_VIEWS: [&str; 8] = [
    "confluence",
    "signals",
    "bars",
    "book_features",
    "component_scores",
    "dimension_scores",
    "indicators",
    "relations",
];

/// Rows in memory, shared by the writer of results and every reader. The newest (known_at, revision) of a key wins.
/// An empty text is absent, as in the store: it is null here, whatever was applied.
#[derive(Debug)]
pub struct LiveRows {
    keep: i64,
    tables: Vec<RwLock<LiveTable>>,
    progress: RwLock<Progress>,
}

#[derive(Debug, Default)]
struct Progress {
    newest: Option<Ts>,
    stored: Option<Ts>,
    instruments: BTreeSet<InstrumentId>,
}

impl LiveRows {
    /// Stored rows stay in memory while they were known, and are of a time, at most `keep` nanoseconds before the newest
    /// became known: a history that came at once leaves when it is stored.
    pub fn new(keep: i64) -> LiveRows {
        let tables = TABLES.iter().map(|table| RwLock::new(LiveTable::new(table))).collect();
        LiveRows { keep, tables, progress: RwLock::default() }
    }

    /// Takes versions in any order.
    pub fn apply(&self, versions: &[Versions]) {
        let mut newest: Option<Ts> = None;
        let mut instruments = BTreeSet::new();
        // What comes together is one segment; batches of one schema can always be put together.
        let together = Versions::together(versions).unwrap_or_else(|_| versions.to_vec());
        for versions in &together {
            let Some(lock) = self.table(versions.table()) else { continue };
            write(lock).apply(versions.rows());
            newest = newest.max(versions.newest());
            if versions.table().name == "bars" || versions.table().name == "confluence" {
                instruments.extend(instruments_of(versions));
            }
        }
        let known = read(&self.progress);
        let news = newest > known.newest || !instruments.is_subset(&known.instruments);
        drop(known);
        if news {
            let mut progress = write(&self.progress);
            progress.newest = progress.newest.max(newest);
            progress.instruments.append(&mut instruments);
        }
    }

    /// Says that every row known before `frontier` is in the store, so that old ones can leave memory.
    pub fn stored_up_to(&self, frontier: Ts) {
        let mut progress = write(&self.progress);
        progress.stored = progress.stored.max(Some(frontier));
        let stored = progress.stored.unwrap_or(frontier);
        drop(progress);
        self.spooled_up_to(stored);
    }

    /// Says that every row known before `frontier` is safe on disk, so that old ones can leave memory although they cannot
    /// be read from the store yet.
    pub fn spooled_up_to(&self, frontier: Ts) {
        let newest = self.newest().unwrap_or(frontier);
        let old = newest.saturating_sub(self.keep);
        let past = (old, self.stored().unwrap_or(Ts::MIN));
        for lock in &self.tables {
            write(lock).forget(frontier.min(old), past);
        }
    }

    /// As [`LiveRows::stored_up_to`], where `newest` is the knowledge time of the newest stored row: a store keeps
    /// microseconds, so every row known within that one is in the store too.
    pub fn stored_through(&self, newest: Ts) {
        self.stored_up_to(newest.div_euclid(1_000).saturating_add(1).saturating_mul(1_000));
    }

    /// Everything known before this is in the store.
    pub fn stored(&self) -> Option<Ts> {
        read(&self.progress).stored
    }

    /// The newest knowledge time of all rows.
    pub fn newest(&self) -> Option<Ts> {
        read(&self.progress).newest
    }

    /// Every instrument that has a bar or a score in memory.
    pub fn instruments(&self) -> BTreeSet<InstrumentId> {
        read(&self.progress).instruments.clone()
    }

    /// Number of rows in memory.
    pub fn len(&self) -> usize {
        self.tables.iter().map(|lock| read(lock).len()).sum()
    }

    /// Whether there is no row in memory.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All rows of a table in memory, retracted ones included, with `ts` in the range.
    pub fn batches(&self, table: &Table, range: &RangeInclusive<Ts>) -> Result<Vec<RecordBatch>, ArrowError> {
        self.table(table).map_or(Ok(Vec::new()), |lock| read(lock).batches(range))
    }

    /// The newest row of each key without ts, retracted rows skipped.
    pub fn latest(&self, table: &Table) -> Result<Vec<Version>, ArrowError> {
        self.table(table).map_or(Ok(Vec::new()), |lock| read(lock).latest())
    }

    /// As [`LiveRows::latest`], as one batch.
    pub fn latest_batch(&self, table: &Table) -> Result<RecordBatch, ArrowError> {
        match self.table(table) {
            Some(lock) => read(lock).latest_batch(),
            None => Ok(RecordBatch::new_empty(table.schema())),
        }
    }

    fn table(&self, table: &Table) -> Option<&RwLock<LiveTable>> {
        self.tables.get(TABLES.iter().position(|other| **other == *table)?)
    }
}

/// The instrument a row is about.
pub fn instrument(version: &Version) -> Option<InstrumentId> {
    let text = |column| match version.get(column)? {
        Cell::Text(text) => Some(&**text),
        _ => None,
    };
    Some(InstrumentId::new(text("exchange")?, Market::parse(text("market")?)?, text("symbol")?))
}

/// The instruments that rows are about, each once where they stand together.
fn instruments_of(versions: &Versions) -> BTreeSet<InstrumentId> {
    let text = |column: &str| versions.rows().column_by_name(column)?.as_string_opt::<i32>();
    let (Some(exchange), Some(market), Some(symbol)) = (text("exchange"), text("market"), text("symbol")) else {
        return BTreeSet::new();
    };
    let names = (0..versions.len()).map(|at| [exchange, market, symbol].map(|column| column.value(at)));
    let distinct: BTreeSet<[&str; 3]> = names.collect();
    let parsed = distinct
        .into_iter()
        .filter_map(|[exchange, market, symbol]| Some(InstrumentId::new(exchange, Market::parse(market)?, symbol)));
    parsed.collect()
}

// A panic while a lock is held leaves rows that are each whole, so readers may go on.
fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
