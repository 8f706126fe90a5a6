//! The embedded store: each table one Parquet file per UTC day of its designated timestamp, upserted by key.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch, UInt32Array, new_null_array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimestampMicrosecondType};
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use prism_schemas::table::Kind;
use prism_schemas::time::{DAY, format_ts};
use prism_schemas::{Cell, Table, Version};

/// Rows turned into columns at once.
const CHUNK: usize = 4096;
/// Bytes of buffered columns that make `write` flush by itself.
const BUFFER_MAX: usize = 256 << 20;

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
    /// A stored file cannot be read: move it away and compute its day again.
    #[error("{}: {detail}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What the reader said.
        detail: String,
    },
    /// A row does not fit its table: a mistake of the program that made it.
    #[error("{0}")]
    Row(#[from] ArrowError),
}

/// Writes and reads tables below one directory. One writer at a time.
pub struct Store {
    dir: PathBuf,
    days: BTreeMap<(&'static str, i64), Day>,
    buffered: usize,
}

struct Day {
    table: &'static Table,
    rows: Vec<Version>,
    columns: Vec<RecordBatch>,
}

impl Store {
    /// Opens a store, creating its directory if absent.
    pub fn open(dir: &Path) -> Result<Store, StoreError> {
        std::fs::create_dir_all(dir).map_err(|source| StoreError::Io { path: dir.into(), source })?;
        Ok(Store { dir: dir.into(), days: BTreeMap::new(), buffered: 0 })
    }

    /// Buffers versions, which must arrive in the order they became known: the last of a key wins.
    pub fn write(&mut self, rows: Vec<Version>) -> Result<(), StoreError> {
        for row in rows {
            let ts = match row.get(row.table.designated) {
                Some(Cell::Ts(ts)) => *ts,
                other => {
                    let message = format!("{}.{} cannot hold {other:?}", row.table.name, row.table.designated);
                    return Err(ArrowError::SchemaError(message).into());
                }
            };
            let table = row.table;
            let day = self.days.entry((table.name, ts.div_euclid(DAY)));
            let day = day.or_insert_with(|| Day { table, rows: Vec::new(), columns: Vec::new() });
            day.rows.push(row);
            if day.rows.len() == CHUNK {
                self.buffered += day.pack()?;
            }
        }
        if BUFFER_MAX < self.buffered { self.flush() } else { Ok(()) }
    }

    /// Merges what is buffered into the files, each replaced at once. A day that fails stays buffered.
    pub fn flush(&mut self) -> Result<(), StoreError> {
        while let Some((key, mut day)) = self.days.pop_first() {
            if let Err(error) = self.merge(key.1, &mut day) {
                self.days.insert(key, day);
                return Err(error);
            }
        }
        self.buffered = 0;
        Ok(())
    }

    fn merge(&self, number: i64, day: &mut Day) -> Result<(), StoreError> {
        day.pack()?;
        let dir = self.dir.join(day.table.name);
        let io = |source| StoreError::Io { path: dir.clone(), source };
        std::fs::create_dir_all(&dir).map_err(io)?;
        let date = format_ts(number * DAY);
        let path = dir.join(format!("{}.parquet", date.split('T').next().unwrap_or(&date)));
        let mut batches = if path.exists() { read_file(day.table, &path)? } else { Vec::new() };
        batches.extend(day.columns.iter().cloned());
        let newest = newest_per_key(day.table, &concat_batches(&day.table.schema(), &batches)?)?;
        write_file(&path, &newest).map_err(|source| StoreError::Io { path: path.clone(), source })?;
        sync_dir(&dir).map_err(io)
    }

    /// The flushed rows of a table, by day, then timestamp and key.
    pub fn read(&self, table: &'static Table) -> Result<Vec<Version>, StoreError> {
        let mut rows = Vec::new();
        self.scan(table, |row| rows.push(row))?;
        Ok(rows)
    }

    /// As `read`, row by row.
    pub fn scan(&self, table: &'static Table, mut see: impl FnMut(Version)) -> Result<(), StoreError> {
        for path in self.files(table)? {
            for batch in read_file(table, &path)? {
                each_row(table, &batch, &mut see);
            }
        }
        Ok(())
    }

    /// The files of a table, by day.
    pub fn files(&self, table: &Table) -> Result<Vec<PathBuf>, StoreError> {
        let dir = self.dir.join(table.name);
        let entries = match std::fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(StoreError::Io { path: dir, source }),
        };
        let paths: Result<Vec<PathBuf>, _> = entries.map(|entry| entry.map(|entry| entry.path())).collect();
        let mut paths = paths.map_err(|source| StoreError::Io { path: dir, source })?;
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "parquet"));
        paths.sort();
        Ok(paths)
    }
}

