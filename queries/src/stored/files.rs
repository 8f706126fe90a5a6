//! The embedded store's files: which there are, and the rows of a day, the newest of each key.
//!
//! A file may be replaced by rename while it is read, and parts are merged into it, so the files of a day are opened
//! together and read through their handles.

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, StringArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::memory_pool::MemoryConsumer;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowPredicateFn, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder, RowFilter,
};
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::statistics::Statistics;
use prism_schemas::layout::{MERGED_UP_TO, day_of_file, part_of, run_of};
use prism_schemas::table::{RUNS, TABLES, run_tables};
use prism_schemas::time::DAY;
use prism_schemas::{Table, Ts};

use super::{Batches, Means, Reader, Want, adapt, truth, unreadable};

/// Times a day is opened while its parts are merged.
const TRIES: usize = 100;
/// The column that tells the run.
const RUN_ID: &str = "run_id";

/// The files of a table that may hold rows with `ts` in the range, by day.
pub(super) fn days(root: &Path, table: &Table, range: &RangeInclusive<Ts>) -> Result<Vec<Vec<PathBuf>>> {
    let Homes::Of(homes) = homes(root, table)? else {
        return Err(DataFusionError::Plan(format!(
            "this store holds several runs and no live rows: ask runs.{} WHERE run_id = '...' (SELECT run_id FROM runs)",
            table.name
        )));
    };
    Ok(files(&homes, table, range)?.into_values().collect())
}

/// The start of the newest day that has rows of the table.
pub(super) fn newest_day(root: &Path, table: &Table) -> Result<Option<Ts>> {
    let Homes::Of(homes) = homes(root, table)? else { return Ok(None) };
    Ok(files(&homes, table, &(Ts::MIN..=Ts::MAX))?.keys().next_back().map(|day| day.saturating_mul(DAY)))
}

/// Directories that hold a table's files.
enum Homes {
    Of(Vec<PathBuf>),
    /// Several runs, of which none is meant.
    Unclear,
}

/// The plain tables are those of the live run, or of the only other run there is.
fn homes(root: &Path, table: &Table) -> Result<Homes> {
    let mut runs: Vec<PathBuf> =
        names(root)?.into_iter().filter(|name| run_of(name).is_some()).map(|name| root.join(name)).collect();
    runs.sort();
    if is_of_runs(table) {
        return Ok(Homes::Of(runs));
    }
    if table == &RUNS {
        runs.insert(0, root.into());
        return Ok(Homes::Of(runs));
    }
    let has_live = || TABLES.iter().any(|table| root.join(table.name).is_dir());
    Ok(match runs.len() {
        0 => Homes::Of(vec![root.into()]),
        _ if has_live() => Homes::Of(vec![root.into()]),
        1 => Homes::Of(runs),
        _ => Homes::Unclear,
    })
}

fn is_of_runs(table: &Table) -> bool {
    run_tables().iter().any(|(_, stored)| stored == table)
}

fn files(homes: &[PathBuf], table: &Table, range: &RangeInclusive<Ts>) -> Result<BTreeMap<i64, Vec<PathBuf>>> {
    let stored = run_tables().iter().find(|(_, stored)| stored == table).map_or(table.name, |(own, _)| own.name);
    let mut days: BTreeMap<i64, Vec<PathBuf>> = BTreeMap::new();
    for home in homes {
        let dir = home.join(stored);
        for name in names(&dir)? {
            if let Some(day) = day_of_file(&name)
                && *range.start() < day.saturating_add(1).saturating_mul(DAY)
                && day.saturating_mul(DAY) <= *range.end()
            {
                days.entry(day).or_default().push(dir.join(name));
            }
        }
    }
    Ok(days)
}

/// The names in a directory; none if it does not exist.
fn names(dir: &Path) -> Result<Vec<String>> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let names = entries.filter_map(|entry| entry.map(|entry| entry.file_name().into_string().ok()).transpose());
    Ok(names.collect::<std::io::Result<_>>()?)
}

/// The rows of a day, in the order of time; `None` if its files are gone.
pub(super) fn open(table: &'static Table, files: &[PathBuf], want: &Want, means: &Means) -> Result<Option<Reader>> {
    let mut opened: Vec<Opened> = Vec::new();
    for file in files {
        opened.extend(open_day(file)?);
    }
    let schema = with_key(table, &want.schema);
    if let [_] = &opened[..] {
        let path = opened[0].path.clone();
        return match opened.pop() {
            Some(file) => {
                let batches = file.rows(&want.schema, want, means.batch_rows)?;
                Ok(Some(Reader { batches, path: Some(path), _memory: None }))
            }
            None => Ok(None),
        };
    }
    let Some(path) = opened.first().map(|file| file.path.clone()) else { return Ok(None) };
    let memory = MemoryConsumer::new("a day in parts").register(&means.pool);
    let mut rows = Vec::new();
    for file in opened {
        let path = file.path.clone();
        for batch in file.rows(&schema, want, means.batch_rows)? {
            let batch = batch.and_then(|batch| adapt(&batch, &schema)).map_err(|error| unreadable(&path, error))?;
            // Once as it was read, once joined, once in order.
            memory.try_grow(3 * batch.get_array_memory_size())?;
            rows.push(batch);
        }
    }
    let newest = table.newest_per_key(&concat_batches(&schema, &rows)?)?;
    drop(rows);
    memory.try_resize(newest.get_array_memory_size())?;
    let (n_rows, at_once) = (newest.num_rows(), means.batch_rows.max(1));
    let batches = (0..n_rows.div_ceil(at_once)).map(move |at| {
        let from = at * at_once;
        Ok(newest.slice(from, at_once.min(n_rows - from)))
    });
    Ok(Some(Reader { batches: Box::new(batches), path: Some(path), _memory: Some(memory) }))
}

