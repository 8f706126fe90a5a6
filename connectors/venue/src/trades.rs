//! Trades that the stream lost, found again: by their numbers, or by asking for the newest ones now and then.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::StreamExt;

use prism_schemas::event::event::Body;
use prism_schemas::event::{Feed, trade};
use prism_schemas::instrument::fnv1a;
use prism_schemas::time::SECOND;
use prism_schemas::{Event, InstrumentId, Ts};
use tokio::sync::mpsc::Sender;

use super::rest::now;
use super::{Clock, Events, Followed, Maker, Rest, Selected, status};
use prism_exchange::{Ask, Wire};

/// Trades of an instrument whose ids are remembered: some answers' worth.
const REMEMBERED: usize = 4_096;
/// A trade this young may still be on its way.
const SETTLED: i64 = 2 * SECOND;
/// Trades that the shortest full answer has.
const FULL: usize = 60;
/// Trades in one answer.
const ANSWER: u32 = 1_000;
/// Trades of one hole that are asked for; the rest stays lost, and is told.
const HOLE_MAX: u64 = 20_000;
/// Trades before the first one that came: some may have been lost since the feed began.
const BEFORE: u64 = 20;
/// The name of trades' troubles in feed states.
const TRADES: &str = "trades";

/// Trouble rarely comes alone: what could not be compared this long before or after it is not trusted.
const TROUBLED: i64 = 60 * SECOND;
/// Instruments that are asked for at once.
const AT_ONCE: usize = 8;

/// Ids of the newest trades, over all connections of a venue.
#[derive(Default)]
pub(super) struct Seen {
    all: Mutex<HashMap<InstrumentId, Ids>>,
    /// When a stream last lost something: a message, or the connection.
    trouble: AtomicI64,
}

#[derive(Default)]
struct Ids {
    known: HashSet<u64>,
    order: VecDeque<u64>,
    /// The greatest number so far, and when it was traded.
    last: Option<(u64, Ts)>,
    holes: Vec<Hole>,
    /// Connected again at this time, and no trade came since: what was missed shows only with the next one.
    quiet: Option<Ts>,
    /// Connected for the first time at this time.
    since: Option<Ts>,
    /// Trades so far.
    n: u64,
}

/// Numbers that did not come; an open end is `u64::MAX`, and both times are equal where nobody knows where it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Hole {
    first: u64,
    last: u64,
    /// Event times of the trades before and after them.
    since: Ts,
    ts: Ts,
}

impl Seen {
    /// Whether a trade was not seen before; it is from now on.
    pub(super) fn is_new(&self, instrument: &InstrumentId, event: &Event) -> bool {
        let (Some(Body::Trade(trade)), Some(id)) = (&event.body, identity(event)) else { return false };
        let mut all = self.all();
        if !all.contains_key(instrument) {
            all.insert(instrument.clone(), Ids::default());
        }
        let Some(ids) = all.get_mut(instrument) else { return false };
        if let Some(trade::Id::Number(number)) = trade.id {
            let (last, since) = ids.last.unwrap_or((number.saturating_sub(BEFORE + 1), event.ts_event));
            if last + 1 < number {
                ids.holes.push(Hole { first: last + 1, last: number - 1, since, ts: event.ts_event });
            }
            ids.last = ids.last.max(Some((number, event.ts_event)));
            ids.quiet = None;
        }
        let is_new = ids.known.insert(id);
        if is_new {
            ids.n += 1;
            ids.order.push_back(id);
            if REMEMBERED < ids.order.len()
                && let Some(oldest) = ids.order.pop_front()
            {
                ids.known.remove(&oldest);
            }
        }
        is_new
    }

    fn all(&self) -> MutexGuard<'_, HashMap<InstrumentId, Ids>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A stream lost something.
    pub(super) fn trouble(&self, now: Ts) {
        self.trouble.fetch_max(now, Relaxed);
    }

    /// An instrument is connected again.
    pub(super) fn again(&self, instrument: &InstrumentId, now: Ts) {
        let mut all = self.all();
        let ids = all.entry(instrument.clone()).or_default();
        ids.quiet = Some(now);
        ids.since.get_or_insert(now);
    }

    /// An instrument is not followed any more.
    pub(super) fn forget(&self, instrument: &InstrumentId) {
        self.all().remove(instrument);
    }

    /// Since when trades of an instrument are owed.
    fn since(&self, instrument: &InstrumentId) -> Ts {
        self.all().get(instrument).and_then(|ids| ids.since).unwrap_or(Ts::MAX)
    }

