//! Trades that the stream lost, found again: by their numbers, or by asking for the newest ones now and then.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;

use prism_schemas::event::event::Body;
use prism_schemas::event::{Feed, trade};
use prism_schemas::time::SECOND;
use prism_schemas::{Event, InstrumentId, Ts};
use tokio::sync::mpsc::Sender;

use super::rest::now;
use super::seen::{Hole, SETTLED, Seen, identity};
use super::{Clock, Events, Followed, Maker, Rest, Selected, status};
use prism_exchange::{Ask, Wire};

/// Trades that the shortest full answer has.
const FULL: usize = 60;
/// Trades in one answer.
const ANSWER: u32 = 1_000;
/// Trades of one hole that are asked for; the rest stays lost, and is told.
const HOLE_MAX: u64 = 20_000;
/// Trades of answers that wait for the stream to bring them; beyond, none waits.
const PENDING_MAX: usize = 20_000;
/// Trades that an answer lacks are asked for again until they are this old.
const LAG: i64 = 20 * SECOND;
/// The name of trades' troubles in feed states.
const TRADES: &str = "trades";

/// Trouble rarely comes alone: what could not be compared this long before or after it is not trusted.
const TROUBLED: i64 = 60 * SECOND;
/// Instruments that are asked for at once.
const AT_ONCE: usize = 8;

/// How far an instrument's trades were compared with the venue's newest.
#[derive(Default)]
pub(super) struct Compared {
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
            told.push(status(id, until, now, Feed::Gap, "", &cause));
            told.push(status(id, oldest, now, Feed::ResyncFinished, "", "trades go on"));
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

    /// Gives the hole before this one if nobody knows where it begins, and its trades are all owed.
    async fn fill(&self, wire: &mut dyn Wire, Followed { id, native, .. }: &Followed, hole: &Hole) -> Option<Hole> {
        let (mut found, mut from, since) = (Events::new(), hole.first, self.seen.since(id));
        if hole.since.is_none() && hole.ts <= since {
            // None of them is owed.
            return None;
        }
        // When the trade before was; before the first one, since when trades are owed.
        let (mut oldest, mut before) = (Ts::MIN, Some(hole.since.unwrap_or(since)));
        while from <= hole.last && from - hole.first < HOLE_MAX {
            let n = (hole.last - from).min(u64::from(ANSWER) - 1) as u32 + 1;
            let answer = self.rest.ask(wire, &Ask::TradesFrom(native, from, n, before), &self.clock).await;
            // Venues leave numbers out, but never so many.
            let asked = from..=from.saturating_add(HOLE_MAX);
            let wanted = answer.iter().filter_map(|(_, event)| Some((number(event)?, event.ts_event)));
            let Some((last, ts)) = wanted.filter(|(number, _)| asked.contains(number)).max() else { break };
            before = Some(ts);
            if from == hole.first {
                oldest = answer.iter().map(|(_, event)| event.ts_event).min().unwrap_or(Ts::MIN);
            }
            found.extend(answer.into_iter().filter(|(id, event)| {
                number(event).is_some_and(|number| (hole.first..=hole.last).contains(&number))
                    && since <= event.ts_event
                    && self.seen.is_new(id, event)
            }));
            let Some(next) = last.checked_add(1) else { break };
            from = next;
        }
        let (now, begun) = ((self.clock)(), hole.since.unwrap_or(hole.ts));
        let n_found = found.len();
        let first = found.iter().map(|(_, event)| event.ts_event).min();
        // Nobody knows how far an open end reaches.
        let n_lacking = hole.last.checked_add(1).map_or(0, |end| end.saturating_sub(from));
        if !found.is_empty() {
            let cause = format!("trades: {} were missing and are here now", found.len());
            found.push(status(id, first.unwrap_or(begun), now, Feed::Gap, TRADES, &cause));
        }
        // Answers lag behind the stream at times, Binance's by some seconds (review of other clients, 2026-10).
        let may_come =
            0 < n_lacking && now < hole.ts + LAG && self.seen.put_back(id, &Hole { first: from, ..hole.clone() });
        if 0 < n_lacking && !may_come {
            // Nothing brings them back: the bars over them are not whole.
            let cause = format!("trades: {n_lacking} up to number {} cannot be had", hole.last);
            found.push(status(id, begun, now, Feed::Gap, "", &cause));
            found.push(status(id, hole.ts, now, Feed::ResyncFinished, "", "trades go on"));
        }
        if !found.is_empty() {
            let _ = self.out.send(found).await;
        }
        // An answer without anything new is of what is known.
        let goes_on = hole.since.is_none() && 0 < n_found && since <= oldest && 0 < hole.first;
        goes_on.then(|| Hole { first: hole.first.saturating_sub(ANSWER.into()), last: hole.first - 1, ..hole.clone() })
    }
}

