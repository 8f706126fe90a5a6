//! Live connections to a venue: one task per connection, one budget of requests, and every gap told.
//!
//! The venue's own texts are in [`prism_exchange`]; here are sockets, time-outs and the order of things.

mod budget;
mod connection;
mod delay;
mod doctor;
mod poll;
mod rest;
mod snapshot;
mod subscriptions;
mod trades;

pub use budget::ALL;
pub use doctor::{Check, Health, examine};
pub use poll::fear_greed;
pub use rest::{Class, Quota};
pub use snapshot::{Component, Snapshot, Snapshots, Trouble};

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prism_schemas::event::event::Body;
use prism_schemas::event::{Feed, FeedStatus, Universe};
use prism_schemas::{Event, InstrumentId, Market, Timeframe, Ts, canonical_symbol};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use connection::{Change, Connection};
use poll::poll;
use prism_exchange::{Ask, Channels, DecodeError, Wire};
use rest::Rest;
use trades::{Reconciler, Seen};

/// Why a feed ends that is not wanted any more.
pub const NOT_FOLLOWED: &str = "not followed any more";
/// Why feeds end when prism does.
pub const ENDED: &str = "prism ends";
/// Before a venue is asked again what there is, after it would not say.
const AGAIN: Duration = Duration::from_secs(10);
/// Changes of what a connection follows, on their way to it.
const CHANGES: usize = 256;

/// The time now, in UNIX nanoseconds.
pub type Clock = Arc<dyn Fn() -> Ts + Send + Sync>;

/// Events in the order they were received.
pub type Events = Vec<(InstrumentId, Event)>;

/// Makes a venue's texts, one maker for each connection.
pub type Maker = Arc<dyn Fn() -> Box<dyn Wire> + Send + Sync>;

/// What came over a venue's wire, byte for byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wired {
    /// A connection was opened to this address.
    Opened(String),
    /// A message of the stream.
    Frame(String),
    /// The answer to a request: its address and body.
    Answer(String, String),
}

/// What came over the wire, on which connection, and when.
pub type Tapped = (Ts, String, Wired);

/// Is told the state of the requests' budget once a second.
pub type Told = Arc<dyn Fn(Quota) + Send + Sync>;

/// What is followed, and how patiently.
#[derive(Clone)]
pub struct Options {
    /// Where everything that comes over the wire goes too.
    pub tap: Option<Sender<Tapped>>,
    /// Address of the streams: `wss://stream.bybit.com`.
    pub stream: String,
    /// Address of the requests: `https://api.bybit.com`.
    pub rest: String,
    /// What is followed of each instrument.
    pub channels: Channels,
    /// Symbols that are followed whatever their turnover.
    pub include: Vec<String>,
    /// Symbols that are never followed.
    pub exclude: Vec<String>,
    /// Only instruments quoted in this.
    pub quote: String,
    /// So many with the highest turnover of a day are followed beside those included.
    pub top: usize,
    /// And only if it is at least this.
    pub turnover_min: f64,
    /// Bars of these timeframes are asked for at the start.
    pub timeframes: Vec<Timeframe>,
    /// So many of each.
    pub bars: u32,
    /// Between two looks for trades that the stream lost.
    pub reconcile: Duration,
    /// Between two pings.
    pub ping: Duration,
    /// Without any message for so long a connection is given up.
    pub stale: Duration,
    /// Without any message of an instrument for so long, in the clock's time, its feed is said to be stale.
    pub idle: Duration,
    /// A connection must stand within this, and a request be answered.
    pub patience: Duration,
    /// A connection is replaced at this age, before the venue cuts it.
    pub rotate: Duration,
    /// Receive and event times may differ by so much, in the clock's time, before a feed is said to be skewed.
    pub skew: Duration,
    /// Between two looks at what there is to follow.
    pub refresh: Duration,
    /// Between two requests for open interest, funding and long/short ratios.
    pub poll: Duration,
    /// Seconds of the clock in a second: 1, but in simulations; the venue's limits are in the clock's time.
    pub speed: u32,
    /// Where the state of the requests' budget is told.
    pub quota: Option<Told>,
    /// Leave books as they are after a gap: only to see that checks notice.
    pub ignore_gaps: bool,
}

