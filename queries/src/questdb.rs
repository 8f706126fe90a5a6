//! Stored rows in QuestDB: what can be decided there is asked there, and answers come as Parquet.

use std::ops::RangeInclusive;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{Between, BinaryExpr, Expr, Operator};
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use prism_schemas::time::{format_ts, parse_ts};
use prism_schemas::{QuestDbAddress, Table, Ts};
use serde::Deserialize;
use serde_json::Value;
use ureq::Agent;

/// An answer may take this long.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Rows asked for at once, about.
const ROWS_AT_ONCE: u64 = 100_000;
/// Bytes of one answer at most.
const BYTES_MAX: u64 = 4 << 30;

/// A QuestDB server as a store.
#[derive(Clone, Debug)]
pub(crate) struct QuestDb {
    address: QuestDbAddress,
    agent: Agent,
}

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

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    dataset: Vec<Vec<Value>>,
    error: Option<String>,
}

impl QuestDb {
    pub(crate) fn new(address: QuestDbAddress) -> QuestDb {
        let config = Agent::config_builder().timeout_global(Some(TIMEOUT)).http_status_as_error(false).build();
        QuestDb { address, agent: config.new_agent() }
    }

    fn failed(&self, detail: impl std::fmt::Display) -> DataFusionError {
        DataFusionError::External(format!("{}: {detail}", self.address).into())
    }

    fn get(&self, path: &str, sql: &str, more: &[(&str, &str)]) -> Result<ureq::http::Response<ureq::Body>> {
        let mut request = self.agent.get(self.address.url(path)).query("query", sql);
        for (name, value) in more {
            request = request.query(*name, *value);
        }
        if let Some(value) = self.address.authorization() {
            request = request.header("Authorization", value);
        }
        request.call().map_err(|error| self.failed(error))
    }

    /// The newest row's designated timestamp.
    pub(crate) fn newest(&self, table: &Table) -> Result<Option<Ts>> {
        Ok(self.stretches(table, &(Ts::MIN..=Ts::MAX))?.last().map(|stretch| *stretch.start()))
    }

    /// The stretches of time to ask for one by one, oldest first; none if the table does not exist yet.
    pub(crate) fn stretches(&self, table: &Table, range: &RangeInclusive<Ts>) -> Result<Vec<RangeInclusive<Ts>>> {
        let sql = format!("SELECT minTimestamp, maxTimestamp, numRows FROM table_partitions('{}')", table.name);
        let mut response = self.get("exec", &sql, &[])?;
        let text = response.body_mut().read_to_string().map_err(|error| self.failed(error))?;
        let answer: Answer = serde_json::from_str(&text).map_err(|error| self.failed(format!("{error}: {text}")))?;
        match answer.error {
            Some(error) if error.contains("does not exist") => return Ok(Vec::new()),
            Some(error) => return Err(self.failed(error)),
            None => {}
        }
        let ts = |value: &Value| value.as_str().and_then(parse_ts);
        let mut stretches: Vec<(RangeInclusive<Ts>, u64)> = Vec::new();
        for row in &answer.dataset {
            let (Some(first), Some(last), Some(n)) = (ts(&row[0]), ts(&row[1]), row[2].as_u64()) else { continue };
            if last < *range.start() || *range.end() < first {
                continue;
            }
            match stretches.last_mut() {
                Some((stretch, rows)) if *rows + n <= ROWS_AT_ONCE => {
                    *stretch = *stretch.start()..=last;
                    *rows += n;
                }
                _ => stretches.extend(cut(first, last, n.div_ceil(ROWS_AT_ONCE)).map(|stretch| (stretch, n))),
            }
        }
        // The newest partition may grow while it is asked for.
        if let Some((stretch, _)) = stretches.last_mut() {
            *stretch = *stretch.start()..=Ts::MAX;
        }
        let within =
            |stretch: RangeInclusive<Ts>| *stretch.start().max(range.start())..=*stretch.end().min(range.end());
        let wanted = stretches.into_iter().map(|(stretch, _)| within(stretch));
        Ok(wanted.filter(|stretch| stretch.start() <= stretch.end()).collect())
    }