/// A trade's number, where it has one.
fn number(event: &Event) -> Option<u64> {
    match &event.body {
        Some(Body::Trade(trade)) => match trade.id {
            Some(trade::Id::Number(number)) => Some(number),
            _ => None,
        },
        _ => None,
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

    fn reconciler(venue: &'static str, now: Ts) -> Reconciler {
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

    type Asked = Arc<std::sync::Mutex<Vec<String>>>;

    /// A reconciler of Kraken's, which answers with trades of these numbers, a second each; and what it was asked.
    async fn kraken(answers: &[Vec<u64>]) -> (Reconciler, Asked, tokio::sync::mpsc::Receiver<Events>) {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (asked, answers) = (Asked::default(), answers.to_vec());
        let paths = asked.clone();
        tokio::spawn(async move {
            for numbers in answers {
                let (mut socket, _) = listener.accept().await.unwrap();
                let mut request = vec![0; 4_096];
                let n = socket.read(&mut request).await.unwrap_or(0);
                let path = String::from_utf8_lossy(&request[..n]).split(' ').nth(1).unwrap_or_default().to_string();
                paths.lock().unwrap().push(path);
                let row = |n| format!("[\"100\",\"1\",{n}.0,\"b\",\"l\",\"\",{n}]");
                let rows = numbers.into_iter().map(row).collect::<Vec<_>>().join(",");
                let body = format!("{{\"error\":[],\"result\":{{\"XXBTZUSD\":[{rows}],\"last\":\"1\"}}}}");
                let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
                let _ = socket.write_all((head + &body).as_bytes()).await;
            }
        });
        let mut reconciler = reconciler("kraken-spot", 1_000 * SECOND);
        let options = crate::Options::at(&url);
        reconciler.rest = Arc::new(Rest::new(&options, (reconciler.maker)().limits(), crate::Payer::Feeds).unwrap());
        let (out, told) = tokio::sync::mpsc::channel(4);
        reconciler.out = out;
        (reconciler, asked, told)
    }

    /// Kraken is asked by time: for what came after the trade before the hole, then after the last that was found.
    #[tokio::test]
    async fn a_hole_is_asked_for_by_number_or_by_time() {
        let (reconciler, asked, mut told) = kraken(&[vec![4, 5, 6], vec![6, 7, 8]]).await;
        let one = Followed { id: InstrumentId::new("kraken", Market::Spot, "BTCUSD"), native: "BTC/USD".into() };
        reconciler.seen.again(&one.id, 0);
        for n in [4, 8] {
            assert!(reconciler.seen.is_new(&one.id, &trade(trade::Id::Number(n), n as i64 * SECOND)));
        }
        let hole = Hole { first: 5, last: 7, since: Some(4 * SECOND), ts: 8 * SECOND };
        let mut wire = (reconciler.maker)();
        assert_eq!(reconciler.fill(&mut *wire, &one, &hole).await, None);
        let found = told.recv().await.unwrap();
        let numbers: Vec<u64> = found.iter().filter_map(|(_, event)| number(event)).collect();
        assert_eq!(numbers, [5, 6, 7]);
        let since = |at: i64| format!("/0/public/Trades?pair=XBTUSD&count=1000&since={}", (at - 1) * SECOND);
        assert_eq!(*asked.lock().unwrap(), [since(4), since(6)]);
    }

    /// Nobody knows how many were lost before the first trade: what is owed is asked for, and no more.
    #[tokio::test]
    async fn what_was_lost_before_the_first_trade_is_asked_for_since_the_connection() {
        let (reconciler, asked, mut told) = kraken(&[(11..=14).collect(), (11..=14).collect()]).await;
        let one = Followed { id: InstrumentId::new("kraken", Market::Spot, "BTCUSD"), native: "BTC/USD".into() };
        reconciler.seen.again(&one.id, 10 * SECOND);
        assert!(reconciler.seen.is_new(&one.id, &trade(trade::Id::Number(14), 14 * SECOND)));
        let hole = reconciler.seen.holes(&one.id, 60 * SECOND).remove(0);
        assert_eq!((hole.since, hole.last), (None, 13));
        let mut wire = (reconciler.maker)();
        let mut next = Some(hole);
        while let Some(hole) = next {
            next = reconciler.fill(&mut *wire, &one, &hole).await;
        }
        let found = told.recv().await.unwrap();
        assert_eq!(found.iter().filter_map(|(_, event)| number(event)).collect::<Vec<_>>(), [11, 12, 13]);
        assert!(told.try_recv().is_err(), "nothing is said to be lost");
        assert_eq!(asked.lock().unwrap().len(), 2, "once more, and nothing was new");
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
