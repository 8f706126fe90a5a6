//! Pipelines over a log, a store and memory that are doubles: what dies, is away, or comes late.

mod cut;
mod forming;
mod log;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;
use prism_dataflow::{assemble::Plan, forming::Audience, settings::Settings};
use prism_log::{Log, LogWriter};
use prism_schemas::{
    Cell, Decimal, Event, InstrumentId, Market, Table, Topic, Ts, Version, Versions,
    event::{Feed, FeedStatus, Liquidation, Side, Ticker, Trade, event::Body, trade::Id},
    store::MemoryStore,
    table::{BARS, RUNS},
    time::{MILLISECOND, SECOND},
};
use prism_status::Status;

use self::log::MemoryLog;
use crate::{Live, Pipeline, TOPICS, Tasks};

/// Where the tests' time begins.
const START: Ts = 1_767_225_600 * SECOND;

/// The defaults with bars of a second, so that little time makes rows.
fn settings(over: &str) -> Settings {
    let mut table: toml::Table = include_str!("../../../../default.toml").parse().unwrap();
    table.retain(|section, _| {
        ["time", "timeframes", "bars", "indicators", "score", "relations", "signals"].contains(&section)
    });
    let mut set = |text: &str| {
        for (section, keys) in text.parse::<toml::Table>().unwrap() {
            table[&section].as_table_mut().unwrap().extend(keys.as_table().unwrap().clone());
        }
    };
    set("[timeframes]\nmaintained = [\"1s\", \"5s\", \"15s\", \"1m\"]\nroles = [\"1s\", \"5s\", \"15s\", \"1m\"]");
    set(over);
    let settings: Settings = toml::Value::Table(table).try_into().unwrap();
    settings.check().unwrap();
    settings
}

/// Rows in memory, and what was said of them.
#[derive(Default)]
struct Rows {
    by_key: Mutex<BTreeMap<String, Version>>,
    stored: AtomicI64,
    spooled: AtomicI64,
    panics: bool,
}

impl Live for Rows {
    fn apply(&self, rows: &[Versions]) {
        assert!(!self.panics, "memory is broken");
        let mut by_key = self.by_key.lock().unwrap();
        let rows = rows.iter().flat_map(Versions::to_vec);
        by_key.extend(rows.map(|row| (format!("{} {}", row.table.name, row.key()), row)));
    }

    fn stored_up_to(&self, frontier: Ts) {
        self.stored.fetch_max(frontier, Relaxed);
    }

    fn spooled_up_to(&self, frontier: Ts) {
        self.spooled.fetch_max(frontier, Relaxed);
    }
}

/// A market of one instrument, written to a log as a live process would.
struct Writer {
    writer: LogWriter,
    log: MemoryLog,
    id: InstrumentId,
    next: u64,
}

impl Writer {
    fn new(log: &MemoryLog) -> Writer {
        let id = InstrumentId::new("bybit", Market::Linear, "BTCUSDT");
        Writer { writer: LogWriter::new(Arc::new(log.clone())), log: log.clone(), id, next: 1 }
    }

    fn push(&mut self, ts: Ts, body: Body) {
        let event = Event { ts_event: ts, ts_recv: ts, seq: None, index: 0, body: Some(body) };
        self.writer.push(&self.id, event).unwrap();
    }

    fn connected(&mut self, ts: Ts) {
        let status = FeedStatus { status: Feed::Connected.into(), ..FeedStatus::default() };
        self.push(ts, Body::FeedStatus(status));
    }

    /// Trades each 100 ms from second `from` on, and the promise that nothing earlier follows.
    fn seconds(&mut self, from: i64, n: i64) {
        for ts in (0..n * 10).map(|at| START + from * SECOND + at * 100 * MILLISECOND) {
            let price = Decimal::parse(&format!("{}", 100 + self.next % 7)).unwrap();
            let trade = Trade {
                id: Some(Id::Number(self.next)),
                price: Some(price),
                size: Decimal::parse("1"),
                side: Side::Buy.into(),
                ..Trade::default()
            };
            self.next += 1;
            self.push(ts, Body::Trade(trade));
        }
        self.promise(START + (from + n) * SECOND);
    }

    fn promise(&mut self, ts: Ts) {
        for topic in TOPICS {
            for partition in 0..self.log.partitions(topic) {
                self.writer.heartbeat(topic, partition, ts, "test").unwrap();
            }
        }
        self.writer.flush().unwrap();
    }
}

/// A running pipeline and what is seen of it.
struct Running {
    tasks: Tasks,
    status: Arc<Status>,
    live: Arc<Rows>,
    news: Arc<Mutex<Vec<Version>>>,
}

/// A log that several hold.
trait Shared {
    fn shared(&self) -> Arc<dyn Log>;
}

impl Shared for MemoryLog {
    fn shared(&self) -> Arc<dyn Log> {
        Arc::new(self.clone())
    }
}

impl<L: Log + 'static> Shared for Arc<L> {
    fn shared(&self) -> Arc<dyn Log> {
        self.clone()
    }
}

