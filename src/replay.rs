//! `prism replay`: a log through the graph into a store.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail};
use clap::ValueEnum;
use indicatif::ProgressBar;
use prism_dataflow::{assemble::Plan, tables::Sink};
use prism_log::{Log, LogError};
use prism_pipeline::{
    Outlet, TOPICS, finish, keep,
    pass::{How, Passed, pass},
    runs::{self, Run},
    told,
};
use prism_queries::Place;
use prism_schemas::{
    Versions,
    store::{RowStore, replay_name},
    table,
    time::format_ts,
};
use prism_store::digest::{self, Mode};

use crate::{
    args,
    config::Config,
    misuse,
    output::{Format, print, progress, say, table as print_table},
    place::{Access, open_log, open_store, parse_store},
    synthetic,
};

/// Between two looks whether the server is back.
const PATIENCE: Duration = Duration::from_millis(50);

/// Run a log through the dataflow into a store. The same log and settings give the same rows, bit for bit.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Log: kafka://HOST:PORT or a directory
    #[arg(long, env = "PRISM_LOG", hide_env_values = true)]
    log: String,
    /// Store: questdb://[USER:PASSWORD@]HOST:PORT, or a directory, created if absent; rows of an earlier replay of the
    /// same run are replaced by key
    #[arg(long, env = "PRISM_STORE", hide_env_values = true)]
    store: String,
    /// Worker threads; results do not depend on it
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=256))]
    workers: u64,
    /// Epochs the frontier advances by at once; results do not depend on it
    #[arg(long, default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..))]
    stride: u64,
    /// Records handed over together at most, 0 for the engine's choice; results do not depend on it
    #[arg(long, default_value_t = 0)]
    batch: usize,
    /// Close every bar that has begun, as if the log were complete
    #[arg(long)]
    seal: bool,
    /// Name of the run: 1 to 32 of a-z, 0-9 and -
    #[arg(long, default_value = "replay", value_parser = args::run_name)]
    run: String,
    /// Store only rows that became known at or after this time; the log is read from its start, so they are the same
    #[arg(long, value_parser = args::moment)]
    from: Option<u64>,
    /// Read only what became known before this time
    #[arg(long, value_parser = args::moment)]
    to: Option<u64>,
    /// Seconds of the log per second; as fast as possible unless given
    #[arg(long, value_parser = synthetic::speed)]
    speed: Option<f64>,
    /// Go on with a run of this name that was cancelled or killed: rows that are stored are not written again
    #[arg(long)]
    resume: bool,
    /// Configuration file over the defaults
    #[arg(long)]
    config: Option<PathBuf>,
    /// Print `table rows digest` of each derived table, and nothing else; `values` leaves out known_at and revision
    #[arg(long, num_args = 0..=1, default_missing_value = "full", require_equals = true)]
    digest: Option<DigestMode>,
    /// How to print the counts
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum DigestMode {
    Full,
    Values,
}