impl Options {
    /// Everything of a venue at an address, as patiently as a public venue needs: `http://127.0.0.1:9100/bybit-linear`.
    pub fn at(address: &str) -> Options {
        Options {
            tap: None,
            stream: address.replacen("http", "ws", 1),
            rest: address.into(),
            channels: Channels { trades: true, depth: 50, tickers: true, liquidations: true, klines: true },
            include: Vec::new(),
            exclude: Vec::new(),
            quote: "USDT".into(),
            top: 100,
            turnover_min: 0.0,
            timeframes: Vec::new(),
            bars: 220,
            reconcile: Duration::from_secs(10),
            ping: Duration::from_secs(20),
            stale: Duration::from_secs(10),
            idle: Duration::from_millis(2_500),
            patience: Duration::from_secs(5),
            rotate: Duration::from_secs(23 * 3_600),
            skew: Duration::from_secs(2),
            refresh: Duration::from_secs(3_600),
            poll: Duration::from_secs(300),
            speed: 1,
            quota: None,
            ignore_gaps: false,
        }
    }
}

impl Options {
    /// Hands over what came, if anybody wants it.
    async fn tap(&self, ts: Ts, connection: &str, wired: impl FnOnce() -> Wired) {
        if let Some(tap) = &self.tap {
            // Whoever listened has ended; following goes on.
            let _ = tap.send((ts, connection.into(), wired())).await;
        }
    }
}

/// Why a venue cannot be followed. Everything else is retried.
#[derive(Debug, thiserror::Error)]
pub enum VenueError {
    /// No instrument fits: correct the selection.
    #[error("no instrument of {venue} fits feeds.include, feeds.quote, feeds.top and feeds.turnover_min")]
    Nothing {
        /// The venue.
        venue: String,
    },
    /// The address or a certificate store cannot be used at all: correct it.
    #[error("{address}: {detail}")]
    Address {
        /// As configured.
        address: String,
        /// What is wrong.
        detail: String,
    },
}

/// An instrument that is followed, and the venue's spelling of its symbol.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Followed {
    id: InstrumentId,
    native: String,
}

/// Instruments that are followed, as connections and requests share them.
#[derive(Clone, Debug, Default)]
struct Selected(Arc<Mutex<Vec<Followed>>>);

impl Selected {
    fn all(&self) -> Vec<Followed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, followed: Vec<Followed>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = followed;
    }
}

/// Follows a venue until `over`: instruments, streams, warm-up bars, then what is asked for now and then. All events go
/// to `out`, which may be slow.
pub async fn follow(
    maker: Maker,
    options: Options,
    clock: Clock,
    out: Sender<Events>,
    over: CancellationToken,
) -> Result<(), VenueError> {
    let rest = Arc::new(Rest::new(&options, maker().limits())?);
    let (seen, selected) = (Arc::default(), Selected::default());
    let mut venue =
        Venue { maker, options, clock, out, over, rest, seen, selected, tasks: JoinSet::new(), links: Vec::new() };
    venue.run().await
}

/// A venue that is followed.
struct Venue {
    maker: Maker,
    options: Options,
    clock: Clock,
    out: Sender<Events>,
    over: CancellationToken,
    rest: Arc<Rest>,
    seen: Arc<Seen>,
    selected: Selected,
    tasks: JoinSet<()>,
    links: Vec<Link>,
}

/// A connection from outside.
struct Link {
    lane: usize,
    members: BTreeSet<InstrumentId>,
    changes: Sender<Change>,
}

impl Venue {
    async fn run(&mut self) -> Result<(), VenueError> {
        let (over, mut wire) = (self.over.clone(), (self.maker)());
        let name = format!("{} {}", wire.id(), wire.market().name());
        let Some(n) = over.run_until_cancelled(self.refresh(&mut *wire)).await else { return Ok(()) };
        if n == 0 {
            return Err(VenueError::Nothing { venue: name });
        }
        tracing::info!(venue = name, instruments = n, "following");
        if self.options.channels.trades {
            let reconciler = Reconciler {
                maker: self.maker.clone(),
                followed: self.selected.clone(),
                rest: self.rest.clone(),
                seen: self.seen.clone(),
                clock: self.clock.clone(),
                out: self.out.clone(),
                compared: HashMap::new(),
            };
            self.spawn(reconciler.run(self.options.reconcile));
        }
        self.spawn(budget::tell(
            (self.maker)(),
            self.rest.clone(),
            self.options.quota.clone(),
            self.clock.clone(),
            self.out.clone(),
        ));
        let first = self.selected.all();
        let going_on = async {
            self.warm_up(&mut *wire, &first).await;
            tracing::info!(venue = name, "warm-up bars are in the log");
            self.spawn(poll(
                (self.maker)(),
                self.selected.clone(),
                self.rest.clone(),
                self.options.clone(),
                self.clock.clone(),
                self.out.clone(),
            ));
            loop {
                tokio::time::sleep(self.options.refresh).await;
                let before: BTreeSet<InstrumentId> = self.selected.all().into_iter().map(|one| one.id).collect();
                self.refresh(&mut *wire).await;
                let joined: Vec<Followed> =
                    self.selected.all().into_iter().filter(|one| !before.contains(&one.id)).collect();
                self.warm_up(&mut *wire, &joined).await;
            }
        };
        over.run_until_cancelled(going_on).await;
        self.links.clear();
        while self.tasks.join_next().await.is_some() {}
        Ok(())
    }

    fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        let over = self.over.clone();
        self.tasks.spawn(async move { over.run_until_cancelled(task).await.unwrap_or(()) });
    }

    /// Asks what there is, and follows what is selected of it; gives how many that are.
    async fn refresh(&mut self, wire: &mut dyn Wire) -> usize {
        let is_refused =
            |events: &Events| events.iter().any(|(_, event)| matches!(event.body, Some(Body::Quarantined(_))));
        let (instruments, tickers) = loop {
            let instruments = self.rest.ask(wire, &Ask::Instruments, &self.clock).await;
            let tickers = self.rest.ask(wire, &Ask::Tickers, &self.clock).await;
            if !is_refused(&instruments) && !is_refused(&tickers) {
                break (instruments, tickers);
            }
            // Nobody leaves because a request failed.
            let _ = self.out.send([instruments, tickers].concat()).await;
            tokio::time::sleep(AGAIN / self.options.speed).await;
        };
        let before = self.selected.all();
        let known: BTreeSet<&InstrumentId> = before.iter().map(|one| &one.id).collect();
        let (mut told, followed) = select(instruments, &tickers, &self.options, &known, (self.clock)());
        let (now, is): (Ts, BTreeSet<&InstrumentId>) = ((self.clock)(), followed.iter().map(|one| &one.id).collect());
        let left: Vec<InstrumentId> = known.iter().filter(|id| !is.contains(*id)).map(|id| (*id).clone()).collect();
        for id in &left {
            told.push(universe(id, now, false, "excluded, not open, or too little turnover"));
        }
        let _ = self.out.send(told).await;
        for id in &left {
            for link in &mut self.links {
                if link.members.remove(id) {
                    let _ = link.changes.send(Change::Leave(id.clone())).await;
                }
            }
        }
        let joined: Vec<Followed> = followed.iter().filter(|one| !known.contains(&one.id)).cloned().collect();
        self.connect(wire, &joined).await;
        let n = followed.len();
        self.selected.set(followed);
        n
    }

    /// Spreads instruments over connections: those that have room, then new ones.
    async fn connect(&mut self, wire: &dyn Wire, joined: &[Followed]) {
        for lane in 0..wire.lanes().len() {
            let n_topics = |one: &Followed| wire.topics(lane, &one.native, self.options.channels).len();
            let Some(most) = joined.iter().map(n_topics).max().filter(|n| 0 < *n) else { continue };
            let each = (wire.limits().topics_per_connection / most).max(1);
            let mut rest = joined;
            for link in self.links.iter_mut().filter(|link| link.lane == lane) {
                let (here, elsewhere) = rest.split_at(each.saturating_sub(link.members.len()).min(rest.len()));
                for one in here {
                    link.members.insert(one.id.clone());
                    let _ = link.changes.send(Change::Follow(one.clone())).await;
                }
                rest = elsewhere;
            }
            for some in rest.chunks(each) {
                let (changes, changed) = channel(CHANGES);
                let (books, wanted) = channel(each);
                let number = self.links.len();
                let connection = Connection::new(self, lane, number, some, changed, books);
                self.tasks.spawn(connection.run(self.over.clone()));
                self.spawn(fetch_books(
                    (self.maker)(),
                    self.rest.clone(),
                    self.options.channels.depth,
                    self.clock.clone(),
                    wanted,
                    changes.clone(),
                ));
                let members = some.iter().map(|one| one.id.clone()).collect();
                self.links.push(Link { lane, members, changes });
            }
        }
    }

    /// Puts closed bars of all timeframes into the log, the longest first: they are what shorter ones are scored against.
    async fn warm_up(&self, wire: &mut dyn Wire, followed: &[Followed]) {
        let mut timeframes = self.options.timeframes.clone();
        timeframes.sort_by_key(|timeframe| std::cmp::Reverse(timeframe.length()));
        for timeframe in timeframes {
            for one in followed {
                let ask = Ask::Klines(&one.native, timeframe, self.options.bars);
                let mut bars = self.rest.ask(wire, &ask, &self.clock).await;
                bars.retain(is_over);
                if !bars.is_empty() {
                    let _ = self.out.send(bars).await;
                }
            }
        }
    }
}

