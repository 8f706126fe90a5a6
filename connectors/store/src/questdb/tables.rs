//! Tables of QuestDB: created if absent, extended if older, refused if somebody changed them.

use std::collections::BTreeMap;

use prism_questdb::blocking::Client;
use prism_schemas::Table;
use prism_schemas::table::{questdb_type, run_tables};
use serde_json::Value;

use super::{QuestDbError, STATEMENT};

/// Where a table's rows go: live rows to the table itself, rows of another run to `run_<table>`.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// What the rows are.
    pub table: &'static Table,
    /// The table in QuestDB, which may begin with `run_id`.
    pub stored: &'static Table,
    /// The run, where `run_id` tells.
    pub run: Option<String>,
}

impl Target {
    /// Of a table and a run; `runs` itself names the run in its rows.
    pub fn new(table: &'static Table, run_id: &str) -> Target {
        match run_tables().iter().find(|(own, _)| *own == table) {
            Some((_, stored)) if run_id != "live" => Target { table, stored, run: Some(run_id.into()) },
            _ => Target { table, stored: table, run: None },
        }
    }

    /// Makes the table, adds columns it lacks, and refuses one that does not fit.
    pub fn ensure(&self, client: &Client, ttl: &BTreeMap<String, String>) -> Result<(), QuestDbError> {
        let (table, name) = (self.stored, self.stored.name);
        client.exec(&table.ddl(), STATEMENT)?;
        let conflict = |detail: String| {
            let address = client.address().to_string();
            QuestDbError::Conflict { address, table: name.into(), detail }
        };
        let columns = format!("SELECT \"column\", type, upsertKey, designated FROM table_columns('{name}')");
        let found = client.exec(&columns, STATEMENT)?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
        let found: BTreeMap<String, (String, bool, bool)> = found
            .iter()
            .filter(|row| row.len() == 4)
            .map(|row| (text(&row[0]), (text(&row[1]), row[2] == Value::Bool(true), row[3] == Value::Bool(true))))
            .collect();
        let columns = || table.columns.iter().map(|column| (column.name, questdb_type(column.kind)));
        for (column, kind) in columns() {
            if let Some((have, ..)) = found.get(column).filter(|(have, ..)| have != kind) {
                return Err(conflict(format!(
                    "column {column} is {have}, not {kind}: RENAME TABLE {name} TO {name}_old and start again"
                )));
            }
        }
        if let Some((other, _)) = found.iter().find(|(column, row)| row.2 && *column != table.designated) {
            return Err(conflict(format!(
                "its designated timestamp is {other}, not {}: RENAME TABLE {name} TO {name}_old and start again",
                table.designated
            )));
        }
        // A key may be of a column that is new.
        for (column, kind) in columns().filter(|(column, _)| !found.contains_key(*column)) {
            tracing::info!(table = name, column, "adding a column");
            client.exec(&format!("ALTER TABLE {name} ADD COLUMN IF NOT EXISTS {column} {kind}"), STATEMENT)?;
        }
        let mut keys: Vec<&str> = found.iter().filter(|(_, row)| row.1).map(|(column, _)| &**column).collect();
        let mut expected = table.key.to_vec();
        keys.sort_unstable();
        expected.sort_unstable();
        if keys != expected {
            return Err(conflict(format!(
                "its upsert keys are ({}), so rows would be doubled or lost: ALTER TABLE {name} DEDUP ENABLE UPSERT KEYS({})",
                keys.join(", "),
                table.key.join(", ")
            )));
        }
        if let (Some(ttl), None) = (ttl.get(table.name), &self.run) {
            client.exec(&format!("ALTER TABLE {name} SET TTL {ttl}"), STATEMENT)?;
        }
        Ok(())
    }
}
