//! `prism chaos`: the connectors against the emulated venue while everything goes wrong, run after run.

mod bars;

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    sync::{Arc, LazyLock, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use prism_emulator::{Authority, Emulator, FACES, Faults, Origin};
use prism_log::{Log, LogWriter, SegmentLog};
use prism_schemas::{
    InstrumentId, Market, OrderBook, Timeframe, Ts,
    book::{Numbering, Rules, State},
    event::{Book, Feed, event::Body, trade::Id},
};
use prism_sources::synthetic::{SYMBOLS, Symbol, quiet};
use prism_venue::{Access, Clock, ENDED, Events, NOT_FOLLOWED, Options, follow};
use tokio::sync::mpsc::{Receiver, channel};
use tokio_util::sync::CancellationToken;

use crate::venues::maker;
use bars::compare_bars;

/// Where the simulated time begins.
const START: Ts = 1_767_225_600 * 1_000_000_000;
/// How long faults happen, in simulated time as all below.
const STORM: Duration = Duration::from_secs(120);
/// How long the market goes on without, and at least after feeds are connected.
const CALM: Duration = Duration::from_secs(150);
/// How often is looked at most: a busy machine sees faults later, connects later, and asks later for what was lost.
const LOOKS: usize = 300;
/// And with a protection left out.
const LOOKS_BROKEN: usize = 6;
/// Between two looks.
const LOOK: Duration = Duration::from_secs(9);
/// Symbols of which no message goes wrong: what happens to others must not disturb them.
const SPARED: [&str; 3] = ["ETHUSDT", "ADAUSDT", "DOTUSDT"];
/// These trade and change seldom, one of them spared: silence is no trouble, and what is lost before it is found all the same.
const QUIET: [&str; 2] = ["DOTUSDT", "LTCUSDT"];
/// Seconds between two of their moments.
const QUIET_FOR: i64 = 100;
/// This one is delisted while it storms, and not followed any more.
const DELISTED: &str = "NEARUSDT";
/// The market of all runs.
static MARKET: LazyLock<&[Symbol]> = LazyLock::new(|| quiet(SYMBOLS, &QUIET, QUIET_FOR));
/// Runs at once.
const AT_ONCE: usize = 2;

/// Follow the emulated venue while messages are lost, doubled, swapped and cut, and compare with the truth.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Runs, each with a seed of its own
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
    runs: u64,
    /// Seed of the first run; the next ones count up
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Simulated seconds per second: fewer where the machine has other things to do
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=60))]
    speed: u32,
    /// Leave a protection out, so that the runs must fail
    #[arg(long = "break", value_enum)]
    broken: Option<Protection>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Protection {
    /// Books are synchronised anew after missing updates
    Gap,
    /// Trades with a known id are one
    Duplicate,
    /// Only books that are live feed scores
    Crossed,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let (mut failed, speed, broken) = (Vec::new(), args.speed, args.broken);
    let seeds: Vec<u64> = (args.seed..args.seed + args.runs).collect();
    for some in seeds.chunks(AT_ONCE) {
        let outcomes = runtime.block_on(async {
            let runs = some.iter().map(|seed| tokio::spawn(one(*seed, speed, broken)));
            let mut outcomes = Vec::new();
            for (seed, run) in some.iter().zip(runs.collect::<Vec<_>>()) {
                outcomes.push((*seed, run.await));
            }
            outcomes
        });
        for (seed, outcome) in outcomes {
            let problems = outcome??;
            if !problems.is_empty() {
                println!("seed {seed}: {}", problems.join("; "));
                failed.push(seed);
            }
        }
    }
    if let Some(seed) = failed.first() {
        let left_out =
            broken.map_or(String::new(), |broken| format!(" --break {}", format!("{broken:?}").to_lowercase()));
        println!("repeat one with: prism chaos --runs 1 --seed {seed} --speed {speed}{left_out}");
    }
    println!("{} runs, {} failed", args.runs, failed.len());
    if failed.is_empty() { Ok(()) } else { bail!("{} of {} runs failed", failed.len(), args.runs) }
}

