//! Rows that wait on disk while QuestDB is away: a queue of files ahead of all newer rows, bounded in bytes.
//!
//! It is memory that happens to be on disk: after a restart the rows in it are computed again, so old files are removed.

use std::collections::VecDeque;
use std::fs::File;
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use prism_schemas::Table;

use super::QuestDbError;

/// Batches of rows on disk, oldest first.
pub(super) struct Spool {
    dir: PathBuf,
    files: VecDeque<(PathBuf, &'static Table, u64)>,
    bytes: u64,
    bytes_max: u64,
    n_written: u64,
}

impl Spool {
    /// Opens a directory of its own and empties it.
    pub(super) fn open(dir: &Path, bytes_max: u64) -> Result<Spool, QuestDbError> {
        let failed = |source| QuestDbError::Spool { path: dir.into(), source };
        std::fs::create_dir_all(dir).map_err(failed)?;
        for entry in std::fs::read_dir(dir).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_some_and(|extension| extension == "rows") {
                std::fs::remove_file(&path).map_err(failed)?;
            }
        }
        Ok(Spool { dir: dir.into(), files: VecDeque::new(), bytes: 0, bytes_max, n_written: 0 })
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes_max <= self.bytes
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Appends a batch.
    pub(super) fn push(&mut self, table: &'static Table, batch: &RecordBatch) -> Result<(), QuestDbError> {
        let path = self.dir.join(format!("{:012}.rows", self.n_written));
        let written = (|| {
            let mut writer = ArrowWriter::try_new(File::create(&path)?, batch.schema(), None)?;
            writer.write(batch)?;
            writer.close()?;
            std::fs::metadata(&path)
        })();
        let bytes = match written {
            Ok(metadata) => metadata.len(),
            Err(source) => {
                // What is half written must not be read; the error matters more than the file.
                let _ = std::fs::remove_file(&path);
                return Err(QuestDbError::Spool { path, source });
            }
        };
        self.n_written += 1;
        self.bytes += bytes;
        self.files.push_back((path, table, bytes));
        Ok(())
    }

    /// The oldest file's batches; they stay until `pop`.
    pub(super) fn front(&self) -> Result<Option<(&'static Table, Vec<RecordBatch>)>, QuestDbError> {
        let Some((path, table, _)) = self.files.front() else { return Ok(None) };
        let read = || -> std::io::Result<Vec<RecordBatch>> {
            let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path)?)?.build()?;
            reader.collect::<Result<_, _>>().map_err(std::io::Error::other)
        };
        Ok(Some((table, read().map_err(|source| QuestDbError::Spool { path: path.clone(), source })?)))
    }

    /// Forgets the oldest file.
    pub(super) fn pop(&mut self) -> Result<(), QuestDbError> {
        if let Some((path, _, bytes)) = self.files.pop_front() {
            self.bytes -= bytes;
            std::fs::remove_file(&path).map_err(|source| QuestDbError::Spool { path, source })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use prism_schemas::table::BARS;

    use super::*;

    fn batch(close: f64) -> RecordBatch {
        let cells = BARS.columns.iter().map(|column| match column.name {
            "close" => prism_schemas::Cell::from(close),
            _ => prism_schemas::Cell::Null,
        });
        let row: Vec<_> = cells.collect();
        BARS.batch(&[row.as_slice()].into_iter()).unwrap()
    }

    #[test]
    fn first_in_first_out_bounded_and_empty_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(dir.path(), 20_000).unwrap();
        let mut n = 0;
        while !spool.is_full() {
            spool.push(&BARS, &batch(f64::from(n))).unwrap();
            n += 1;
        }
        assert!(1 < n && 20_000 <= spool.bytes());
        for expected in 0..2 {
            assert_eq!(spool.front().unwrap().unwrap().1, [batch(f64::from(expected))]);
            spool.pop().unwrap();
        }
        let mut again = Spool::open(dir.path(), 20_000).unwrap();
        assert_eq!((again.bytes(), again.front().unwrap().is_none()), (0, true));
        std::fs::remove_dir_all(dir.path()).unwrap();
        let error = again.push(&BARS, &batch(1.0)).unwrap_err().to_string();
        assert!(error.contains("questdb.spool"), "{error}");
    }
}
