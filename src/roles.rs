//! `prism ingest`, `compute`, `serve` and `run`: the parts as processes of their own, or all in one.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use anyhow::{Context, Result};
use prism_api::{Audience, Door, DoorError, Secret, Status};
use prism_dataflow::assemble::Plan;
use prism_log::Log;
use prism_pipeline::{Clock, Pipeline, Tasks};
use prism_queries::Place;
use prism_schemas::{time::HOUR, without_login};

use tokio_util::sync::CancellationToken;

use crate::{
    args::{self, Deadline},
    config::Config,
    follow,
    live::{Serving, listen, wait},
    output::say,
    place::{Access, Holds, flush_every, look, open_log, open_store, parse_store},
    snapshot,
    synthetic::{self, SimulatedTime, Source},
    venues,
};

/// Between two looks whether a store has rows.
const LOOK: Duration = Duration::from_millis(500);

/// What all roles take.
#[derive(clap::Args)]
struct Common {
    /// Stop this long after the start, such as 30s or 5m; Ctrl-C and SIGTERM stop it any time
    #[arg(long = "for", value_parser = args::deadline)]
    length: Option<Deadline>,
    /// Configuration file over the defaults
    #[arg(long)]
    config: Option<PathBuf>,
}

/// Where the API is served, and for whom.
#[derive(clap::Args)]
struct Http {
    /// Address to listen on; 0.0.0.0 for all, which needs --token-file
    #[arg(long, default_value = "127.0.0.1")]
    host: String,
    /// Port to listen on
    #[arg(long, default_value_t = 8000)]
    port: u16,
    /// File with the token that clients send as "Authorization: Bearer TOKEN", of 16 characters at least
    #[arg(long, value_name = "PATH")]
    token_file: Option<PathBuf>,
    /// Let everybody ask who reaches the address: something in front of it keeps strangers out
    #[arg(long, conflicts_with = "token_file")]
    no_token: bool,
    /// Host name under which requests may come beside the address and localhost; may be given several times
    #[arg(long, value_name = "NAME")]
    allow_host: Vec<String>,
}

impl Http {
    /// Who may ask; refuses an address that others reach unless they need a token.
    fn door(&self) -> Result<Door> {
        let audience = match (&self.token_file, self.no_token) {
            (Some(path), _) => Audience::Token(Secret::read(path).map_err(|error| crate::misuse(error.to_string()))?),
            (None, true) => Audience::Anybody,
            (None, false) => Audience::Local,
        };
        Door::new(&self.host, audience, &self.allow_host).map_err(|error| match error {
            DoorError::Unguarded { host } => crate::misuse(format!(
                "--host {host} is reached from other machines: give --token-file (or --no-token)"
            )),
            other => crate::misuse(format!("--allow-host: {other}")),
        })
    }
}

/// How the graph runs.
#[derive(clap::Args)]
struct Graph {
    /// Worker threads; results do not depend on it
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=256))]
    workers: u64,
}

/// Write market events to a log: of live venues (feeds.venues), or of the synthetic market.
#[derive(clap::Args)]
pub(crate) struct Ingest {
    /// Log: kafka://HOST:PORT or a directory
    #[arg(long, env = "PRISM_LOG", hide_env_values = true)]
    log: String,
    /// Take the synthetic market as the source
    #[arg(long)]
    synthetic: bool,
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    common: Common,
}

/// Follow a log with the dataflow, keep its rows in a store, and serve them.
#[derive(clap::Args)]
pub(crate) struct Compute {
    /// Log: kafka://HOST:PORT or a directory
    #[arg(long, env = "PRISM_LOG", hide_env_values = true)]
    log: String,
    /// Store: questdb://[USER:PASSWORD@]HOST:PORT or a directory
    #[arg(long, env = "PRISM_STORE", hide_env_values = true)]
    store: String,
    #[command(flatten)]
    graph: Graph,
    #[command(flatten)]
    http: Http,
    #[command(flatten)]
    common: Common,
}

/// Serve the API from a store that another process fills.
#[derive(clap::Args)]
pub(crate) struct Serve {
    /// Store: questdb://[USER:PASSWORD@]HOST:PORT or a directory
    #[arg(long, env = "PRISM_STORE", hide_env_values = true)]
    store: String,
    #[command(flatten)]
    http: Http,
    #[command(flatten)]
    common: Common,
}