/// Simulated time: it begins at the same moment in every run.
fn clock(speed: u32) -> Clock {
    #[expect(clippy::disallowed_methods, reason = "simulated time runs by the wall clock")]
    let began = Instant::now();
    Arc::new(move || START + began.elapsed().as_nanos() as i64 * i64::from(speed))
}

/// What goes wrong in a run.
fn faults(seed: u64, face: &str) -> Faults {
    Faults {
        seed,
        drop: 0.01,
        duplicate: 0.01,
        reorder: 0.01,
        garbage: 0.01,
        // In every third run others alone disturb those that are spared.
        disconnect: if seed.is_multiple_of(3) { 0.0 } else { 0.000_5 },
        gap: 0.001,
        reset: 0.001,
        refuse: 0.01,
        ban: 0.002,
        fail: 0.01,
        // Trades of Bybit spot have no numbers, and an answer has sixty: while nobody may ask, what is lost without a sign is lost.
        block: if face == "bybit-spot" { 0.0 } else { 0.002 },
        ..Faults::default()
    }
}

/// In every second round of venues TLS, with an authority of the run's own.
fn trusted(seed: u64) -> Result<(Option<Authority>, Arc<Access>)> {
    if !(seed / FACES.len() as u64).is_multiple_of(2) {
        return Ok((None, Access::plain()));
    }
    let (authority, mut ca) = (Authority::new()?, tempfile::NamedTempFile::new()?);
    ca.write_all(authority.pem().as_bytes())?;
    let access = Access::new(Some(ca.path()), |_| None)?;
    Ok((Some(authority), Arc::new(access)))
}

/// One run; gives what is wrong.
async fn one(seed: u64, speed: u32, broken: Option<Protection>) -> Result<Vec<String>> {
    let clock = clock(speed);
    let simulated = |seconds| Duration::from_secs(seconds) / speed;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    // Every venue in turn.
    let face = FACES[seed as usize % FACES.len()];
    let faults = faults(seed, face);
    let (authority, access) = trusted(seed)?;
    let origin = Origin::Market(seed, *MARKET);
    let emulator = Emulator::start_tls(listener, authority.as_ref(), origin, faults, clock.clone())?;
    emulator.spare(&SPARED);
    let options = Options {
        // Streams have a host of their own.
        stream: emulator.url(face).replacen("http", "ws", 1).replace("127.0.0.1", "localhost"),
        timeframes: vec![Timeframe::M1],
        bars: 10,
        reconcile: simulated(15),
        ping: simulated(15),
        stale: simulated(120),
        idle: Duration::from_secs(600),
        patience: simulated(240),
        skew: Duration::from_secs(600),
        speed,
        poll: simulated(30),
        refresh: simulated(60),
        ignore_gaps: broken == Some(Protection::Gap),
        access,
        ..Options::at(&emulator.url(face))
    };
    let (out, received) = channel(64);
    let over = CancellationToken::new();
    let following = tokio::spawn(follow(maker(face), options, clock.clone(), out, over.clone()));
    let watched = Arc::new(Mutex::new(Watched::default()));
    let dir = tempfile::tempdir()?;
    let log: Arc<dyn Log> = Arc::new(SegmentLog::open(dir.path())?);
    let watching = tokio::spawn(watch(received, watched.clone(), LogWriter::new(log.clone()), broken));
    let look = || watched.lock().unwrap_or_else(PoisonError::into_inner);
    tokio::time::sleep(STORM / speed / 2).await;
    emulator.list(DELISTED, false);
    tokio::time::sleep(STORM / speed / 2).await;
    wait(LOOKS, speed, || look().has_noticed()).await;
    emulator.calm();
    tokio::time::sleep(CALM / speed).await;
    let looks = if broken.is_none() { LOOKS } else { LOOKS_BROKEN };
    wait(looks, speed, || look().has_stood(clock())).await;
    emulator.freeze();
    let mut problems = Vec::new();
    wait(looks, speed, || {
        problems = look().compare(&emulator, face);
        problems.is_empty()
    })
    .await;
    over.cancel();
    following.await??;
    watching.await??;
    let mut watched = look();
    watched.connected.retain(|id, _| id.symbol != DELISTED);
    let is_whole = |symbol: &str| watched.n_disconnected == 0 && SPARED.contains(&symbol);
    problems.extend(tokio::task::block_in_place(|| compare_bars(&log, &emulator, &watched.connected, is_whole))?);
    Ok(problems)
}

