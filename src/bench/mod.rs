//! `prism bench`: rates of the pipeline's stages over running servers, and of all of them together.

mod queries;

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, atomic::AtomicBool},
    time::{Duration, Instant},
};

use anyhow::Result;
use prism_dataflow::{assemble::Plan, tables::Sink};
use prism_exchange::{Bybit, Exchange};
use prism_kafka::KafkaLog;
use prism_log::{Log, LogWriter};
use prism_pipeline::{
    Outlet, finish, keep,
    pass::{How, pass},
    told,
};
use prism_queries::Place;
use prism_questdb::blocking::Client;
use prism_schemas::{
    Event, InstrumentId, QuestDbAddress, Topic, Versions,
    event::event::Body,
    store::RowStore,
    table::run_tables,
    time::{HOUR, MINUTE},
};
use prism_sources::synthetic::{MARKET, Market, SYMBOLS};

use crate::{
    config::Config,
    misuse,
    place::{kafka_options, open_store, parse_store},
};

/// Events written to the log at once.
const EVENTS_AT_ONCE: usize = 100_000;
/// A statement may take this long.
const STATEMENT: Duration = Duration::from_secs(60);
/// How often all of it is run; the median counts.
const TIMES: usize = 3;
/// Where the synthetic market begins: 2001, where nobody else has rows.
const START: i64 = 978_307_200 * 1_000_000_000;
/// Before this, all rows of the tables of runs are the bench's.
const END: &str = "2002-01-01";

/// Measure the pipeline over running servers: its topics and rows are its own, and deleted afterwards.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Kafka: kafka://HOST:PORT
    #[arg(long, env = "PRISM_LOG", hide_env_values = true, default_value = "kafka://127.0.0.1:9092")]
    log: String,
    /// QuestDB: questdb://[USER:PASSWORD@]HOST:PORT
    #[arg(long, env = "PRISM_STORE", hide_env_values = true, default_value = "questdb://127.0.0.1:9000")]
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
    let Place::QuestDb(address) = parse_store(&args.store)? else {
        return Err(misuse("--store: the pipeline is measured into questdb://HOST:PORT"));
    };
    let name = format!("bench-{}", std::process::id());
    let Some(mut options) = kafka_options(&args.log, &config)? else {
        return Err(misuse("--log: the pipeline is measured over kafka://HOST:PORT"));
    };
    options.namespace = name.clone();
    let log: Arc<dyn Log> = Arc::new(KafkaLog::open(options.clone())?);
    let outcome = measure(args, &config, &address, &name, &log);
    clear(&Client::new(address));
    drop(log);
    KafkaLog::open_read(options)?.remove()?;
    println!("{}", outcome?);
    Ok(())
}

/// A pass as the runs make it.
fn how() -> How {
    How {
        workers: 1,
        stride: 600,
        batch: 0,
        seal: false,
        to: None,
        speed: None,
        cancelled: Arc::new(AtomicBool::new(false)),
        progress: Arc::new(|_| {}),
    }
}

/// All rows that the graph makes of the log, and of how many events.
fn computed(plan: &Plan, log: &Arc<dyn Log>) -> Result<(Vec<Versions>, u64)> {
    let rows: Arc<Mutex<Vec<Versions>>> = Arc::default();
    let into = rows.clone();
    let sink: Sink = Arc::new(move |row| into.lock().unwrap_or_else(PoisonError::into_inner).push(row));
    let passed = pass(&how(), plan, log, &sink)?;
    let rows = std::mem::take(&mut *rows.lock().unwrap_or_else(PoisonError::into_inner));
    Ok((rows, passed.mark.events))
}

/// From the log through the graph into the store.
fn through(plan: &Plan, log: &Arc<dyn Log>, store: Box<dyn RowStore>) -> Result<()> {
    let (outlet, outputs) = Outlet::new();
    let writer = std::thread::spawn(move || keep(store, &outputs, None));
    let sink: Sink = Arc::new(move |row| outlet.put(row));
    pass(&how(), plan, log, &sink)?;
    drop(sink);
    let mut store = writer.join().map_err(|_| anyhow::anyhow!("the store's thread panicked"))??;
    finish(&mut *store)
}

fn measure(
    args: &Args,
    config: &Config,
    address: &QuestDbAddress,
    name: &str,
    log: &Arc<dyn Log>,
) -> Result<serde_json::Value> {
    let plan = || Plan::new(config.settings.clone()).map_err(|error| misuse(format!("configuration: {error}")));
    let (produced, produce) = produce(args.events, log)?;
    let (consumed, consume) = timed(|| consume(&**log))?;

    let ((rows, computed), compute) = timed(|| computed(&plan()?, log))?;
    let n_rows: usize = rows.iter().map(Versions::len).sum();

    let place = Place::QuestDb(address.clone());
    let open = || {
        let mut store = open_store(&place, name, config)?;
        clear(&Client::new(address.clone()));
        finish(&mut *store)?;
        anyhow::Ok(store)
    };
    let mut store = open()?;
    let (_, sink) = timed(|| {
        rows.into_iter().try_for_each(|rows| store.write(vec![rows]).map_err(told))?;
        finish(&mut *store)
    })?;
    drop(store);
    let mut end_to_end = (0..TIMES)
        .map(|_| {
            let store = open()?;
            Ok(timed(|| through(&plan()?, log, store))?.1)
        })
        .collect::<Result<Vec<f64>>>()?;
    end_to_end.sort_by(f64::total_cmp);
    println!("{}", queries::latencies(address, name)?);

    let per_s = |n: u64, seconds: f64| (n as f64 / seconds).round();
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
        "end_to_end_per_s": per_s(computed, end_to_end[TIMES / 2]),
        "slowest": slowest,
        "events_computed": computed,
        "end_to_end_runs": end_to_end.iter().map(|took| per_s(computed, *took)).collect::<Vec<_>>(),
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
    let mut places = Vec::new();
    for topic in Topic::ALL {
        for partition in 0..log.partitions(topic) {
            places.push((topic, partition, log.start(topic, partition)?));
        }
    }
    for mut reader in log.read_all(&places)? {
        while let Some(record) = reader.next()? {
            n_events += record.batch.events.len() as u64;
        }
    }
    Ok(n_events)
}

/// Removes the bench's rows.
fn clear(client: &Client) {
    for (_, table) in run_tables() {
        let sql = format!("ALTER TABLE {} DROP PARTITION WHERE {} < '{END}'", table.name, table.designated);
        // It refuses if there are none.
        let _ = client.exec(&sql, STATEMENT);
    }
}
