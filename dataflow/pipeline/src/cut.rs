//! A run that goes on over a log whose beginning retention has removed: what the log no longer has stands in the store.
//!
//! Everything downstream of bars is a function of bars, and bars are rows. So bars that begin where the log is not whole
//! come from the store as they are, and the graph makes the others of the log, which must reach back as far as bars may
//! still be corrected.

use std::collections::BTreeMap;

use anyhow::Result;
use prism_dataflow::{assemble::Plan, settings::Settings, types::Time};
use prism_log::{Log, LogError, RESTATED_EVERY};
use prism_schemas::{
    Cell, Topic, Ts, Version,
    store::RowStore,
    table::{FEAR_GREED, FUNDING, OPEN_INTEREST, QUARANTINE, RATIOS, RISK_LIMITS},
    time::{MINUTE, format_ts},
};

use crate::{
    keep::told,
    merge::TOPICS,
    passthrough::{HISTORY, Passthrough, kind},
    runs::Run,
};

/// How long a log must be for a run to go on as if nothing had been removed, in nanoseconds: back to the start of the
/// longest bar that may still be corrected, and to where a writer said how its feeds are.
pub fn reach(settings: &Settings) -> i64 {
    let time = &settings.time;
    settings.keep() + settings.longest() + time.grace + unsure(settings) + MINUTE
}

/// After the first record that is left, so long passes until bars can be whole: trades may be ahead of their receive time,
/// and how feeds are, and what holds for longer, must be said again.
fn unsure(settings: &Settings) -> i64 {
    settings.time.max_ahead + RESTATED_EVERY + settings.time.epoch
}

/// Where a run goes on.
#[derive(Clone, Debug)]
pub(crate) struct Cut {
    /// Everything known from then on is read.
    pub(crate) from: Time,
    /// By partition, where reading begins.
    pub(crate) offsets: BTreeMap<(Topic, u32), u64>,
    /// Bars that begin before this cannot be made of the log.
    pub(crate) since: Ts,
    /// Rows known before this say nothing that the store does not hold.
    pub(crate) floor: Time,
    /// When bars are made again: then, or where the run had come to if records after that are gone.
    pub(crate) begin: Time,
    /// What is stored of the series that venues tell with their past, and of tickers.
    pub(crate) told: Passthrough,
}

impl Cut {
    /// Where `run` goes on over a log that lost these partitions' beginnings.
    pub(crate) fn of(
        log: &dyn Log,
        store: &dyn RowStore,
        plan: &Plan,
        run: &Run,
        lost: &[(Topic, u32, u64)],
    ) -> Result<Cut> {
        let settings = &plan.settings;
        let mut left = 0;
        for (topic, partition, start) in lost {
            left = left.max(first_known(log, settings, *topic, *partition, *start, run.frontier)?);
        }
        let needed = run.frontier.saturating_sub(reach(settings) as Time);
        let from = if run.is_changed { left } else { left.max(needed) };
        let mut offsets = BTreeMap::new();
        for topic in TOPICS {
            for partition in 0..log.partitions(topic) {
                let start = log.start(topic, partition)?;
                let at = match left < from {
                    true => log.offset_at(topic, partition, from as Ts - settings.time.epoch)?.max(start),
                    false => start,
                };
                offsets.insert((topic, partition), at);
            }
        }
        let since = from as Ts + unsure(settings);
        let floor = (settings.time.close(since + settings.longest()) as Time).min(run.frontier);
        let begin = from.min(run.frontier);
        Ok(Cut { from, offsets, since, floor, begin, told: passed(store)? })
    }

    /// Whether records are gone that no row was made of.
    pub(crate) fn is_past(&self, run: &Run) -> bool {
        !run.is_changed && run.frontier < self.from
    }

    /// What a person must know, in words.
    pub(crate) fn told(&self, run: &Run, settings: &Settings) -> String {
        let [from, since, frontier] = [self.from as Ts, self.since, run.frontier as Ts].map(format_ts);
        if run.is_changed {
            return format!(
                "retention removed the log before {from}, and the settings have changed: rows that begin before {since} stay as \
                 the settings before made them, and indicators begin anew there"
            );
        }
        if self.is_past(run) {
            return format!(
                "retention removed the log up to {from} before what was received after {frontier} was computed: there are no rows \
                 of it, and bars up to {since} are gap or partial"
            );
        }
        let whole = run.frontier as Ts - settings.keep();
        let (short, needs) = (whole < self.since + settings.longest(), duration(reach(settings)));
        let or = match short {
            true => format!(
                "; bars that began before {since} and end later are partial, and late trades change none of those before: that takes \
                 a log of {needs}"
            ),
            false => String::new(),
        };
        format!(
            "retention removed the beginning of the log: bars that begin before {since} come from the store, all else from the log since {from}{or}"
        )
    }

    /// The same as a row of `quarantine`, known where the run goes on.
    pub(crate) fn row(&self, run: &Run, settings: &Settings) -> Version {
        let frontier = Cell::Ts(run.frontier as Ts);
        let cell = |name| match name {
            "ts" | "known_at" => frontier.clone(),
            "exchange" => Cell::text("prism"),
            "market" => Cell::text("spot"),
            "rule" => Cell::text("log_cut"),
            "id" => Cell::text(self.from.to_string()),
            "detail" => Cell::text(self.told(run, settings)),
            _ => Cell::Null,
        };
        Version { table: &QUARANTINE, cells: QUARANTINE.columns.iter().map(|column| cell(column.name)).collect() }
    }
}

/// A duration as a person reads it.
fn duration(nanos: i64) -> String {
    let minutes = (nanos + MINUTE - 1) / MINUTE;
    format!("{}h{:02}m", minutes / 60, minutes % 60)
}

/// A knowledge time before which records of a partition may be gone.
fn first_known(
    log: &dyn Log,
    settings: &Settings,
    topic: Topic,
    partition: u32,
    start: u64,
    frontier: Time,
) -> Result<Time, LogError> {
    let mut records = log.read(topic, partition, start)?;
    let first = records.next()?.and_then(|record| record.batch.events.iter().map(|event| event.ts_recv).max());
    Ok(match first {
        Some(ts_recv) => settings.time.round_up(ts_recv.max(0)) as Time,
        // Nothing is left: whatever was received so far may have been there.
        None => log.newest()?.map_or(0, |newest| settings.time.round_up(newest.max(0)) as Time).max(frontier),
    })
}

/// What is stored of the series that venues tell with their past, and of tickers.
fn passed(store: &dyn RowStore) -> Result<Passthrough> {
    let mut passed = Passthrough::default();
    let tables = [
        (&OPEN_INTEREST, "open_interest"),
        (&FUNDING, "funding"),
        (&RATIOS, "ratio"),
        (&RISK_LIMITS, "risk_limit"),
        (&FEAR_GREED, "fear_greed"),
    ];
    for (table, name) in tables {
        let mut see = |row: Version| {
            let text = |column: &str| match row.get(column) {
                Some(Cell::Text(text)) => text,
                _ => "",
            };
            let name = if name == "ratio" { kind(text("kind"), text("period")) } else { name.to_string() };
            // Rows without a source are of versions before there were any.
            let source = Some(text("source")).filter(|source| !source.is_empty()).unwrap_or(HISTORY);
            if let Some(Cell::Ts(ts)) = row.get("ts") {
                passed.take([text("exchange"), text("market"), text("symbol")], &name, source, *ts);
            }
        };
        store.scan(table, &mut see).map_err(told)?;
    }
    Ok(passed)
}
