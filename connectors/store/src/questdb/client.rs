//! Statements over QuestDB's HTTP port.

use std::ops::Range;
use std::time::Duration;

use arrow::array::{RecordBatch, new_null_array};
use arrow::datatypes::FieldRef;
use bytes::Bytes;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use prism_schemas::time::format_ts;
use prism_schemas::{QuestDbAddress, Table, Ts, Version};
use serde::Deserialize;
use serde_json::Value;
use ureq::Agent;

use super::{QuestDbError, Target};
use crate::parquet::each_row;

/// A statement may take this long.
const TIMEOUT: Duration = Duration::from_secs(60);
/// More rows than any answer has.
const ROWS_MAX: u64 = 1_000_000_000;
/// A look at how the server is may take this long.
const LOOK: Duration = Duration::from_secs(3);

/// Asks one server.
#[derive(Clone, Debug)]
pub struct Client {
    address: QuestDbAddress,
    agent: Agent,
}

/// How far a table's writer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalTable {
    /// The table.
    pub name: String,
    /// It takes rows but does not apply them: a person must look.
    pub suspended: bool,
    /// Transactions acknowledged.
    pub sequencer: i64,
    /// Transactions that can be read.
    pub writer: i64,
    /// Why it is suspended.
    pub error: String,
}

impl WalTable {
    /// Transactions acknowledged but not visible yet.
    pub fn lag(&self) -> i64 {
        self.sequencer - self.writer
    }

    /// Why a suspended table needs a person.
    pub fn problem(&self, client: &Client) -> QuestDbError {
        QuestDbError::Conflict {
            address: client.address().to_string(),
            table: self.name.clone(),
            detail: format!(
                "it is suspended ({}): repair the cause, then ALTER TABLE {} RESUME WAL",
                self.error, self.name
            ),
        }
    }
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    dataset: Vec<Vec<Value>>,
    error: Option<String>,
}

impl Client {
    /// Does not connect yet.
    pub fn new(address: QuestDbAddress) -> Client {
        let config = Agent::config_builder().timeout_connect(Some(LOOK)).http_status_as_error(false).build();
        Client { address, agent: config.new_agent() }
    }

    /// The server.
    pub fn address(&self) -> &QuestDbAddress {
        &self.address
    }

    /// Runs a statement and gives its rows.
    pub fn exec(&self, sql: &str) -> Result<Vec<Vec<Value>>, QuestDbError> {
        self.exec_within(sql, TIMEOUT)
    }

    fn exec_within(&self, sql: &str, timeout: Duration) -> Result<Vec<Vec<Value>>, QuestDbError> {
        let mut response = self.get("exec", sql, &[], timeout)?;
        let status = response.status().as_u16();
        let text = response.body_mut().with_config().limit(1 << 30).read_to_string();
        let text = text.map_err(|error| self.away(error.to_string()))?;
        match serde_json::from_str::<Answer>(&text) {
            Ok(Answer { error: None, dataset }) if status == 200 => Ok(dataset),
            _ => Err(self.failure(status, &text, sql)),
        }
    }

    fn get(
        &self,
        path: &str,
        sql: &str,
        more: &[(&str, &str)],
        timeout: Duration,
    ) -> Result<ureq::http::Response<ureq::Body>, QuestDbError> {
        let request = self.agent.get(self.address.url(path)).config().timeout_global(Some(timeout)).build();
        let mut request = request.query("query", sql).query_pairs(more.iter().copied());
        if let Some(value) = self.address.authorization() {
            request = request.header("Authorization", value);
        }
        let response = request.call().map_err(|error| self.away(error.to_string()))?;
        match response.status().as_u16() {
            401 | 403 => Err(QuestDbError::Login { address: self.address.to_string() }),
            _ => Ok(response),
        }
    }

    fn away(&self, detail: String) -> QuestDbError {
        QuestDbError::Away { address: self.address.to_string(), detail }
    }

    /// Only QuestDB's own word is a refusal: anything else comes from what stands between.
    fn failure(&self, status: u16, text: &str, sql: &str) -> QuestDbError {
        match serde_json::from_str::<Answer>(text) {
            Ok(Answer { error: Some(error), .. }) => {
                QuestDbError::Refused { address: self.address.to_string(), detail: format!("{error} in: {sql}") }
            }
            _ => {
                let short: String = text.chars().take(300).collect();
                self.away(format!("status {status}, not from QuestDB: {short}"))
            }
        }
    }

