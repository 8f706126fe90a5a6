//! Stored rows in QuestDB: what can be decided there is asked there, and answers come as Parquet.

use std::ops::RangeInclusive;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use bytes::BytesMut;
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use prism_questdb::{Client, Error};
use prism_schemas::time::parse_ts;
use prism_schemas::{QuestDbAddress, Table, Ts};
use tokio::time::Instant;

/// Rows asked for at once, about.
pub(crate) const ROWS_AT_ONCE: u64 = 100_000;
/// Bytes of one answer at most, whatever the memory limit is.
const BYTES_MAX: usize = 1 << 30;

/// A QuestDB server as a store.
#[derive(Clone, Debug)]
pub(crate) struct QuestDb(Client);

/// What is asked of QuestDB besides columns and time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pushed {
    /// Conditions in its SQL: rows that do not fulfil them are not needed.
    pub(crate) conditions: Vec<String>,
    /// The newest first.
    pub(crate) descending: bool,
    /// So many rows suffice.
    pub(crate) limit: Option<usize>,
}

fn failed(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

impl QuestDb {
    pub(crate) fn new(address: QuestDbAddress) -> QuestDb {
        QuestDb(Client::new(address))
    }

    /// The newest row's designated timestamp; `None` if there is no row or no table.
    pub(crate) async fn newest(&self, table: &Table, deadline: Instant) -> Result<Option<Ts>> {
        let sql = format!("SELECT max({}) FROM {}", table.designated, table.name);
        match self.0.exec(&sql, deadline).await {
            Ok(rows) => Ok(rows.first().and_then(|row| row.first()?.as_str()).and_then(parse_ts)),
            Err(error) if error.is_missing_table() => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    /// The stretches of time to ask for one by one, oldest first; none if there is no row or no table.
    pub(crate) async fn stretches(
        &self,
        table: &Table,
        range: &RangeInclusive<Ts>,
        deadline: Instant,
    ) -> Result<Vec<RangeInclusive<Ts>>> {
        self.0.stretches(table.name, range, ROWS_AT_ONCE, deadline).await.map_err(failed)
    }

    /// Runs a statement and reads its answer, which counts as memory in use; `None` if there is no table yet.
    pub(crate) async fn read(
        &self,
        sql: &str,
        batch_rows: usize,
        pool: &Arc<dyn MemoryPool>,
        deadline: Instant,
    ) -> Result<Option<(ParquetRecordBatchReader, MemoryReservation)>> {
        let reservation = MemoryConsumer::new("QuestDB's answer").register(pool);
        let mut export = match self.0.export(sql, BYTES_MAX, deadline).await {
            Err(error) if error.is_missing_table() => return Ok(None),
            other => other.map_err(failed)?,
        };
        let mut bytes = BytesMut::new();
        while let Some(chunk) = export.chunk().await.map_err(failed)? {
            reservation.try_resize((bytes.len() + chunk.len()).max(bytes.capacity()))?;
            bytes.extend_from_slice(&chunk);
        }
        reservation.try_resize(bytes.capacity())?;
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes.freeze())?.with_batch_size(batch_rows).build()?;
        Ok(Some((reader, reservation)))
    }
}

/// The statement for a stretch: rows in the order of their designated timestamp.
pub(crate) fn sql(table: &Table, columns: &SchemaRef, range: &RangeInclusive<Ts>, pushed: &Pushed) -> String {
    let designated = table.designated;
    let mut conditions = pushed.conditions.clone();
    conditions.extend(prism_questdb::within(designated, range));
    let columns: Vec<&str> = columns.fields().iter().map(|field| field.name().as_str()).collect();
    let columns = if columns.is_empty() { designated.into() } else { columns.join(", ") };
    let mut sql = format!("SELECT {columns} FROM {}", table.name);
    if !conditions.is_empty() {
        sql += &format!(" WHERE {}", conditions.join(" AND "));
    }
    sql += &format!(" ORDER BY {designated}{}", if pushed.descending { " DESC" } else { "" });
    if let Some(limit) = pushed.limit {
        sql += &format!(" LIMIT {limit}");
    }
    sql
}
