//! Live venues as the source: their events into a log, and a heartbeat to every partition while little happens.

use std::{
    net::TcpListener,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Result, anyhow};
use prism_api::{Stage, Status};
use prism_emulator::{Emulator, FACES, Faults, Origin};
use prism_exchange::{Channels, wire, wires};
use prism_log::{Known, LiveWriter, Log, Pace, SteadyClock, Step, session};
use prism_pipeline::TOPICS;
use prism_schemas::Timeframe;
use prism_sources::synthetic::Symbol;
use prism_venue::{Access, Clock, Events, Maker, NewestBar, Options, Snapshots, fear_greed, follow};
use tokio::{
    runtime::Runtime,
    sync::mpsc::{Receiver, channel},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use crate::{
    config::{Address, Feeds},
    misuse, synthetic,
};

/// Times events may be handed over before some are written; then the sockets wait.
const AHEAD: usize = 1_024;
/// Between two looks at silent partitions at most: they are looked at when an epoch begins.
const BEAT: Duration = Duration::from_millis(50);
/// Events wait for others at most this long before all become visible together.
const SOON: Duration = Duration::from_millis(1);

/// The wall clock, in UNIX nanoseconds.
#[expect(clippy::disallowed_methods, reason = "receive times are the edge where time enters")]
pub(crate) fn wall() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as i64)
}

/// Nanoseconds since the machine was started, asleep or awake.
#[cfg(target_os = "linux")]
fn since_boot() -> i64 {
    let since = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    since.tv_sec * 1_000_000_000 + since.tv_nsec
}

/// Nanoseconds since this was first asked.
#[cfg(not(target_os = "linux"))]
#[expect(clippy::disallowed_methods, reason = "receive times are the edge where time enters")]
fn since_boot() -> i64 {
    static BEGAN: std::sync::LazyLock<std::time::Instant> = std::sync::LazyLock::new(std::time::Instant::now);
    BEGAN.elapsed().as_nanos() as i64
}

/// The wall clock's time, without its steps.
fn steady() -> Arc<SteadyClock> {
    Arc::new(SteadyClock::new(wall, since_boot))
}

/// A clock that steps of the wall clock do not move, in UNIX nanoseconds.
pub(crate) fn clock() -> Clock {
    let steady = steady();
    Arc::new(move || steady.now())
}

/// Between two requests for the index of fear and greed, which changes once a day.
const FEAR_GREED: Duration = Duration::from_secs(3_600);

/// A venue that can be followed, as configured.
pub(crate) struct Source {
    /// As in `feeds.venues`.
    pub(crate) name: String,
    pub(crate) maker: Maker,
    pub(crate) options: Options,
}

/// What is followed, as configured.
pub(crate) struct Sources {
    pub(crate) venues: Vec<Source>,
    /// Where the index of fear and greed is asked for; empty for nowhere.
    pub(crate) fear_greed: String,
    /// How that is reached, and the venues.
    access: Arc<Access>,
    /// Where is told how they are followed.
    status: Option<Arc<Status>>,
}

/// Reads what is configured; a venue nobody knows is an error that names those known.
pub(crate) fn sources(feeds: &Feeds, timeframes: &[Timeframe]) -> Result<Sources> {
    let length = |nanos: i64| Duration::from_nanos(nanos.unsigned_abs());
    let access = access(feeds)?;
    let source = |name: &String| {
        let known = wire(name).ok_or_else(|| {
            let known: Vec<_> = wires().iter().map(|wire| format!("{}-{}", wire.id(), wire.market().name())).collect();
            misuse(format!("feeds.venues: no venue \"{name}\"; known are {}", known.join(", ")))
        })?;
        let [stream, rest] = match feeds.addresses.get(name) {
            Some(Address::Two { rest, stream }) => [stream.clone(), rest.clone()],
            Some(Address::One(one)) => match known.regions().iter().find(|(region, _)| region == one) {
                Some((_, addresses)) => addresses.map(String::from),
                None => [one.replacen("http", "ws", 1), one.clone()],
            },
            None => known.addresses().map(String::from),
        };
        let options = Options {
            stream,
            rest: rest.clone(),
            access: access.clone(),
            channels: Channels {
                trades: true,
                depth: feeds.depth,
                tickers: feeds.tickers,
                liquidations: feeds.liquidations,
                klines: feeds.klines,
            },
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
            skew: length(feeds.skew),
            refresh: length(feeds.refresh),
            poll: length(feeds.poll),
            ..Options::at(&rest)
        };
        Ok(Source { name: name.clone(), maker: maker(name), options })
    };
    if feeds.venues.is_empty() {
        return Err(misuse("feeds.venues is empty: name a venue, or take --synthetic"));
    }
    let (answered, stale) = (length(feeds.ping) + length(feeds.patience), length(feeds.stale));
    if stale <= answered {
        return Err(misuse(format!(
            "feeds.stale ({stale:?}) must be longer than feeds.ping and feeds.patience together ({answered:?}): a quiet \
             connection is one whose pings are answered"
        )));
    }
    let venues = feeds.venues.iter().map(source).collect::<Result<_>>()?;
    Ok(Sources { venues, fear_greed: feeds.fear_greed.clone(), access, status: None })
}

