//! `prism record`: what a live venue sends, byte for byte, with receive times.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use anyhow::{Context, Result, anyhow, bail};
use prism_dataflow::assemble::Plan;
use prism_pipeline::Tasks;
use prism_schemas::time::SECOND;
use prism_venue::{Tapped, Wired, reach};
use tokio::sync::mpsc::{Receiver, channel};

use crate::{
    config::Config,
    live::{parse_length, wait},
    misuse,
    venues::{self, clock, sources},
};

/// Lines on their way to the file; then the sockets wait.
const AHEAD: usize = 4_096;

/// Record what live venues (feeds.venues) send, byte for byte; `prism import` reads it.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// File of JSON lines, compressed: recording.jsonl.zst
    #[arg(long)]
    out: PathBuf,
    /// Stop after this long, such as 30s or 5m; Ctrl-C and SIGTERM stop it any time
    #[arg(long = "for")]
    length: Option<String>,
    /// Configuration file over the defaults
    #[arg(long)]
    config: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let config = Config::load(args.config.as_deref())?;
    let plan = Plan::new(config.settings.clone()).map_err(|error| misuse(format!("configuration: {error}")))?;
    let length = parse_length(args.length.as_deref())?;
    let mut sources = sources(&config.feeds, &plan.settings.timeframes.maintained)?;
    let [source] = &mut sources.venues[..] else {
        return Err(misuse("feeds.venues: a recording is of one venue"));
    };
    if args.out.exists() {
        bail!("create {}: it is there already, and a recording is not written over", args.out.display());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    // Before a file is made: nothing can be recorded of a venue that is not reached.
    runtime.block_on(reach(&source.maker, &source.options, &clock()))?;
    let file = File::create_new(&args.out).with_context(|| format!("create {}", args.out.display()))?;
    let (tap, tapped) = channel(AHEAD);
    source.options.tap = Some(tap);
    // As other recordings call them.
    let name = match &*source.name {
        "binance-linear" => "BINANCE_FUTURES".to_string(),
        name => name.split('-').next().unwrap_or_default().to_uppercase(),
    };
    let mut tasks = Tasks::new();
    let until = tasks.stop();
    tasks.spawn("follow", move || venues::follow_only(sources, &until))?;
    let (out, written) = (args.out.clone(), Arc::new(AtomicU64::new(0)));
    tasks.spawn("record", {
        let written = written.clone();
        move || write(file, &name, tapped, &written).with_context(|| format!("write {}", out.display()))
    })?;
    println!("prism record: {} into {}", config.feeds.venues[0], args.out.display());
    runtime.block_on(wait(tasks.stop(), length));
    let outcome = tasks.end();
    if written.load(Relaxed) == 0 {
        std::fs::remove_file(&args.out).with_context(|| format!("remove {}", args.out.display()))?;
        return outcome.and_then(|()| Err(anyhow!("nothing came from {} meanwhile", config.feeds.venues[0])));
    }
    outcome
}

/// Writes lines until nothing is tapped any more, and counts them.
fn write(file: File, exchange: &str, mut tapped: Receiver<Tapped>, written: &AtomicU64) -> Result<()> {
    let mut out = BufWriter::new(zstd::Encoder::new(file, 3)?.auto_finish());
    let text = |text: &str| serde_json::Value::from(text).to_string();
    writeln!(out, "{{\"t\":\"header\",\"exchange\":{}}}", text(exchange))?;
    while let Some((ts, connection, wired)) = tapped.blocking_recv() {
        let (kind, rest) = match &wired {
            Wired::Opened(address) => ("connect", format!("\"addr\":{}", text(address))),
            Wired::Frame(frame) => ("recv", format!("\"data\":{}", text(frame))),
            Wired::Answer(url, body) => ("http", format!("\"url\":{},\"data\":{}", text(url), text(body))),
        };
        let (seconds, nanos) = (ts / SECOND, ts % SECOND);
        let connection = text(&connection);
        writeln!(out, "{{\"t\":\"{kind}\",\"conn\":{connection},\"ts\":{seconds}.{nanos:09},{rest}}}")?;
        written.fetch_add(1, Relaxed);
    }
    out.flush()?;
    Ok(())
}
