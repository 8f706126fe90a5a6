//! Bars that the graph makes of what came, beside the venue's own.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Result, anyhow};
use prism_dataflow::{assemble::Plan, tables::Sink};
use prism_emulator::Emulator;
use prism_log::Log;
use prism_pipeline::pass::{How, pass};
use prism_schemas::{Cell, InstrumentId, Ts, Version, Versions, table, time::MINUTE};

use super::START;
use crate::config::Config;

/// The minute bars that the graph makes of a log.
fn minutes(log: &Arc<dyn Log>) -> Result<Vec<Version>> {
    let plan = Plan::new(Config::load(None)?.settings).map_err(|error| anyhow!("configuration: {error}"))?;
    let rows: Arc<Mutex<BTreeMap<String, Version>>> = Arc::default();
    let sink: Sink = {
        let rows = rows.clone();
        Arc::new(move |versions: Versions| {
            let bars = (*versions.table() == table::BARS).then(|| versions.to_vec());
            let minutes = bars.into_iter().flatten().filter(|row| row.get("timeframe") == Some(&"1m".into()));
            let mut rows = rows.lock().unwrap_or_else(PoisonError::into_inner);
            rows.extend(minutes.map(|row| (row.key(), row)));
        })
    };
    let how = How {
        workers: 1,
        stride: 100,
        batch: 0,
        seal: false,
        to: None,
        speed: None,
        cancelled: Arc::default(),
        progress: Arc::new(|_| {}),
    };
    pass(&how, &plan, log, &sink)?;
    let rows = std::mem::take(&mut *rows.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(rows.into_values().collect())
}

/// What the graph makes of the events: a minute that is said to be whole is the venue's, and one that is not says so.
/// Those of which nothing went wrong are all whole.
pub(super) fn compare_bars(
    log: &Arc<dyn Log>,
    emulator: &Emulator,
    since: &BTreeMap<InstrumentId, Ts>,
    must_be_whole: impl Fn(&str) -> bool,
) -> Result<Vec<String>> {
    let rows = minutes(log)?;
    let mut made: BTreeMap<(String, Ts), &Version> = BTreeMap::new();
    for row in &rows {
        if let (Some(Cell::Text(symbol)), Some(Cell::Ts(start))) = (row.get("symbol"), row.get("ts")) {
            made.insert((symbol.to_string(), *start), row);
        }
    }
    let (mut problems, mut n_whole, mut n_flagged) = (Vec::new(), 0, 0);
    for (id, since) in since {
        let minutes = emulator.minutes(&id.symbol);
        // The first minute was under way, and the last one is.
        let over = minutes.last().map_or(0, |(start, ..)| *start);
        for (start, truth, n) in minutes.iter().filter(|(start, ..)| *since <= *start && *start < over) {
            let row = made.get(&(id.symbol.clone(), *start));
            let number = |name: &str| match row.and_then(|row| row.get(name)) {
                Some(Cell::Float(value)) => *value,
                _ => f64::NAN,
            };
            let ours = ["open", "high", "low", "close", "volume"].map(number);
            let is_equal = ours.iter().zip(truth).all(|(a, b)| (a - b).abs() <= 1e-9 * b.abs());
            let is_whole = row.and_then(|row| row.get("quality")) == Some(&"ok".into());
            match (row, is_whole, is_equal) {
                (None, ..) => problems.push(format!("{id} has no bar at minute {}", (start - START) / MINUTE)),
                (_, true, true) => n_whole += 1,
                (_, true, false) => problems.push(format!("{id} has {ours:?} for whole, and it is {truth:?}")),
                // Flagged, and never flat where the venue traded.
                (_, false, _) if 0 < *n && ours[4] == 0.0 && !ours[3].is_nan() => {
                    problems.push(format!("{id} is flat at minute {}", (start - START) / MINUTE));
                }
                (_, false, _) if must_be_whole(&id.symbol) => {
                    problems.push(format!("{id} is flagged at minute {}", (start - START) / MINUTE));
                }
                (_, false, _) => n_flagged += 1,
            }
        }
    }
    if n_whole + n_flagged == 0 {
        problems.push("no minute is over: the run shows nothing".into());
    }
    tracing::debug!(n_whole, n_flagged, "bars");
    Ok(problems)
}
