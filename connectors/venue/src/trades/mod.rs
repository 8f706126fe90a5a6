//! Trades that the stream lost, found again: by their numbers, or by asking for the newest ones now and then.

mod holes;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;

use prism_schemas::event::Feed;
use prism_schemas::time::SECOND;
use prism_schemas::{Event, InstrumentId, Ts};
use tokio::sync::mpsc::Sender;

use crate::rest::now;
use crate::seen::{SETTLED, Seen, identity};
use crate::{Clock, Events, Followed, Maker, Rest, Selected, status};
use prism_exchange::Ask;

/// Trades that the shortest full answer has.
const FULL: usize = 60;
/// Trades of answers that wait for the stream to bring them; beyond, none waits.
const PENDING_MAX: usize = 20_000;
/// The name of trades' troubles in feed states.
const TRADES: &str = "trades";

/// Trouble rarely comes alone: what could not be compared this long before or after it is not trusted.
const TROUBLED: i64 = 60 * SECOND;
/// Instruments that are asked for at once.
const AT_ONCE: usize = 8;

/// How far an instrument's trades were compared with the venue's newest.
#[derive(Default)]
pub(crate) struct Compared {
    /// When it was asked last, and how many trades there were then.
    asked: Option<(Instant, u64)>,
    /// As many as an answer has at most, as far as one showed.
    reach: usize,
    /// Up to this time all are here or under way.
    until: Option<Ts>,
    /// A trade of an answer had an id that the stream told: they are the same.
    are_ids_equal: bool,
    /// Trades of answers that had not come; they may be under way.
    pending: HashMap<u64, (InstrumentId, Event)>,
}

/// Looks for lost trades again and again; those that the stream did not bring are sent late, and said to be. It ends with
/// its task.
pub(crate) struct Reconciler {
    pub(crate) maker: Maker,
    pub(crate) followed: Selected,
    pub(crate) rest: Arc<Rest>,
    pub(crate) seen: Arc<Seen>,
    pub(crate) clock: Clock,
    pub(crate) out: Sender<Events>,
    /// Where ids are no numbers.
    pub(crate) compared: HashMap<InstrumentId, Compared>,
}

impl Reconciler {
    pub(crate) async fn run(mut self, every: Duration) {
        let wire = (self.maker)();
        let are_numbered = wire.request(&Ask::TradesFrom("", 0, 1, None)).is_some();
        loop {
            let followed = self.followed.all();
            if !are_numbered {
                tokio::time::sleep(every / 10).await;
                self.newest(&followed, every).await;
                continue;
            }
            tokio::time::sleep(every).await;
            let mut wire = (self.maker)();
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
        let is_troubled = until - TROUBLED <= self.seen.troubled();
        if until < oldest && FULL <= n && is_troubled {
            let cause =
                format!("trades: the newest {n} are all that can be had, and what came before was not compared");
            told.extend(gap(id, until, oldest, now, &cause));
        }
        compared.until = Some(newest.max(until));
        compared.are_ids_equal |= answer.iter().any(|(id, event)| self.seen.has(id, event));
        let (are_ids_equal, seen) = (compared.are_ids_equal, &self.seen);
        let owed = answer.into_iter().filter(|(id, event)| since <= event.ts_event && !seen.has(id, event));
        let owed = owed.filter(|(id, event)| are_ids_equal || !seen.has_alike(id, event));
        compared.pending.extend(owed.filter_map(|(id, event)| Some((identity(&event)?, (id, event)))));
    }

    /// What did not come by now was lost.
    fn settle(&mut self, id: &InstrumentId, told: &mut Events) {
        let now = (self.clock)();
        let Some(compared) = self.compared.get_mut(id) else { return };
        let is_full = PENDING_MAX < compared.pending.len();
        // That both tell a trade by the same id is likely, and documented nowhere: until an answer shows it, what is alike is one.
        let are_ids_equal = compared.are_ids_equal;
        let is_lost = |(id, event): &(InstrumentId, Event)| {
            if are_ids_equal { self.seen.is_new(id, event) } else { self.seen.is_new_by_likeness(id, event) }
        };
        let settled = compared.pending.extract_if(|_, (_, event)| is_full || event.ts_event < now - SETTLED);
        let mut missed: Events = settled.map(|(_, one)| one).filter(|one| is_lost(one)).collect();
        missed.sort_by_key(|(_, event)| (event.ts_event, event.seq, event.index));
        let Some((_, first)) = missed.first() else { return };
        self.seen.trouble(now);
        let cause = format!("trades: {} were missing and are here now", missed.len());
        let word = status(id, first.ts_event, now, Feed::Gap, TRADES, &cause);
        told.append(&mut missed);
        told.push(word);
    }
}

/// Trades are missing from one time to another, and nothing brings them back: the bars over them are not whole.
fn gap(id: &InstrumentId, from: Ts, to: Ts, now: Ts, cause: &str) -> [(InstrumentId, Event); 2] {
    [status(id, from, now, Feed::Gap, "", cause), status(id, to, now, Feed::ResyncFinished, "", "trades go on")]
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
    use prism_schemas::event::{Trade, event::Body, trade};

    use super::*;

    pub(super) fn trade(id: trade::Id, ts_event: Ts) -> Event {
        Event { ts_event, body: Some(Body::Trade(Trade { id: Some(id), ..Trade::default() })), ..Event::default() }
    }

    pub(super) fn reconciler(venue: &'static str, now: Ts) -> Reconciler {
        let maker: Maker = Arc::new(move || prism_exchange::wire(venue).unwrap());
        let options = crate::Options::at("http://127.0.0.1:1");
        let rest = Arc::new(Rest::new(&options, maker().limits(), crate::Payer::Feeds).unwrap());
        Reconciler {
            maker,
            followed: Selected::default(),
            rest,
            seen: Arc::default(),
            clock: Arc::new(move || now),
            out: tokio::sync::mpsc::channel(1).0,
            compared: HashMap::new(),
        }
    }

    /// The stream's "i" and the answer's "execId" are the same in all that was recorded, and no page says so.
    #[test]
    fn answers_that_name_trades_otherwise_double_none() {
        let id = InstrumentId::new("bybit", Market::Linear, "A");
        let of = |name: &str, n: i64| (id.clone(), trade(trade::Id::Text(format!("{name} {n}")), n * SECOND));
        let lost = |others_name: &str| -> Vec<i64> {
            let mut reconciler = reconciler("bybit-linear", 1_000 * SECOND);
            reconciler.compared.insert(id.clone(), Compared::default());
            reconciler.seen.again(&id, 0);
            // The stream lost trade 7.
            for n in (1..=20).filter(|n| *n != 7) {
                assert!(reconciler.seen.is_new(&id, &of("trade", n).1));
            }
            let mut told = Events::new();
            // The next answer has it too.
            for _ in 0..3 {
                reconciler.compare(&id, (1..=20).map(|n| of(others_name, n)).collect(), &mut told);
                reconciler.settle(&id, &mut told);
            }
            let trades = told.iter().filter(|(_, event)| identity(event).is_some());
            trades.map(|(_, event)| event.ts_event / SECOND).collect()
        };
        assert_eq!((lost("trade"), lost("execution")), (vec![7], vec![7]));
    }

    #[test]
    fn what_an_answer_does_not_reach_back_to_is_told_if_the_stream_lost_something() {
        let mut reconciler = reconciler("bybit-spot", 1_000 * SECOND);
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
