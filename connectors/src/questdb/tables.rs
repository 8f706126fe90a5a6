//! Tables of QuestDB: created if absent, extended if older, refused if somebody changed them.

use std::collections::BTreeMap;

use prism_schemas::Table;
use prism_schemas::table::questdb_type;
use serde_json::Value;

use super::{Client, QuestDbError};

/// Where a table's rows go: live rows to the table itself, rows of another run to `run_<table>`.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// What the rows are.
    pub table: &'static Table,
    /// The run, unless it is `live`.
    pub run: Option<String>,
}

impl Target {
    /// Of a table and a run; `runs` itself names the run in its rows.
    pub fn new(table: &'static Table, run_id: &str) -> Target {
        let is_live = run_id == "live" || table.key.contains(&"run_id");
        Target { table, run: (!is_live).then(|| run_id.to_string()) }
    }

    /// The table's name in QuestDB.
    pub fn name(&self) -> String {
        if self.run.is_some() { format!("run_{}", self.table.name) } else { self.table.name.into() }
    }

    fn columns(&self) -> Vec<(&'static str, &'static str)> {
        let own = self.table.columns.iter().map(|column| (column.name, questdb_type(column.kind)));
        self.run.iter().map(|_| ("run_id", "SYMBOL")).chain(own).collect()
    }

    fn key(&self) -> Vec<&'static str> {
        self.run.iter().map(|_| "run_id").chain(self.table.key.iter().copied()).collect()
    }

    /// Makes the table, adds columns it lacks, and refuses one that does not fit.
    pub fn ensure(&self, client: &Client, ttl: &BTreeMap<String, String>) -> Result<(), QuestDbError> {
        let name = self.name();
        client.exec(&if self.run.is_some() { self.table.ddl_of_runs() } else { self.table.ddl() })?;
        let conflict = |detail: String| {
            let address = client.address().to_string();
            QuestDbError::Conflict { address, table: name.clone(), detail }
        };
        let found =
            client.exec(&format!("SELECT \"column\", type, upsertKey, designated FROM table_columns('{name}')"))?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
        let found: BTreeMap<String, (String, bool, bool)> = found
            .iter()
            .filter(|row| row.len() == 4)
            .map(|row| (text(&row[0]), (text(&row[1]), row[2] == Value::Bool(true), row[3] == Value::Bool(true))))
            .collect();
        for (column, kind) in self.columns() {
            match found.get(column) {
                None => {
                    tracing::info!(table = name, column, "adding a column");
                    client.exec(&format!("ALTER TABLE {name} ADD COLUMN IF NOT EXISTS {column} {kind}"))?;
                }
                Some((have, ..)) if have != kind => {
                    return Err(conflict(format!(
                        "column {column} is {have}, not {kind}: RENAME TABLE {name} TO {name}_old and start again"
                    )));
                }
                Some(_) => {}
            }
        }
        if let Some((other, _)) = found.iter().find(|(column, row)| row.2 && *column != self.table.designated) {
            return Err(conflict(format!(
                "its designated timestamp is {other}, not {}: RENAME TABLE {name} TO {name}_old and start again",
                self.table.designated
            )));
        }
        let mut keys: Vec<&str> = found.iter().filter(|(_, row)| row.1).map(|(column, _)| &**column).collect();
        let mut expected = self.key();
        keys.sort_unstable();
        expected.sort_unstable();
        if keys != expected {
            return Err(conflict(format!(
                "its upsert keys are ({}), so rows would be doubled or lost: ALTER TABLE {name} DEDUP ENABLE UPSERT KEYS({})",
                keys.join(", "),
                self.key().join(", ")
            )));
        }
        if let (Some(ttl), None) = (ttl.get(self.table.name), &self.run) {
            client.exec(&format!("ALTER TABLE {name} SET TTL {ttl}"))?;
        }
        Ok(())
    }
}
