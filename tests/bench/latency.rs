//! From an event's receive time to the forming score in a client's hands: decoder, log, merge, graph, board, sockets, in one
//! process. `RATE` events a second (20,000: books, trades and tickers as Bybit tells them) of `SYMBOLS` (100), for
//! `SECONDS` (10), to `CLIENTS` (100) that follow `EACH` (10) of the symbols; the last line is JSON.

use std::{
    str::FromStr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering::Relaxed},
    },
    thread::{sleep, spawn},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Result, anyhow};
use futures::{SinkExt, StreamExt};
use prism_api::{App, Limits, Status, Updates, serve};
use prism_dataflow::{assemble::Plan, forming::Audience, settings::Settings};
use prism_exchange::{Bybit, Exchange};
use prism_log::{LiveWriter, Log, Pace, SegmentLog, session};
use prism_pipeline::{Live, Pipeline, TOPICS, Tasks};
use prism_queries::{Engine, LiveRows, Options};
use prism_schemas::{
    Market, Table, Ts, Versions,
    store::MemoryStore,
    time::{HOUR, MINUTE, SECOND, parse_ts},
};
use prism_sources::synthetic::{self, symbols};
use tokio_tungstenite::{connect_async, tungstenite::Message};
use tokio_util::sync::CancellationToken;

#[global_allocator]
static MEMORY: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[expect(clippy::disallowed_methods, reason = "what is measured is time")]
fn wall() -> Ts {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as i64)
}

fn number<T: FromStr>(name: &str, default: T) -> T {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Rows in memory and whoever is connected, as `prism run` has them.
struct Api(Arc<LiveRows>, Arc<Updates>);

impl Live for Api {
    fn apply(&self, rows: &[Versions]) {
        self.0.apply(rows);
    }

    fn stored_up_to(&self, frontier: Ts) {
        self.0.stored_up_to(frontier);
    }

    fn spooled_up_to(&self, frontier: Ts) {
        self.0.spooled_up_to(frontier);
    }
}

impl Audience for Api {
    fn wants(&self, table: Option<&Table>) -> bool {
        self.1.wants(table)
    }

    fn wants_symbol(&self, symbol: &str) -> bool {
        self.1.wants_symbol(symbol)
    }

    fn form(&self, rows: Versions) {
        self.1.form(&rows);
    }

    fn asked(&self) -> u64 {
        self.0.forming.asked()
    }

    fn formed(&self, worker: usize, workers: usize, asked: u64) {
        self.0.forming.formed(worker, workers, asked);
    }
}

/// What clients took, from this time on: ages in ms.
struct Taken {
    from: AtomicI64,
    ages: Mutex<Vec<f64>>,
}

/// Follows the forming scores of some symbols until the server goes away.
async fn follow(address: String, symbols: Vec<&'static str>, taken: Arc<Taken>) -> Result<()> {
    let (mut socket, _) = connect_async(address).await?;
    let wish = serde_json::json!({"op": "subscribe", "channel": "confluence", "forming": true, "symbols": symbols});
    socket.send(Message::text(wish.to_string())).await?;
    let mut ages = Vec::new();
    while let Some(Ok(message)) = socket.next().await {
        let Message::Text(text) = message else { continue };
        let now = wall();
        if now < taken.from.load(Relaxed) || !text.contains("\"forming\":true") {
            continue;
        }
        let known = text.split_once("\"known_at\":\"").and_then(|(_, rest)| parse_ts(rest.split('"').next()?));
        let known = known.ok_or_else(|| anyhow!("no known_at in {text}"))?;
        ages.push((now - known) as f64 / 1e6);
    }
    taken.ages.lock().unwrap().append(&mut ages);
    Ok(())
}

fn settings() -> Result<Settings> {
    let mut table: toml::Table = include_str!("../../default.toml").parse()?;
    let of_the_graph = ["time", "timeframes", "bars", "indicators", "score", "relations", "signals"];
    table.retain(|section, _| of_the_graph.contains(&section));
    Ok(toml::Value::Table(table).try_into()?)
}

/// Seconds of processor time this process took.
fn processor() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let ticks = stat.rsplit(')').next().unwrap_or("").split_whitespace().skip(11).take(2);
    ticks.filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

/// So many frames of the market behind a time, which moves on.
fn frames(market: &mut synthetic::Market, n: i64, simulated: &mut Ts) -> Vec<synthetic::Frame> {
    let mut frames = Vec::new();
    while (frames.len() as i64) < n {
        *simulated += SECOND;
        market.step(*simulated, &mut frames);
    }
    frames
}

/// Hands over frames at `rate` events a second as if each had just been received; gives how many events.
fn feed(frames: Vec<synthetic::Frame>, writer: &mut LiveWriter, rate: i64, seconds: i64) -> Result<i64> {
    let mut decoder = Bybit::new(Market::Linear);
    let (began, mut n, mut events) = (wall(), 0, Vec::new());
    let mut frames = frames.into_iter();
    loop {
        let now = wall();
        while began + n * SECOND / rate <= now {
            let Some(frame) = frames.next().filter(|_| n < seconds * rate) else { return Ok(n) };
            decoder.decode(&frame.text, now, &mut events).map_err(|error| anyhow!("{error:?}"))?;
            events.iter_mut().for_each(|(_, event)| event.ts_event = now);
            n += events.len() as i64;
            writer.take(events.drain(..))?;
        }
        writer.flush(now)?;
        sleep(Duration::from_millis(1).min(writer.next(wall())));
    }
}

/// A thread of its own.
type Side = std::thread::JoinHandle<Result<()>>;

/// Serves until it is stopped; gives where.
fn served(app: App, stop: &CancellationToken) -> Result<(String, Side)> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let address = format!("ws://{}/ws/bench", listener.local_addr()?);
    let over = stop.clone().cancelled_owned();
    let serving = spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        runtime.block_on(async { Ok(serve(tokio::net::TcpListener::from_std(listener)?, app, over).await?) })
    });
    Ok((address, serving))
}

