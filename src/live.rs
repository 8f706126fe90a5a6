//! The running pipeline: a log that grows, through the graph, into memory and a store, and out through the API.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::Ordering::Relaxed,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow};
use prism_api::{App, Door, Snapshots, Status, Updates};
use prism_connectors::{
    keeper::Keeper,
    log::Log,
    venue::{ALL, ENDED, NOT_FOLLOWED},
};
use prism_dataflow::{assemble::Plan, types::Time};
use prism_queries::{Engine, LiveRows, Options, Place};
use prism_schemas::{Cell, Table, Topic, Version, table};
use tokio_util::sync::CancellationToken;

use crate::{
    compute::compute,
    config::{Config, parse_bytes},
    feed::Mark,
    misuse,
    outlet::{Outlet, Output},
    runs,
};

/// Between two looks at a log or a queue.
const STEP: Duration = Duration::from_millis(50);
/// Batches of rows on their way from memory to the store.
const BATCHES_IN_FLIGHT: usize = 20;
/// Rows reach a server at least this often.
const SERVER_FLUSH: Duration = Duration::from_millis(200);
/// Between two looks at a server's writers and the log's ends.
const LOOK: Duration = Duration::from_secs(1);
/// The run whose rows are in the plain tables.
const LIVE: &str = "live";

/// How the threads of a process end together.
#[derive(Clone)]
pub(crate) struct Stop {
    /// Cancelled when it is time to end.
    pub(crate) now: CancellationToken,
}

impl Stop {
    pub(crate) fn new() -> Stop {
        Stop { now: CancellationToken::new() }
    }

    /// A thread whose failure stops the others.
    pub(crate) fn thread(
        &self,
        name: &str,
        work: impl FnOnce() -> Result<()> + Send + 'static,
    ) -> Result<JoinHandle<Result<()>>> {
        let stop = self.clone();
        let guarded = move || {
            let outcome = work();
            if outcome.is_err() {
                stop.now.cancel();
            }
            outcome
        };
        thread::Builder::new().name(name.into()).spawn(guarded).with_context(|| format!("start the thread {name}"))
    }

    /// Ends all threads and gives the first failure.
    pub(crate) fn join(&self, threads: Vec<JoinHandle<Result<()>>>) -> Result<()> {
        self.now.cancel();
        let mut outcome = Ok(());
        for thread in threads {
            let ended = thread.join().map_err(|_| anyhow!("a thread panicked")).and_then(|ended| ended);
            outcome = outcome.and(ended);
        }
        outcome
    }

    /// Waits for the end: a length of time, Ctrl-C, SIGTERM, or a thread that failed.
    pub(crate) async fn wait(self, length: Option<Duration>) {
        let timer = async {
            match length {
                Some(length) => tokio::time::sleep(length).await,
                None => std::future::pending().await,
            }
        };
        let terminated = async {
            match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
                Ok(mut signal) => drop(signal.recv().await),
                Err(_) => std::future::pending().await,
            }
        };
        tokio::select! {
            () = timer => {}
            () = terminated => {}
            () = self.now.cancelled() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
    }
}

/// Reads `--for`.
pub(crate) fn parse_length(text: Option<&str>) -> Result<Option<Duration>> {
    let Some(text) = text else { return Ok(None) };
    match prism_schemas::time::parse_duration(text) {
        Some(nanos) => Ok(Some(Duration::from_nanos(nanos.unsigned_abs()))),
        None => Err(misuse(format!("--for: \"{text}\" is not a duration such as 30s or 5m"))),
    }
}

/// What the API serves from.
pub(crate) struct Serving {
    pub(crate) live: Arc<LiveRows>,
    pub(crate) status: Arc<Status>,
    pub(crate) updates: Arc<Updates>,
    pub(crate) engine: Arc<Engine>,
    /// Venues that can be asked.
    pub(crate) snapshots: Option<Snapshots>,
    /// Who may ask.
    pub(crate) door: Door,
}

