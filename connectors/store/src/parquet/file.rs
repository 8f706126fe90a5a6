//! One Parquet file of a table, written and read.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, new_null_array};
use arrow::compute::nullif;
use arrow::datatypes::Field;
use parquet::arrow::ArrowWriter;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::basic::Compression;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use prism_schemas::Table;
use prism_schemas::layout::MERGED_UP_TO;
use prism_schemas::table::Kind;

use super::StoreError;

/// Rows of a group; statistics of the designated timestamp tell which groups a query needs.
const GROUP_ROWS: usize = 65_536;
/// Rows read at once.
const BATCH_ROWS: usize = 8_192;

/// Writes a file that holds the parts up to a number already. It is not durable yet.
pub(super) fn write(
    path: &Path,
    table: &Table,
    merged_up_to: u64,
    batches: impl Iterator<Item = Result<RecordBatch, StoreError>>,
) -> Result<(), StoreError> {
    let io = |error: &dyn std::fmt::Display| StoreError::Io {
        path: path.into(),
        source: std::io::Error::other(error.to_string()),
    };
    let file = File::create(path).map_err(|source| StoreError::Io { path: path.into(), source })?;
    let mut writer =
        ArrowWriter::try_new(file, table.schema(), Some(properties(table, merged_up_to))).map_err(|e| io(&e))?;
    for batch in batches {
        writer.write(&batch?).map_err(|error| io(&error))?;
    }
    writer.close().map_err(|error| io(&error))?;
    Ok(())
}

/// Names repeat, numbers do not: only names get dictionaries.
fn properties(table: &Table, merged_up_to: u64) -> WriterProperties {
    // A part lives for minutes, and many are read together: what is compressed takes a dictionary a column to read.
    let is_part = merged_up_to == 0;
    let compression = if is_part { Compression::UNCOMPRESSED } else { Compression::ZSTD(Default::default()) };
    let mut properties = WriterProperties::builder()
        .set_compression(compression)
        .set_dictionary_enabled(false)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_max_row_group_row_count(Some(GROUP_ROWS));
    for column in table.columns.iter().filter(|column| column.kind == Kind::Symbol) {
        properties = properties.set_column_dictionary_enabled(ColumnPath::from(column.name), true);
    }
    if !is_part {
        let merged = KeyValue::new(MERGED_UP_TO.into(), merged_up_to.to_string());
        properties = properties.set_key_value_metadata(Some(vec![merged]));
    }
    properties.build()
}

/// A file that is open: its name may go to another while it is read.
pub(super) struct Open {
    path: PathBuf,
    builder: ParquetRecordBatchReaderBuilder<File>,
}

impl Open {
    /// None if there is no such file.
    pub(super) fn new(path: &Path) -> Result<Option<Open>, StoreError> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(StoreError::Io { path: path.into(), source }),
        };
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| damaged(path, &error))?;
        Ok(Some(Open { path: path.into(), builder: builder.with_batch_size(BATCH_ROWS) }))
    }

    /// The number of the last part merged into it.
    pub(super) fn merged_up_to(&self) -> u64 {
        let metadata = self.builder.metadata().file_metadata().key_value_metadata();
        let merged = metadata.into_iter().flatten().find(|pair| pair.key == MERGED_UP_TO);
        merged.and_then(|pair| pair.value.as_ref()?.parse().ok()).unwrap_or(0)
    }

    /// Its rows with the table's columns: those added since it was written are null, an empty text is a null.
    pub(super) fn rows(self, table: &'static Table) -> Result<Rows, StoreError> {
        let schema = self.builder.schema().clone();
        for field in table.schema().fields() {
            if let Some((_, found)) = schema.column_with_name(field.name())
                && found.data_type() != field.data_type()
            {
                return Err(StoreError::Type {
                    path: self.path,
                    column: field.name().clone(),
                    found: found.data_type().to_string(),
                    expected: field.data_type().to_string(),
                });
            }
        }
        let known = schema.fields().iter().enumerate().filter(|(_, field)| table.position(field.name()).is_some());
        let mask = ProjectionMask::roots(self.builder.parquet_schema(), known.map(|(at, _)| at).collect::<Vec<_>>());
        let reader = self.builder.with_projection(mask).build().map_err(|error| damaged(&self.path, &error))?;
        Ok(Rows { path: self.path, table, reader })
    }
}

/// The rows of a file, some at once.
pub(super) struct Rows {
    path: PathBuf,
    table: &'static Table,
    reader: ParquetRecordBatchReader,
}

impl Iterator for Rows {
    type Item = Result<RecordBatch, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.reader.next()?.and_then(|batch| {
            let column = |field: &Arc<Field>| match batch.column_by_name(field.name()) {
                Some(column) => without_empty(column),
                None => Ok(new_null_array(field.data_type(), batch.num_rows())),
            };
            let schema = self.table.schema();
            let columns = schema.fields().iter().map(column).collect::<Result<Vec<_>, _>>()?;
            RecordBatch::try_new(schema, columns)
        });
        Some(batch.map_err(|error| damaged(&self.path, &error)))
    }
}

/// Older files hold empty texts; a null is the one spelling.
fn without_empty(column: &ArrayRef) -> Result<ArrayRef, arrow::error::ArrowError> {
    let Some(texts) = column.as_string_opt::<i32>() else { return Ok(column.clone()) };
    let is_empty: BooleanArray = (0..texts.len()).map(|at| Some(texts.value_length(at) == 0)).collect();
    if is_empty.true_count() == 0 { Ok(column.clone()) } else { nullif(column, &is_empty) }
}

fn damaged(path: &Path, error: &dyn std::fmt::Display) -> StoreError {
    StoreError::Damaged { path: path.into(), detail: error.to_string() }
}
