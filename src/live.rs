//! What the processes of prism that serve have in common: what the API serves from, and how long they run.

use std::{net::TcpListener, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use prism_api::{App, Clock, Door, Limits, Snapshots, Status, Updates};
use prism_dataflow::forming::Audience;
use prism_pipeline::{Live, Subscribers};
use prism_queries::{Engine, LiveRows, Options, Place};
use prism_schemas::{Table, Timeframe, Ts, Versions};
use tokio_util::sync::CancellationToken;

use crate::{
    config::{Config, parse_bytes},
    misuse,
};

/// Waits for the end: a length of time, Ctrl-C, SIGTERM, or a thread that ended.
pub(crate) async fn wait(stop: CancellationToken, length: Option<Duration>) {
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
        () = stop.cancelled() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

/// Takes a port, before anything else is touched; 0 takes any that is free.
pub(crate) fn listen(host: &str, port: u16) -> Result<TcpListener> {
    TcpListener::bind((host, port)).with_context(|| format!("listen on {host}:{port} (another --port?)"))
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
    /// What they may take at most.
    limits: Limits,
    /// The time, simulated if the rows' is.
    pub(crate) clock: Clock,
    /// Timeframes of bars, if this process makes them.
    pub(crate) maintained: Vec<Timeframe>,
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
        let status = Arc::new(Status::new());
        status.watch(config.api.stale);
        let updates = Arc::new(Updates::new(live.clone()));
        let limits = Limits {
            connections: config.api.connections,
            connections_of_address: config.api.connections_of_address,
            streams: config.api.streams,
            streams_of_address: config.api.streams_of_address,
            ..Limits::default()
        };
        let (door, clock) = (Door::default(), Clock::default());
        Ok(Serving { live, status, updates, engine, snapshots: None, door, limits, clock, maintained: Vec::new() })
    }

    /// Rows in memory, as the pipeline sees them.
    pub(crate) fn memory(&self) -> Arc<dyn Live> {
        Arc::new(Memory(self.live.clone()))
    }

    /// Hands rows to whoever is connected.
    pub(crate) fn subscribers(&self) -> Subscribers {
        let updates = self.updates.clone();
        Box::new(move |rows| updates.tell(rows))
    }

    /// Whoever follows what forms, or asks.
    pub(crate) fn audience(&self) -> Option<Arc<dyn Audience>> {
        self.live.forming.serve();
        Some(Arc::new(Connected(self.live.clone(), self.updates.clone())))
    }

    /// Serves whoever connects until the end.
    pub(crate) fn serve(self, listener: TcpListener, length: Option<Duration>, stop: &CancellationToken) -> Result<()> {
        let app = App::new(self.engine, self.updates, self.status)
            .with_snapshots(self.snapshots)
            .with_door(self.door)
            .with_limits(self.limits)
            .with_clock(self.clock)
            .with_timeframes(&self.maintained);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let over = wait(stop.clone(), length);
        runtime.block_on(async move {
            listener.set_nonblocking(true)?;
            Ok(prism_api::serve(tokio::net::TcpListener::from_std(listener)?, app, over).await?)
        })
    }
}

/// Who asks and who is connected, as the graph sees them.
struct Connected(Arc<LiveRows>, Arc<Updates>);

impl Audience for Connected {
    fn wants(&self, table: Option<&Table>) -> bool {
        self.1.wants(table) || self.0.forming.wants(table)
    }

    fn wants_symbol(&self, symbol: &str) -> bool {
        self.0.forming.wants(None) || self.1.wants_symbol(symbol)
    }

    fn form(&self, rows: Versions) {
        self.0.forming.form(&rows);
        self.1.form(&rows);
    }

    fn asked(&self) -> u64 {
        self.0.forming.asked()
    }

    fn formed(&self, worker: usize, workers: usize, asked: u64) {
        self.0.forming.formed(worker, workers, asked);
    }
}

/// Rows in memory as the pipeline sees them.
pub(crate) struct Memory(pub(crate) Arc<LiveRows>);

impl Live for Memory {
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