impl Serving {
    /// Over a store.
    pub(crate) fn new(config: &Config, place: Place) -> Result<Serving> {
        let live = Arc::new(LiveRows::new(config.store.live));
        let memory = &config.api.sql_memory;
        let no_size = || misuse(format!("api.sql_memory: \"{memory}\" is no size such as 256MiB"));
        let options = Options {
            store: Some(place),
            timeout: Duration::from_nanos(config.api.sql_timeout.unsigned_abs()),
            rows_max: config.api.sql_rows,
            memory_bytes: parse_bytes(memory).ok_or_else(no_size)?,
            concurrency: config.api.sql_concurrency,
            ..Options::default()
        };
        let engine = Arc::new(Engine::new(options, live.clone())?);
        Ok(Serving {
            updates: Arc::new(Updates::new(live.clone())),
            live,
            status: Arc::new(Status::new()),
            engine,
            snapshots: None,
            door: Door::default(),
        })
    }

    /// Serves until the end; `hello` is printed once the port is open.
    pub(crate) fn serve(
        self,
        host: &str,
        port: u16,
        length: Option<Duration>,
        stop: &Stop,
        hello: impl FnOnce(std::net::SocketAddr),
    ) -> Result<()> {
        let app = App::new(self.engine, self.updates, self.status).with_snapshots(self.snapshots).with_door(self.door);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let over = stop.clone().wait(length);
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::bind((host, port)).await;
            let listener = listener.with_context(|| format!("listen on {host}:{port} (another --port?)"))?;
            hello(listener.local_addr()?);
            Ok(prism_api::serve(listener, app, over).await?)
        })
    }
}

/// The pipeline's log, settings and store.
pub(crate) struct Pipeline {
    pub(crate) log: Arc<dyn Log>,
    pub(crate) plan: Plan,
    pub(crate) workers: usize,
    pub(crate) keeper: Keeper,
    pub(crate) flush: Duration,
}

impl Pipeline {
    /// Starts the graph and what keeps its rows.
    pub(crate) fn start(self, serving: &Serving, stop: &Stop) -> Result<Vec<JoinHandle<Result<()>>>> {
        let Pipeline { log, plan, workers, keeper, flush } = self;
        let resumed = runs::resume(&keeper, LIVE, &*log, &plan)?;
        let (outlet, outputs) = Outlet::new();
        let compute = stop.thread("compute", {
            let (log, plan, status, stop) = (log.clone(), plan.clone(), serving.status.clone(), stop.clone());
            move || compute(log, plan, workers, outlet, status, stop)
        })?;
        let (kept, to_keep) = sync_channel(BATCHES_IN_FLIGHT);
        let publish = stop.thread("publish", {
            let (status, updates) = (serving.status.clone(), serving.updates.clone());
            move || {
                publish(&outputs, &updates, &status, &kept);
                Ok(())
            }
        })?;
        let keep = stop.thread("store", {
            let (live, status) = (serving.live.clone(), serving.status.clone());
            let flush = if matches!(keeper, Keeper::QuestDb(_)) { SERVER_FLUSH } else { flush };
            move || Keeping::new(keeper, log, resumed, live, status).run(&to_keep, flush)
        })?;
        Ok(vec![compute, publish, keep])
    }
}

/// What the store has to hold.
enum Kept {
    Rows(Arc<Vec<Version>>),
    /// All rows known before this were handed over.
    Mark(Mark),
}

/// Rows to memory, to subscribers and on to the store.
fn publish(outputs: &Receiver<Output>, updates: &Updates, status: &Status, kept: &SyncSender<Kept>) {
    let mut feeds = Feeds::default();
    for output in outputs {
        let rows = match output {
            Output::Rows(rows) => Arc::new(rows),
            Output::Mark(mark) => {
                let _ = kept.send(Kept::Mark(mark));
                continue;
            }
        };
        let count = |table: &Table| rows.iter().filter(|row| row.table == table).count() as u64;
        status.rows.fetch_add(rows.len() as u64, Relaxed);
        status.quarantined.fetch_add(count(&table::QUARANTINE), Relaxed);
        status.late.fetch_add(count(&table::LATE_EVENTS), Relaxed);
        feeds.take(&rows, status);
        let n_refused = updates.publish(&rows, i64::MIN);
        if 0 < n_refused {
            tracing::error!(n_refused, "rows do not fit their tables");
        }
        // The store's thread ends early only with an error.
        let _ = kept.send(Kept::Rows(rows));
        status.release("starting");
    }
}

