//! Statements over QuestDB's HTTP port.

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
        let config = Agent::config_builder().timeout_global(Some(TIMEOUT)).http_status_as_error(false).build();
        Client { address, agent: config.new_agent() }
    }

    /// The server.
    pub fn address(&self) -> &QuestDbAddress {
        &self.address
    }

    /// Runs a statement and gives its rows.
    pub fn exec(&self, sql: &str) -> Result<Vec<Vec<Value>>, QuestDbError> {
        let address = || self.address.to_string();
        let away = |detail: String| QuestDbError::Away { address: address(), detail };
        let mut request = self.agent.get(self.address.url("exec")).query("query", sql);
        if let Some(value) = self.address.authorization() {
            request = request.header("Authorization", value);
        }
        let mut response = request.call().map_err(|error| away(error.to_string()))?;
        let status = response.status().as_u16();
        if matches!(status, 401 | 403) {
            return Err(QuestDbError::Login { address: address() });
        }
        let text = response.body_mut().with_config().limit(1 << 30).read_to_string();
        let text = text.map_err(|error| away(error.to_string()))?;
        match serde_json::from_str::<Answer>(&text) {
            Ok(Answer { error: None, dataset }) if status == 200 => Ok(dataset),
            Ok(Answer { error: Some(error), .. }) => {
                Err(QuestDbError::Refused { address: address(), detail: format!("{error} in: {sql}") })
            }
            _ if 500 <= status => Err(away(format!("status {status}"))),
            _ => Err(QuestDbError::Refused { address: address(), detail: format!("status {status}: {text}") }),
        }
    }

    /// Reads all rows of a table, in the order of their designated timestamp.
    pub fn scan(&self, target: &Target, mut see: impl FnMut(Version)) -> Result<(), QuestDbError> {
        let (table, name) = (target.table, target.stored.name);
        let columns: Vec<&str> = table.columns.iter().map(|column| column.name).collect();
        let run = match &target.run {
            Some(run) => format!(" AND run_id = '{}'", run.replace('\'', "''")),
            None => String::new(),
        };
        for partition in self.exec(&format!("SELECT name FROM table_partitions('{name}')"))? {
            let Some(Value::String(partition)) = partition.first() else { continue };
            let sql =
                format!("SELECT {} FROM {name} WHERE {} IN '{partition}'{run}", columns.join(", "), table.designated);
            self.each(table, &sql, &mut see)?;
        }
        Ok(())
    }

    /// Reads the rows that begin after `from` and became known at or after `known`.
    pub fn scan_since(
        &self,
        target: &Target,
        from: Ts,
        known: Ts,
        see: impl FnMut(Version),
    ) -> Result<(), QuestDbError> {
        let table = target.table;
        let columns: Vec<&str> = table.columns.iter().map(|column| column.name).collect();
        let sql = format!(
            "SELECT {} FROM {} WHERE {} >= '{}' AND known_at >= '{}'",
            columns.join(", "),
            target.stored.name,
            table.designated,
            format_ts(from.max(0)),
            format_ts(known.max(0)),
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
        let away = |detail: String| QuestDbError::Away { address: self.address.to_string(), detail };
        let mut request = self.agent.get(self.address.url("exp")).query("query", sql).query("fmt", "parquet");
        if let Some(value) = self.address.authorization() {
            request = request.header("Authorization", value);
        }
        let mut response = request.call().map_err(|error| away(error.to_string()))?;
        let bytes = response.body_mut().with_config().limit(4 << 30).read_to_vec();
        let bytes = bytes.map_err(|error| away(error.to_string()))?;
        if response.status() != 200 {
            let detail = format!("{} in: {sql}", String::from_utf8_lossy(&bytes));
            return Err(QuestDbError::Refused { address: self.address.to_string(), detail });
        }
        let reader = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(bytes)).and_then(|builder| builder.build());
        reader.map_err(|error| away(error.to_string()))
    }

    /// How far the writer of each table is.
    pub fn wal_tables(&self) -> Result<Vec<WalTable>, QuestDbError> {
        let sql = "SELECT name, suspended, sequencerTxn, writerTxn, errorMessage FROM wal_tables()";
        let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
        let rows = self.exec(sql)?.into_iter().filter(|row| row.len() == 5);
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