    /// Trades of an instrument so far.
    fn n(&self, instrument: &InstrumentId) -> u64 {
        self.all().get(instrument).map_or(0, |ids| ids.n)
    }

    /// Holes whose trades are not under way any more, and did not come in another order.
    fn holes(&self, instrument: &InstrumentId, now: Ts) -> Vec<Hole> {
        let mut all = self.all();
        let Some(Ids { known, holes, quiet, last, .. }) = all.get_mut(instrument) else { return Vec::new() };
        let mut settled: Vec<Hole> = holes.extract_if(.., |hole| hole.ts + SETTLED <= now).collect();
        if let Some(ts) = quiet.take_if(|since| *since + SETTLED <= now)
            && let Some((last, since)) = *last
        {
            settled.push(Hole { first: last + 1, last: u64::MAX, since, ts });
        }
        let lacks = |hole: &Hole| {
            HOLE_MAX < hole.last - hole.first || (hole.first..=hole.last).any(|number| !known.contains(&number))
        };
        settled.into_iter().filter(lacks).collect()
    }
}

/// The identity of a trade.
fn identity(event: &Event) -> Option<u64> {
    let Some(Body::Trade(trade)) = &event.body else { return None };
    match trade.id.as_ref()? {
        trade::Id::Text(text) => Some(fnv1a(text.as_bytes())),
        trade::Id::Number(number) => Some(*number),
    }
}

/// How far an instrument's trades were compared with the venue's newest.
#[derive(Default)]
pub(super) struct Compared {
    /// When it was asked last, and how many trades there were then.
    asked: Option<(Instant, u64)>,
    /// As many as an answer has at most, as far as one showed.
    reach: usize,
    /// Up to this time all are here or under way.
    until: Option<Ts>,
    /// Trades of answers that had not come; they may be under way.
    pending: HashMap<u64, (InstrumentId, Event)>,
}

/// Looks for lost trades again and again; those that the stream did not bring are sent late, and said to be. It ends with
/// its task.
pub(super) struct Reconciler {
    pub(super) maker: Maker,
    pub(super) followed: Selected,
    pub(super) rest: Arc<Rest>,
    pub(super) seen: Arc<Seen>,
    pub(super) clock: Clock,
    pub(super) out: Sender<Events>,
    /// Where ids are no numbers.
    pub(super) compared: HashMap<InstrumentId, Compared>,
}

impl Reconciler {
    pub(super) async fn run(mut self, every: Duration) {
        let mut wire = (self.maker)();
        let are_numbered = wire.request(&Ask::TradesFrom("", 0, 1)).is_some();
        loop {
            let followed = self.followed.all();
            if !are_numbered {
                tokio::time::sleep(every / 10).await;
                self.newest(&followed, every).await;
                continue;
            }
            tokio::time::sleep(every).await;
            for one in &followed {
                for hole in self.seen.holes(&one.id, (self.clock)()) {
                    let mut next = Some(hole);
                    while let Some(hole) = next {
                        next = self.fill(&mut *wire, one, &hole).await;
                    }
                }
            }
        }
    }

    /// Where ids are no numbers, the newest trades are compared, before more came than an answer has.
    async fn newest(&mut self, followed: &[Followed], every: Duration) {
        self.compared.retain(|id, _| followed.iter().any(|one| one.id == *id));
        let due = followed.iter().filter(|one| {
            let compared = self.compared.entry(one.id.clone()).or_default();
            let n = self.seen.n(&one.id);
            let is_due = compared.asked.is_none_or(|(at, before)| {
                every <= at.elapsed() || compared.reach.max(FULL) as u64 / 2 <= n.saturating_sub(before)
            });
            if is_due {
                compared.asked = Some((now(), n));
            }
            is_due
        });
        let due: Vec<Followed> = due.cloned().collect();
        let asking =
            due.into_iter().map(|one| newest_of(self.maker.clone(), self.rest.clone(), self.clock.clone(), one));
        let answers: Vec<(Followed, Events)> = futures::stream::iter(asking).buffer_unordered(AT_ONCE).collect().await;
        let mut told = Events::new();
        for (one, answer) in answers {
            self.compare(&one.id, answer, &mut told);
        }
        for one in followed {
            self.settle(&one.id, &mut told);
        }
        if !told.is_empty() {
            let _ = self.out.send(told).await;
        }
    }

