//! Stored rows in QuestDB: what can be decided there is asked there, and answers come as Parquet.

use std::ops::RangeInclusive;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use bytes::BytesMut;
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use prism_questdb::{Client, Error};
use prism_schemas::time::{format_ts, parse_ts};
use prism_schemas::{QuestDbAddress, Table, Ts};
use serde_json::Value;
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
        let sql = format!("SELECT minTimestamp, maxTimestamp, numRows FROM table_partitions('{}')", table.name);
        match self.0.exec(&sql, deadline).await {
            Ok(partitions) => Ok(stretches(&partitions, range)),
            Err(error) if error.is_missing_table() => Ok(Vec::new()),
            Err(error) => Err(failed(error)),
        }
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
    if let Some(from) = bound(*range.start()) {
        conditions.push(format!("{designated} >= '{from}'"));
    }
    if let Some(to) = bound(*range.end()) {
        conditions.push(format!("{designated} <= '{to}'"));
    }
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

/// Partitions (first, last, rows) as stretches of about [`ROWS_AT_ONCE`] rows that cover the range without a gap: a
/// partition may grow, and one may begin, while others are asked for.
fn stretches(partitions: &[Vec<Value>], range: &RangeInclusive<Ts>) -> Vec<RangeInclusive<Ts>> {
    let ts = |value: Option<&Value>| value.and_then(Value::as_str).and_then(parse_ts);
    let mut starts: Vec<Ts> = Vec::new();
    let mut rows = 0;
    for row in partitions {
        let n = row.get(2).and_then(Value::as_u64);
        if n == Some(0) {
            continue;
        }
        let (Some(first), Some(last), Some(n)) = (ts(row.first()), ts(row.get(1)), n) else {
            // What cannot be read may hold anything.
            return vec![range.clone()];
        };
        if last < *range.start() || *range.end() < first {
            continue;
        }
        if starts.is_empty() || ROWS_AT_ONCE < rows + n {
            starts.extend(cut(first, last, n.div_ceil(ROWS_AT_ONCE)));
            rows = 0;
        }
        rows += n;
    }
    let ends: Vec<Ts> = starts.iter().skip(1).map(|next| next - 1_000).chain([Ts::MAX]).collect();
    if let Some(first) = starts.first_mut() {
        *first = Ts::MIN;
    }
    let wanted = starts.iter().zip(ends).map(|(start, end)| *start.max(range.start())..=end.min(*range.end()));
    wanted.filter(|stretch| stretch.start() <= stretch.end()).collect()
}

/// The starts of `n` parts of equal length, to the microsecond that QuestDB stores.
fn cut(first: Ts, last: Ts, n: u64) -> Vec<Ts> {
    let (n, micros) = (n.max(1) as i64, (last - first) / 1_000 + 1);
    let start = |part: i64| first + (i128::from(micros) * i128::from(part) / i128::from(n)) as i64 * 1_000;
    let mut starts: Vec<Ts> = (0..n).map(start).collect();
    starts.dedup();
    starts
}

/// A bound of time as QuestDB writes it; none at the ends of time.
fn bound(ts: Ts) -> Option<String> {
    (ts != Ts::MIN && ts != Ts::MAX).then(|| format_ts(ts.div_euclid(1_000) * 1_000))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ALL: RangeInclusive<Ts> = Ts::MIN..=Ts::MAX;

    fn partition(first: Ts, last: Ts, n: u64) -> Vec<Value> {
        vec![json!(format_ts(first)), json!(format_ts(last)), json!(n)]
    }

    #[test]
    fn stretches_join_without_gap_or_overlap() {
        let day = 86_400_000_000_000;
        let partitions: Vec<_> = [(0, 5), (1, 60_000), (2, 90_000), (5, 350_000), (6, 1)]
            .map(|(d, n)| partition(d * day, d * day + day / 2, n))
            .into();
        for (range, n) in [(ALL, 7), (3 * day..=Ts::MAX, 5), (Ts::MIN..=day, 1), (4 * day..=4 * day + 1_000, 0)] {
            let found = stretches(&partitions, &range);
            assert_eq!(found.len(), n, "{found:?}");
            if let (Some(first), Some(last)) = (found.first(), found.last()) {
                assert_eq!((first.start(), last.end()), (range.start(), range.end()));
            }
            assert!(found.windows(2).all(|pair| pair[0].end() + 1_000 == *pair[1].start()), "{found:?}");
        }
        assert_eq!(stretches(&[], &ALL), []);
        assert_eq!(stretches(&[partition(0, 0, 1_000_000)], &ALL), [ALL], "one moment cannot be cut");
    }

    #[test]
    fn a_partition_that_cannot_be_read_widens_the_stretch() {
        let strange = vec![json!("soon"), json!("later"), json!(7)];
        assert_eq!(stretches(&[partition(0, 1_000, 200_000), strange, partition(5_000, 6_000, 1)], &ALL), [ALL]);
        assert_eq!(stretches(&[vec![json!(null), json!(null), json!(null)]], &(0..=9_000)), [0..=9_000]);
        assert_eq!(stretches(&[vec![json!(null), json!(null), json!(0)]], &ALL), [], "an empty one has no times");
    }
}
