//! `prism demo`: everything in one process on an emulated venue, in a directory of its own.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use anyhow::{Context, Result};
use prism_dataflow::assemble::Plan;
use prism_log::{Log, SegmentLog};
use prism_pipeline::{Pipeline, Tasks};
use prism_queries::Place;
use prism_sources::synthetic::SYMBOLS;
use prism_store::Store;

use crate::{
    config::Config,
    live::{Serving, parse_length},
    misuse,
    synthetic::Source,
    venues::ingest_emulated,
};

/// Names a directory that a demo may delete.
const MARKER: &str = "made-by-prism-demo";

/// Run everything in one process on an emulated venue with a synthetic market: no service, no key, no network.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Port on 127.0.0.1
    #[arg(long, default_value_t = 8000)]
    port: u16,
    /// Stop after this long, such as 30s or 5m; Ctrl-C stops it any time
    #[arg(long = "for")]
    length: Option<String>,
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
    let config = Config::load(args.config.as_deref())?;
    let plan = Plan::new(config.settings.clone()).map_err(|error| misuse(format!("configuration: {error}")))?;
    let length = parse_length(args.length.as_deref())?;
    prepare(&args.dir)?;
    let log: Arc<dyn Log> = Arc::new(SegmentLog::open(&args.dir.join("log"))?);
    let store = args.dir.join("store");
    let keeper = Box::new(Store::open(&store, "live")?);

    let mut tasks = Tasks::new();
    let serving = Serving::new(&config, Place::Directory(store.clone()))?;
    serving.status.simulated.store(true, Relaxed);
    let clock = args.source.clock()?;
    tasks.spawn("ingest", {
        let (log, maintained, stop) = (log.clone(), plan.settings.timeframes.maintained.clone(), tasks.stop());
        let (source, clock) = (args.source, clock.clone());
        move || ingest_emulated(&log, &maintained, source, &clock, &stop)
    })?;
    let pipeline = Pipeline {
        log,
        plan,
        workers: 1,
        store: keeper,
        flush: Duration::from_nanos(config.store.flush.unsigned_abs()),
        live: serving.memory(),
        subscribers: serving.subscribers(),
        status: serving.status.clone(),
        clock,
    };
    pipeline.start(&mut tasks)?;

    let Source { seed, speed } = args.source;
    let served = serving.serve("127.0.0.1", args.port, length, &tasks.stop(), |address| {
        println!("prism demo: {} synthetic symbols, seed {seed}, {speed} x real time", SYMBOLS.len());
        println!("  page     http://{address}/");
        println!("  signals  http://{address}/api/signals/latest");
        println!("  why      http://{address}/api/analysis/BTCUSDT");
        println!("  openapi  http://{address}/api/openapi.json");
        println!("  sql      curl -s {address}/api/sql -H 'content-type: application/json' \\");
        println!(
            "             -d '{{\"sql\": \"SELECT symbol, score FROM live.confluence ORDER BY score DESC LIMIT 5\"}}'"
        );
    });
    tasks.end()?;
    served?;
    println!("stopped; ask on with: prism sql --store {} \"SELECT * FROM signals\"", store.display());
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
