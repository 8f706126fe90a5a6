//! Stored rows: QuestDB, or one Parquet file per table and day, `STORE/<table>/<YYYY-MM-DD>.parquet`.
//!
//! A file may be replaced by rename while it is read, so it is opened once and read through that handle to its end.

use std::fs::File;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use datafusion::common::{DataFusionError, Result};
use datafusion::physical_plan::PhysicalExpr;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowPredicateFn, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder, RowFilter,
};
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::statistics::Statistics;
use prism_schemas::time::{DAY, parse_ts};
use prism_schemas::{QuestDbAddress, Table, Ts};

use crate::questdb::{Pushed, QuestDb};

/// Rows read at once.
const BATCH_ROWS: usize = 8_192;

/// Where stored tables are.
#[derive(Clone, Debug)]
pub enum Place {
    /// A directory, which need not exist yet.
    Directory(PathBuf),
    /// A QuestDB server.
    QuestDb(QuestDbAddress),
}

/// Stored tables.
#[derive(Clone, Debug)]
pub(crate) enum Store {
    Files(Arc<Path>),
    QuestDb(QuestDb),
}

/// A part of a table's stored rows, read at once.
#[derive(Clone, Debug)]
pub(crate) enum Piece {
    File(PathBuf),
    Statement(QuestDb, String),
}

/// How a piece is named in errors and plans.
impl std::fmt::Display for Piece {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Piece::File(path) => write!(f, "{}", path.display()),
            Piece::Statement(_, sql) => write!(f, "{sql}"),
        }
    }
}

/// What to read of a piece.
#[derive(Clone, Debug)]
pub(crate) struct Want {
    /// The columns, in this order; one that a file lacks is null.
    pub(crate) schema: SchemaRef,
    /// Only these `ts` are needed; more may come.
    pub(crate) range: RangeInclusive<Ts>,
    /// Only rows for which this holds, over the columns of `key_schema`, are needed; more may come.
    pub(crate) key_filter: Option<Arc<dyn PhysicalExpr>>,
    /// The key columns that `key_filter` names.
    pub(crate) key_schema: SchemaRef,
    /// The designated timestamp.
    pub(crate) designated: &'static str,
    /// What a server may leave out.
    pub(crate) pushed: Pushed,
}

impl Store {
    pub(crate) fn new(place: &Place) -> Store {
        match place {
            Place::Directory(directory) => Store::Files(directory.as_path().into()),
            Place::QuestDb(address) => Store::QuestDb(QuestDb::new(address.clone())),
        }
    }

    /// The pieces of a table that may hold what is wanted, oldest first.
    pub(crate) fn pieces(&self, table: &Table, want: &Want) -> Result<Vec<Piece>> {
        match self {
            Store::Files(directory) => Ok(files(directory, table, &want.range)?.into_iter().map(Piece::File).collect()),
            Store::QuestDb(server) => {
                let mut stretches = match want.pushed.limit {
                    Some(_) => vec![want.range.clone()],
                    None => server.stretches(table, &want.range)?,
                };
                if want.pushed.descending {
                    stretches.reverse();
                }
                let sql = |range| server.sql(table, &want.schema, &range, &want.pushed);
                Ok(stretches.into_iter().map(|range| Piece::Statement(server.clone(), sql(range))).collect())
            }
        }
    }

    /// The start of the newest day that has rows of the table.
    pub(crate) fn newest_day(&self, table: &Table) -> Result<Option<Ts>> {
        let all = Ts::MIN..=Ts::MAX;
        Ok(match self {
            Store::Files(directory) => files(directory, table, &all)?.last().and_then(|path| day(path)),
            Store::QuestDb(server) => server.newest(table)?.map(|ts| ts.div_euclid(DAY) * DAY),
        })
    }
}

/// The files of a table that may hold rows with `ts` in the range, oldest first.
fn files(directory: &Path, table: &Table, range: &RangeInclusive<Ts>) -> Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(directory.join(table.name)) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if let Some(start) = day(&path)
            && *range.start() < start.saturating_add(DAY)
            && start <= *range.end()
        {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn day(path: &Path) -> Option<Ts> {
    let name = path.file_name()?.to_str()?.strip_suffix(".parquet")?;
    parse_ts(&format!("{name}T00:00:00Z"))
}

/// The rows of one piece; `None` if it is gone.
pub(crate) fn open(piece: &Piece, want: &Want) -> Result<Option<ParquetRecordBatchReader>> {
    match piece {
        Piece::File(path) => open_file(path, want),
        Piece::Statement(server, sql) => server.read(sql, BATCH_ROWS),
    }
}

fn open_file(path: &Path, want: &Want) -> Result<Option<ParquetRecordBatchReader>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let builder = ParquetRecordBatchReaderBuilder::try_new(file)?.with_batch_size(BATCH_ROWS);
    let groups = builder.metadata().row_groups();
    let needed = (0..groups.len()).filter(|at| may_hold(&groups[*at], want.designated, &want.range)).collect();
    let columns = |schema: &SchemaRef| {
        let positions = schema.fields().iter().filter_map(|field| builder.schema().index_of(field.name()).ok());
        ProjectionMask::roots(builder.parquet_schema(), positions.collect::<Vec<_>>())
    };
    let mask = columns(&want.schema);
    let filter = want.key_filter.clone().map(|expr| {
        let schema = want.key_schema.clone();
        let holds = move |batch: RecordBatch| {
            let batch = adapt(&batch, &schema)?;
            let value = expr.evaluate(&batch).and_then(|value| value.into_array(batch.num_rows()));
            value.map(|array| truth(&array)).map_err(|error| ArrowError::ExternalError(Box::new(error)))
        };
        RowFilter::new(vec![Box::new(ArrowPredicateFn::new(columns(&want.key_schema), holds))])
    });
    let mut builder = builder.with_row_groups(needed).with_projection(mask);
    if let Some(filter) = filter {
        builder = builder.with_row_filter(filter);
    }
    Ok(Some(builder.build()?))
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

/// The columns of `schema` by name; absent ones are null.
pub(crate) fn adapt(batch: &RecordBatch, schema: &SchemaRef) -> std::result::Result<RecordBatch, ArrowError> {
    let column = |field: &arrow::datatypes::FieldRef| -> std::result::Result<ArrayRef, ArrowError> {
        match batch.column_by_name(field.name()) {
            Some(array) if array.data_type() == field.data_type() => Ok(array.clone()),
            Some(array) => arrow::compute::cast(array, field.data_type()),
            None => Ok(new_null_array(field.data_type(), batch.num_rows())),
        }
    };
    let columns = schema.fields().iter().map(column).collect::<std::result::Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(schema.clone(), columns, &options)
}

/// A filter's value with null as false.
pub(crate) fn truth(array: &ArrayRef) -> BooleanArray {
    match array.as_boolean_opt() {
        Some(values) if array.null_count() == 0 => values.clone(),
        Some(values) => values.iter().map(|value| Some(value == Some(true))).collect(),
        None => BooleanArray::from(vec![false; array.len()]),
    }
}

/// A piece that cannot be read is no fault of the statement.
pub(crate) fn broken(piece: &Piece, error: impl std::fmt::Display) -> DataFusionError {
    DataFusionError::External(format!("{piece}: {error}").into())
}
