//! Live connections to a venue: one task per connection, one budget of requests, and every gap told.
//!
//! The venue's own texts are in [`prism_exchange`]; here are sockets, time-outs and the order of things.

mod access;
mod budget;
mod connection;
mod delay;
mod doctor;
mod http;
mod known;
mod options;
mod poll;
mod purse;
mod rest;
mod seen;
mod selection;
mod snapshot;
mod subscriptions;
mod tasks;
mod trades;

pub use access::{Access, AccessError, Class, authorities};
pub use doctor::{Check, Health, examine, reach};
pub use options::{NewestBar, Options, Tapped, Told, Wired};
pub use poll::fear_greed;
pub use prism_schemas::feed::{ALL, ENDED, NOT_FOLLOWED};
pub use purse::Quota;
pub use snapshot::{Component, Snapshot, Snapshots, Trouble};

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use prism_schemas::event::event::Body;
use prism_schemas::event::{Feed, FeedStatus};
use prism_schemas::{Event, InstrumentId, Timeframe, Ts, canonical_symbol};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio_util::sync::CancellationToken;

use connection::{Change, Connection};
use known::Known;
use poll::poll;
use prism_exchange::{Ask, DecodeError, Wire};
use purse::Payer;
use rest::Rest;
use seen::Seen;
use selection::{Followed, Selected, select, universe, unknown};
use tasks::Tasks;
use trades::Reconciler;

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
    /// The venue cannot be reached from here: see the network, a proxy, the address.
    #[error("{detail}")]
    Unreachable {
        /// Host and cause.
        detail: String,
    },
    /// A task met a fault of prism's own: report it.
    #[error("{venue}: the task \"{task}\" panicked ({detail}): a fault in prism, please report it")]
    Panicked {
        /// The venue.
        venue: String,
        /// What the task did.
        task: String,
        /// What it said.
        detail: String,
    },
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
    let rest = Arc::new(Rest::new(&options, maker().limits(), Payer::Feeds)?);
    let (seen, selected, tasks, known) = (Arc::default(), Selected::default(), Tasks::new(&over), Known::default());
    let maker = known.maker(maker);
    let mut venue = Venue { maker, known, options, clock, out, rest, seen, selected, tasks, links: Vec::new() };
    venue.run().await
}

/// A venue that is followed.
struct Venue {
    /// Of decoders that know what instruments are.
    maker: Maker,
    known: Known,
    options: Options,
    clock: Clock,
    out: Sender<Events>,
    rest: Arc<Rest>,
    seen: Arc<Seen>,
    selected: Selected,
    tasks: Tasks,
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
        let (over, mut wire) = (self.tasks.over.clone(), (self.maker)());
        let name = format!("{} {}", wire.id(), wire.market().name());
        let Some(n) = over.run_until_cancelled(self.refresh(&mut *wire)).await else {
            return self.end(name).await;
        };
        if n == 0 {
            return Err(VenueError::Nothing { venue: name });
        }
        tracing::info!(venue = name, instruments = n, "following");
        self.watch();
        let first = self.selected.all();
        let going_on = async {
            self.warm_up(&mut *wire, &first).await;
            tracing::info!(venue = name, "warm-up bars are in the log");
            let (maker, selected, rest) = (self.maker.clone(), self.selected.clone(), self.rest.clone());
            let polling = poll(maker, selected, rest, self.options.clone(), self.clock.clone(), self.out.clone());
            self.tasks.spawn_endless("what is told when asked", polling);
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
        self.end(name).await
    }

    /// Looks for lost trades, and tells how the budget is.
    fn watch(&mut self) {
        let (rest, clock, out) = (self.rest.clone(), self.clock.clone(), self.out.clone());
        if self.options.channels.trades {
            let reconciler = Reconciler {
                maker: self.maker.clone(),
                followed: self.selected.clone(),
                rest: rest.clone(),
                seen: self.seen.clone(),
                clock: clock.clone(),
                out: out.clone(),
                compared: HashMap::new(),
            };
            self.tasks.spawn_endless("lost trades", reconciler.run(self.options.reconcile));
        }
        let telling = budget::tell((self.maker)(), rest, self.options.quota.clone(), clock, out);
        self.tasks.spawn_endless("budget of requests", telling);
    }

    /// Waits for all tasks; one that panicked is why it ends.
    async fn end(&mut self, venue: String) -> Result<(), VenueError> {
        self.links.clear();
        match self.tasks.join().await {
            Some((task, detail)) => Err(VenueError::Panicked { venue, task, detail }),
            None => Ok(()),
        }
    }

