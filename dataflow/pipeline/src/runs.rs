//! How far a run is kept: its row in `runs`, written after the rows it speaks of, read when the run goes on.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use prism_dataflow::{assemble::Plan, types::Time};
use prism_log::{Log, LogError};
use prism_schemas::{Cell, Version, store::RowStore, table::RUNS};

use crate::{
    keep::told,
    merge::{Mark, TOPICS},
};

/// A run and how far it is kept.
#[derive(Clone, Debug, Default)]
pub struct Run {
    /// Knowledge time of its first record; part of its key.
    pub first: Option<Time>,
    /// Its name.
    pub run_id: String,
    /// The hash of its settings.
    pub config_hash: String,
    /// Its settings, as JSON.
    pub config: String,
    /// Everything known before this is kept.
    pub frontier: Time,
    /// Events read.
    pub events: u64,
    /// First offset of each partition when the run began, as JSON.
    pub log_start: String,
    /// Whether the store holds rows of other settings.
    pub is_changed: bool,
}

impl Run {
    /// A run that begins.
    pub fn new(run_id: &str, log: &dyn Log, plan: &Plan) -> Result<Run> {
        Ok(Run {
            run_id: run_id.into(),
            config_hash: plan.settings.hash(),
            config: serde_json::to_string(&plan.settings)?,
            log_start: serde_json::to_string(&starts(log)?)?,
            ..Run::default()
        })
    }

    /// Everything before the mark is kept.
    pub fn advance(&mut self, mark: &Mark) {
        self.first = self.first.or(mark.first);
        self.frontier = mark.frontier;
        self.events = mark.events;
    }

    /// As a row of `runs`.
    pub fn row(&self) -> Version {
        let cells = vec![
            Cell::Ts(self.first.unwrap_or(0) as i64),
            Cell::from(&*self.run_id),
            Cell::from(&*self.config_hash),
            Cell::from(&*self.config),
            Cell::Ts(self.frontier as i64),
            Cell::Int(self.events as i64),
            Cell::from(&*self.log_start),
        ];
        Version { table: &RUNS, cells }
    }
}

/// The first offsets of the partitions the graph reads, by `topic/partition`.
fn starts(log: &dyn Log) -> Result<BTreeMap<String, u64>, LogError> {
    let mut starts = BTreeMap::new();
    for topic in TOPICS {
        for partition in 0..log.partitions(topic) {
            starts.insert(format!("{}/{partition}", topic.name()), log.start(topic, partition)?);
        }
    }
    Ok(starts)
}

/// The run as the store knows it, or a new one. Refuses a log that has lost what the run was computed from.
pub fn resume(store: &dyn RowStore, log: &dyn Log, plan: &Plan) -> Result<Run> {
    let run_id = store.run_id();
    let new = Run::new(run_id, log, plan)?;
    let Some(row) = store.run(run_id).map_err(told)? else { return Ok(new) };
    let text = |column| match row.get(column) {
        Some(Cell::Text(text)) => text.to_string(),
        _ => String::new(),
    };
    let ts = |column| match row.get(column) {
        Some(Cell::Ts(ts)) => u64::try_from(*ts).unwrap_or(0),
        _ => 0,
    };
    if text("config_hash") != new.config_hash {
        tracing::warn!(
            had = text("config_hash"),
            have = new.config_hash,
            "the settings have changed: all rows are computed and written again"
        );
        return Ok(Run { first: Some(ts("ts")), is_changed: true, ..new });
    }
    let began: BTreeMap<String, u64> = serde_json::from_str(&text("log_start")).unwrap_or_default();
    for (place, start) in starts(log)? {
        if let Some(had) = began.get(&place).filter(|had| **had < start) {
            bail!(
                "{place} begins at offset {start}, the run \"{run_id}\" began at {had}: retention removed what its rows \
                 were computed from, so they cannot be repeated; set kafka.retention or log.retention longer, and begin anew with an \
                 empty store"
            );
        }
    }
    Ok(Run { first: Some(ts("ts")), frontier: ts("frontier"), log_start: text("log_start"), ..new })
}
