//! Replays in this process, and their rows.

use super::{Arrival, write_log};
use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex},
};

use prism_dataflow::{
    admit::{Admission, Record},
    assemble::{Plan, assemble},
    drive::{Driver, Pace},
    registry::Registry,
    settings::Settings,
    tables::{Sink, tables},
};
use prism_log::{Log, SegmentLog};
use prism_schemas::{Cell, Table, Topic, Version, Versions, table::TABLES};
use prism_store::digest::{Digest, Mode};

/// The default settings with these lines of TOML over them.
pub(crate) fn settings(over: &str) -> Settings {
    let mut table: toml::Table = include_str!("../../default.toml").parse().unwrap();
    for section in ["feeds", "api", "store", "log", "kafka", "questdb"] {
        table.remove(section);
    }
    for (section, keys) in over.parse::<toml::Table>().unwrap() {
        let known = table[&section].as_table_mut().unwrap();
        known.extend(keys.as_table().unwrap().clone());
    }
    let settings: Settings = toml::Value::Table(table).try_into().unwrap();
    settings.check().unwrap();
    settings
}

/// How a log is replayed. Only `seal` may change results.
#[derive(Clone, Copy, Debug)]
pub(crate) struct How {
    pub(crate) workers: usize,
    pub(crate) stride: u64,
    pub(crate) batch: usize,
    pub(crate) seal: bool,
}

pub(crate) const SEALED: How = How { workers: 1, stride: 600, batch: 0, seal: true };

/// A log in memory, admitted once and replayed often.
pub(crate) struct Tape {
    settings: Settings,
    registry: Registry,
    partitions: Arc<Vec<Vec<Record>>>,
    /// Its newest knowledge time.
    pub(crate) newest: u64,
    last_event: i64,
}

impl Tape {
    pub(crate) fn of(arrivals: &[Arrival], settings: &Settings) -> Tape {
        let dir = tempfile::tempdir().unwrap();
        write_log(dir.path(), arrivals);
        Tape::read(dir.path(), settings)
    }

    /// Reads the log at `dir` as `prism replay` does.
    pub(crate) fn read(dir: &Path, settings: &Settings) -> Tape {
        let log = SegmentLog::open_read(dir).unwrap();
        let (registry, mut partitions) = (Registry::default(), Vec::new());
        let (mut newest, mut last_event) = (0, i64::MIN);
        for topic in Topic::ALL {
            for partition in 0..log.partitions(topic) {
                let mut admission = Admission::new(registry.clone(), settings, topic, partition);
                let mut records = Vec::new();
                let mut reader = log.read(topic, partition, 0).unwrap();
                while let Some(record) = reader.next().unwrap() {
                    admission.admit(record.batch, &mut records);
                }
                assert_eq!(reader.torn(), None);
                newest = newest.max(admission.known().unwrap_or(0));
                last_event = last_event.max(admission.last_event);
                partitions.push(records);
            }
        }
        Tape { settings: settings.clone(), registry, partitions: Arc::new(partitions), newest, last_event }
    }

    /// What of it was known before a time.
    pub(crate) fn until(&self, cut: u64) -> Tape {
        let known = |records: &Vec<Record>| records.iter().filter(|record| record.known() < cut).cloned().collect();
        let partitions = Arc::new(self.partitions.iter().map(known).collect());
        Tape { settings: self.settings.clone(), registry: self.registry.clone(), partitions, newest: cut, ..*self }
    }

    /// Every version of every row, those of one key in order.
    pub(crate) fn replay(&self, how: How) -> Vec<Version> {
        let mut plan = Plan::new(self.settings.clone()).unwrap();
        plan.registry = self.registry.clone();
        let rows = Arc::new(Mutex::new(Vec::new()));
        let sink: Sink = {
            let rows = rows.clone();
            Arc::new(move |versions: Versions| rows.lock().unwrap().extend(versions.to_vec()))
        };
        let time = &self.settings.time;
        let pace = Pace { epoch: time.epoch as u64, stride: how.stride, batch: how.batch };
        let (last_event, mut end) = (self.last_event, self.newest);
        if how.seal {
            plan.sealed.set(last_event, end);
            let ends = self.settings.timeframes.maintained.iter().map(|tf| tf.end(tf.start(last_event)));
            end = ends.map(|end| time.close(end) as u64).fold(end, u64::max);
        }
        let partitions = self.partitions.clone();
        let guards = timely::execute(timely::Config::process(how.workers), move |worker| {
            let (inputs, probe) =
                worker.dataflow(|scope| assemble(scope, &plan, |outputs| tables(outputs, &plan, &sink)));
            let mut driver = Driver::new(inputs, probe, pace);
            let mine = partitions.iter().skip(worker.index()).step_by(worker.peers());
            let mut records: Vec<&Record> = mine.flatten().collect();
            records.sort_by_key(|record| record.known());
            records.into_iter().for_each(|record| driver.send(worker, record.clone()));
            driver.advance(end + pace.epoch);
            driver.drain(worker);
        });
        guards.unwrap().join().into_iter().for_each(|worker| worker.unwrap());
        Arc::into_inner(rows).map_or_else(Vec::new, |rows| rows.into_inner().unwrap())
    }
}

/// The rows that a store would hold, by table and key.
pub(crate) type Rows = BTreeMap<(&'static str, String), Version>;

pub(crate) fn standing(versions: Vec<Version>) -> Rows {
    versions.into_iter().map(|row| ((row.table.name, row.key()), row)).collect()
}

pub(crate) fn rows_of<'a>(rows: &'a Rows, table: &Table) -> impl Iterator<Item = &'a Version> {
    let name = table.name;
    rows.iter().filter(move |((table, _), _)| *table == name).map(|(_, row)| row)
}

/// The lines of `prism replay --digest`.
pub(crate) fn digest(rows: &Rows, mode: Mode) -> String {
    let mut digests: BTreeMap<&str, Digest> =
        TABLES.iter().filter(|table| table.derived).map(|table| (table.name, Digest::default())).collect();
    for row in rows.values().filter(|row| row.table.derived) {
        digests.get_mut(row.table.name).unwrap().add(row, mode);
    }
    digests.iter().map(|(name, digest)| format!("{name} {digest}\n")).collect()
}

pub(crate) fn ts(row: &Version, column: &str) -> i64 {
    match row.get(column) {
        Some(Cell::Ts(ts)) => *ts,
        other => panic!("{column} is {other:?}"),
    }
}

pub(crate) fn int(row: &Version, column: &str) -> i64 {
    match row.get(column) {
        Some(Cell::Int(value)) => *value,
        other => panic!("{column} is {other:?}"),
    }
}

pub(crate) fn float(row: &Version, column: &str) -> Option<f64> {
    match row.get(column) {
        Some(Cell::Float(value)) => Some(*value),
        Some(Cell::Null) => None,
        other => panic!("{column} is {other:?}"),
    }
}

pub(crate) fn text<'a>(row: &'a Version, column: &str) -> &'a str {
    match row.get(column) {
        Some(Cell::Text(text)) => text,
        other => panic!("{column} is {other:?}"),
    }
}