    /// Reads all rows of a table, in the order of their designated timestamp.
    pub fn scan(&self, target: &Target, mut see: impl FnMut(Version)) -> Result<(), QuestDbError> {
        for partition in self.partitions(target)? {
            self.scan_partition(target, &partition, None, &mut see)?;
        }
        Ok(())
    }

    /// The partitions of a table, oldest first.
    pub(super) fn partitions(&self, target: &Target) -> Result<Vec<String>, QuestDbError> {
        let rows = self.exec(&format!("SELECT name FROM table_partitions('{}')", target.stored.name))?;
        let name = |row: Vec<Value>| row.first()?.as_str().map(str::to_string);
        Ok(rows.into_iter().filter_map(name).collect())
    }

    /// Reads the rows of one partition for which a condition holds.
    pub(super) fn scan_partition(
        &self,
        target: &Target,
        partition: &str,
        condition: Option<&str>,
        see: impl FnMut(Version),
    ) -> Result<(), QuestDbError> {
        let (table, name) = (target.table, target.stored.name);
        let columns: Vec<&str> = table.columns.iter().map(|column| column.name).collect();
        let mut sql = format!("SELECT {} FROM {name} WHERE {} IN '{partition}'", columns.join(", "), table.designated);
        if let Some(run) = &target.run {
            sql += &format!(" AND run_id = '{}'", run.replace('\'', "''"));
        }
        if let Some(condition) = condition {
            sql += &format!(" AND {condition}");
        }
        self.each(table, &sql, see)
    }

    /// Reads the rows that begin after `from` and became known at or after `known`.
    pub fn scan_since(
        &self,
        target: &Target,
        range: Range<Ts>,
        known: Ts,
        see: impl FnMut(Version),
    ) -> Result<(), QuestDbError> {
        let table = target.table;
        let columns: Vec<&str> = table.columns.iter().map(|column| column.name).collect();
        let sql = format!(
            "SELECT {} FROM {} WHERE {ts} >= '{}' AND {ts} < '{}' AND known_at >= '{}'",
            columns.join(", "),
            target.stored.name,
            format_ts(range.start.max(0)),
            format_ts(range.end),
            format_ts(known.max(0)),
            ts = table.designated,
        );
        self.each(table, &sql, see)
    }

    fn each(&self, table: &'static Table, sql: &str, mut see: impl FnMut(Version)) -> Result<(), QuestDbError> {
        let schema = table.schema();
        for batch in self.export(sql)? {
            let batch = batch?;
            let column = |field: &FieldRef| match batch.column_by_name(field.name()) {
                Some(column) => arrow::compute::cast(column, field.data_type()),
                None => Ok(new_null_array(field.data_type(), batch.num_rows())),
            };
            let columns = schema.fields().iter().map(column).collect::<Result<_, _>>()?;
            each_row(table, &RecordBatch::try_new(schema.clone(), columns)?, &mut see);
        }
        Ok(())
    }

    fn export(&self, sql: &str) -> Result<ParquetRecordBatchReader, QuestDbError> {
        // Without a limit or a condition QuestDB 9.3.4 exports texts as nulls.
        let sql = &format!("SELECT * FROM ({sql}) LIMIT {ROWS_MAX}");
        let mut response = self.get("exp", sql, &[("fmt", "parquet"), ("compression_codec", "snappy")], TIMEOUT)?;
        let bytes = response.body_mut().with_config().limit(4 << 30).read_to_vec();
        let bytes = bytes.map_err(|error| self.away(error.to_string()))?;
        if response.status() != 200 {
            return Err(self.failure(response.status().as_u16(), &String::from_utf8_lossy(&bytes), sql));
        }
        let reader = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(bytes)).and_then(|builder| builder.build());
        reader.map_err(|error| self.away(error.to_string()))
    }

    /// How far the writer of each table is.
    pub fn wal_tables(&self) -> Result<Vec<WalTable>, QuestDbError> {
        let sql = "SELECT name, suspended, sequencerTxn, writerTxn, errorMessage FROM wal_tables()";
        let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
        let rows = self.exec_within(sql, LOOK)?.into_iter().filter(|row| row.len() == 5);
        Ok(rows
            .map(|row| WalTable {
                name: text(&row[0]),
                suspended: row[1].as_bool().unwrap_or_default(),
                sequencer: row[2].as_i64().unwrap_or_default(),
                writer: row[3].as_i64().unwrap_or_default(),
                error: text(&row[4]),
            })
            .collect())
    }
}
