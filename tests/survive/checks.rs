//! What a run must have left: tables as of an undisturbed run, and no second said to be whole that is not the venue's.

use std::collections::BTreeMap;

use prism_emulator::Emulator;
use prism_schemas::{Ts, time::SECOND};
use prism_store::digest::{Mode, digest};

use super::{
    Trouble,
    place::{Place, instrument},
    scene::Outage,
    sleep,
};

/// Gives what is wrong.
pub(super) fn check(place: &Place, emulator: &Emulator, outages: &[Outage]) -> Vec<String> {
    let mut problems = Vec::new();
    if let Err(problem) = place.seal().and_then(|end| finish(place, end)) {
        return vec![problem];
    }
    if place.trouble() == Trouble::Clock {
        match place.ask("SELECT rule FROM quarantine WHERE rule = 'clock' LIMIT 1") {
            Ok(told) if told.is_empty() => problems.push("no step of the clock is told".into()),
            Ok(_) => {}
            Err(problem) => problems.push(problem),
        }
    }
    match digests(place) {
        Ok(differing) => problems.extend(differing),
        Err(problem) => problems.push(problem),
    }
    match seconds(place, emulator, outages) {
        Ok(wrong) => problems.extend(wrong),
        Err(problem) => problems.push(problem),
    }
    problems
}

/// Computes all that is in the log.
fn finish(place: &Place, end: Ts) -> Result<(), String> {
    let [log, store] = place.addresses();
    let mut compute = place.prism();
    compute.args(["compute", "--log", &log, "--store", &store, "--port", "0"]);
    let mut compute = compute.stdout(std::process::Stdio::null()).spawn().unwrap();
    let reached = (0..60).any(|_| {
        sleep(500);
        end <= place.frontier()
    });
    let _ = std::process::Command::new("kill").arg(compute.id().to_string()).status();
    let _ = compute.wait();
    if reached { Ok(()) } else { Err(format!("the log's end is not computed: {} of {end}", place.frontier())) }
}

/// Tables that differ from those of one undisturbed pass over the log.
fn digests(place: &Place) -> Result<Vec<String>, String> {
    let [log, _] = place.addresses();
    let undisturbed = place.path("undisturbed").display().to_string();
    let expected = place.run(&["replay", "--log", &log, "--store", &undisturbed, "--digest"])?;
    let store = place.store()?;
    let found = digest(&*store, Mode::Full).map_err(|error| error.to_string())?;
    let differing = expected.lines().filter(|line| !found.lines().any(|other| other == *line));
    Ok(differing.map(|line| format!("undisturbed {line}, kept {}", same_table(&found, line))).collect())
}

fn same_table(found: &str, line: &str) -> String {
    let name = line.split(' ').next().unwrap_or_default();
    found.lines().find(|line| line.split(' ').next() == Some(name)).unwrap_or("nothing").into()
}

/// Seconds that are said to be whole without being the venue's.
fn seconds(place: &Place, emulator: &Emulator, outages: &[Outage]) -> Result<Vec<String>, String> {
    let sql = "SELECT symbol, CAST(ts AS BIGINT) * 1000, quality, source, n_trades FROM bars \
               WHERE timeframe = '1s' AND NOT retracted";
    let mut truth: BTreeMap<String, BTreeMap<Ts, u64>> = BTreeMap::new();
    for symbol in emulator.symbols() {
        let of = truth.entry(symbol.clone()).or_default();
        for (ts, _) in emulator.trades(&instrument(&symbol)) {
            *of.entry(ts - ts % SECOND).or_default() += 1;
        }
    }
    let (mut problems, mut first_whole, mut n_outage) = (Vec::new(), Ts::MAX, 0);
    for row in place.ask(sql)? {
        let [symbol, ts, quality, source, n_trades] = &row[..] else { return Err(format!("{row:?} is no bar")) };
        let ts: Ts = ts.parse().map_err(|_| format!("{row:?} has no time"))?;
        // Everything that began after the kill and ended before anybody was back.
        let is_out = outages.iter().any(|outage| outage.from <= ts && ts + SECOND <= outage.to);
        n_outage += u64::from(is_out);
        if quality != "ok" || source != "trades" {
            continue;
        }
        let (ours, true_number) = (n_trades.parse().unwrap_or(0), truth[symbol].get(&ts).copied().unwrap_or(0));
        if is_out && ours == 0 {
            problems.push(format!("{symbol} at {ts} is flat and ok while nobody listened"));
        } else if ours != true_number {
            problems.push(format!("{symbol} at {ts} is ok with {ours} of {true_number} trades"));
        }
        first_whole = first_whole.min(ts);
    }
    if first_whole == Ts::MAX {
        problems.push("no second is whole: the run shows nothing".into());
    }
    // Before the first trade there is nothing to interrupt.
    let must_be_told = |outage: &Outage| first_whole < outage.from && 3 * SECOND < outage.to - outage.from;
    if n_outage == 0 && outages.iter().any(must_be_told) {
        problems.push("no second of an outage is told".into());
    }
    problems.truncate(6);
    Ok(problems)
}