/// Books that streams do not send whole.
async fn fetch_books(
    mut wire: Box<dyn Wire>,
    rest: Arc<Rest>,
    depth: u32,
    clock: Clock,
    mut wanted: Receiver<(u64, Followed)>,
    changes: Sender<Change>,
) {
    while let Some((session, one)) = wanted.recv().await {
        let events = rest.ask(&mut *wire, &Ask::Book(&one.native, depth), &clock).await;
        if changes.send(Change::Snapshot(session, one.id, events)).await.is_err() {
            return;
        }
    }
}

/// Declarations of the instruments that are followed, with what decided, and these. Who is followed stays so until it is
/// clearly beyond the limit: at its edge instruments would come and go.
fn select(
    instruments: Events,
    tickers: &Events,
    options: &Options,
    known: &BTreeSet<&InstrumentId>,
    now: Ts,
) -> (Events, Vec<Followed>) {
    let turnovers: BTreeMap<&InstrumentId, f64> = tickers
        .iter()
        .filter_map(|(id, event)| match &event.body {
            // Inverse contracts are worth a unit of the quote each.
            Some(Body::Ticker(ticker)) if id.market == Market::Inverse => Some((id, ticker.volume_24h?.to_f64())),
            Some(Body::Ticker(ticker)) => Some((id, ticker.turnover_24h?.to_f64())),
            _ => None,
        })
        .collect();
    let quote = |id: &InstrumentId| if id.market == Market::Inverse { "USD" } else { &options.quote };
    let named = |list: &[String], id: &InstrumentId| list.iter().any(|name| canonical_symbol(name) == id.symbol);
    let mut ranked: Vec<(f64, InstrumentId, Event)> = Vec::new();
    for (id, event) in instruments {
        let Some(Body::Instrument(instrument)) = &event.body else { continue };
        let is_open = instrument.status.eq_ignore_ascii_case("trading") || instrument.status == "live";
        if named(&options.include, &id) {
            ranked.push((f64::INFINITY, id, event));
        } else if is_open && instrument.quote == quote(&id) && !named(&options.exclude, &id) {
            let turnover = turnovers.get(&id).copied().unwrap_or(0.0);
            let least = if known.contains(&id) { 0.8 * options.turnover_min } else { options.turnover_min };
            if least <= turnover {
                ranked.push((turnover, id, event));
            }
        }
    }
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    let n_included = ranked.iter().filter(|(turnover, ..)| turnover.is_infinite()).count();
    let (mut told, mut followed) = (Events::new(), Vec::new());
    let top = format!("among the {} with the highest turnover of a day", options.top);
    for (at, (turnover, id, event)) in ranked.into_iter().enumerate() {
        let rank = at.saturating_sub(n_included);
        let stays = known.contains(&id) && rank < options.top + options.top.div_ceil(5);
        if turnover.is_finite() && options.top <= rank && !stays {
            continue;
        }
        let Some(Body::Instrument(instrument)) = &event.body else { continue };
        followed.push(Followed { id: id.clone(), native: instrument.native_symbol.clone() });
        let is_new = !known.contains(&id);
        told.push((id.clone(), event));
        if is_new {
            told.push(universe(&id, now, true, if turnover.is_infinite() { "included by name" } else { &top }));
        }
    }
    (told, followed)
}

/// An instrument joins or leaves.
fn universe(id: &InstrumentId, now: Ts, followed: bool, rule: &str) -> (InstrumentId, Event) {
    let body = Body::Universe(Universe { followed, rule: rule.into() });
    (id.clone(), Event { ts_event: now, ts_recv: now, seq: None, index: 0, body: Some(body) })
}

/// A bar that is not over yet is no bar.
fn is_over((_, event): &(InstrumentId, Event)) -> bool {
    !matches!(&event.body, Some(Body::Kline(kline)) if !kline.closed)
}

/// A feed's change of state.
fn status(id: &InstrumentId, ts: Ts, now: Ts, status: Feed, channel: &str, cause: &str) -> (InstrumentId, Event) {
    let body =
        FeedStatus { status: status.into(), cause: cause.into(), channel: channel.into(), ..FeedStatus::default() };
    let event = Event { ts_event: ts, ts_recv: now, seq: None, index: 0, body: Some(Body::FeedStatus(body)) };
    (id.clone(), event)
}

/// A frame that has no events, with its reason.
fn refusal(wire: &dyn Wire, error: &DecodeError, raw: &[u8], now: Ts) -> (InstrumentId, Event) {
    let nobody = InstrumentId::new(wire.id(), wire.market(), "");
    (nobody, prism_exchange::quarantined(error.rule(), error.to_string(), raw, now))
}
