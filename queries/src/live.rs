//! Rows in memory: every row not stored yet, and the newest of each series.

mod forming;
mod sight;
mod table;

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::Arc;

use arc_swap::ArcSwap;
use arrow::array::{AsArray, RecordBatch};
use arrow::error::ArrowError;
use prism_schemas::table::TABLES;
use prism_schemas::{Cell, InstrumentId, Market, Table, Ts, Version, Versions};

pub(crate) use self::forming::NotFormed;
pub use self::forming::{FORMING_VIEWS, Forming};
use self::table::LiveTable;

/// The tables that have a view of their newest rows, `live.<name>`.
pub const LIVE_VIEWS: [&str; 15] = [
    "confluence",
    "signals",
    "bars",
    "order_flow",
    "footprint_analysis",
    "book_features",
    "component_scores",
    "dimension_scores",
    "indicators",
    "open_interest_analysis",
    "liquidation_analysis",
    "sentiment",
    "volume_profile",
    "setups",
    "relations",
];

/// Rows in memory, shared by the writer of results and every reader, who waits for nobody. The newest (known_at, revision) of a key wins.
/// An empty text is absent, as in the store: it is null here, whatever was applied.
#[derive(Debug)]
pub struct LiveRows {
    keep: i64,
    tables: Vec<LiveTable>,
    progress: ArcSwap<Progress>,
    /// What forms, for statements that ask.
    pub forming: Forming,
}

#[derive(Clone, Debug, Default)]
struct Progress {
    newest: Option<Ts>,
    stored: Option<Ts>,
    instruments: Arc<BTreeSet<InstrumentId>>,
}

impl LiveRows {
    /// Stored rows stay in memory while they were known, and are of a time, at most `keep` nanoseconds before the newest
    /// became known: a history that came at once leaves when it is stored.
    pub fn new(keep: i64) -> LiveRows {
        let tables = TABLES.iter().map(|table| LiveTable::new(table)).collect();
        LiveRows { keep, tables, progress: ArcSwap::default(), forming: Forming::default() }
    }

    /// Takes versions in any order.
    pub fn apply(&self, versions: &[Versions]) {
        let mut newest: Option<Ts> = None;
        let mut instruments = BTreeSet::new();
        // What comes together is one segment; batches of one schema can always be put together.
        let together = Versions::together(versions).unwrap_or_else(|_| versions.to_vec());
        for versions in &together {
            let Some(table) = self.table(versions.table()) else { continue };
            table.apply(versions.rows());
            newest = newest.max(versions.newest());
            if versions.table().name == "bars" || versions.table().name == "confluence" {
                instruments.extend(instruments_of(versions));
            }
        }
        let known = self.progress.load();
        if newest <= known.newest && instruments.is_subset(&known.instruments) {
            return;
        }
        self.progress.rcu(|known| {
            let mut known = Progress::clone(known);
            known.newest = known.newest.max(newest);
            if !instruments.is_subset(&known.instruments) {
                Arc::make_mut(&mut known.instruments).extend(instruments.iter().cloned());
            }
            known
        });
    }

    /// Says that every row known before `frontier` is in the store, so that old ones can leave memory.
    pub fn stored_up_to(&self, frontier: Ts) {
        self.progress.rcu(|known| Progress { stored: known.stored.max(Some(frontier)), ..Progress::clone(known) });
        self.spooled_up_to(self.stored().unwrap_or(frontier));
    }

    /// Says that every row known before `frontier` is safe on disk, so that old ones can leave memory although they cannot
    /// be read from the store yet.
    pub fn spooled_up_to(&self, frontier: Ts) {
        let newest = self.newest().unwrap_or(frontier);
        let old = newest.saturating_sub(self.keep);
        let past = (old, self.stored().unwrap_or(Ts::MIN));
        self.tables.iter().for_each(|table| table.forget(frontier.min(old), past));
    }

    /// As [`LiveRows::stored_up_to`], where `newest` is the knowledge time of the newest stored row: a store keeps
    /// microseconds, so every row known within that one is in the store too.
    pub fn stored_through(&self, newest: Ts) {
        self.stored_up_to(newest.div_euclid(1_000).saturating_add(1).saturating_mul(1_000));
    }

    /// Everything known before this is in the store.
    pub fn stored(&self) -> Option<Ts> {
        self.progress.load().stored
    }

    /// The newest knowledge time of all rows.
    pub fn newest(&self) -> Option<Ts> {
        self.progress.load().newest
    }

    /// Every instrument that has a bar or a score in memory.
    pub fn instruments(&self) -> Arc<BTreeSet<InstrumentId>> {
        self.progress.load().instruments.clone()
    }

    /// Number of rows in memory.
    pub fn len(&self) -> usize {
        self.tables.iter().map(|table| table.seen().len()).sum()
    }

    /// Bytes that rows in memory take, with their index.
    pub fn bytes(&self) -> usize {
        self.tables.iter().map(LiveTable::bytes).sum()
    }

    /// Whether there is no row in memory.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All rows of a table in memory, retracted ones included, with `ts` in the range.
    pub fn batches(&self, table: &Table, range: &RangeInclusive<Ts>) -> Result<Vec<RecordBatch>, ArrowError> {
        self.table(table).map_or(Ok(Vec::new()), |table| table.seen().batches(range))
    }

    /// The newest row of each key without ts, retracted rows skipped.
    pub fn latest(&self, table: &Table) -> Result<Vec<Version>, ArrowError> {
        self.table(table).map_or(Ok(Vec::new()), |table| table.seen().latest())
    }

    /// As [`LiveRows::latest`], as one batch.
    pub fn latest_batch(&self, table: &Table) -> Result<RecordBatch, ArrowError> {
        match self.table(table) {
            Some(table) => table.seen().latest_batch(),
            None => Ok(RecordBatch::new_empty(table.schema())),
        }
    }

    fn table(&self, table: &Table) -> Option<&LiveTable> {
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