/// The columns wanted, and those that tell which rows are versions of one.
fn with_key(table: &Table, schema: &SchemaRef) -> SchemaRef {
    let whole = table.schema();
    let is_needed = |field: &&Arc<Field>| {
        let name = field.name().as_str();
        table.key.contains(&name) || name == table.designated || schema.column_with_name(name).is_some()
    };
    Arc::new(Schema::new(whole.fields().iter().filter(is_needed).cloned().collect::<Vec<_>>()))
}

/// An open file.
struct Opened {
    path: PathBuf,
    /// The run it is of, where its rows do not tell.
    run: Option<String>,
    builder: ParquetRecordBatchReaderBuilder<File>,
}

/// The open files of a day, the oldest first: its file, then the parts that are not merged into it.
fn open_day(file: &Path) -> Result<Vec<Opened>> {
    // A file that goes while its siblings are opened was merged into another: then all are opened anew.
    for _ in 0..TRIES {
        let folder = file.with_extension("");
        let mut parts: Vec<(u64, PathBuf)> =
            names(&folder)?.into_iter().filter_map(|name| Some((part_of(&name)?, folder.join(name)))).collect();
        parts.sort();
        let mut newer = Vec::new();
        for (number, path) in &parts {
            newer.extend(Opened::new(path)?.map(|part| (*number, part)));
        }
        // After its parts, so that it holds at least those that are gone.
        let Some(whole) = Opened::new(file)? else { return Ok(Vec::new()) };
        if newer.len() == parts.len() {
            let merged = whole.merged_up_to();
            newer.retain(|(number, _)| merged < *number);
            return Ok([whole].into_iter().chain(newer.into_iter().map(|(_, part)| part)).collect());
        }
    }
    Err(unreadable(file, "its parts come and go"))
}

impl Opened {
    fn new(path: &Path) -> Result<Option<Opened>> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unreadable(path, error)),
        };
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| unreadable(path, error))?;
        let folders = path.components().rev().filter_map(|part| part.as_os_str().to_str());
        let run = folders.filter_map(run_of).next().map(String::from);
        Ok(Some(Opened { path: path.into(), run, builder }))
    }

    fn merged_up_to(&self) -> u64 {
        let metadata = self.builder.metadata().file_metadata().key_value_metadata();
        let merged = metadata.into_iter().flatten().find(|pair| pair.key == MERGED_UP_TO);
        merged.and_then(|pair| pair.value.as_ref()?.parse().ok()).unwrap_or(0)
    }

    /// The rows that may be wanted, with at least those columns of `schema` that the file has.
    fn rows(self, schema: &SchemaRef, want: &Want, batch_rows: usize) -> Result<Batches> {
        let (path, run) = (self.path, self.run);
        let builder = self.builder.with_batch_size(batch_rows);
        let groups = builder.metadata().row_groups();
        let needed = (0..groups.len()).filter(|at| may_hold(&groups[*at], want.designated, &want.range)).collect();
        let columns = |schema: &SchemaRef| {
            let positions = schema.fields().iter().filter_map(|field| builder.schema().index_of(field.name()).ok());
            ProjectionMask::roots(builder.parquet_schema(), positions.collect::<Vec<_>>())
        };
        let mask = columns(schema);
        let filter = want.key_filter.clone().map(|expr| {
            let (schema, run) = (want.key_schema.clone(), run.clone());
            let holds = move |batch: RecordBatch| {
                let batch = adapt(&with_run(batch, run.as_deref())?, &schema)?;
                let value = expr.evaluate(&batch).and_then(|value| value.into_array(batch.num_rows()));
                value.map(|array| truth(&array)).map_err(|error| ArrowError::ExternalError(Box::new(error)))
            };
            RowFilter::new(vec![Box::new(ArrowPredicateFn::new(columns(&want.key_schema), holds))])
        });
        let mut builder = builder.with_row_groups(needed).with_projection(mask);
        if let Some(filter) = filter {
            builder = builder.with_row_filter(filter);
        }
        let reader: ParquetRecordBatchReader = builder.build().map_err(|error| unreadable(&path, error))?;
        Ok(Box::new(reader.map(move |batch| batch.and_then(|batch| with_run(batch, run.as_deref())))))
    }
}

/// A batch that tells its run, whose name is in its path alone.
fn with_run(batch: RecordBatch, run: Option<&str>) -> std::result::Result<RecordBatch, ArrowError> {
    let Some(run) = run.filter(|_| batch.column_by_name(RUN_ID).is_none()) else { return Ok(batch) };
    let n_rows = batch.num_rows();
    let names: ArrayRef = Arc::new(StringArray::from_iter_values(std::iter::repeat_n(run, n_rows)));
    let field = Arc::new(Field::new(RUN_ID, DataType::Utf8, true));
    let schema = Schema::new(batch.schema().fields().iter().cloned().chain([field]).collect::<Vec<_>>());
    let columns = batch.columns().iter().cloned().chain([names]).collect();
    RecordBatch::try_new_with_options(
        Arc::new(schema),
        columns,
        &RecordBatchOptions::new().with_row_count(Some(n_rows)),
    )
}

/// False only if statistics prove that no row of the group is in the range.
fn may_hold(group: &RowGroupMetaData, designated: &str, range: &RangeInclusive<Ts>) -> bool {
    let column = group.columns().iter().find(|column| column.column_path().string() == designated);
    match column.and_then(|column| column.statistics()) {
        Some(Statistics::Int64(values)) => match (values.min_opt(), values.max_opt()) {
            (Some(min), Some(max)) => {
                min.saturating_mul(1_000) <= *range.end()
                    && *range.start() <= max.saturating_mul(1_000).saturating_add(999)
            }
            _ => true,
        },
        _ => true,
    }
}