impl Day {
    /// Turns buffered rows into columns, a fraction of their size; returns the bytes added.
    fn pack(&mut self) -> Result<usize, StoreError> {
        if self.rows.is_empty() {
            return Ok(0);
        }
        let batch = self.table.batch(&self.rows.iter().map(|row| row.cells.as_slice()))?;
        self.rows.clear();
        let bytes = batch.get_array_memory_size();
        self.columns.push(batch);
        Ok(bytes)
    }
}

/// Sorts by timestamp and key, and keeps the last row of each key.
fn newest_per_key(table: &Table, batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let designated = table.position(table.designated);
    let positions =
        designated.into_iter().chain(table.key_positions().filter(|position| Some(*position) != designated));
    let keys: Vec<_> = positions.map(|position| batch.column(position).clone()).collect();
    let fields = keys.iter().map(|key| SortField::new(key.data_type().clone())).collect();
    let rows = RowConverter::new(fields)?.convert_columns(&keys)?;
    let mut order: Vec<u32> = (0..).take(rows.num_rows()).collect();
    // Stable, so that among equal keys the newest comes last.
    order.sort_by(|a, b| rows.row(*a as usize).cmp(&rows.row(*b as usize)));
    let mut newest: Vec<u32> = Vec::with_capacity(order.len());
    for at in order {
        match newest.last_mut() {
            Some(last) if rows.row(*last as usize) == rows.row(at as usize) => *last = at,
            _ => newest.push(at),
        }
    }
    take_record_batch(batch, &UInt32Array::from(newest))
}

fn write_file(path: &Path, batch: &RecordBatch) -> std::io::Result<()> {
    let temporary = path.with_extension("tmp");
    let properties = WriterProperties::builder().set_compression(Compression::ZSTD(Default::default())).build();
    let mut writer = ArrowWriter::try_new(File::create(&temporary)?, batch.schema(), Some(properties))?;
    writer.write(batch)?;
    writer.into_inner()?.sync_all()?;
    std::fs::rename(&temporary, path)
}

/// Makes renames within a directory survive a crash of the machine.
fn sync_dir(dir: &Path) -> std::io::Result<()> {
    File::open(dir)?.sync_all()
}

/// A file's batches with the table's columns: those added since it was written are null.
fn read_file(table: &'static Table, path: &Path) -> Result<Vec<RecordBatch>, StoreError> {
    let damaged = |error: &dyn std::fmt::Display| StoreError::Damaged { path: path.into(), detail: error.to_string() };
    let file = File::open(path).map_err(|source| StoreError::Io { path: path.into(), source })?;
    let reader =
        ParquetRecordBatchReaderBuilder::try_new(file).and_then(|builder| builder.with_batch_size(8192).build());
    let schema = table.schema();
    let mut batches = Vec::new();
    for batch in reader.map_err(|error| damaged(&error))? {
        let batch = batch.map_err(|error| damaged(&error))?;
        let columns = schema.fields().iter().map(|field| match batch.column_by_name(field.name()) {
            Some(column) => column.clone(),
            None => new_null_array(field.data_type(), batch.num_rows()),
        });
        batches.push(RecordBatch::try_new(schema.clone(), columns.collect()).map_err(|error| damaged(&error))?);
    }
    Ok(batches)
}

/// The rows of a batch that has the table's columns.
pub(crate) fn each_row(table: &'static Table, batch: &RecordBatch, mut see: impl FnMut(Version)) {
    let columns: Vec<Cells> = table.columns.iter().zip(batch.columns()).map(|(c, a)| Cells::of(c.kind, a)).collect();
    for at in 0..batch.num_rows() {
        see(Version { table, cells: columns.iter().map(|column| column.cell(at)).collect() });
    }
}

/// One column, ready to give cells.
struct Cells<'a> {
    kind: Kind,
    array: &'a dyn Array,
    /// The last text, so that runs of equal names share it.
    last: std::cell::RefCell<Arc<str>>,
}