/// Ingest, compute and serve in one process: live venues (feeds.venues), or the synthetic market.
#[derive(clap::Args)]
pub(crate) struct Run {
    /// Log: kafka://HOST:PORT or a directory
    #[arg(long, env = "PRISM_LOG", hide_env_values = true, default_value = "data/log")]
    log: String,
    /// Store: questdb://[USER:PASSWORD@]HOST:PORT or a directory
    #[arg(long, env = "PRISM_STORE", hide_env_values = true, default_value = "data/store")]
    store: String,
    /// Take the synthetic market as the source
    #[arg(long)]
    synthetic: bool,
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    graph: Graph,
    #[command(flatten)]
    http: Http,
    #[command(flatten)]
    common: Common,
}

fn load(common: &Common) -> Result<(Config, Plan)> {
    let config = Config::load(common.config.as_deref())?;
    let plan = Plan::new(config.settings.clone()).map_err(|error| crate::misuse(format!("configuration: {error}")))?;
    Ok((config, plan))
}

/// Where events come from.
enum Origin {
    Synthetic(Source, SimulatedTime),
    Venues(venues::Sources),
}

impl Origin {
    fn new(synthetic: bool, source: Source, config: &Config, plan: &Plan) -> Result<Origin> {
        if synthetic {
            return Ok(Origin::Synthetic(source, source.time()?));
        }
        Ok(Origin::Venues(venues::sources(&config.feeds, &plan.settings.timeframes.maintained)?))
    }

    /// The time of its events.
    fn clock(&self) -> Clock {
        match self {
            Origin::Synthetic(_, time) => time.clone().clock(),
            Origin::Venues(_) => venues::clock(),
        }
    }

    /// A thread that writes to the log until told to stop.
    fn start(self, log: &Arc<dyn Log>, plan: &Plan, tasks: &mut Tasks) -> Result<()> {
        let (log, until, epoch) = (log.clone(), tasks.stop(), plan.settings.time.epoch);
        let maintained = plan.settings.timeframes.maintained.clone();
        tasks.spawn("ingest", move || match self {
            Origin::Synthetic(source, time) => synthetic::ingest(&log, &maintained, source, &time, &until),
            Origin::Venues(sources) => venues::ingest(&log, sources, epoch, &until),
        })
    }

    fn name(&self) -> &'static str {
        match self {
            Origin::Synthetic(..) => "the synthetic market",
            Origin::Venues(_) => "live venues",
        }
    }
}

pub(crate) fn ingest(args: &Ingest) -> Result<()> {
    let (config, plan) = load(&args.common)?;
    let origin = Origin::new(args.synthetic, args.source, &config, &plan)?;
    let log = open_log(&args.log, &config, Access::Write)?;
    let mut tasks = Tasks::new();
    // It goes on when nobody reads this.
    let _ = say!("prism ingest: {} into {}", origin.name(), without_login(&args.log));
    origin.start(&log, &plan, &mut tasks)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(wait(tasks.stop(), args.common.length.map(Deadline::left)));
    tasks.end()
}

/// Says where the API is.
fn hello(role: &str, listener: &TcpListener) -> Result<()> {
    let address = listener.local_addr()?;
    // It goes on when nobody reads this.
    let _ = say!("prism {role}: http://{address}/, readiness at http://{address}/ready");
    Ok(())
}

pub(crate) fn compute(args: &Compute) -> Result<()> {
    let Compute { log, store, graph, http, common } = args;
    pipeline("compute", [log, store], graph, http, common, None)
}

pub(crate) fn run(args: &Run) -> Result<()> {
    let Run { log, store, synthetic, source, graph, http, common } = args;
    pipeline("run", [log, store], graph, http, common, Some((*synthetic, *source)))
}