/// Clients that follow some of these symbols each.
fn followed(address: String, n_symbols: usize, taken: &Arc<Taken>) -> Side {
    let (clients, each) = (number("CLIENTS", 100), number("EACH", 10));
    let taken = taken.clone();
    spawn(move || {
        let names = symbols(n_symbols).iter().map(|symbol| symbol.name);
        let some = |client: usize| names.clone().cycle().skip(client).step_by(7).take(each).collect();
        let all = (0..clients).map(|client| follow(address.clone(), some(client), taken.clone()));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(futures::future::try_join_all(all)).map(drop)
    })
}

fn main() -> Result<()> {
    let (rate, n_symbols, seconds) = (number("RATE", 20_000), number("SYMBOLS", 100), number("SECONDS", 10));
    let dir = tempfile::tempdir()?;
    let log: Arc<dyn Log> = Arc::new(SegmentLog::open(dir.path())?);
    let (live, status) = (Arc::new(LiveRows::new(HOUR)), Arc::new(Status::new()));
    let updates = Arc::new(Updates::new(live.clone()));
    let engine = Arc::new(Engine::new(Options::default(), live.clone())?);
    let limits = Limits { streams_of_address: usize::MAX, ..Limits::default() };
    let app = App::new(engine, updates.clone(), status.clone()).with_limits(limits);
    let settings = settings()?;
    let timeframes = settings.timeframes.maintained.clone();
    let (mut tasks, told) = (Tasks::new(), updates.clone());
    Pipeline {
        log: log.clone(),
        plan: Plan { forming: Some(Arc::new(Api(live.clone(), updates.clone()))), ..Plan::new(settings)? },
        workers: 1,
        store: Box::new(MemoryStore::new("live")),
        flush: Duration::from_secs(1),
        live: Arc::new(Api(live, updates)),
        subscribers: Box::new(move |rows| told.tell(rows)),
        status: status.clone(),
        clock: Arc::new(wall),
    }
    .start(&mut tasks)?;
    let start = (wall() / MINUTE) * MINUTE;
    let mut market = synthetic::Market::new(7, symbols(n_symbols), start);
    let mut writer = LiveWriter::new(log, &TOPICS, Pace::default(), session(start));
    writer.take(market.warm_up(&timeframes, 300))?;
    writer.take(market.connected())?;
    writer.flush(wall())?;
    let (stop, taken) =
        (CancellationToken::new(), Arc::new(Taken { from: AtomicI64::new(Ts::MAX), ages: Mutex::default() }));
    let (address, serving) = served(app, &stop)?;
    let following = followed(address, n_symbols, &taken);
    // Clients are there, books stand.
    sleep(Duration::from_secs(1));
    let mut simulated = start;
    feed(frames(&mut market, rate / 10, &mut simulated), &mut writer, rate / 10, 1)?;
    let all = frames(&mut market, rate * seconds, &mut simulated);
    // All of the warm-up is computed.
    let warm = wall();
    while status.frontier_ts.load(Relaxed) < warm {
        sleep(Duration::from_millis(10));
        writer.flush(wall())?;
    }
    taken.from.store(wall() + SECOND, Relaxed);
    let (before, began) = (processor(), wall());
    let n = feed(all, &mut writer, rate, seconds)?;
    let (passed, took) = ((wall() - began) as f64 / 1e9, processor() - before);
    sleep(Duration::from_millis(200));
    let metrics = status.metrics(wall());
    stop.cancel();
    serving.join().map_err(|_| anyhow!("the server panicked"))??;
    following.join().map_err(|_| anyhow!("a client panicked"))??;
    tasks.end()?;
    metrics.lines().filter(|line| line.starts_with("prism_latency_seconds")).for_each(|line| println!("{line}"));
    report(&taken, n as f64 / passed, passed, took / passed);
    Ok(())
}

fn report(taken: &Taken, events: f64, passed: f64, cores: f64) {
    let mut ages = std::mem::take(&mut *taken.ages.lock().unwrap());
    ages.sort_by(f64::total_cmp);
    let at = |share: f64| ages.get((share * (ages.len().max(1) - 1) as f64) as usize).copied().unwrap_or(f64::NAN);
    let [p50, p90, p99, max] = [0.5, 0.9, 0.99, 1.0].map(at);
    let messages = ages.len() as f64 / (passed - 1.0);
    println!(
        "{{\"events_s\":{events:.0},\"client_ms\":{{\"p50\":{p50:.1},\"p90\":{p90:.1},\"p99\":{p99:.1},\"max\":{max:.1}}},\
         \"messages_s\":{messages:.0},\"cores\":{cores:.2}}}"
    );
}
