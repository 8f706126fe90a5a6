//! Live venues as the source: their events into a log, and a heartbeat to every partition while little happens.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Result, anyhow};
use prism_connectors::{
    exchange::{Channels, wire},
    log::{Log, LogWriter},
    venue::{Clock, Events, Maker, Options, Tapped, follow},
};
use prism_schemas::{Timeframe, Topic};
use tokio::{
    sync::mpsc::{Receiver, Sender, channel},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use crate::{config::Feeds, misuse};

/// Times events may be handed over before some are written; then the sockets wait.
const AHEAD: usize = 1_024;
/// Between two heartbeats: half an epoch, unless epochs are shorter than this twice.
const BEAT: Duration = Duration::from_millis(50);

/// The wall clock, in UNIX nanoseconds.
#[expect(clippy::disallowed_methods, reason = "receive times are the edge where time enters")]
pub(crate) fn clock() -> Clock {
    Arc::new(|| SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as i64))
}

/// A venue that can be followed, as configured.
pub(crate) struct Source {
    maker: Maker,
    options: Options,
}

impl Source {
    /// Hands over what comes over its wire too.
    pub(crate) fn tap(&mut self, tap: Sender<Tapped>) {
        self.options.tap = Some(tap);
    }
}

/// Reads what is configured; a venue nobody knows is an error that names those known.
pub(crate) fn sources(feeds: &Feeds, timeframes: &[Timeframe]) -> Result<Vec<Source>> {
    let length = |nanos: i64| Duration::from_nanos(nanos.unsigned_abs());
    let source = |name: &String| {
        let known = wire(name).ok_or_else(|| {
            misuse(format!("feeds.venues: no venue \"{name}\"; known are bybit-linear, bybit-spot and bybit-inverse"))
        })?;
        let [stream, rest] = known.addresses().map(String::from);
        let (stream, rest) = match feeds.addresses.get(name) {
            Some(address) => (address.replacen("http", "ws", 1), address.clone()),
            None => (stream, rest),
        };
        let channels =
            Channels { trades: true, depth: feeds.depth, tickers: feeds.tickers, liquidations: feeds.liquidations };
        let options = Options {
            tap: None,
            stream,
            rest,
            channels,
            include: feeds.include.clone(),
            exclude: feeds.exclude.clone(),
            quote: feeds.quote.clone(),
            top: feeds.top,
            turnover_min: feeds.turnover_min,
            timeframes: timeframes.to_vec(),
            bars: feeds.bars,
            reconcile: length(feeds.reconcile),
            ping: length(feeds.ping),
            stale: length(feeds.stale),
            idle: length(feeds.idle),
            patience: length(feeds.patience),
            rotate: length(feeds.rotate),
            ignore_gaps: false,
        };
        let name = name.clone();
        let maker: Maker = Arc::new(move || wire(&name).unwrap_or_else(|| unreachable!("{name} was known")));
        Ok(Source { maker, options })
    };
    if feeds.venues.is_empty() {
        return Err(misuse("feeds.venues is empty: name a venue, or take --synthetic"));
    }
    feeds.venues.iter().map(source).collect()
}

/// Writes the venues' events to the log until told to stop.
pub(crate) fn ingest(log: &Arc<dyn Log>, sources: Vec<Source>, stop: &CancellationToken) -> Result<()> {
    with_events(sources, stop, async |events| write(log, events).await)
}

/// Follows the venues until told to stop, and lets go of their events: what counts is what is tapped.
pub(crate) fn follow_only(sources: Vec<Source>, stop: &CancellationToken) -> Result<()> {
    with_events(sources, stop, async |mut events: Receiver<Events>| {
        while events.recv().await.is_some() {}
        Ok(())
    })
}

fn with_events(
    sources: Vec<Source>,
    stop: &CancellationToken,
    take: impl AsyncFnOnce(Receiver<Events>) -> Result<()>,
) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let (out, events) = channel(AHEAD);
        let mut venues = JoinSet::new();
        for Source { maker, options } in sources {
            venues.spawn(follow(maker, options, clock(), out.clone(), stop.clone()));
        }
        drop(out);
        take(events).await?;
        for ended in venues.join_all().await {
            ended?;
        }
        if stop.is_cancelled() { Ok(()) } else { Err(anyhow!("all venues ended")) }
    })
}

/// Writes until all venues have ended.
async fn write(log: &Arc<dyn Log>, mut events: Receiver<Events>) -> Result<()> {
    #[expect(clippy::disallowed_methods, reason = "how often heartbeats are written; their times come from the clock")]
    let now = Instant::now;
    let (clock, mut writer) = (clock(), LogWriter::new(log.clone()));
    let (mut promised, mut beat) = (clock(), now());
    loop {
        match tokio::time::timeout(BEAT, events.recv()).await {
            Ok(None) => break,
            Ok(Some(received)) => {
                for (instrument, mut event) in received {
                    // Sockets race with heartbeats; what was promised holds.
                    event.ts_recv = event.ts_recv.max(promised);
                    tokio::task::block_in_place(|| writer.push(&instrument, event))?;
                }
            }
            Err(_) => {}
        }
        if BEAT <= beat.elapsed() {
            beat = now();
            promised = clock().max(promised);
            tokio::task::block_in_place(|| {
                for topic in Topic::ALL {
                    for partition in 0..log.partitions(topic) {
                        writer.heartbeat(topic, partition, promised, "half an epoch")?;
                    }
                }
                writer.flush()
            })?;
        }
    }
    Ok(tokio::task::block_in_place(|| writer.sync())?)
}