    /// The statement for a stretch: rows in the order of their designated timestamp.
    pub(crate) fn sql(
        &self,
        table: &Table,
        columns: &SchemaRef,
        range: &RangeInclusive<Ts>,
        pushed: &Pushed,
    ) -> String {
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

    /// Runs a statement and reads its answer; `None` if the table does not exist yet.
    pub(crate) fn read(&self, sql: &str, batch_rows: usize) -> Result<Option<ParquetRecordBatchReader>> {
        let mut response = self.get("exp", sql, &[("fmt", "parquet"), ("compression_codec", "lz4_raw")])?;
        let bytes = response.body_mut().with_config().limit(BYTES_MAX).read_to_vec();
        let bytes = bytes.map_err(|error| self.failed(error))?;
        if response.status() != 200 {
            let text = String::from_utf8_lossy(&bytes);
            let error = serde_json::from_str::<Answer>(&text).ok().and_then(|answer| answer.error);
            if error.as_ref().is_some_and(|error| error.contains("does not exist")) {
                return Ok(None);
            }
            return Err(self.failed(format!("{} in: {sql}", error.unwrap_or_else(|| response.status().to_string()))));
        }
        Ok(Some(ParquetRecordBatchReaderBuilder::try_new(Bytes::from(bytes))?.with_batch_size(batch_rows).build()?))
    }
}

/// A stretch of time in `n` parts of equal length, to the microsecond that QuestDB stores.
fn cut(first: Ts, last: Ts, n: u64) -> impl Iterator<Item = RangeInclusive<Ts>> {
    let (n, micros) = (n.max(1) as i64, (last - first) / 1_000 + 1);
    let start = move |part: i64| first + (i128::from(micros) * i128::from(part) / i128::from(n)) as i64 * 1_000;
    (0..n).map(move |part| start(part)..=start(part + 1) - 1_000).filter(|stretch| stretch.start() <= stretch.end())
}

/// A bound of time as QuestDB writes it; none at the ends of time.
fn bound(ts: Ts) -> Option<String> {
    (ts != Ts::MIN && ts != Ts::MAX).then(|| format_ts(ts.div_euclid(1_000) * 1_000))
}

/// A filter in QuestDB's SQL, if every row it holds for also fulfils that; exact if only those do.
pub(crate) fn condition(filter: &Expr, table: &Table) -> Option<(String, bool)> {
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::And | Operator::Or), right }) => {
            match (condition(left, table), condition(right, table), op) {
                (Some((left, a)), Some((right, b)), _) => Some((format!("({left} {op} {right})"), a && b)),
                // A part of a conjunction is implied by it.
                (Some((one, _)), None, Operator::And) | (None, Some((one, _)), Operator::And) => Some((one, false)),
                _ => None,
            }
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let (column, op, value) = match (&**left, &**right) {
                (Expr::Column(column), Expr::Literal(value, _)) => (column, *op, value),
                (Expr::Literal(value, _), Expr::Column(column)) => (column, op.swap()?, value),
                _ => return None,
            };
            let sign = match op {
                Operator::Eq => "=",
                Operator::Lt => "<",
                Operator::LtEq => "<=",
                Operator::Gt => ">",
                Operator::GtEq => ">=",
                _ => return None,
            };
            Some((format!("{} {sign} {}", name(column, table)?, literal(value)?), true))
        }
        Expr::InList(InList { expr, list, negated: false }) => {
            let Expr::Column(column) = &**expr else { return None };
            let values: Option<Vec<String>> = list
                .iter()
                .map(|value| if let Expr::Literal(value, _) = value { literal(value) } else { None })
                .collect();
            Some((format!("{} IN ({})", name(column, table)?, values?.join(", ")), true))
        }
        Expr::Between(Between { expr, negated: false, low, high }) => match (&**expr, &**low, &**high) {
            (Expr::Column(column), Expr::Literal(low, _), Expr::Literal(high, _)) => {
                let name = name(column, table)?;
                Some((format!("{name} >= {} AND {name} <= {}", literal(low)?, literal(high)?), true))
            }
            _ => None,
        },
        Expr::Column(column) => Some((format!("{} = true", name(column, table)?), true)),
        Expr::Not(inner) => match &**inner {
            Expr::Column(column) => Some((format!("{} = false", name(column, table)?), true)),
            _ => None,
        },
        _ => None,
    }
}

