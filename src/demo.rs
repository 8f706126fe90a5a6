//! `prism demo`: everything in one process on an emulated venue, in a directory of its own.

use std::{
    fs::{File, OpenOptions, TryLockError},
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use prism_dataflow::assemble::Plan;
use prism_log::{Log, SegmentLog};
use prism_pipeline::{Pipeline, Tasks};
use prism_queries::Place;
use prism_store::Store;

use crate::{
    args::{self, Deadline, quoted},
    config::Config,
    live::{Serving, listen},
    misuse,
    output::{print, say},
    snapshot,
    synthetic::Source,
    venues::Emulated,
};

/// Names a directory that a demo may delete.
const MARKER: &str = "made-by-prism-demo";

/// From the venue to the log, on this machine, at most: mostly.
const ON_THE_WAY: Duration = Duration::from_millis(30);

/// Run everything in one process on an emulated venue with a synthetic market: no service, no key, no network.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Port on 127.0.0.1
    #[arg(long, default_value_t = 8000)]
    port: u16,
    /// Stop this long after the start, such as 30s or 5m; Ctrl-C stops it any time
    #[arg(long = "for", value_parser = args::deadline)]
    length: Option<Deadline>,
    #[command(flatten)]
    source: Source,
    /// Directory for log and store; made anew at each start
    #[arg(long, default_value = "data/demo")]
    dir: PathBuf,
    /// Configuration file over the defaults
    #[arg(long)]
    config: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let mut config = Config::load(args.config.as_deref())?;
    // Simulated time passes while events are on their way: bars wait for them.
    let on_the_way = (ON_THE_WAY.as_nanos() as f64 * args.source.speed) as i64;
    config.settings.time.grace = config.settings.time.grace.max(on_the_way);
    let plan = Plan::new(config.settings.clone()).map_err(|error| misuse(format!("configuration: {error}")))?;
    // Whatever is refused is refused before anything is removed.
    let listener = listen("127.0.0.1", args.port)?;
    let address = listener.local_addr()?;
    let _lock = claim(&args.dir)?;
    clear(&args.dir)?;
    let log: Arc<dyn Log> = Arc::new(SegmentLog::open(&args.dir.join("log"))?);
    let store = args.dir.join("store");
    let keeper = Box::new(Store::open(&store, "live")?);

    let mut tasks = Tasks::new();
    let mut serving = Serving::new(&config, Place::Directory(store.clone()))?;
    serving.maintained = plan.settings.timeframes.maintained.clone();
    serving.status.simulated.store(true, Relaxed);
    serving.status.watch(args.source.simulated(config.api.stale));
    let clock = args.source.clock()?;
    serving.clock = prism_api::Clock(clock.clone());
    let venue = Emulated::new(args.source, &plan.settings.timeframes.maintained, &clock)?;
    serving.snapshots = Some(snapshot::route(vec![Arc::new(venue.taker(&plan.settings.timeframes.roles)?)]));
    tasks.spawn("ingest", {
        let (log, stop) = (log.clone(), tasks.stop());
        move || venue.ingest(&log, &stop)
    })?;
    let pipeline = Pipeline {
        log,
        plan: Plan { forming: serving.audience(), ..plan },
        workers: 1,
        store: keeper,
        flush: Duration::from_nanos(config.store.flush.unsigned_abs()),
        live: serving.memory(),
        subscribers: serving.subscribers(),
        status: serving.status.clone(),
        clock,
    };
    pipeline.start(&mut tasks)?;

    let length = args.length.map(Deadline::left);
    // It goes on when nobody reads this.
    let _ = print(&hello(address, args.source));
    let served = serving.serve(listener, length, &tasks.stop());
    tasks.end()?;
    served?;
    say!("stopped; ask on with: prism sql --store {} \"SELECT * FROM signals\"", quoted(&store))
}

/// What can be done with it.
fn hello(address: SocketAddr, source: Source) -> String {
    let (n, Source { seed, speed, .. }) = (source.symbols().len(), source);
    format!(
        "prism demo: {n} synthetic symbols, seed {seed}, {speed} x real time
  page     http://{address}/
  signals  http://{address}/api/signals/latest
  why      http://{address}/api/analysis/BTCUSDT
  openapi  http://{address}/api/openapi.json
  sql      curl -s {address}/api/sql -H 'content-type: application/json' \\
             -d '{{\"sql\": \"SELECT symbol, score FROM live.confluence ORDER BY score DESC LIMIT 5\"}}'
"
    )
}

/// Takes the directory for as long as the lock is held; refuses one that no demo made, and one that a running demo has.
fn claim(dir: &Path) -> Result<File> {
    std::fs::create_dir_all(dir).with_context(|| format!("create {}", dir.display()))?;
    let marker = dir.join(MARKER);
    let is_empty = std::fs::read_dir(dir).with_context(|| format!("read {}", dir.display()))?.next().is_none();
    if !is_empty && !marker.exists() {
        return Err(misuse(format!("{} was not made by a demo; name another directory with --dir", dir.display())));
    }
    let lock = OpenOptions::new().create(true).append(true).open(&marker);
    let lock = lock.with_context(|| format!("write to {}", dir.display()))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => {
            bail!("a running demo has {}: stop it, or name another directory with --dir", dir.display())
        }
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("lock {}", marker.display())),
    }
}

/// Removes what an earlier demo left.
fn clear(dir: &Path) -> Result<()> {
    for entry in std::fs::read_dir(dir).with_context(|| format!("read {}", dir.display()))? {
        let (entry, path) = entry.map(|entry| (entry.file_type(), entry.path()))?;
        if path.ends_with(MARKER) {
            continue;
        }
        let removed = if entry?.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
        removed.with_context(|| format!("remove {}", path.display()))?;
    }
    Ok(())
}
