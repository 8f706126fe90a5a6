//! Stored rows: QuestDB, or Parquet files by table and day (`prism_schemas::layout`).

mod files;

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions, StringArray, new_null_array,
};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{FieldRef, SchemaRef};
use arrow::error::ArrowError;
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::memory_pool::{MemoryPool, MemoryReservation};
use datafusion::physical_plan::PhysicalExpr;
use prism_schemas::time::DAY;
use prism_schemas::{QuestDbAddress, Table, Ts};
use tokio::time::Instant;

use crate::questdb::{self, Pushed, QuestDb};

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

/// The parts of a table's stored rows, oldest first, as they were when somebody looked.
#[derive(Clone, Debug)]
pub(crate) enum Found {
    Days(Vec<Vec<PathBuf>>),
    Stretches(QuestDb, Vec<RangeInclusive<Ts>>),
}

/// A part of a table's stored rows, read at once.
#[derive(Clone, Debug)]
pub(crate) enum Piece {
    /// A day's file, or those of several runs.
    Day(&'static Table, Vec<PathBuf>),
    Statement(QuestDb, String),
}

/// How a piece is named in plans, which anybody may see: nothing says where the store is.
impl std::fmt::Display for Piece {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Piece::Day(_, files) => {
                let name = files.first().and_then(|file| file.file_stem()).unwrap_or_default();
                write!(f, "{}", name.display())
            }
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

/// What reading may use.
#[derive(Clone, Debug)]
pub(crate) struct Means {
    /// Rows of a batch at most.
    pub(crate) batch_rows: usize,
    pub(crate) pool: Arc<dyn MemoryPool>,
    pub(crate) deadline: Instant,
}

/// Rows, some at once.
pub(crate) type Batches = Box<dyn Iterator<Item = std::result::Result<RecordBatch, ArrowError>> + Send>;

/// A piece being read.
pub(crate) struct Reader {
    batches: Batches,
    path: Option<PathBuf>,
    /// Given back when the piece was read.
    _memory: Option<MemoryReservation>,
}

impl Store {
    pub(crate) fn new(place: &Place) -> Store {
        match place {
            Place::Directory(directory) => Store::Files(directory.as_path().into()),
            Place::QuestDb(address) => Store::QuestDb(QuestDb::new(address.clone())),
        }
    }

    /// Looks for the parts of a table that may have rows in the range.
    pub(crate) async fn find(&self, table: &Table, range: &RangeInclusive<Ts>, deadline: Instant) -> Result<Found> {
        Ok(match self {
            Store::Files(directory) => Found::Days(files::days(directory, table, range)?),
            Store::QuestDb(server) => Found::Stretches(server.clone(), server.stretches(table, range, deadline).await?),
        })
    }

    /// The start of the newest day that has rows of the table.
    pub(crate) async fn newest_day(&self, table: &Table, deadline: Instant) -> Result<Option<Ts>> {
        Ok(match self {
            Store::Files(directory) => files::newest_day(directory, table)?,
            Store::QuestDb(server) => server.newest(table, deadline).await?.map(|ts| ts.div_euclid(DAY) * DAY),
        })
    }
}

impl Found {
    /// What to read of it, in the order that is wanted.
    pub(crate) fn pieces(&self, table: &'static Table, want: &Want) -> Vec<Piece> {
        match self {
            Found::Days(days) => days.iter().cloned().map(|files| Piece::Day(table, files)).collect(),
            Found::Stretches(server, stretches) => {
                let is_few = want.pushed.limit.is_some_and(|limit| limit as u64 <= questdb::ROWS_AT_ONCE);
                let mut ranges = match is_few && !stretches.is_empty() {
                    true => vec![want.range.clone()],
                    false => stretches.clone(),
                };
                if want.pushed.descending {
                    ranges.reverse();
                }
                let statement = |range| questdb::sql(table, &want.schema, &range, &want.pushed);
                ranges.into_iter().map(|range| Piece::Statement(server.clone(), statement(range))).collect()
            }
        }
    }
}

impl Reader {
    /// Opens a piece; `None` if it is gone.
    pub(crate) async fn open(piece: &Piece, want: &Want, means: &Means) -> Result<Option<Reader>> {
        match piece {
            Piece::Day(table, files) => files::open(table, files, want, means),
            Piece::Statement(server, sql) => {
                let read = server.read(sql, means.batch_rows, &means.pool, means.deadline).await?;
                Ok(read.map(|(batches, memory)| Reader {
                    batches: Box::new(batches),
                    path: None,
                    _memory: Some(memory),
                }))
            }
        }
    }

    /// The next rows, with the columns of `schema`.
    pub(crate) fn next(&mut self, schema: &SchemaRef) -> Result<Option<RecordBatch>> {
        let Some(batch) = self.batches.next() else { return Ok(None) };
        match (batch.and_then(|batch| adapt(&batch, schema)), &self.path) {
            (Err(error), Some(path)) => Err(unreadable(path, error)),
            (batch, _) => Ok(Some(batch?)),
        }
    }
}

/// The columns of `schema` by name; absent ones are null, and so is an empty text: absent text has one spelling.
pub(crate) fn adapt(batch: &RecordBatch, schema: &SchemaRef) -> std::result::Result<RecordBatch, ArrowError> {
    let column = |field: &FieldRef| -> std::result::Result<ArrayRef, ArrowError> {
        match batch.column_by_name(field.name()) {
            Some(array) if array.data_type() == field.data_type() => Ok(without_empty(array)),
            Some(array) => Ok(without_empty(&arrow::compute::cast(array, field.data_type())?)),
            None => Ok(new_null_array(field.data_type(), batch.num_rows())),
        }
    };
    let columns = schema.fields().iter().map(column).collect::<std::result::Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(schema.clone(), columns, &options)
}

/// A column with its empty texts as nulls; nothing is copied.
fn without_empty(array: &ArrayRef) -> ArrayRef {
    let Some(texts) = array.as_string_opt::<i32>() else { return array.clone() };
    let is_text = |row: usize| texts.is_valid(row) && 0 < texts.value_length(row);
    if (0..texts.len()).all(|row| texts.is_null(row) || is_text(row)) {
        return array.clone();
    }
    let nulls = NullBuffer::from_iter((0..texts.len()).map(is_text));
    Arc::new(StringArray::new(texts.offsets().clone(), texts.values().clone(), Some(nulls)))
}

/// A filter's value with null as false.
pub(crate) fn truth(array: &ArrayRef) -> BooleanArray {
    match array.as_boolean_opt() {
        Some(values) if array.null_count() == 0 => values.clone(),
        Some(values) => values.iter().map(|value| Some(value == Some(true))).collect(),
        None => BooleanArray::from(vec![false; array.len()]),
    }
}

/// A stored file that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{}: {detail}", path.display())]
pub(crate) struct Unreadable {
    path: PathBuf,
    detail: String,
}

/// A file that cannot be read is no fault of the statement.
fn unreadable(path: &Path, error: impl std::fmt::Display) -> DataFusionError {
    DataFusionError::External(Box::new(Unreadable { path: path.into(), detail: error.to_string() }))
}