/// How a pipeline is started.
struct Start {
    over: &'static str,
    now: Ts,
    live: Rows,
    workers: usize,
    forming: Option<Arc<dyn Audience>>,
}

impl Default for Start {
    fn default() -> Start {
        Start { over: "", now: START + 1_000 * SECOND, live: Rows::default(), workers: 1, forming: None }
    }
}

impl Start {
    fn over(self, log: &(impl Shared + ?Sized), store: &MemoryStore) -> Result<Running> {
        let status = Arc::new(Status::new());
        let live = Arc::new(self.live);
        let news = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = Tasks::new();
        let pipeline = Pipeline {
            log: log.shared(),
            plan: Plan { forming: self.forming, ..Plan::new(settings(self.over)).unwrap() },
            workers: self.workers,
            store: Box::new(store.clone()),
            flush: Duration::from_millis(1),
            live: live.clone(),
            subscribers: Box::new({
                let news = news.clone();
                move |rows: &[Versions]| news.lock().unwrap().extend(rows.iter().flat_map(Versions::to_vec))
            }),
            status: status.clone(),
            clock: Arc::new(move || self.now),
        };
        pipeline.start(&mut tasks)?;
        Ok(Running { tasks, status, live, news })
    }
}

/// Looks until it is so.
fn until(what: &str, is_so: impl Fn() -> bool) {
    #[expect(clippy::disallowed_methods, reason = "a test must end")]
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(60), "{what}: not within a minute");
        thread::sleep(Duration::from_millis(1));
    }
}

impl Running {
    /// Waits until everything known before this is in the store and can be read.
    fn stored(&self, ts: Ts) {
        until("stored", || ts <= self.live.stored.load(Relaxed));
    }

    fn news(&self, table: &Table) -> Vec<Version> {
        self.news.lock().unwrap().iter().filter(|row| row.table == table).cloned().collect()
    }

    fn holds(&self, what: &str) -> Option<String> {
        self.status.reasons().get(what).cloned()
    }

    fn end(self) -> Result<()> {
        self.tasks.end()
    }
}

fn known_at(row: &Version) -> Ts {
    crate::publish::known_at(row).unwrap()
}

/// The frontier that the run's row says.
fn frontier(store: &MemoryStore) -> Ts {
    match store.rows(&RUNS).first().and_then(|row| row.get("frontier")) {
        Some(Cell::Ts(ts)) => *ts,
        _ => 0,
    }
}

#[test]
fn what_was_known_before_a_restart_is_no_news_and_ready_waits_for_the_logs_end() {
    let (log, store) = (MemoryLog::default(), MemoryStore::new("live"));
    let mut writer = Writer::new(&log);
    writer.connected(START);
    writer.seconds(0, 20);
    let running = Start::default().over(&log, &store).unwrap();
    running.stored(START + 20 * SECOND);
    assert_eq!(running.news(&BARS), [], "the past of a log is no news to whom it was never told");
    writer.seconds(20, 2);
    running.stored(START + 22 * SECOND);
    let fresh = running.news(&BARS);
    assert!(!fresh.is_empty() && fresh.iter().all(|row| START + 20 * SECOND <= known_at(row)), "{fresh:?}");
    running.end().unwrap();
    let reached = frontier(&store);

    writer.seconds(22, 5);
    let running = Start::default().over(&log, &store).unwrap();
    assert!(running.holds("catching up").is_some());
    running.stored(START + 27 * SECOND);
    until("caught up", || running.holds("catching up").is_none());
    let missed = running.news(&BARS);
    assert!(missed.iter().all(|row| reached <= known_at(row)), "before {reached}: {missed:?}");
    assert!(missed.iter().any(|row| known_at(row) < START + 24 * SECOND), "what happened meanwhile is news");
    running.end().unwrap();
}

#[test]
fn the_store_is_never_ahead_of_the_log() {
    let (log, store) = (MemoryLog::default(), MemoryStore::new("live"));
    let mut writer = Writer::new(&log);
    writer.connected(START);
    let running = Start::default().over(&log, &store).unwrap();
    for second in 0..5 {
        let (n_syncs, n_written) = (log.n_syncs(), store.n_written());
        writer.seconds(second, 1);
        until("written", || n_written < store.n_written());
        assert!(n_syncs < log.n_syncs());
        // What comes later of this second is not taken for the next one's.
        running.stored(START + (second + 1) * SECOND);
    }
    running.end().unwrap();
}