/// Looks again and again until something is so, or often enough.
async fn wait(n: usize, speed: u32, mut is_so: impl FnMut() -> bool) {
    for _ in 0..n {
        tokio::time::sleep(LOOK / speed).await;
        if is_so() {
            break;
        }
    }
}

/// What came out of the connectors.
#[derive(Default)]
struct Watched {
    /// As if updates had no numbers.
    unguarded: BTreeMap<InstrumentId, OrderBook>,
    books: BTreeMap<InstrumentId, OrderBook>,
    /// Times within which trades are said to be missing.
    gaps: BTreeMap<InstrumentId, Vec<(Ts, Ts)>>,
    /// Since when trades are owed.
    connected: BTreeMap<InstrumentId, Ts>,
    /// The trades that came.
    trades: BTreeMap<InstrumentId, BTreeSet<String>>,
    problems: BTreeSet<String>,
    n_gaps: usize,
    n_quarantined: usize,
    n_disconnected: usize,
    /// What was delisted is followed no more.
    has_left: bool,
}

async fn watch(
    mut received: Receiver<Events>,
    watched: Arc<Mutex<Watched>>,
    mut writer: LogWriter,
    broken: Option<Protection>,
) -> Result<()> {
    while let Some(events) = received.recv().await {
        let mut watched = watched.lock().unwrap_or_else(PoisonError::into_inner);
        let watched = &mut *watched;
        for (id, mut event) in events {
            match &mut event.body {
                Some(Body::Book(update)) => watched.book(&id, update, broken),
                Some(Body::Trade(trade)) => {
                    let spelled = match &trade.id {
                        Some(Id::Text(text)) => text.clone(),
                        Some(Id::Number(number)) => number.to_string(),
                        None => String::new(),
                    };
                    let known = watched.trades.entry(id.clone()).or_default();
                    if !known.insert(spelled.clone()) && broken == Some(Protection::Duplicate) {
                        // Under another id nothing tells that it is the same trade.
                        trade.id = Some(Id::Text(format!("{spelled} again")));
                    }
                }
                Some(Body::FeedStatus(status)) => match status.status() {
                    Feed::Connected if status.channel.is_empty() => {
                        watched.connected.entry(id.clone()).or_insert(event.ts_event);
                    }
                    Feed::Gap => {
                        watched.n_gaps += 1;
                        if status.channel.is_empty() {
                            watched.gaps.entry(id.clone()).or_default().push((event.ts_event, Ts::MAX));
                        }
                        if status.channel == "book" && SPARED.contains(&&*id.symbol) {
                            watched.problems.insert(format!("{id} was disturbed: {}", status.cause));
                        }
                    }
                    Feed::ResyncFinished if status.channel.is_empty() => {
                        if let Some((_, end)) = watched.gaps.get_mut(&id).and_then(|gaps| gaps.last_mut()) {
                            *end = event.ts_event;
                        }
                    }
                    // Books need no telling: what comes next does not follow, or is a snapshot. A venue that ends at last
                    // disconnects nobody.
                    Feed::Disconnected if status.cause == NOT_FOLLOWED => watched.has_left |= id.symbol == DELISTED,
                    Feed::Disconnected if status.cause != ENDED => watched.n_disconnected += 1,
                    _ => {}
                },
                Some(Body::Quarantined(_)) => watched.n_quarantined += 1,
                _ => {}
            }
            writer.push(&id, event)?;
        }
    }
    Ok(writer.sync()?)
}

