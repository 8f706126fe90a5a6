//! `prism demo`: synthetic venue frames through decoders, log, graph, store, SQL and API in one process.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, anyhow};
use prism_api::{App, Status};
use prism_connectors::{
    exchange::{Bybit, Exchange, quarantined},
    log::{Log, LogWriter, SegmentLog},
    store::Store,
    synthetic::{MARKET, Market, SYMBOLS},
};
use prism_dataflow::{
    assemble::{Plan, assemble},
    drive::{Driver, Pace},
    tables::{Sink, tables},
    types::Time,
};
use prism_queries::{Engine, LiveRows, Options};
use prism_schemas::{
    InstrumentId, Table, Topic, Version, table,
    time::{HOUR, MINUTE},
};
use timely::dataflow::operators::probe::Handle as Probe;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use crate::{
    config::{Config, parse_bytes},
    feed::Feed,
    misuse,
};

/// The simulation starts this long before now, so that it meets the wall clock after a while.
const PAST: i64 = 6 * HOUR;
/// Simulated time that is run through at once at the start.
const HEAD_START: i64 = 45 * MINUTE;
/// Closed venue bars per timeframe before the start.
const WARM_UP_BARS: usize = 220;
/// Simulated nanoseconds written at once during the head start.
const CHUNK: i64 = MINUTE;
/// Real time between two steps.
const STEP: Duration = Duration::from_millis(100);
/// Rows on their way to memory and store; the graph waits when it is full.
const ROWS_IN_FLIGHT: usize = 50_000;
/// Rows handed to memory and store together at most.
const ROWS_AT_ONCE: usize = 5_000;
/// Batches of rows on their way to the store.
const BATCHES_IN_FLIGHT: usize = 100;
/// Names a directory that a demo may delete.
const MARKER: &str = "made-by-prism-demo";

/// Run everything in one process on a synthetic market: no service, no key, no network.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Port on 127.0.0.1
    #[arg(long, default_value_t = 8000)]
    port: u16,
    /// Stop after this long, such as 30s or 5m; Ctrl-C stops it any time
    #[arg(long = "for")]
    length: Option<String>,
    /// Seed of the market
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Simulated seconds per second until simulated time meets the wall clock
    #[arg(long, default_value_t = 60.0)]
    speed: f64,
    /// Directory for log and store; made anew at each start
    #[arg(long, default_value = "data/demo")]
    dir: PathBuf,
    /// Configuration file over the defaults
    #[arg(long)]
    config: Option<PathBuf>,
}

/// What the graph hands to memory and store.
enum Output {
    Row(Box<Version>),
    /// All rows known before this are out.
    Frontier(Time),
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let config = Config::load(args.config.as_deref())?;
    let plan = Plan::new(config.settings.clone()).map_err(|error| misuse(format!("configuration: {error}")))?;
    let length = match args.length.as_deref().map(|text| (text, prism_schemas::time::parse_duration(text))) {
        None => None,
        Some((_, Some(nanos))) => Some(Duration::from_nanos(nanos.unsigned_abs())),
        Some((text, None)) => return Err(misuse(format!("--for: \"{text}\" is not a duration such as 30s or 5m"))),
    };
    if !(0.0 < args.speed && args.speed.is_finite()) {
        return Err(misuse("--speed must be above 0"));
    }
    prepare(&args.dir)?;
    let log: Arc<dyn Log> = Arc::new(SegmentLog::open(&args.dir.join("log"))?);
    let store_dir = args.dir.join("store");
    let store = Store::open(&store_dir)?;