    /// Keeps what an answer has and the stream did not bring; tells what it does not reach back to, if the stream lost
    /// something around then.
    fn compare(&mut self, id: &InstrumentId, answer: Events, told: &mut Events) {
        let (now, since) = ((self.clock)(), self.seen.since(id));
        let Some(compared) = self.compared.get_mut(id) else { return };
        let times = || answer.iter().filter(|(_, event)| identity(event).is_some()).map(|(_, event)| event.ts_event);
        let (Some(oldest), Some(newest)) = (times().min(), times().max()) else { return told.extend(answer) };
        if since == Ts::MAX {
            // Nothing is owed before it is connected.
            return;
        }
        let n = answer.len();
        if FULL <= n {
            compared.reach = compared.reach.max(n);
        }
        let until = compared.until.unwrap_or(since).max(since);
        let is_troubled = until - TROUBLED <= self.seen.trouble.load(Relaxed);
        if until < oldest && FULL <= n && is_troubled {
            let cause =
                format!("trades: the newest {n} are all that can be had, and what came before was not compared");
            told.push(status(id, until, now, Feed::Gap, "", &cause));
            told.push(status(id, oldest, now, Feed::ResyncFinished, "", "trades go on"));
        }
        compared.until = Some(newest.max(until));
        let owed = answer.into_iter().filter(|(_, event)| since <= event.ts_event);
        compared.pending.extend(owed.filter_map(|(id, event)| Some((identity(&event)?, (id, event)))));
    }

    /// What did not come by now was lost.
    fn settle(&mut self, id: &InstrumentId, told: &mut Events) {
        let now = (self.clock)();
        let Some(compared) = self.compared.get_mut(id) else { return };
        let settled = compared.pending.extract_if(|_, (_, event)| event.ts_event < now - SETTLED);
        let mut missed: Events =
            settled.map(|(_, one)| one).filter(|(id, event)| self.seen.is_new(id, event)).collect();
        missed.sort_by_key(|(_, event)| (event.ts_event, event.seq, event.index));
        let Some((_, first)) = missed.first() else { return };
        self.seen.trouble(now);
        let cause = format!("trades: {} were missing and are here now", missed.len());
        let word = status(id, first.ts_event, now, Feed::Gap, TRADES, &cause);
        told.append(&mut missed);
        told.push(word);
    }

    /// Gives the hole before this one if nobody knows where it begins, and its trades are all owed.
    async fn fill(&self, wire: &mut dyn Wire, Followed { id, native, .. }: &Followed, hole: &Hole) -> Option<Hole> {
        let (mut found, mut from, since) = (Events::new(), hole.first, self.seen.since(id));
        let mut oldest = Ts::MIN;
        while from <= hole.last && from - hole.first < HOLE_MAX {
            let n = (hole.last - from).min(u64::from(ANSWER) - 1) as u32 + 1;
            let answer = self.rest.ask(wire, &Ask::TradesFrom(native, from, n), &self.clock).await;
            let number = |event: &Event| match &event.body {
                Some(Body::Trade(trade)) => match trade.id {
                    Some(trade::Id::Number(number)) => Some(number),
                    _ => None,
                },
                _ => None,
            };
            let Some(last) = answer.iter().filter_map(|(_, event)| number(event)).max() else { break };
            if from == hole.first {
                oldest = answer.iter().map(|(_, event)| event.ts_event).min().unwrap_or(Ts::MIN);
            }
            from = last.max(from) + 1;
            found.extend(answer.into_iter().filter(|(id, event)| {
                number(event).is_some_and(|number| (hole.first..=hole.last).contains(&number))
                    && since <= event.ts_event
                    && self.seen.is_new(id, event)
            }));
        }
        let now = (self.clock)();
        let first = found.iter().map(|(_, event)| event.ts_event).min();
        // Nobody knows how far an open end reaches.
        let n_lacking = if hole.last == u64::MAX { 0 } else { (hole.last + 1).saturating_sub(from) };
        if !found.is_empty() {
            let cause = format!("trades: {} were missing and are here now", found.len());
            found.push(status(id, first.unwrap_or(hole.since), now, Feed::Gap, TRADES, &cause));
        }
        if 0 < n_lacking {
            // Nothing brings them back: the bars over them are not whole.
            let cause = format!("trades: {n_lacking} up to number {} cannot be had", hole.last);
            found.push(status(id, hole.since, now, Feed::Gap, "", &cause));
            found.push(status(id, hole.ts, now, Feed::ResyncFinished, "", "trades go on"));
        }
        if !found.is_empty() {
            let _ = self.out.send(found).await;
        }
        let goes_on = hole.since == hole.ts && since <= oldest && 0 < hole.first;
        goes_on.then(|| Hole { first: hole.first.saturating_sub(ANSWER.into()), last: hole.first - 1, ..hole.clone() })
    }
}