/// How venues are reached from this machine.
fn access(feeds: &Feeds) -> Result<Arc<Access>> {
    let ca = Some(&*feeds.ca).filter(|path| !path.as_os_str().is_empty());
    Ok(Arc::new(Access::of_machine(ca).map_err(|error| misuse(error.to_string()))?))
}

/// Makes the texts of a venue that is known.
pub(crate) fn maker(name: &str) -> Maker {
    let name = name.to_string();
    Arc::new(move || wire(&name).unwrap_or_else(|| unreachable!("{name} is known")))
}

/// Tells what is left of each venue's budget of requests, steps of the clock and how long events take, in the metrics.
pub(crate) fn expose(sources: &mut Sources, status: &Arc<Status>) {
    sources.status = Some(status.clone());
    for Source { name, options, .. } in &mut sources.venues {
        let (status, name) = (status.clone(), name.clone());
        options.quota = Some(Arc::new(move |quota| {
            let venue = [("venue", name.as_str())];
            status.gauge("prism_requests_left", &venue, quota.left.into());
            status.gauge("prism_requests_answered_ratio", &venue, quota.success_rate);
            status.gauge("prism_requests_closed", &venue, f64::from(quota.open));
        }));
    }
}

/// Writes the venues' events to the log until told to stop.
pub(crate) fn ingest(log: &Arc<dyn Log>, mut sources: Sources, epoch: i64, stop: &CancellationToken) -> Result<()> {
    let steady = steady();
    let time = steady.clone();
    let clock: Clock = Arc::new(move || time.now());
    let writer = LiveWriter::new(log.clone(), &TOPICS, Pace::of(epoch), session(clock()));
    writer.check(clock())?;
    let known = Arc::new(Mutex::new(Known::read(&**log)?));
    let newest: NewestBar = {
        let known = known.clone();
        Arc::new(move |id, timeframe| lock(&known).newest_bar(id, timeframe.name()))
    };
    sources.venues.iter_mut().for_each(|source| source.options.newest_bar = Some(newest.clone()));
    let status = sources.status.clone();
    let steps = || {
        let steps = steady.steps();
        if let (Some(step), Some(status)) = (steps.last(), &status) {
            status.gauge("prism_wall_clock_ahead_seconds", &[], step.ahead as f64 / 1e9);
        }
        steps
    };
    let received = |events: &Events| {
        let (Some(status), now) = (&status, clock()) else { return };
        events.iter().for_each(|(_, event)| status.latency(Stage::Receive, event.ts_recv, now));
    };
    let writing = async |events| write(writer, &clock, steps, received, &known, events).await;
    runtime()?.block_on(with_events(sources, &clock, stop, writing))
}

/// Follows the venues until told to stop, and lets go of their events: what counts is what is tapped.
pub(crate) fn follow_only(sources: Sources, stop: &CancellationToken) -> Result<()> {
    let forget = async |mut events: Receiver<Events>| {
        while events.recv().await.is_some() {}
        Ok(())
    };
    runtime()?.block_on(with_events(sources, &clock(), stop, forget))
}

/// An emulated Bybit of this process with a market of its own, in simulated time.
pub(crate) struct Emulated {
    listener: TcpListener,
    seed: u64,
    symbols: &'static [Symbol],
    speed: f64,
    clock: Clock,
    /// How it is followed.
    options: Options,
}

impl Emulated {
    const NAME: &str = FACES[0];