    let live = Arc::new(LiveRows::new(config.store.live));
    let memory = &config.api.sql_memory;
    let options = Options {
        store: Some(store_dir.clone()),
        timeout: Duration::from_nanos(config.api.sql_timeout.unsigned_abs()),
        rows_max: config.api.sql_rows,
        memory_bytes: parse_bytes(memory).ok_or_else(|| misuse(format!("api.sql_memory: \"{memory}\" is no size")))?,
        concurrency: config.api.sql_concurrency,
        ..Options::default()
    };
    let engine = Arc::new(Engine::new(options, live.clone())?);
    let status = Arc::new(Status::new());
    status.simulated.store(true, Relaxed);
    let (updates, _) = broadcast::channel(1_024);
    let app = App::new(engine, live.clone(), updates.clone(), status.clone());

    let stop = Stop { now: CancellationToken::new(), failed: Arc::new(AtomicBool::new(false)) };
    let (rows, outputs) = sync_channel(ROWS_IN_FLIGHT);
    let ingest = stop.thread("ingest", {
        let (log, plan, stop) = (log.clone(), plan.clone(), stop.clone());
        let (seed, speed) = (args.seed, args.speed);
        move || ingest(&log, &plan, seed, speed, &stop)
    })?;
    let compute = stop.thread("compute", {
        let (log, plan, status) = (log.clone(), plan.clone(), status.clone());
        let stop = stop.clone();
        move || compute(&log, &plan, &rows, &status, &stop)
    })?;
    let flush_every = Duration::from_nanos(config.store.flush.unsigned_abs());
    let (kept, to_keep) = sync_channel(BATCHES_IN_FLIGHT);
    let publish = stop.thread("publish", {
        let (live, status) = (live.clone(), status.clone());
        move || {
            publish(&outputs, &live, &updates, &status, &kept);
            Ok(())
        }
    })?;
    let keep = stop.thread("store", move || keep(&to_keep, store, &live, &status, flush_every))?;

    let served = serve(args, app, length, &stop);
    stop.now.cancel();
    for thread in [ingest, compute, publish, keep] {
        thread.join().map_err(|_| anyhow!("a thread panicked"))??;
    }
    served?;
    println!("stopped; ask on with: prism sql --store {} \"SELECT * FROM signals\"", store_dir.display());
    Ok(())
}

/// Makes the directory anew; refuses to delete one that no demo made.
fn prepare(dir: &Path) -> Result<()> {
    if dir.exists() {
        let is_empty = std::fs::read_dir(dir).with_context(|| format!("read {}", dir.display()))?.next().is_none();
        if !is_empty && !dir.join(MARKER).exists() {
            return Err(misuse(format!("{} was not made by a demo; name another directory with --dir", dir.display())));
        }
        std::fs::remove_dir_all(dir).with_context(|| format!("remove {}", dir.display()))?;
    }
    std::fs::create_dir_all(dir).with_context(|| format!("create {}", dir.display()))?;
    std::fs::write(dir.join(MARKER), "").with_context(|| format!("write to {}", dir.display()))
}

/// How the threads of the demo end together.
#[derive(Clone)]
struct Stop {
    now: CancellationToken,
    failed: Arc<AtomicBool>,
}

impl Stop {
    /// A thread whose failure stops the others.
    fn thread(&self, name: &str, work: impl FnOnce() -> Result<()> + Send + 'static) -> Result<JoinHandle<Result<()>>> {
        let stop = self.clone();
        let guarded = move || {
            let outcome = work();
            if outcome.is_err() {
                stop.failed.store(true, Relaxed);
                stop.now.cancel();
            }
            outcome
        };
        thread::Builder::new().name(name.into()).spawn(guarded).with_context(|| format!("start the thread {name}"))
    }
}