/// An instrument's newest trades.
async fn newest_of(maker: Maker, rest: Arc<Rest>, clock: Clock, one: Followed) -> (Followed, Events) {
    let mut wire = maker();
    let answer = rest.ask(&mut *wire, &Ask::Trades(&one.native), &clock).await;
    (one, answer)
}

#[cfg(test)]
mod tests {
    use prism_schemas::Market;
    use prism_schemas::event::Trade;

    use super::*;

    fn trade(id: trade::Id, ts_event: Ts) -> Event {
        Event { ts_event, body: Some(Body::Trade(Trade { id: Some(id), ..Trade::default() })), ..Event::default() }
    }

    #[test]
    fn a_trade_is_new_once_and_old_ones_are_forgotten() {
        let seen = Seen::default();
        let of = |symbol: &str| InstrumentId::new("bybit", Market::Linear, symbol);
        let trade = |n: u64| trade(trade::Id::Text(format!("trade {n}")), 0);
        assert!(seen.is_new(&of("A"), &trade(0)) && !seen.is_new(&of("A"), &trade(0)));
        assert!(seen.is_new(&of("B"), &trade(0)));
        assert!((1..=REMEMBERED as u64).all(|n| seen.is_new(&of("A"), &trade(n))));
        assert!(seen.is_new(&of("A"), &trade(0)) && !seen.is_new(&of("A"), &trade(REMEMBERED as u64)));
    }

    #[test]
    fn holes_between_numbers_are_told_once_and_swapped_trades_are_none() {
        let (seen, id) = (Seen::default(), InstrumentId::new("binance", Market::Linear, "A"));
        for number in [45, 46, 49, 48, 52, 51, 50, 60] {
            assert!(seen.is_new(&id, &trade(trade::Id::Number(number), number as Ts * SECOND)));
        }
        assert_eq!(
            seen.holes(&id, 53 * SECOND),
            [
                Hole { first: 25, last: 44, since: 45 * SECOND, ts: 45 * SECOND },
                Hole { first: 47, last: 48, since: 46 * SECOND, ts: 49 * SECOND }
            ]
        );
        assert_eq!(seen.holes(&id, 61 * SECOND), []);
        assert_eq!(seen.holes(&id, 62 * SECOND), [Hole { first: 53, last: 59, since: 52 * SECOND, ts: 60 * SECOND }]);
        // Connected again, and nothing comes: there may be more.
        seen.again(&id, 70 * SECOND);
        let open = Hole { first: 61, last: u64::MAX, since: 60 * SECOND, ts: 70 * SECOND };
        assert_eq!((seen.holes(&id, 71 * SECOND), seen.holes(&id, 72 * SECOND)), (vec![], vec![open]));
        assert_eq!(seen.holes(&id, 80 * SECOND), []);
    }

    #[test]
    fn what_an_answer_does_not_reach_back_to_is_told_if_the_stream_lost_something() {
        let maker: Maker = Arc::new(|| prism_exchange::wire("bybit-spot").unwrap());
        let rest = Arc::new(Rest::new(&crate::Options::at("http://127.0.0.1:1"), maker().limits()).unwrap());
        let mut reconciler = Reconciler {
            maker,
            followed: Selected::default(),
            rest,
            seen: Arc::default(),
            clock: Arc::new(|| 1_000 * SECOND),
            out: tokio::sync::mpsc::channel(1).0,
            compared: HashMap::new(),
        };
        let id = InstrumentId::new("bybit", Market::Spot, "A");
        reconciler.compared.insert(id.clone(), Compared::default());
        // Sixty trades, one a second; the times of what is told.
        let told = |reconciler: &mut Reconciler, from: i64| -> Vec<i64> {
            let one = |n: i64| (id.clone(), trade(trade::Id::Text(n.to_string()), n * SECOND));
            let mut told = Events::new();
            reconciler.compare(&id, (from..from + 60).map(one).collect(), &mut told);
            told.iter().map(|(_, event)| event.ts_event / SECOND).collect()
        };
        assert!(told(&mut reconciler, 100).is_empty(), "not connected yet");
        reconciler.seen.again(&id, 90 * SECOND);
        for from in [100, 150, 300] {
            assert!(told(&mut reconciler, from).is_empty(), "nothing is known to be lost");
        }
        reconciler.seen.trouble(400 * SECOND);
        assert_eq!(told(&mut reconciler, 500), [359, 500]);
        assert!(told(&mut reconciler, 540).is_empty(), "it reaches back");
    }
}
