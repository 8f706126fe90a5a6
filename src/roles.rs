//! `prism ingest`, `compute`, `serve` and `run`: the parts as processes of their own, or all in one.

use std::{
    path::PathBuf,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use anyhow::Result;
use prism_dataflow::assemble::Plan;
use prism_log::Log;
use prism_pipeline::{Clock, Pipeline, Tasks};

use crate::{
    config::Config,
    follow,
    live::{Serving, parse_length, wait},
    place::{Access, flush_every, open_log, open_store, parse_store},
    snapshot,
    synthetic::{self, Source},
    venues,
};

/// What all roles take.
#[derive(clap::Args)]
struct Common {
    /// Stop after this long, such as 30s or 5m; Ctrl-C and SIGTERM stop it any time
    #[arg(long = "for")]
    length: Option<String>,
    /// Configuration file over the defaults
    #[arg(long)]
    config: Option<PathBuf>,
}

/// Where the API is served.
#[derive(clap::Args)]
struct Http {
    /// Address to listen on; 0.0.0.0 for all
    #[arg(long, default_value = "127.0.0.1")]
    host: String,
    /// Port to listen on
    #[arg(long, default_value_t = 8000)]
    port: u16,
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
    #[arg(long, env = "PRISM_LOG")]
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
    #[arg(long, env = "PRISM_LOG")]
    log: String,
    /// Store: questdb://[USER:PASSWORD@]HOST:PORT or a directory
    #[arg(long, env = "PRISM_STORE")]
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
    #[arg(long, env = "PRISM_STORE")]
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
    #[arg(long, env = "PRISM_LOG", default_value = "data/log")]
    log: String,
    /// Store: questdb://[USER:PASSWORD@]HOST:PORT or a directory
    #[arg(long, env = "PRISM_STORE", default_value = "data/store")]
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

fn load(common: &Common) -> Result<(Config, Plan, Option<Duration>)> {
    let config = Config::load(common.config.as_deref())?;
    let plan = Plan::new(config.settings.clone()).map_err(|error| crate::misuse(format!("configuration: {error}")))?;
    Ok((config, plan, parse_length(common.length.as_deref())?))
}

/// Where events come from.
enum Origin {
    Synthetic(Source),
    Venues(venues::Sources),
}

impl Origin {
    fn new(synthetic: bool, source: Source, config: &Config, plan: &Plan) -> Result<Origin> {
        if synthetic {
            return Ok(Origin::Synthetic(source));
        }
        Ok(Origin::Venues(venues::sources(&config.feeds, &plan.settings.timeframes.maintained)?))
    }

    /// The time of its events.
    fn clock(&self) -> Result<Clock> {
        match self {
            Origin::Synthetic(source) => source.clock(),
            Origin::Venues(_) => Ok(venues::clock()),
        }
    }

    /// A thread that writes to the log until told to stop.
    fn start(self, log: &Arc<dyn Log>, plan: &Plan, tasks: &mut Tasks) -> Result<()> {
        let (log, until, maintained) = (log.clone(), tasks.stop(), plan.settings.timeframes.maintained.clone());
        tasks.spawn("ingest", move || match self {
            Origin::Synthetic(source) => synthetic::ingest(&log, &maintained, source, &until),
            Origin::Venues(sources) => venues::ingest(&log, sources, &until),
        })
    }

    fn name(&self) -> &'static str {
        match self {
            Origin::Synthetic(_) => "the synthetic market",
            Origin::Venues(_) => "live venues",
        }
    }
}

pub(crate) fn ingest(args: &Ingest) -> Result<()> {
    let (config, plan, length) = load(&args.common)?;
    let origin = Origin::new(args.synthetic, args.source, &config, &plan)?;
    let log = open_log(&args.log, &config, Access::Write)?;
    let mut tasks = Tasks::new();
    println!("prism ingest: {} into {}", origin.name(), args.log);
    origin.start(&log, &plan, &mut tasks)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(wait(tasks.stop(), length));
    tasks.end()
}

/// Says where the API is.
fn hello(role: &str, address: std::net::SocketAddr) {
    println!("prism {role}: http://{address}/, readiness at http://{address}/ready");
}

pub(crate) fn compute(args: &Compute) -> Result<()> {
    let Compute { log, store, graph, http, common } = args;
    pipeline("compute", [log, store], graph, http, common, None)
}

pub(crate) fn run(args: &Run) -> Result<()> {
    let Run { log, store, synthetic, source, graph, http, common } = args;
    pipeline("run", [log, store], graph, http, common, Some((*synthetic, *source)))
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
    let (config, plan, length) = load(common)?;
    let origin = source.map(|(synthetic, source)| Origin::new(synthetic, source, &config, &plan)).transpose()?;
    let place = parse_store(store)?;
    let log = open_log(log, &config, if origin.is_some() { Access::Write } else { Access::Read })?;
    let store = open_store(&place, "live", &config)?;
    let flush = flush_every(&place, &config);
    let mut tasks = Tasks::new();
    let mut serving = Serving::new(&config, place)?;
    let clock = origin.as_ref().map_or_else(|| Ok(venues::clock()), Origin::clock)?;
    if let Some(mut origin) = origin {
        if let Origin::Venues(sources) = &mut origin {
            serving.snapshots = Some(snapshot::route(snapshot::takers(&config.feeds, &plan)?));
            venues::expose(sources, &serving.status);
        }
        serving.status.simulated.store(matches!(origin, Origin::Synthetic(_)), Relaxed);
        origin.start(&log, &plan, &mut tasks)?;
    }
    let pipeline = Pipeline {
        log,
        plan,
        workers: graph.workers as usize,
        store,
        flush,
        live: serving.memory(),
        subscribers: serving.subscribers(),
        status: serving.status.clone(),
        clock,
    };
    pipeline.start(&mut tasks)?;
    let served = serving.serve(&http.host, http.port, length, &tasks.stop(), |address| hello(role, address));
    tasks.end()?;
    served
}

pub(crate) fn serve(args: &Serve) -> Result<()> {
    let (config, _, length) = load(&args.common)?;
    let place = parse_store(&args.store)?;
    let mut tasks = Tasks::new();
    let serving = Serving::new(&config, place.clone())?;
    follow::start(&place, &serving, &mut tasks)?;
    let Http { host, port } = &args.http;
    let served = serving.serve(host, *port, length, &tasks.stop(), |address| hello("serve", address));
    tasks.end()?;
    served
}
