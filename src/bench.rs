//! `prism bench`: rates of the pipeline's stages over running servers, and of all of them together.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, atomic::AtomicBool},
    time::Instant,
};

use anyhow::Result;
use prism_connectors::{
    exchange::{Bybit, Exchange},
    keeper::Keeper,
    log::{KafkaLog, Log, LogWriter},
    synthetic::{MARKET, Market, SYMBOLS},
};
use prism_dataflow::{assemble::Plan, tables::Sink};
use prism_schemas::{
    Event, InstrumentId, Topic, Version,
    event::event::Body,
    time::{HOUR, MINUTE},
};

use crate::{
    config::Config,
    misuse,
    output::progress,
    pass::{How, pass},
    place::{kafka_options, open_keeper, parse_store},
};

/// Events written to the log at once.
const EVENTS_AT_ONCE: usize = 100_000;
/// Rows handed to the store at once.
const ROWS_AT_ONCE: usize = 10_000;
/// Where the synthetic market begins.
const START: i64 = 1_767_225_600 * 1_000_000_000;

/// Measure the pipeline over running servers: topics and run are its own, the topics are deleted afterwards.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Kafka: kafka://HOST:PORT
    #[arg(long, env = "PRISM_LOG", default_value = "kafka://127.0.0.1:9092")]
    log: String,
    /// QuestDB: questdb://[USER:PASSWORD@]HOST:PORT
    #[arg(long, env = "PRISM_STORE", default_value = "questdb://127.0.0.1:9000")]
    store: String,
    /// Trades and book frames to send through
    #[arg(long, default_value_t = 2_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    events: u64,
    /// Configuration file over the defaults
    #[arg(long)]
    config: Option<PathBuf>,
}

/// Runs `work` and gives how long it took, in seconds.
fn timed<T>(work: impl FnOnce() -> Result<T>) -> Result<(T, f64)> {
    #[expect(clippy::disallowed_methods, reason = "a benchmark measures time; no result depends on it")]
    let start = Instant::now();
    let done = work()?;
    Ok((done, start.elapsed().as_secs_f64()))
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let config = Config::load(args.config.as_deref())?;
    let place = parse_store(&args.store)?;
    let name = format!("bench-{}", std::process::id());
    let Some(mut options) = kafka_options(&args.log, &config)? else {
        return Err(misuse("--log: the pipeline is measured over kafka://HOST:PORT"));
    };
    options.namespace = name.clone();
    let log: Arc<dyn Log> = Arc::new(KafkaLog::open(options.clone())?);
    let outcome = measure(args, &config, &place, &name, &log);
    drop(log);
    KafkaLog::open_read(options)?.remove()?;
    println!("{}", outcome?);
    Ok(())
}