    pub(crate) fn new(source: synthetic::Source, timeframes: &[Timeframe], clock: &Clock) -> Result<Emulated> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let base = Options::at(&format!("http://{}/{}", listener.local_addr()?, Self::NAME));
        // Waits are in real time, and what they are for in simulated time.
        let speed = source.speed.clamp(1.0, 1e6);
        let options = Options {
            timeframes: timeframes.to_vec(),
            poll: base.poll.div_f64(speed),
            refresh: base.refresh.div_f64(speed),
            idle: base.idle.mul_f64(speed),
            skew: base.skew.mul_f64(speed),
            speed: speed as u32,
            ..base
        };
        let (seed, symbols) = (source.seed, source.symbols());
        Ok(Emulated { listener, seed, symbols, speed, clock: clock.clone(), options })
    }

    /// Asks it for all of a symbol at once, with bars of these timeframes.
    pub(crate) fn taker(&self, timeframes: &[Timeframe]) -> Result<Snapshots> {
        let options = Options { timeframes: timeframes.to_vec(), ..self.options.clone() };
        Ok(Snapshots::new(maker(Self::NAME), &options, self.clock.clone())?)
    }

    /// As `ingest`, of this venue.
    pub(crate) fn ingest(self, log: &Arc<dyn Log>, stop: &CancellationToken) -> Result<()> {
        let Emulated { listener, seed, symbols, speed, clock, options } = self;
        runtime()?.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            let emulator = Emulator::start(listener, Origin::Market(seed, symbols), Faults::default(), clock.clone())?;
            let venues = vec![Source { name: Self::NAME.into(), maker: maker(Self::NAME), options }];
            let sources = Sources { venues, fear_greed: emulator.fear_greed(), access: Access::plain(), status: None };
            let writer = LiveWriter::new(log.clone(), &TOPICS, Pace::at(speed), session(wall()));
            let known = Mutex::default();
            let writing = async |events| write(writer, &clock, Vec::new, |_| {}, &known, events).await;
            with_events(sources, &clock, stop, writing).await
        })
    }
}

fn lock(known: &Mutex<Known>) -> MutexGuard<'_, Known> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

fn runtime() -> Result<Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}

async fn with_events(
    sources: Sources,
    clock: &Clock,
    stop: &CancellationToken,
    take: impl AsyncFnOnce(Receiver<Events>) -> Result<()>,
) -> Result<()> {
    let (out, events) = channel(AHEAD);
    // One that cannot go on ends all.
    let stop = &stop.child_token();
    let mut venues = JoinSet::new();
    for Source { maker, options, .. } in sources.venues {
        venues.spawn(follow(maker, options, clock.clone(), out.clone(), stop.clone()));
    }
    if !sources.fear_greed.is_empty() {
        let asking = fear_greed(sources.fear_greed, sources.access, FEAR_GREED, clock.clone(), out.clone());
        let stop = stop.clone();
        venues.spawn(async move { stop.run_until_cancelled(asking).await.unwrap_or(Ok(())) });
    }
    drop(out);
    let watching = async {
        let mut outcome = Ok(());
        while let Some(ended) = venues.join_next().await {
            let ended = ended?.map_err(anyhow::Error::from);
            let ended = if stop.is_cancelled() { ended } else { ended.and(Err(anyhow!("a venue ended"))) };
            stop.cancel();
            outcome = outcome.and(ended);
        }
        outcome
    };
    let taking = async {
        let taken = take(events).await;
        // Nobody takes what venues say any more.
        stop.cancel();
        taken
    };
    let (taken, ended) = tokio::join!(taking, watching);
    taken.and(ended)
}

/// Writes until all venues have ended: takes what has come, and makes it visible once nothing more waits, or soon.
async fn write(
    mut writer: LiveWriter,
    clock: &Clock,
    steps: impl Fn() -> Vec<Step>,
    received: impl Fn(&Events),
    known: &Mutex<Known>,
    mut events: Receiver<Events>,
) -> Result<()> {
    // What a venue tells with its past was told to an earlier process too.
    let take = |writer: &mut LiveWriter, events: Events| {
        received(&events);
        let mut known = lock(known);
        writer.take(events.into_iter().filter(|(id, event)| known.take(id, event)))
    };
    let mut flushed = tokio::time::Instant::now();
    loop {
        let wait = if writer.is_waiting() { SOON } else { writer.next(clock()).clamp(SOON, BEAT) };
        match tokio::time::timeout(wait, events.recv()).await {
            Ok(None) => break,
            Ok(Some(first)) => tokio::task::block_in_place(|| {
                take(&mut writer, first)?;
                let mut rest = (1..AHEAD).map_while(|_| events.try_recv().ok());
                rest.try_for_each(|events| take(&mut writer, events))
            })?,
            Err(_) => {}
        }
        if SOON <= flushed.elapsed() {
            for step in steps() {
                writer.stepped(&step)?;
            }
            let now = clock();
            // What still waits is vouched for by nobody yet.
            let taken = if events.is_empty() { now } else { writer.newest() };
            tokio::task::block_in_place(|| writer.flush(taken))?;
            flushed = tokio::time::Instant::now();
        }
    }
    Ok(tokio::task::block_in_place(|| writer.end(clock()))?)
}