/// Replays; ends early, in order, when `cancelled` is set.
pub(crate) fn run(args: &Args, cancelled: Arc<AtomicBool>) -> Result<()> {
    if let (Some(from), Some(to)) = (args.from, args.to)
        && to <= from
    {
        let [from, to] = [from, to].map(|ts| format_ts(ts as i64));
        return Err(misuse(format!("--from {from} is not before --to {to}: nothing would be stored")));
    }
    let config = Config::load(args.config.as_deref())?;
    let place = parse_store(&args.store)?;
    // A directory that is written is locked; live rows on a server may be written by somebody who is not seen.
    replay_name(&args.run, matches!(place, Place::Directory(_))).map_err(|why| misuse(format!("--run: {why}")))?;
    let plan = Plan::new(config.settings.clone()).map_err(|error| misuse(format!("configuration: {error}")))?;
    let log = open_log(&args.log, &config, Access::Read)?;
    tell_cut(&*log)?;
    let store = open_store(&place, &args.run, &config)?;
    let mut run = match args.resume {
        true => runs::resume(&*store, &*log, &plan)?,
        false => Run::new(&args.run, &*log, &plan)?,
    };
    let (from, to) = (args.from.unwrap_or(0).max(run.frontier) as i64, args.to);
    let bar = progress(Some(messages(&*log)?), "messages");
    let how = how(args, cancelled, &bar);
    // Who replays at a pace looks on.
    let (outlet, outputs) = if args.speed.is_some() { Outlet::at_once() } else { Outlet::new() };
    let patience = args.speed.map(|_| Duration::from_secs(1));
    let range = from..to.map_or(i64::MAX, |to| to as i64);
    let sink: Sink = Arc::new(move |rows: Versions| {
        let wanted = rows.known_within(range.clone());
        if !wanted.is_empty() {
            outlet.put(wanted);
        }
    });
    let cancelled = how.cancelled.clone();
    let writer =
        std::thread::spawn(move || keep(store, &outputs, patience).inspect_err(|_| cancelled.store(true, Relaxed)));
    let outcome = pass(&how, &plan, &log, &sink);
    bar.finish_and_clear();
    drop(sink);
    let mut store = writer.join().map_err(|_| anyhow!("the store's thread panicked"))?.context("write the store")?;
    let Passed { mark, torn } = outcome?;
    // After all rows it speaks of.
    while !store.flush().map_err(told)? {
        std::thread::sleep(PATIENCE);
    }
    run.advance(&mark);
    store.write(Versions::of(&[run.row()])?).map_err(told)?;
    finish(&mut *store)?;
    torn.iter().for_each(|tail| tracing::warn!("{tail}: what is complete before it was replayed"));

    match args.digest {
        Some(mode) => {
            let mode = if matches!(mode, DigestMode::Full) { Mode::Full } else { Mode::Values };
            print(&digest::digest(&*store, mode).map_err(told)?)?;
        }
        None => report(&*store, args.format)?,
    }
    if how.cancelled.load(Relaxed) {
        bail!("cancelled; rows known before {} are stored, go on with --resume", format_ts(run.frontier as i64));
    }
    Ok(())
}

/// How the log is passed.
fn how(args: &Args, cancelled: Arc<AtomicBool>, bar: &ProgressBar) -> How {
    let bar = bar.clone();
    How {
        workers: args.workers,
        stride: args.stride,
        batch: args.batch,
        seal: args.seal,
        to: args.to,
        speed: args.speed,
        cancelled,
        progress: Arc::new(move |n| bar.inc(n)),
    }
}

/// Tells that a log has lost its beginning: a replay is a function of what is left, its digest too.
fn tell_cut(log: &dyn Log) -> Result<(), LogError> {
    for topic in TOPICS {
        for partition in 0..log.partitions(topic) {
            let start = log.start(topic, partition)?;
            if 0 < start {
                tracing::warn!(
                    "{}/{partition} begins at offset {start}: retention removed what was before; rows and digests are those of a \
                     run that begins with what is left, and differ from those of one that saw the rest",
                    topic.name()
                );
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Messages of the partitions the graph reads.
fn messages(log: &dyn Log) -> Result<u64, LogError> {
    let mut n_messages = 0;
    for topic in TOPICS {
        for partition in 0..log.partitions(topic) {
            n_messages += log.end(topic, partition)? - log.start(topic, partition)?;
        }
    }
    Ok(n_messages)
}

/// Prints how many rows each table holds.
fn report(store: &dyn RowStore, format: Format) -> Result<()> {
    let mut counts = Vec::new();
    for table in table::TABLES {
        let mut n_rows = 0;
        store.scan(table, &mut |_| n_rows += 1).map_err(told)?;
        counts.push((table.name, n_rows));
    }
    match format {
        Format::Table => {
            let mut out = print_table(&["table", "rows"]);
            out.add_rows(counts.iter().map(|(name, rows)| [(*name).to_string(), rows.to_string()]));
            say!("{out}")?;
        }
        Format::Csv => {
            let rows: String = counts.iter().map(|(name, rows)| format!("{name},{rows}\n")).collect();
            print(&format!("table,rows\n{rows}"))?;
        }
        Format::Json => {
            say!("{}", serde_json::to_string(&counts.into_iter().collect::<std::collections::BTreeMap<_, _>>())?)?
        }
    }
    Ok(())
}