    /// Asks what there is, and follows what is selected of it; gives how many that are.
    async fn refresh(&mut self, wire: &mut dyn Wire) -> usize {
        let is_refused = |events: &Events| events.iter().any(|one| is_quarantined(one) && !is_odd_row(one));
        let (mut instruments, tickers) = loop {
            let instruments = self.rest.ask(wire, &Ask::Instruments, &self.clock).await;
            let tickers = self.rest.ask(wire, &Ask::Tickers, &self.clock).await;
            if !is_refused(&instruments) && !is_refused(&tickers) {
                break (instruments, tickers);
            }
            // Nobody leaves because a request failed.
            let _ = self.out.send([instruments, tickers].concat()).await;
            tokio::time::sleep(AGAIN / self.options.speed).await;
        };
        let mut refused = Events::new();
        if !unknown(&instruments, &self.options).is_empty() {
            // Who is not traded yet may be among those that are wanted; that this is not answered keeps nobody waiting.
            let launching = self.rest.ask(wire, &Ask::Launching, &self.clock).await;
            let (odd, mut launching): (Events, Events) = launching.into_iter().partition(is_quarantined);
            instruments.append(&mut launching);
            refused = odd;
        }
        let news = self.known.take(&instruments);
        for link in self.links.iter().filter(|_| !news.is_empty()) {
            let _ = link.changes.send(Change::Learn(news.clone())).await;
        }
        let before = self.selected.all();
        let known: BTreeSet<&InstrumentId> = before.iter().map(|one| &one.id).collect();
        let unknown = unknown(&instruments, &self.options);
        if !unknown.is_empty() {
            tracing::warn!(venue = wire.id(), names = ?unknown, "feeds.include names what the venue does not list");
        }
        let odd: Events = instruments.iter().chain(&tickers).filter(|one| is_odd_row(one)).cloned().collect();
        let (mut told, mut followed) = select(instruments, &tickers, &self.options, &known, (self.clock)());
        // Nobody leaves because their row could not be read.
        let stays = |one: &&Followed| {
            let is_launching = || unknown.iter().any(|name| canonical_symbol(name) == one.id.symbol);
            let is_unsure = odd.iter().any(|(id, _)| *id == one.id) || (!refused.is_empty() && is_launching());
            is_unsure && !followed.iter().any(|other| other.id == one.id)
        };
        let staying: Vec<Followed> = before.iter().filter(stays).cloned().collect();
        followed.extend(staying);
        told.extend(odd);
        told.extend(refused);
        let (now, is): (Ts, BTreeSet<&InstrumentId>) = ((self.clock)(), followed.iter().map(|one| &one.id).collect());
        let left: Vec<InstrumentId> = known.iter().filter(|id| !is.contains(*id)).map(|id| (*id).clone()).collect();
        for id in &left {
            told.push(universe(id, now, false, "excluded, dated, not open, or too little turnover"));
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
                self.tasks.spawn(format!("connection {number}"), connection.run(self.tasks.over.clone()));
                let (maker, rest, clock) = ((self.maker)(), self.rest.clone(), self.clock.clone());
                let fetching = fetch_books(maker, rest, self.options.channels.depth, clock, wanted, changes.clone());
                self.tasks.spawn_endless(format!("books of connection {number}"), fetching);
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
                let known = self.options.newest_bar.as_ref().and_then(|newest| newest(&one.id, timeframe));
                let n = n_missing(known, timeframe, (self.clock)(), self.options.bars);
                if n == 0 {
                    continue;
                }
                let mut bars = self.rest.ask(wire, &Ask::Klines(&one.native, timeframe, n), &self.clock).await;
                bars.retain(is_over);
                if !bars.is_empty() {
                    let _ = self.out.send(bars).await;
                }
            }
        }
    }
}

/// Bars of a timeframe to ask for, at most `max`: those that ended since the newest known one, and the one that goes on.
fn n_missing(known: Option<Ts>, timeframe: Timeframe, now: Ts, max: u32) -> u32 {
    let Some(known) = known else { return max };
    let over = now.saturating_sub(known) / timeframe.length() - 1;
    if over <= 0 { 0 } else { u32::try_from(over + 1).unwrap_or(max).min(max) }
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

fn is_quarantined((_, event): &(InstrumentId, Event)) -> bool {
    matches!(event.body, Some(Body::Quarantined(_)))
}

/// Whether it is one row of an answer whose others could be read.
fn is_odd_row(one: &(InstrumentId, Event)) -> bool {
    is_quarantined(one) && !one.0.symbol.is_empty()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bars_that_ended_since_are_asked_for() {
        let minute = Timeframe::M1.length();
        let start = 1_000 * minute;
        for (known, passed, n) in [
            (None, 0, 200),
            // It goes on, and then it has just ended.
            (Some(start), minute - 1, 0),
            (Some(start), minute, 0),
            (Some(start), 2 * minute - 1, 0),
            (Some(start), 2 * minute, 2),
            (Some(start), 10 * minute, 10),
            (Some(start), 100_000 * minute, 200),
            // A clock that went back.
            (Some(start), -minute, 0),
        ] {
            assert_eq!(n_missing(known, Timeframe::M1, start + passed, 200), n, "{known:?} {passed}");
        }
    }
}
