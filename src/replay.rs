//! `prism replay`: a log through the graph into a store.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::sync_channel,
    },
    time::Duration,
};

use anyhow::{Context, Result, anyhow};
use clap::ValueEnum;
use prism_connectors::{
    digest::{self, Mode},
    keeper::Keeper,
    log::Log,
};
use prism_dataflow::{
    assemble::{Plan, assemble},
    drive::{Driver, Pace},
    tables::{Sink, tables},
    types::Time,
};
use prism_schemas::{Version, table};
use timely::dataflow::operators::probe::Handle as Probe;

use crate::{
    config::Config,
    feed::{Feed, Mark},
    misuse,
    output::{Format, progress, table as print_table},
    place::{Access, open_keeper, open_log, parse_store},
    runs::Run,
};

/// Rows on their way to the store; the graph waits when it is full.
const ROWS_IN_FLIGHT: usize = 100_000;
/// Rows written to the store at once.
const ROWS_AT_ONCE: usize = 10_000;
/// Between two looks whether the server is back.
const PATIENCE: Duration = Duration::from_millis(50);

/// Run a log through the dataflow into a store. The same log and settings give the same rows, bit for bit.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Log: kafka://HOST:PORT or a directory
    #[arg(long, env = "PRISM_LOG")]
    log: String,
    /// Store: questdb://[USER:PASSWORD@]HOST:PORT, or a directory, created if absent; rows of an earlier replay of the
    /// same run are replaced by key
    #[arg(long, env = "PRISM_STORE")]
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
    /// Name of the run
    #[arg(long, default_value = "replay")]
    run: String,
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

pub(crate) fn run(args: &Args) -> Result<()> {
    let config = Config::load(args.config.as_deref())?;
    let place = parse_store(&args.store)?;
    let plan = Plan::new(config.settings.clone()).map_err(|error| misuse(format!("configuration: {error}")))?;
    let log = open_log(&args.log, &config, Access::Read)?;
    let mut keeper = open_keeper(&place, &args.run, &config)?;
    let mut run = Run::new(&args.run, &*log, &plan)?;

    let (rows, stored) = sync_channel::<Version>(ROWS_IN_FLIGHT);
    let sink: Sink = Arc::new(move |row| {
        // The store's thread ends early only with an error, which is reported below.
        let _ = rows.send(row);
    });
    let writer = std::thread::spawn(move || -> Result<Keeper> {
        let mut batch = Vec::with_capacity(ROWS_AT_ONCE);
        loop {
            let row = stored.recv();
            let at_end = row.is_err();
            batch.extend(row);
            if batch.len() == ROWS_AT_ONCE || (at_end && !batch.is_empty()) {
                keeper.write(std::mem::take(&mut batch))?;
            }
            if at_end {
                return Ok(keeper);
            }
        }
    });
    let outcome = compute(args, &plan, &log, &sink);
    drop(sink);
    let mut keeper = writer.join().map_err(|_| anyhow!("the store's thread panicked"))?.context("write the store")?;
    let (torn, end) = outcome?;
    // After all rows it speaks of.
    while !keeper.flush()? {
        std::thread::sleep(PATIENCE);
    }
    run.advance(&end);
    keeper.write(vec![run.row()])?;
    keeper.finish()?;
    torn.iter().for_each(|tail| tracing::warn!("{tail}: what is complete before it was replayed"));

    match args.digest {
        Some(mode) => {
            let mode = if matches!(mode, DigestMode::Full) { Mode::Full } else { Mode::Values };
            print!("{}", digest::digest(&keeper, mode)?);
        }
        None => report(&keeper, args.format)?,
    }
    Ok(())
}

/// Where the log begins and ends, over all workers.
#[derive(Clone, Copy)]
struct Ends {
    /// The first record's knowledge time.
    first: Option<Time>,
    /// The newest knowledge time.
    newest: Time,
    /// The largest event time of a trade or venue bar.
    last_event: i64,
}