/// How each instrument's feed is, by channel.
#[derive(Default)]
struct Feeds(BTreeMap<String, &'static str>);

impl Feeds {
    const STATES: [&str; 4] = ["connected", "stale", "skewed", "disconnected"];

    /// Exposes what rows say of feeds; prism is not ready while one is not connected.
    fn take(&mut self, rows: &[Version], status: &Status) {
        let mut is_changed = false;
        for row in rows.iter().filter(|row| row.table == &table::FEED_STATUS) {
            let text = |column| match row.get(column) {
                Some(Cell::Text(text)) => text.to_string(),
                _ => String::new(),
            };
            // Requests of a venue are no feed.
            if text("symbol") == ALL {
                continue;
            }
            // Gaps of books and trades are mended by themselves.
            let Some(state) = Feeds::STATES.into_iter().find(|state| *state == text("status")) else { continue };
            is_changed = true;
            let id = ["exchange", "market", "symbol", "channel"].map(text).join(":");
            let id = id.trim_end_matches(':').to_string();
            let is_over = [NOT_FOLLOWED, ENDED].contains(&&*text("cause"));
            if text("channel").is_empty() && (is_over || state == "connected") {
                // What else was said of it is said again if it is still so; books may have a connection of their own.
                self.0.retain(|other, _| {
                    let channel = other.strip_prefix(&id).and_then(|rest| rest.strip_prefix(':'));
                    channel.is_none_or(|channel| channel == "book" && !is_over)
                });
            }
            match is_over {
                true => drop(self.0.remove(&id)),
                false => drop(self.0.insert(id, state)),
            }
        }
        if !is_changed {
            return;
        }
        for state in Feeds::STATES {
            let n = self.0.values().filter(|have| **have == state).count();
            status.gauge("prism_feeds", &[("state", state)], n as f64);
        }
        let silent: Vec<String> = self
            .0
            .iter()
            .filter(|(_, state)| **state != "connected")
            .map(|(id, state)| format!("{id} is {state}"))
            .collect();
        match &silent[..] {
            [] => status.release("feeds"),
            [first] => status.hold("feeds", first),
            [first, rest @ ..] => status.hold("feeds", &format!("{first}, and {} more", rest.len())),
        }
    }
}

/// Rows to the store, and word back of how far it holds them.
struct Keeping {
    keeper: Keeper,
    log: Arc<dyn Log>,
    /// The run's row so far; rows known before its frontier are kept already.
    run: runs::Run,
    live: Arc<LiveRows>,
    status: Arc<Status>,
    /// The newest mark handed over, and the newest whose rows are kept.
    newest: Option<Mark>,
    kept: Time,
    /// Rows are acknowledged up to this time, and can be read once the writers reached these transactions.
    unapplied: Option<(Time, BTreeMap<String, i64>)>,
}

impl Keeping {
    fn new(keeper: Keeper, log: Arc<dyn Log>, run: runs::Run, live: Arc<LiveRows>, status: Arc<Status>) -> Keeping {
        Keeping { keeper, log, run, live, status, newest: None, kept: 0, unapplied: None }
    }

    fn run(mut self, to_keep: &Receiver<Kept>, every: Duration) -> Result<()> {
        #[expect(clippy::disallowed_methods, reason = "how often rows are stored changes no row")]
        let now = Instant::now;
        let already = self.run.frontier as i64;
        let is_new = |row: &Version| !matches!(row.get("known_at"), Some(Cell::Ts(known)) if *known < already);
        let (mut flushed, mut looked) = (now(), now());
        loop {
            let next = to_keep.recv_timeout(STEP);
            let ended = matches!(next, Err(RecvTimeoutError::Disconnected));
            match next {
                Ok(Kept::Rows(rows)) => {
                    let mut rows = Arc::unwrap_or_clone(rows);
                    rows.retain(is_new);
                    self.keeper.write(rows)?;
                }
                Ok(Kept::Mark(mark)) => match &mut self.newest {
                    Some(newest) => newest.merge(mark),
                    newest => *newest = Some(mark),
                },
                Err(_) => {}
            }
            if ended || every <= flushed.elapsed() {
                self.flush()?;
                flushed = now();
            }
            if LOOK <= looked.elapsed() {
                self.look();
                looked = now();
            }
            if ended {
                return Ok(());
            }
        }
    }

    /// Writes what waits; once it is kept, notes how far in `runs` and in the log.
    fn flush(&mut self) -> Result<()> {
        if !self.keeper.flush()? {
            return Ok(());
        }
        let Some(mark) = self.newest.take_if(|mark| self.kept < mark.frontier) else { return Ok(()) };
        if self.run.frontier < mark.frontier {
            self.run.advance(&mark);
            self.keeper.write(vec![self.run.row()])?;
            if !self.keeper.flush()? {
                self.newest = Some(mark);
                return Ok(());
            }
        }
        self.kept = mark.frontier;
        for (place, offset) in &mark.offsets {
            self.log.commit(place.0, place.1, *offset)?;
        }
        match &self.keeper {
            Keeper::Parquet(_) => self.is_stored(mark.frontier),
            Keeper::QuestDb(_) => self.applied(),
        }
        self.lag(&mark.offsets);
        Ok(())
    }

    fn is_stored(&self, frontier: Time) {
        self.live.stored_up_to(frontier as i64);
        self.status.stored_ts.store(frontier as i64, Relaxed);
    }

    /// Lets rows leave memory that can be read from the server.
    fn applied(&mut self) {
        let Keeper::QuestDb(sink) = &self.keeper else { return };
        let Ok(tables) = sink.client().wal_tables() else { return };
        if self.unapplied.is_none() && self.status.stored_ts.load(Relaxed) < self.kept as i64 {
            let marks = tables.iter().map(|table| (table.name.clone(), table.sequencer)).collect();
            self.unapplied = Some((self.kept, marks));
        }
        let Some((frontier, marks)) = &self.unapplied else { return };
        let reached =
            |table: &prism_connectors::questdb::WalTable| marks.get(&table.name).is_none_or(|at| *at <= table.writer);
        if !marks.is_empty() && tables.iter().all(reached) {
            self.is_stored(*frontier);
            self.unapplied = None;
        }
    }

    /// Exposes how the server is.
    fn look(&mut self) {
        self.applied();
        let Keeper::QuestDb(sink) = &self.keeper else { return };
        self.status.gauge("prism_spool_bytes", &[], sink.spooled() as f64);
        if let Some(why) = sink.away() {
            self.status.store_failures.fetch_add(1, Relaxed);
            self.status.hold("store", &format!("{} does not answer or take rows: {why}", sink.client().address()));
            return;
        }
        self.status.release("store");
        let Ok(tables) = sink.client().wal_tables() else { return };
        let suspended: Vec<&str> = tables.iter().filter(|table| table.suspended).map(|table| &*table.name).collect();
        match suspended.is_empty() {
            true => self.status.release("suspended"),
            false => self.status.hold("suspended", &format!("QuestDB does not apply rows to {}", suspended.join(", "))),
        }
        for table in &tables {
            self.status.gauge("prism_wal_lag_transactions", &[("table", &table.name)], table.lag() as f64);
        }
    }

    /// Exposes how far each partition is read and kept.
    fn lag(&self, offsets: &BTreeMap<(Topic, u32), u64>) {
        for ((topic, partition), offset) in offsets {
            if let Ok(end) = self.log.end(*topic, *partition) {
                let labels = [("topic", topic.name()), ("partition", &partition.to_string())];
                self.status.gauge("prism_log_lag_messages", &labels, end.saturating_sub(*offset) as f64);
            }
        }
    }
}