/// Tells of a retention that removes what the run needs when it starts again.
fn check_retention(log: &str, config: &Config, plan: &Plan) {
    let (key, have) = match log.starts_with("kafka://") {
        true => ("kafka.retention", config.kafka.retention),
        false => ("log.retention", config.log.retention),
    };
    let needs = prism_pipeline::reach(&plan.settings);
    if 0 < have && have < needs {
        let hours = |nanos: i64| format!("{:.1} h", nanos as f64 / HOUR as f64);
        let (have, needs) = (hours(have), hours(needs));
        tracing::warn!(
            "{key} is {have}, shorter than the longest of timeframes.maintained and time.horizon: after a restart \
             bars across the cut would be partial; {needs} are enough"
        );
    }
}

/// The graph over a log into a store, and the API over both; with a source that fills the log, if this process has one.
fn pipeline(
    role: &str,
    [log, store]: [&str; 2],
    graph: &Graph,
    http: &Http,
    common: &Common,
    source: Option<(bool, Source)>,
) -> Result<()> {
    let (config, plan) = load(common)?;
    let door = http.door()?;
    let listener = listen(&http.host, http.port)?;
    let origin = source.map(|(synthetic, source)| Origin::new(synthetic, source, &config, &plan)).transpose()?;
    let place = parse_store(store)?;
    check_retention(log, &config, &plan);
    let log = open_log(log, &config, if origin.is_some() { Access::Write } else { Access::Read })?;
    let store = open_store(&place, "live", &config)?;
    let flush = flush_every(&place, &config);
    let mut tasks = Tasks::new();
    let mut serving = Serving::new(&config, place)?;
    let clock = origin.as_ref().map_or_else(venues::clock, Origin::clock);
    serving.door = door;
    serving.clock = prism_api::Clock(clock.clone());
    serving.maintained = plan.settings.timeframes.maintained.clone();
    if let Some(mut origin) = origin {
        if let Origin::Venues(sources) = &mut origin {
            serving.snapshots = Some(snapshot::route(snapshot::takers(&config.feeds, &plan)?));
            venues::expose(sources, &serving.status);
        }
        if let Origin::Synthetic(source, _) = &origin {
            serving.status.watch(source.simulated(config.api.stale));
        }
        serving.status.simulated.store(matches!(origin, Origin::Synthetic(..)), Relaxed);
        origin.start(&log, &plan, &mut tasks)?;
    }
    let pipeline = Pipeline {
        log,
        plan: Plan { forming: serving.audience(), ..plan },
        workers: graph.workers as usize,
        store,
        flush,
        live: serving.memory(),
        subscribers: serving.subscribers(),
        status: serving.status.clone(),
        clock,
    };
    pipeline.start(&mut tasks)?;
    let length = common.length.map(Deadline::left);
    hello(role, &listener)?;
    let served = serving.serve(listener, length, &tasks.stop());
    tasks.end()?;
    served
}

pub(crate) fn serve(args: &Serve) -> Result<()> {
    let (config, _) = load(&args.common)?;
    let (place, door) = (parse_store(&args.store)?, args.http.door()?);
    let listener = listen(&args.http.host, args.http.port)?;
    let mut tasks = Tasks::new();
    let mut serving = Serving::new(&config, place.clone())?;
    serving.door = door;
    if let Place::Directory(dir) = &place {
        wait_for_rows(dir, &serving.status, &tasks.stop())?;
    }
    follow::start(&place, &serving, &mut tasks)?;
    let length = args.common.length.map(Deadline::left);
    hello("serve", &listener)?;
    let served = serving.serve(listener, length, &tasks.stop());
    tasks.end()?;
    served
}

/// Not ready while a store holds no live rows.
fn wait_for_rows(dir: &Path, status: &Arc<Status>, stop: &CancellationToken) -> Result<()> {
    let is_filled = |dir: &Path| matches!(look(dir), Ok(Holds::Runs(true, _)));
    if let Holds::Runs(true, _) = look(dir)? {
        return Ok(());
    }
    let (shown, dir) = (dir.display(), dir.to_path_buf());
    let why = format!("{shown} holds no live rows: start the process that fills it, or name its store with --store");
    tracing::warn!("{why}");
    status.hold("rows", &why);
    let (status, stop) = (status.clone(), stop.clone());
    let waiting = move || {
        while !stop.is_cancelled() && !is_filled(&dir) {
            std::thread::sleep(LOOK);
        }
        status.release("rows");
    };
    std::thread::Builder::new().name("rows".into()).spawn(waiting).context("start the thread rows")?;
    Ok(())
}