/// Serves until the time is over, Ctrl-C, or a thread failed.
fn serve(args: &Args, app: App, length: Option<Duration>, stop: &Stop) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let (stop, port) = (stop.now.clone(), args.port);
    runtime.block_on(async move {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await;
        let listener = listener.with_context(|| format!("listen on 127.0.0.1:{port} (another --port?)"))?;
        let address = listener.local_addr()?;
        println!("prism demo: {} synthetic symbols, seed {}, {} x real time", SYMBOLS.len(), args.seed, args.speed);
        println!("  page     http://{address}/");
        println!("  signals  http://{address}/api/signals/latest");
        println!("  why      http://{address}/api/analysis/BTCUSDT");
        println!("  openapi  http://{address}/api/openapi.json");
        println!("  sql      curl -s {address}/api/sql -H 'content-type: application/json' \\");
        println!(
            "             -d '{{\"sql\": \"SELECT symbol, score FROM live.confluence ORDER BY score DESC LIMIT 5\"}}'"
        );
        let over = async move {
            let timer = async {
                match length {
                    Some(length) => tokio::time::sleep(length).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = timer => {}
                () = stop.cancelled() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
        };
        Ok(prism_api::serve(listener, app, over).await?)
    })
}

/// Simulated time as a function of real time.
struct SimulatedTime {
    start: i64,
    began: Instant,
    speed: f64,
}

impl SimulatedTime {
    #[expect(clippy::disallowed_methods, reason = "the demo's market runs by the wall clock; no result depends on it")]
    fn starting_now(speed: f64) -> Result<SimulatedTime> {
        let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos())?;
        let start = (now - PAST) / MINUTE * MINUTE;
        Ok(SimulatedTime { start, began: Instant::now(), speed })
    }

    /// `speed` times real time after the head start, until it meets the wall clock.
    fn now(&self) -> i64 {
        let real = self.began.elapsed().as_nanos() as i64;
        let fast = self.start + HEAD_START + (real as f64 * self.speed) as i64;
        fast.min(self.start + PAST + real)
    }
}

/// Venue frames through the decoder into the log, with a heartbeat to every partition after each step.
fn ingest(log: &Arc<dyn Log>, plan: &Plan, seed: u64, speed: f64, stop: &Stop) -> Result<()> {
    let time = SimulatedTime::starting_now(speed)?;
    let mut market = Market::new(seed, SYMBOLS, time.start);
    let mut writer = LogWriter::new(log.clone());
    let mut decoder = Bybit::new(MARKET);
    for (instrument, event) in market.warm_up(&plan.settings.timeframes.maintained, WARM_UP_BARS) {
        writer.push(&instrument, event)?;
    }
    for (instrument, event) in market.connected() {
        writer.push(&instrument, event)?;
    }
    let (mut frames, mut events) = (Vec::new(), Vec::new());
    let mut reached = time.start;
    while !stop.now.is_cancelled() {
        let now = time.now();
        if reached < now {
            let until = now.min(reached + CHUNK);
            market.step(until, &mut frames);
            for frame in frames.drain(..) {
                if let Err(error) = decoder.decode(&frame.text, frame.ts_recv, &mut events) {
                    let nowhere = InstrumentId::new(prism_connectors::synthetic::EXCHANGE, MARKET, "");
                    let raw = frame.text.as_bytes();
                    writer.push(&nowhere, quarantined(error.rule(), error.to_string(), raw, frame.ts_recv))?;
                }
                for (instrument, event) in events.drain(..) {
                    writer.push(&instrument, event)?;
                }
            }
            for topic in Topic::ALL {
                for partition in 0..log.partitions(topic) {
                    writer.heartbeat(topic, partition, until, "end of a step")?;
                }
            }
            writer.flush()?;
            reached = until;
        }
        if time.now() <= reached + CHUNK {
            thread::sleep(STEP);
        }
    }
    writer.sync()?;
    Ok(())
}