fn name<'a>(column: &'a datafusion::common::Column, table: &Table) -> Option<&'a str> {
    table.position(&column.name).map(|_| column.name.as_str())
}

fn literal(value: &ScalarValue) -> Option<String> {
    let micros = |count: i64, unit: i64| count.checked_mul(unit).map(|ts| format!("'{}'", format_ts(ts)));
    match value {
        ScalarValue::Utf8(Some(text)) | ScalarValue::LargeUtf8(Some(text)) | ScalarValue::Utf8View(Some(text)) => {
            // An empty name is stored as none.
            (!text.is_empty()).then(|| format!("'{}'", text.replace('\'', "''")))
        }
        ScalarValue::Int64(Some(value)) => Some(value.to_string()),
        ScalarValue::Float64(Some(value)) if value.is_finite() => Some(format!("{value:?}")),
        ScalarValue::Boolean(Some(value)) => Some(value.to_string()),
        ScalarValue::TimestampSecond(Some(count), _) => micros(*count, 1_000_000_000),
        ScalarValue::TimestampMillisecond(Some(count), _) => micros(*count, 1_000_000),
        ScalarValue::TimestampMicrosecond(Some(count), _) => micros(*count, 1_000),
        // Finer than what is stored: left to the filter here.
        ScalarValue::TimestampNanosecond(Some(count), _) if count % 1_000 == 0 => micros(*count, 1),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use datafusion::prelude::{col, lit};
    use prism_schemas::table::BARS;

    use super::*;

    #[test]
    fn parts_of_a_stretch_join_without_gap_or_overlap() {
        for (first, last, n) in [(0, 9_000, 3), (5_000, 5_000, 4), (1_000, 7_000, 2), (0, 86_399_999_999_000, 7)] {
            let parts: Vec<_> = cut(first, last, n).collect();
            assert!(parts.len() <= n as usize && !parts.is_empty());
            assert_eq!((*parts[0].start(), *parts[parts.len() - 1].end()), (first, last));
            assert!(parts.windows(2).all(|pair| *pair[0].end() + 1_000 == *pair[1].start()), "{parts:?}");
        }
    }

    #[test]
    fn filters_become_conditions() {
        let at = |micros| lit(ScalarValue::TimestampMicrosecond(Some(micros), Some("UTC".into())));
        for (filter, expected) in [
            (col("symbol").eq(lit("BTC'USDT")), Some(("symbol = 'BTC''USDT'", true))),
            (lit(1.5).lt(col("close")), Some(("close > 1.5", true))),
            (col("symbol").in_list(vec![lit("A"), lit("B")], false), Some(("symbol IN ('A', 'B')", true))),
            (
                col("ts").between(at(0), at(1_000_000)),
                Some(("ts >= '1970-01-01T00:00:00Z' AND ts <= '1970-01-01T00:00:01Z'", true)),
            ),
            (col("symbol").eq(lit("A")).and(col("close").not_eq(lit(1.0))), Some(("symbol = 'A'", false))),
            (col("symbol").eq(lit("A")).or(col("close").not_eq(lit(1.0))), None),
            (col("close").gt(col("open")), None),
            (col("symbol").eq(lit("")), None),
            (col("symbol").like(lit("B%")), None),
        ] {
            let expected = expected.map(|(sql, exact): (&str, bool)| (sql.to_string(), exact));
            assert_eq!(condition(&filter, &BARS), expected, "{filter}");
        }
    }
}