/// Runs the graph to the end of the log; gives the unfinished tails it stopped before, and where it ends.
fn compute(args: &Args, plan: &Plan, log: &Arc<dyn Log>, sink: &Sink) -> Result<(Vec<String>, Mark)> {
    let workers = args.workers as usize;
    let bar = progress(None, "events");
    let events = Arc::new(AtomicU64::new(0));
    let n_reading = Arc::new(AtomicU64::new(args.workers));
    let ends = Arc::new(Mutex::new(Ends { first: None, newest: 0, last_event: i64::MIN }));
    let (shared_plan, log, shared_sink) = (plan.clone(), log.clone(), sink.clone());
    let pace = Pace { epoch: plan.settings.time.epoch as Time, stride: args.stride, batch: args.batch };
    let (seal, shared_ends, shared_events, shared_bar) = (args.seal, ends.clone(), events.clone(), bar.clone());
    let guards = timely::execute(timely::Config::process(workers), move |worker| -> Result<Vec<String>, String> {
        let (plan, sink) = (&shared_plan, &shared_sink);
        let probe = Probe::new();
        let inputs = worker.dataflow(|scope| {
            let (inputs, outputs) = assemble(scope, plan);
            tables(outputs, plan, &probe, sink);
            inputs
        });
        let mut driver = Driver::new(inputs, probe, pace);
        let opened = Feed::open(&*log, plan, worker.index(), worker.peers());
        let read = opened.map_err(|error| error.to_string()).and_then(|mut feed| {
            while let Some(record) = feed.next(false, sink).map_err(|error| error.to_string())? {
                driver.send(worker, record);
                if feed.events % 4096 < 64 {
                    shared_bar.set_position(shared_events.load(Ordering::Relaxed) + feed.events);
                }
            }
            shared_events.fetch_add(feed.events, Ordering::Relaxed);
            let mut ends = shared_ends.lock().unwrap_or_else(PoisonError::into_inner);
            ends.first = ends.first.into_iter().chain(feed.first).min();
            ends.newest = ends.newest.max(feed.newest().unwrap_or(0));
            ends.last_event = ends.last_event.max(feed.last_event());
            drop(ends);
            Ok(feed)
        });
        // The worker that ends last knows where the log ends; the others let go of the frontier by closing their inputs.
        if n_reading.fetch_sub(1, Ordering::AcqRel) == 1 {
            let Ends { newest, last_event, .. } = *shared_ends.lock().unwrap_or_else(PoisonError::into_inner);
            let mut end = newest;
            if seal && i64::MIN < last_event {
                plan.sealed.set(last_event);
                let ends = plan.settings.timeframes.maintained.iter().map(|tf| tf.end(tf.start(last_event)));
                end = ends.map(|end| plan.settings.time.close(end) as Time).fold(end, Time::max);
            }
            driver.advance(end + pace.epoch);
            driver.drain(worker);
        }
        driver.close();
        read.map(|feed| feed.torn())
    });
    let mut torn = Vec::new();
    for result in guards.map_err(|error| anyhow!(error))?.join() {
        torn.extend(result.map_err(|error| anyhow!(error))?.map_err(|error| anyhow!(error))?);
    }
    bar.finish_and_clear();
    let events = events.load(Ordering::Relaxed);
    let Ends { first, newest, .. } = *ends.lock().unwrap_or_else(PoisonError::into_inner);
    Ok((torn, Mark { frontier: newest, offsets: Vec::new(), first, events }))
}

/// Prints how many rows each table holds.
fn report(keeper: &Keeper, format: Format) -> Result<()> {
    let mut counts = Vec::new();
    for table in table::TABLES {
        let mut n_rows = 0;
        keeper.scan(table, |_| n_rows += 1)?;
        counts.push((table.name, n_rows));
    }
    match format {
        Format::Table => {
            let mut out = print_table(&["table", "rows"]);
            out.add_rows(counts.iter().map(|(name, rows)| [(*name).to_string(), rows.to_string()]));
            println!("{out}");
        }
        Format::Csv => {
            println!("table,rows");
            counts.iter().for_each(|(name, rows)| println!("{name},{rows}"));
        }
        Format::Json => {
            println!("{}", serde_json::to_string(&counts.into_iter().collect::<std::collections::BTreeMap<_, _>>())?)
        }
    }
    Ok(())
}