#[test]
fn a_store_that_is_away_holds_rows_and_offsets_back_and_is_told() {
    let (log, store) = (MemoryLog::default(), MemoryStore::new("live"));
    let mut writer = Writer::new(&log);
    writer.connected(START);
    writer.seconds(0, 5);
    let running = Start::default().over(&log, &store).unwrap();
    running.stored(START + 5 * SECOND);
    let trades = (0..2).find(|partition| !log.batches(Topic::Trades, *partition)[0].symbol.is_empty()).unwrap();
    let committed = log.committed(Topic::Trades, trades);
    assert!(0 < committed);
    store.set_away(Some("connection refused"));
    writer.seconds(5, 5);
    until("told", || running.holds("store").is_some_and(|why| why.contains("connection refused")));
    until("old rows may leave memory", || START + 10 * SECOND <= running.live.spooled.load(Relaxed));
    assert!(frontier(&store) < START + 6 * SECOND);
    assert_eq!(log.committed(Topic::Trades, trades), committed);
    store.set_away(None);
    running.stored(START + 10 * SECOND);
    assert!(committed < log.committed(Topic::Trades, trades));
    until("released", || running.holds("store").is_none());
    running.end().unwrap();
}

#[test]
fn rows_of_other_settings_are_withdrawn_even_if_the_first_attempt_is_killed() {
    let (log, store) = (MemoryLog::default(), MemoryStore::new("live"));
    let mut writer = Writer::new(&log);
    writer.connected(START);
    writer.seconds(0, 40);
    let running = Start::default().over(&log, &store).unwrap();
    running.stored(START + 40 * SECOND);
    running.end().unwrap();
    let five = |retracted: bool| {
        let is = |row: &Version| {
            row.get("timeframe") == Some(&Cell::text("5s")) && row.get("retracted") == Some(&Cell::Bool(retracted))
        };
        store.rows(&BARS).iter().filter(|row| is(row)).count()
    };
    assert_eq!((five(false), five(true)), (7, 0));

    let over = "[timeframes]\nmaintained = [\"1s\", \"15s\", \"1m\"]\nroles = [\"1s\", \"15s\", \"1m\"]\nweights = [0.2, 0.3, 0.5]";
    // A store that shows nothing cannot withdraw anything yet, and this life of the process ends.
    store.set_behind(true);
    let running = Start { over, ..Start::default() }.over(&log, &store).unwrap();
    until("caught up", || running.holds("catching up").is_none());
    running.end().unwrap();
    assert_eq!((five(false), five(true)), (7, 0));
    store.set_behind(false);
    let running = Start { over, ..Start::default() }.over(&log, &store).unwrap();
    until("withdrawn", || (five(false), five(true)) == (0, 7));
    running.end().unwrap();
}

#[test]
fn a_panic_in_a_thread_ends_all_and_is_named() {
    let (log, store) = (MemoryLog::default(), MemoryStore::new("live"));
    let mut writer = Writer::new(&log);
    writer.connected(START);
    writer.seconds(0, 5);
    let live = Rows { panics: true, ..Rows::default() };
    let running = Start { live, ..Start::default() }.over(&log, &store).unwrap();
    until("ended", || running.tasks.stop().is_cancelled());
    assert_eq!(running.end().unwrap_err().to_string(), "the thread publish panicked: memory is broken");
}

#[test]
fn readiness_sees_feeds_that_end_and_a_frontier_that_stands_still() {
    let (log, store) = (MemoryLog::default(), MemoryStore::new("live"));
    let mut writer = Writer::new(&log);
    let running = Start { now: START + 30 * SECOND, ..Start::default() }.over(&log, &store).unwrap();
    running.status.watch(40 * SECOND);
    until("no feed", || running.holds("feeds").is_some_and(|why| why == "no feed is connected"));
    writer.connected(START);
    writer.seconds(0, 5);
    until("ready", || running.status.reasons().is_empty());
    let ended = FeedStatus {
        status: Feed::Disconnected.into(),
        cause: prism_schemas::feed::ENDED.into(),
        ..FeedStatus::default()
    };
    writer.push(START + 6 * SECOND, Body::FeedStatus(ended));
    writer.promise(START + 7 * SECOND);
    until("no feed again", || running.holds("feeds").is_some_and(|why| why == "no feed is connected"));
    running.status.watch(10 * SECOND);
    until("late", || running.holds("frontier").is_some());
    running.end().unwrap();
}

#[test]
fn a_reader_promises_nothing_beyond_its_own_clock() {
    let (log, store) = (MemoryLog::default(), MemoryStore::new("live"));
    let mut writer = Writer::new(&log);
    writer.connected(START);
    writer.seconds(0, 5);
    // One writer's clock steps three hours ahead, and only one partition hears of it.
    writer.writer.heartbeat(Topic::Trades, 0, START + 3 * 3_600 * SECOND, "a wrong clock").unwrap();
    writer.writer.flush().unwrap();
    let now = START + 20 * SECOND;
    let running = Start { now, ..Start::default() }.over(&log, &store).unwrap();
    until("stood in", || running.live.stored.load(Relaxed) >= START + 18 * SECOND);
    assert!(running.holds("clock").is_some_and(|why| why.contains("ahead of this machine's clock")));
    running.end().unwrap();
    let promised = |partition| {
        let events = log.batches(Topic::Status, partition).into_iter().flat_map(|batch| batch.events);
        events.map(|event| event.ts_recv).max()
    };
    assert!((0..2).all(|partition| promised(partition) <= Some(now)));
}
