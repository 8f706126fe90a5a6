//! How far a run is kept: its row in `runs`, written after the rows it speaks of, read when the run goes on.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use prism_dataflow::{assemble::Plan, types::Time};
use prism_log::{Log, LogError};
use prism_schemas::{Cell, Topic, Version, store::RowStore, table::RUNS};

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
    /// Where the log was read from when the run last went on, if that was not its beginning.
    pub rebuilt_from: Option<Time>,
}

impl Run {
    /// A run that begins.
    pub fn new(run_id: &str, log: &dyn Log, plan: &Plan) -> Result<Run> {
        Ok(Run {
            run_id: run_id.into(),
            config_hash: plan.settings.hash(),
            config: serde_json::to_string(&plan.settings)?,
            log_start: serde_json::to_string(&by_place(&starts(log)?))?,
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
            self.rebuilt_from.map_or(Cell::Null, |from| Cell::Ts(from as i64)),
        ];
        Version { table: &RUNS, cells }
    }
}

/// The first offsets of the partitions the graph reads.
fn starts(log: &dyn Log) -> Result<Vec<Lost>, LogError> {
    let mut starts = Vec::new();
    for topic in TOPICS {
        for partition in 0..log.partitions(topic) {
            starts.push((topic, partition, log.start(topic, partition)?));
        }
    }
    Ok(starts)
}

fn by_place(starts: &[Lost]) -> BTreeMap<String, u64> {
    starts.iter().map(|(topic, partition, start)| (place(*topic, *partition), *start)).collect()
}

fn place(topic: Topic, partition: u32) -> String {
    format!("{}/{partition}", topic.name())
}

/// A partition and the first offset that is left of it.
pub(crate) type Lost = (Topic, u32, u64);

/// The run as the store knows it, or a new one, and what its log has lost since it began.
pub(crate) fn find(store: &dyn RowStore, log: &dyn Log, plan: &Plan) -> Result<(Run, Vec<Lost>)> {
    let run_id = store.run_id();
    let new = Run::new(run_id, log, plan)?;
    let Some(row) = store.run(run_id).map_err(told)? else { return Ok((new, Vec::new())) };
    let text = |column| match row.get(column) {
        Some(Cell::Text(text)) => text.to_string(),
        _ => String::new(),
    };
    let ts = |column| match row.get(column) {
        Some(Cell::Ts(ts)) => u64::try_from(*ts).unwrap_or(0),
        _ => 0,
    };
    let began: BTreeMap<String, u64> = serde_json::from_str(&text("log_start")).unwrap_or_default();
    let mut lost = Vec::new();
    for (topic, partition, start) in starts(log)? {
        if began.get(&place(topic, partition)).is_some_and(|had| *had < start) {
            lost.push((topic, partition, start));
        }
    }
    if text("config_hash") != new.config_hash {
        tracing::warn!(
            had = text("config_hash"),
            have = new.config_hash,
            "the settings have changed: all rows are computed and written again"
        );
        return Ok((Run { first: Some(ts("ts")), is_changed: true, ..new }, lost));
    }
    Ok((Run { first: Some(ts("ts")), frontier: ts("frontier"), log_start: text("log_start"), ..new }, lost))
}

/// The run as the store knows it, or a new one, for one pass over the log. Refuses a log that has lost what the run was
/// computed from: a pass repeats all of it.
pub fn resume(store: &dyn RowStore, log: &dyn Log, plan: &Plan) -> Result<Run> {
    let (run, lost) = find(store, log, plan)?;
    if let (Some((topic, partition, start)), false) = (lost.first(), run.is_changed) {
        bail!(
            "{} begins at offset {start}, the run \"{}\" began before: retention removed what its rows were computed from, so \
             they cannot be repeated; replay under another name, or without --resume",
            place(*topic, *partition),
            run.run_id
        );
    }
    Ok(run)
}