fn measure(
    args: &Args,
    config: &Config,
    place: &prism_queries::Place,
    name: &str,
    log: &Arc<dyn Log>,
) -> Result<serde_json::Value> {
    let plan = || Plan::new(config.settings.clone()).map_err(|error| misuse(format!("configuration: {error}")));
    let how = || How {
        workers: 1,
        stride: 600,
        batch: 0,
        seal: false,
        to: None,
        speed: None,
        cancelled: Arc::new(AtomicBool::new(false)),
        progress: progress(None, "messages"),
    };
    let (produced, produce) = produce(args.events, log)?;
    let (consumed, consume) = timed(|| consume(&**log))?;

    let rows: Arc<Mutex<Vec<Version>>> = Arc::default();
    let into = rows.clone();
    let collect: Sink = Arc::new(move |row| into.lock().unwrap_or_else(PoisonError::into_inner).push(row));
    let (passed, compute) = timed(|| pass(&how(), &plan()?, log, &collect))?;
    drop(collect);
    let rows = std::mem::take(&mut *rows.lock().unwrap_or_else(PoisonError::into_inner));
    let n_rows = rows.len();
    let (_, sink) = timed(|| {
        let mut keeper = open_keeper(place, &format!("{name}-sink"), config)?;
        keep(&mut keeper, rows)?;
        Ok(keeper.finish()?)
    })?;
    let (_, end_to_end) = timed(|| {
        let mut keeper = open_keeper(place, name, config)?;
        let (send, receive) = std::sync::mpsc::sync_channel::<Version>(ROWS_AT_ONCE * 10);
        let writer = std::thread::spawn(move || -> Result<()> {
            let mut batch = Vec::new();
            while let Ok(row) = receive.recv() {
                batch.push(row);
                if batch.len() == ROWS_AT_ONCE {
                    keeper.write(std::mem::take(&mut batch))?;
                }
            }
            keeper.write(batch)?;
            Ok(keeper.finish()?)
        });
        // The writer ends early only with an error, which is reported below.
        let sink: Sink = Arc::new(move |row| drop(send.send(row)));
        pass(&how(), &plan()?, log, &sink)?;
        drop(sink);
        writer.join().map_err(|_| anyhow::anyhow!("the store's thread panicked"))?
    })?;

    let per_s = |n: u64, seconds: f64| (n as f64 / seconds).round();
    let computed = passed.mark.events;
    // Each stage in events that end in the graph, to compare like with like.
    let stages = [
        ("produce", produce / produced as f64),
        ("consume", consume / consumed as f64),
        ("compute", compute / computed as f64),
        ("sink", sink / computed as f64),
    ];
    let slowest = stages.into_iter().max_by(|a, b| a.1.total_cmp(&b.1)).map_or("", |stage| stage.0);
    Ok(serde_json::json!({
        "events": produced,
        "produce_per_s": per_s(produced, produce),
        "consume_per_s": per_s(consumed, consume),
        "compute_per_s": per_s(computed, compute),
        "sink_rows_per_s": per_s(n_rows as u64, sink),
        "end_to_end_per_s": per_s(computed, end_to_end),
        "slowest": slowest,
        "events_computed": computed,
        "rows": n_rows,
    }))
}

/// Writes the synthetic market's trades and book frames; only the writing is timed.
fn produce(n_events: u64, log: &Arc<dyn Log>) -> Result<(u64, f64)> {
    let mut market = Market::new(7, SYMBOLS, START);
    let mut decoder = Bybit::new(MARKET);
    let mut writer = LogWriter::new(log.clone());
    let (mut frames, mut events) = (Vec::new(), Vec::<(InstrumentId, Event)>::new());
    let (mut n, mut seconds, mut reached) = (0, 0.0, START);
    while n < n_events {
        while events.len() < EVENTS_AT_ONCE && n + (events.len() as u64) < n_events && reached < START + 1_000 * HOUR {
            reached += MINUTE;
            market.step(reached, &mut frames);
            for frame in frames.drain(..) {
                decoder.decode(&frame.text, frame.ts_recv, &mut events)?;
            }
        }
        events.retain(|(_, event)| matches!(event.body, Some(Body::Trade(_) | Body::Book(_))));
        events.truncate((n_events - n) as usize);
        n += events.len() as u64;
        let (_, took) = timed(|| {
            for (instrument, event) in events.drain(..) {
                writer.push(&instrument, event)?;
            }
            Ok(writer.flush()?)
        })?;
        seconds += took;
    }
    for topic in Topic::ALL {
        for partition in 0..log.partitions(topic) {
            writer.heartbeat(topic, partition, reached, "the bench ends")?;
        }
    }
    writer.sync()?;
    Ok((n, seconds))
}

/// Reads all topics to their ends.
fn consume(log: &dyn Log) -> Result<u64> {
    let mut n_events = 0;
    let mut readers = Vec::new();
    for topic in Topic::ALL {
        for partition in 0..log.partitions(topic) {
            readers.push(log.read(topic, partition, log.start(topic, partition)?)?);
        }
    }
    for reader in &mut readers {
        while let Some(record) = reader.next()? {
            n_events += record.batch.events.len() as u64;
        }
    }
    Ok(n_events)
}

fn keep(keeper: &mut Keeper, mut rows: Vec<Version>) -> Result<()> {
    while !rows.is_empty() {
        let rest = rows.split_off(rows.len().min(ROWS_AT_ONCE));
        keeper.write(rows)?;
        rows = rest;
    }
    Ok(())
}