/// The graph over the log as it grows.
fn compute(
    log: &Arc<dyn Log>,
    plan: &Plan,
    rows: &SyncSender<Output>,
    status: &Arc<Status>,
    stop: &Stop,
) -> Result<()> {
    let (log, plan, rows, status, stop) = (log.clone(), plan.clone(), rows.clone(), status.clone(), stop.clone());
    let sink: Sink = {
        let rows = rows.clone();
        // The receiver ends early only with an error, which its thread reports.
        Arc::new(move |row| drop(rows.send(Output::Row(Box::new(row)))))
    };
    timely::execute_directly(move |worker| -> Result<()> {
        let probe = Probe::new();
        let inputs = worker.dataflow(|scope| {
            let (inputs, outputs) = assemble(scope, &plan);
            tables(outputs, &plan, &probe, &sink);
            inputs
        });
        let pace = Pace { epoch: plan.settings.time.epoch as Time, stride: 600, batch: 0 };
        let mut driver = Driver::new(inputs, probe, pace);
        let mut feed = Feed::open(&*log, &plan, 0, 1)?;
        loop {
            let is_last = stop.now.is_cancelled();
            feed.poll();
            while let Some(record) = feed.next(true, &sink)? {
                driver.send(worker, record);
            }
            if let Some(reached) = feed.reached().filter(|reached| *reached < Time::MAX) {
                driver.advance(reached);
                driver.drain(worker);
                status.frontier_ts.store(reached as i64, Relaxed);
                let _ = rows.send(Output::Frontier(reached));
            }
            status.events.store(feed.events, Relaxed);
            if is_last {
                return Ok(());
            }
            thread::sleep(STEP / 2);
        }
    })
}

/// What the store has to hold.
enum Kept {
    Rows(Arc<Vec<Version>>),
    /// All rows known before this were handed over.
    Frontier(Time),
}

/// Rows to memory, to subscribers and on to the store.
fn publish(
    outputs: &Receiver<Output>,
    live: &LiveRows,
    updates: &broadcast::Sender<Arc<Vec<Version>>>,
    status: &Status,
    kept: &SyncSender<Kept>,
) {
    let mut batch = Vec::new();
    loop {
        let (is_due, frontier) = match outputs.recv() {
            Ok(Output::Row(row)) => {
                batch.push(*row);
                (batch.len() == ROWS_AT_ONCE, None)
            }
            Ok(Output::Frontier(reached)) => (true, Some(reached)),
            Err(_) => return,
        };
        if is_due && !batch.is_empty() {
            let count = |table: &Table| batch.iter().filter(|row| row.table == table).count() as u64;
            status.rows.fetch_add(batch.len() as u64, Relaxed);
            status.quarantined.fetch_add(count(&table::QUARANTINE), Relaxed);
            status.late.fetch_add(count(&table::LATE_EVENTS), Relaxed);
            let n_refused = live.apply(&batch);
            if 0 < n_refused {
                tracing::error!(n_refused, "rows do not fit their tables");
            }
            let rows = Arc::new(std::mem::take(&mut batch));
            // Without a subscriber there is nobody to tell; the store's thread ends early only with an error.
            let _ = updates.send(rows.clone());
            let _ = kept.send(Kept::Rows(rows));
            status.release("starting");
        }
        if let Some(reached) = frontier {
            let _ = kept.send(Kept::Frontier(reached));
        }
    }
}

/// Rows to Parquet every few seconds, and at the end.
fn keep(kept: &Receiver<Kept>, mut store: Store, live: &LiveRows, status: &Status, every: Duration) -> Result<()> {
    #[expect(clippy::disallowed_methods, reason = "how often rows are stored changes no row")]
    let now = Instant::now;
    let (mut frontier, mut flushed) = (0, now());
    loop {
        let next = kept.recv_timeout(STEP);
        let ended = matches!(next, Err(RecvTimeoutError::Disconnected));
        match next {
            Ok(Kept::Rows(rows)) => store.write(Arc::unwrap_or_clone(rows))?,
            Ok(Kept::Frontier(reached)) => frontier = reached,
            Err(_) => {}
        }
        if ended || every <= flushed.elapsed() {
            store.flush()?;
            live.stored_up_to(frontier as i64);
            status.stored_ts.store(frontier as i64, Relaxed);
            flushed = now();
        }
        if ended {
            return Ok(());
        }
    }
}