impl<'a> Cells<'a> {
    fn of(kind: Kind, array: &'a Arc<dyn Array>) -> Cells<'a> {
        debug_assert_ne!(array.data_type(), &DataType::Null);
        Cells { kind, array: array.as_ref(), last: std::cell::RefCell::new(Arc::from("")) }
    }

    fn cell(&self, at: usize) -> Cell {
        if self.array.is_null(at) {
            return Cell::Null;
        }
        match self.kind {
            Kind::Ts => Cell::Ts(self.array.as_primitive::<TimestampMicrosecondType>().value(at).saturating_mul(1_000)),
            Kind::F64 => Cell::Float(self.array.as_primitive::<Float64Type>().value(at)),
            Kind::I64 => Cell::Int(self.array.as_primitive::<Int64Type>().value(at)),
            Kind::Bool => Cell::Bool(self.array.as_boolean().value(at)),
            Kind::Symbol | Kind::Text => {
                let text = self.array.as_string::<i32>().value(at);
                let mut last = self.last.borrow_mut();
                if **last != *text {
                    *last = Arc::from(text);
                }
                Cell::Text(last.clone())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use prism_schemas::table::{BARS, LATE_EVENTS};

    use super::*;
    use crate::digest::{Mode, digest};
    use crate::keeper::Keeper;

    fn bar(ts: i64, symbol: &str, close: f64, known_at: i64, revision: i64) -> Version {
        let cells = BARS.columns.iter().map(|column| match column.name {
            "ts" => Cell::Ts(ts),
            "symbol" => Cell::text(symbol),
            "close" => Cell::from(close),
            "known_at" => Cell::Ts(known_at),
            "revision" => Cell::Int(revision),
            "retracted" => Cell::Bool(close < 0.0),
            "timeframe" => Cell::text("1m"),
            _ => Cell::Null,
        });
        Version { table: &BARS, cells: cells.collect() }
    }

    const MINUTE: i64 = prism_schemas::time::MINUTE;

    #[test]
    fn the_newest_version_of_a_key_wins_however_often_it_is_flushed() {
        let rows: Vec<Version> = (0..10_000)
            .map(|i| bar((i * 7919 % 3_000) * MINUTE, if i % 2 == 0 { "A" } else { "B" }, i as f64, i * 1_000, i))
            .collect();
        let mut expected = BTreeMap::new();
        for row in &rows {
            let (Some(Cell::Ts(ts)), Some(Cell::Text(symbol))) = (row.get("ts"), row.get("symbol")) else { panic!() };
            expected.insert((*ts, symbol.clone()), row.clone());
        }
        let expected: Vec<Version> = expected.into_values().collect();
        let mut digests = Vec::new();
        for every in [10_000, 777, 5_000] {
            let dir = tempfile::tempdir().unwrap();
            let mut store = Store::open(dir.path()).unwrap();
            for rows in rows.chunks(every) {
                store.write(rows.to_vec()).unwrap();
                store.flush().unwrap();
            }
            assert_eq!(store.read(&BARS).unwrap(), expected);
            assert_eq!(store.files(&BARS).unwrap().len(), 3);
            assert_eq!(store.files(&LATE_EVENTS).unwrap(), Vec::<PathBuf>::new());
            digests.push(digest(&Keeper::Parquet(store), Mode::Full).unwrap());
        }
        assert!(digests.windows(2).all(|pair| pair[0] == pair[1]));
    }

    #[test]
    fn digests_see_values_and_not_retracted_rows() {
        let of = |rows: Vec<Version>, mode| {
            let dir = tempfile::tempdir().unwrap();
            let mut store = Store::open(dir.path()).unwrap();
            store.write(rows).unwrap();
            store.flush().unwrap();
            digest(&Keeper::Parquet(store), mode).unwrap()
        };
        let (a, b) = (bar(0, "A", 1.0, 5_000, 0), bar(MINUTE, "A", 2.0, 6_000, 0));
        let both = of(vec![a.clone(), b.clone()], Mode::Full);
        assert_eq!(of(vec![b.clone(), a.clone()], Mode::Full), both);
        assert_ne!(of(vec![a.clone(), bar(MINUTE, "A", 2.5, 6_000, 0)], Mode::Full), both);
        let corrected = vec![a.clone(), bar(MINUTE, "A", 3.0, 6_000, 0), bar(MINUTE, "A", 2.0, 7_000, 1)];
        assert_ne!(of(corrected.clone(), Mode::Full), both);
        assert_eq!(of(corrected, Mode::Values), of(vec![a.clone(), b.clone()], Mode::Values));
        let withdrawn = vec![a.clone(), b, bar(MINUTE, "A", -1.0, 7_000, 1)];
        assert_eq!(of(withdrawn, Mode::Values), of(vec![a], Mode::Values));
        assert!(both.contains("bars 2 "), "{both}");
    }

    #[test]
    fn a_row_that_does_not_fit_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path()).unwrap();
        let mut row = bar(0, "A", 1.0, 0, 0);
        row.cells[0] = Cell::Null;
        assert!(matches!(store.write(vec![row]), Err(StoreError::Row(_))));
    }
}
