//! One table's rows in memory: chunks by time, each with its record batch, and series by key.

use std::collections::{BTreeMap, HashMap};
use std::ops::RangeInclusive;
use std::sync::{Arc, OnceLock};

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use prism_schemas::row::push_key;
use prism_schemas::table::Kind;
use prism_schemas::time::MINUTE;
use prism_schemas::{Cell, Table, Ts, Version};

/// Rows whose `ts` are in the same chunk share a record batch, which is built again only after one of them changed.
const CHUNK: i64 = 15 * MINUTE;

#[derive(Debug)]
pub(super) struct LiveTable {
    table: &'static Table,
    ts: usize,
    known_at: Option<usize>,
    revision: Option<usize>,
    retracted: Option<usize>,
    status: Option<usize>,
    series_key: Vec<usize>,
    chunks: BTreeMap<i64, Chunk>,
    series: HashMap<Arc<str>, BTreeMap<Ts, Arc<Version>>>,
    latest: OnceLock<RecordBatch>,
}

#[derive(Debug, Default)]
struct Chunk {
    rows: BTreeMap<(Ts, Arc<str>), Arc<Version>>,
    batch: OnceLock<RecordBatch>,
}

impl LiveTable {
    pub(super) fn new(table: &'static Table) -> LiveTable {
        let ts = table.position(table.designated).unwrap_or(0);
        LiveTable {
            table,
            ts,
            known_at: table.position("known_at"),
            revision: table.position("revision"),
            retracted: table.position("retracted"),
            status: (table.name == "signals").then(|| table.position("status")).flatten(),
            series_key: table.key_positions().filter(|position| *position != ts).collect(),
            chunks: BTreeMap::new(),
            series: HashMap::new(),
            latest: OnceLock::new(),
        }
    }

    /// False if the version does not fit the table.
    pub(super) fn apply(&mut self, version: &Version) -> bool {
        let Some(Cell::Ts(ts)) = version.cells.get(self.ts) else { return false };
        let fits = version.cells.len() == self.table.columns.len()
            && self.table.columns.iter().zip(&version.cells).all(|(column, cell)| is_of(column.kind, cell));
        if !fits {
            return false;
        }
        let mut key = String::new();
        push_key(self.series_key.iter().map(|position| &version.cells[*position]), &mut key);
        let key =
            self.series.get_key_value(key.as_str()).map_or_else(|| Arc::from(key.as_str()), |(key, _)| key.clone());
        let older = self.series.get(&key).and_then(|series| series.get(ts)).map(|old| self.age(old));
        if older.is_some_and(|older| self.age(version) < older) {
            return true;
        }
        let version = Arc::new(without_empty(version));
        let chunk = self.chunks.entry(ts.div_euclid(CHUNK)).or_default();
        chunk.rows.insert((*ts, key.clone()), version.clone());
        chunk.batch = OnceLock::new();
        self.series.entry(key).or_default().insert(*ts, version);
        self.latest = OnceLock::new();
        true
    }

    fn age(&self, version: &Version) -> (Ts, i64) {
        let int = |position: Option<usize>| match position.map(|position| &version.cells[position]) {
            Some(Cell::Ts(value) | Cell::Int(value)) => *value,
            _ => 0,
        };
        (int(self.known_at), int(self.revision))
    }

    fn is_retracted(&self, version: &Version) -> bool {
        self.retracted.is_some_and(|position| version.cells[position] == Cell::Bool(true))
    }

    /// Drops rows known before `before`, except the newest of a series (of signals: those still active).
    pub(super) fn forget(&mut self, before: Ts) {
        if self.known_at.is_none() {
            return;
        }
        let old: Vec<i64> = self.chunks.range(..=before.div_euclid(CHUNK)).map(|(at, _)| *at).collect();
        for at in old {
            let Some(mut chunk) = self.chunks.remove(&at) else { continue };
            let n_rows = chunk.rows.len();
            chunk.rows.retain(|(ts, key), version| {
                let keep = before <= self.age(version).0 || self.is_kept(key, *ts, version);
                if !keep && let Some(series) = self.series.get_mut(key) {
                    series.remove(ts);
                    if series.is_empty() {
                        self.series.remove(key);
                    }
                }
                keep
            });
            if chunk.rows.len() < n_rows {
                chunk.batch = OnceLock::new();
                self.latest = OnceLock::new();
            }
            if !chunk.rows.is_empty() {
                self.chunks.insert(at, chunk);
            }
        }
    }

    fn is_kept(&self, key: &str, ts: Ts, version: &Version) -> bool {
        match self.status {
            Some(status) => version.cells[status] == Cell::from("active") && !self.is_retracted(version),
            None if !super::LIVE_VIEWS.contains(&self.table.name) => false,
            None => {
                let series = self.series.get(key);
                let newest = series.and_then(|series| series.iter().rev().find(|(_, row)| !self.is_retracted(row)));
                newest.is_some_and(|(newest, _)| *newest == ts)
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.chunks.values().map(|chunk| chunk.rows.len()).sum()
    }

    pub(super) fn batches(&self, range: &RangeInclusive<Ts>) -> Result<Vec<RecordBatch>, ArrowError> {
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let chunks = self.chunks.range(range.start().div_euclid(CHUNK)..=range.end().div_euclid(CHUNK));
        chunks
            .map(|(_, chunk)| {
                if let Some(batch) = chunk.batch.get() {
                    return Ok(batch.clone());
                }
                let batch = self.table.batch(&chunk.rows.values().map(|version| version.cells.as_slice()))?;
                Ok(chunk.batch.get_or_init(|| batch).clone())
            })
            .collect()
    }

    pub(super) fn latest(&self) -> Vec<Arc<Version>> {
        let newest = |series: &BTreeMap<Ts, Arc<Version>>| {
            series.values().rev().find(|version| !self.is_retracted(version)).cloned()
        };
        let mut rows: Vec<_> = self.series.iter().filter_map(|(key, series)| Some((key, newest(series)?))).collect();
        rows.sort_by_key(|(key, _)| *key);
        rows.into_iter().map(|(_, version)| version).collect()
    }

    pub(super) fn latest_batch(&self) -> Result<RecordBatch, ArrowError> {
        if let Some(batch) = self.latest.get() {
            return Ok(batch.clone());
        }
        let rows = self.latest();
        let batch = self.table.batch(&rows.iter().map(|version| version.cells.as_slice()))?;
        Ok(self.latest.get_or_init(|| batch).clone())
    }
}

/// A row with its empty texts as nulls: absent text has one spelling.
fn without_empty(version: &Version) -> Version {
    let mut version = version.clone();
    for cell in &mut version.cells {
        if matches!(cell, Cell::Text(text) if text.is_empty()) {
            *cell = Cell::Null;
        }
    }
    version
}

fn is_of(kind: Kind, cell: &Cell) -> bool {
    match cell {
        Cell::Null => true,
        Cell::Bool(_) => kind == Kind::Bool,
        Cell::Int(_) => kind == Kind::I64,
        Cell::Float(value) => kind == Kind::F64 && value.is_finite(),
        Cell::Text(_) => matches!(kind, Kind::Symbol | Kind::Text),
        Cell::Ts(_) => kind == Kind::Ts,
    }
}