impl Watched {
    fn book(&mut self, id: &InstrumentId, update: &Book, broken: Option<Protection>) {
        let book = self.books.entry(id.clone()).or_insert_with(|| OrderBook::new(Rules::of(id)));
        // Trouble is looked at in the book's state.
        let _ = book.apply(update);
        let mut top = book.top();
        if broken == Some(Protection::Crossed) {
            let rules = Rules { numbering: Numbering::Absent, checksum: None, truncates: false };
            let book = self.unguarded.entry(id.clone()).or_insert_with(|| OrderBook::new(rules));
            let _ = book.apply(update);
            // Whatever its state says.
            top = book.bids().next().zip(book.asks().next());
        }
        if top.is_some_and(|(bid, ask)| ask.0 <= bid.0) {
            self.problems.insert(format!("{id} was crossed"));
        }
    }

    fn has_noticed(&self) -> bool {
        0 < self.n_gaps + self.n_quarantined
    }

    /// Whether the first feeds have been connected for some minutes and no book waits for what a market at rest never sends.
    fn has_stood(&self, now: Ts) -> bool {
        self.connected.values().min().is_some_and(|since| since + CALM.as_nanos() as i64 <= now)
            && self.has_left
            && self.books.iter().all(|(id, book)| id.symbol == DELISTED || book.state() == State::Live)
    }

    fn compare(&self, emulator: &Emulator, face: &str) -> Vec<String> {
        let (mut problems, none) = (self.problems.clone(), BTreeSet::new());
        let (exchange, market) = face.split_once('-').unwrap_or((face, ""));
        let market = Market::parse(market).unwrap_or(Market::Linear);
        for symbol in emulator.symbols().into_iter().filter(|symbol| *symbol != DELISTED) {
            let Some(truth) = emulator.book(&symbol) else { continue };
            let id = InstrumentId::new(exchange, market, &symbol);
            let levels = |book: &OrderBook| {
                let (prices, sizes) = book.decimals();
                let exact = |(price, size): (i64, i64)| {
                    let number = |mantissa, decimals| prism_schemas::Decimal::new(mantissa, decimals).shortest();
                    (number(price, prices), number(size, sizes))
                };
                (book.bids().map(exact).collect::<Vec<_>>(), book.asks().map(exact).collect::<Vec<_>>())
            };
            match self.books.get(&id) {
                None => drop(problems.insert(format!("{id} has no book"))),
                Some(book) if book.state() != State::Live => {
                    problems.insert(format!("{id} ends {:?}", book.state()));
                }
                Some(book) if levels(book) != levels(&truth) => {
                    problems.insert(format!("{id} is another book"));
                }
                Some(_) => {}
            }
            let trades = self.trades.get(&id).unwrap_or(&none);
            let since = self.connected.get(&id).copied().unwrap_or(START);
            let told = self.gaps.get(&id).map_or(&[][..], |gaps| gaps);
            let is_told = |ts: Ts| told.iter().any(|(from, to)| (*from..=*to).contains(&ts));
            let owed = emulator.trades(&id).into_iter().filter(|(ts, _)| since <= *ts && !is_told(*ts));
            let expected: BTreeSet<String> = owed.map(|(_, id)| id).collect();
            let n_missing = expected.iter().filter(|id| !trades.contains(*id)).count();
            if 0 < n_missing {
                problems.insert(format!("{id} lacks {n_missing} of {} trades", expected.len()));
            }
        }
        if !self.has_left {
            problems.insert(format!("{DELISTED} was delisted and is followed"));
        }
        if !self.has_noticed() {
            problems.insert("no fault was noticed: the run shows nothing".into());
        }
        tracing::debug!(self.n_gaps, self.n_quarantined, self.n_disconnected, "a run");
        problems.into_iter().collect()
    }
}
