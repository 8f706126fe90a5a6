//! The rules of a connection, each as what happens and what follows; time passes as it is told to.

mod books;
mod replaced;
mod shared;
mod states;

use std::time::{Duration, Instant};

use prism_exchange::wire;
use prism_schemas::event::event::Body;
use prism_schemas::event::{Book, Feed, Levels};
use prism_schemas::time::{MILLISECOND, SECOND};
use prism_schemas::{Event, InstrumentId, Market, Ts, canonical_symbol};

use super::machine::Machine;
use super::ports::{Change, Input, Now, Output, Slot};
use crate::rest::now;
use crate::{ENDED, Events, Followed, NOT_FOLLOWED, Options};

const START: Ts = 1_700_000_000 * SECOND;
const MS: fn(u64) -> Duration = Duration::from_millis;

/// A machine, and all that came of it so far.
struct Driven {
    machine: Machine,
    began: Instant,
    at: Instant,
    opened: Vec<Slot>,
    closed: Vec<Slot>,
    sent: Vec<(Slot, String)>,
    asked: Vec<(u64, Followed)>,
    events: Events,
}

fn followed(face: &str, symbol: &str) -> Followed {
    let (exchange, market) = face.split_once('-').unwrap();
    let market = Market::parse(market).unwrap();
    let canonical = canonical_symbol(symbol.trim_end_matches("-SWAP"));
    Followed { id: InstrumentId::new(exchange, market, &canonical), native: symbol.into() }
}

impl Driven {
    fn new(face: &'static str, lane: usize, symbols: &[&str], change: impl FnOnce(&mut Options)) -> Driven {
        let mut options = Options::at("http://127.0.0.1:1");
        change(&mut options);
        let all: Vec<Followed> = symbols.iter().map(|symbol| followed(face, symbol)).collect();
        let maker: crate::Maker = std::sync::Arc::new(move || wire(face).unwrap());
        let machine = Machine::new(maker, options, Default::default(), lane, 0, &all);
        let (began, none) = (now(), Vec::new);
        let [opened, closed] = [(); 2].map(|()| none());
        let mut driven =
            Driven { machine, began, at: began, opened, closed, sent: vec![], asked: vec![], events: vec![] };
        driven.on(Input::Tick);
        driven
    }

    /// Bybit's, connected and with a book: one instrument, whose trades are numbered from 1.
    fn standing(change: impl FnOnce(&mut Options)) -> Driven {
        let mut driven = Driven::new("bybit-linear", 0, &["BTCUSDT"], change);
        driven.on(Input::Opened(0));
        driven.answer_all(0);
        driven.frame(0, &book(true, 7));
        driven.frame(0, &trade(1));
        assert_eq!(driven.told(), [(Feed::Connected, "subscribed".to_string())]);
        driven
    }

    fn ts(&self) -> Ts {
        START + (self.at - self.began).as_nanos() as i64
    }

    fn on(&mut self, input: Input<'_>) {
        let now = Now { at: self.at, ts: self.ts() };
        for output in self.machine.handle(input, now) {
            match output {
                Output::Events(mut events) => self.events.append(&mut events),
                Output::Open(slot) => self.opened.push(slot),
                Output::Send(slot, text) => self.sent.push((slot, text)),
                Output::Ping(slot) => self.sent.push((slot, "ping".into())),
                Output::Close(slot) => self.closed.push(slot),
                Output::AskBook(session, wanted) => self.asked.push((session, wanted)),
            }
        }
    }

    fn frame(&mut self, slot: Slot, text: &str) {
        let text = text.replace("TS", &(self.ts() / MILLISECOND).to_string());
        self.on(Input::Frame(slot, &text));
    }

    /// Time passes, with ticks when they are due.
    fn pass(&mut self, length: Duration) {
        let end = self.at + length;
        while self.at < end {
            self.at = self.machine.wake(self.at).clamp(self.at + MS(1), end);
            self.on(Input::Tick);
        }
    }

    /// Time passes while trades come on a slot.
    fn pass_with_trades(&mut self, slot: Slot, seconds: u64, from: u64) {
        for n in 0..seconds {
            self.pass(MS(1_000));
            self.frame(slot, &trade(from + n));
        }
    }

    /// Answers all requests on a slot: accepted, unless one of their topics is refused.
    fn answer_unless(&mut self, slot: Slot, refused: &str) {
        while let Some(at) = self.sent.iter().position(|(on, text)| *on == slot && text.contains("\"subscribe\"")) {
            let (_, text) = self.sent.remove(at);
            let request: serde_json::Value = serde_json::from_str(&text).unwrap();
            let is_accepted = !request["args"].to_string().contains(refused);
            let answer = serde_json::json!({
                "success": is_accepted, "ret_msg": if is_accepted { "" } else { "error:handler not found" },
                "conn_id": "1", "req_id": request["req_id"], "op": "subscribe",
            });
            self.frame(slot, &answer.to_string());
            self.pass(MS(1));
        }
    }

    fn answer_all(&mut self, slot: Slot) {
        self.answer_unless(slot, "none of them");
    }

    /// The states told since the last look, of channels too, and forgets all events.
    fn told(&mut self) -> Vec<(Feed, String)> {
        let told = std::mem::take(&mut self.events).into_iter().filter_map(|(_, event)| match event.body {
            Some(Body::FeedStatus(told)) => Some((told.status(), told.cause)),
            _ => None,
        });
        told.collect()
    }

    /// The kinds of events since the last look that are no states.
    fn kinds(&mut self) -> Vec<&'static str> {
        let kinds = std::mem::take(&mut self.events).into_iter().filter_map(|(_, event)| match event.body? {
            Body::FeedStatus(_) => None,
            Body::Trade(_) => Some("trade"),
            Body::Book(book) if book.snapshot => Some("snapshot"),
            Body::Book(_) => Some("delta"),
            Body::Quarantined(_) => Some("quarantined"),
            _ => Some("other"),
        });
        kinds.collect()
    }
}

fn trade(number: u64) -> String {
    format!(
        r#"{{"topic":"publicTrade.BTCUSDT","type":"snapshot","ts":TS,"data":[{{"T":TS,"s":"BTCUSDT","S":"Buy","v":"1","p":"100","L":"PlusTick","i":"trade {number}","BT":false,"seq":{number}}}]}}"#
    )
}

fn book(is_whole: bool, number: u64) -> String {
    let kind = if is_whole { "snapshot" } else { "delta" };
    format!(
        r#"{{"topic":"orderbook.50.BTCUSDT","type":"{kind}","ts":TS,"data":{{"s":"BTCUSDT","b":[["99","{number}"]],"a":[["101","1"]],"u":{number},"seq":{number}}},"cts":TS}}"#
    )
}

/// Binance's trades, and its books on the other lane.
fn agg_trade(number: u64) -> String {
    format!(
        r#"{{"stream":"btcusdt@aggTrade","data":{{"e":"aggTrade","E":TS,"s":"BTCUSDT","a":{number},"p":"100","q":"1","f":1,"l":1,"T":TS,"m":true}}}}"#
    )
}

fn depth(first: u64, last: u64) -> String {
    let before = first - 1;
    format!(
        r#"{{"stream":"btcusdt@depth@100ms","data":{{"e":"depthUpdate","E":TS,"T":TS,"s":"BTCUSDT","U":{first},"u":{last},"pu":{before},"b":[["99","{last}"]],"a":[]}}}}"#
    )
}

fn snapshot(ts: Ts, update_id: u64) -> Events {
    let levels = |price: i64| Some(Levels { prices: vec![price], sizes: vec![1], price_decimals: 0, size_decimals: 0 });
    let body = Book {
        snapshot: true,
        bids: levels(99),
        asks: levels(101),
        update_id: Some(update_id),
        depth: Some(1_000),
        ..Book::default()
    };
    let event = Event { ts_event: ts, ts_recv: ts, body: Some(Body::Book(body)), ..Event::default() };
    vec![(followed("binance-linear", "BTCUSDT").id, event)]
}

#[test]
fn it_connects_at_once_and_is_connected_with_the_first_event_after_all_is_answered() {
    let mut driven = Driven::new("bybit-linear", 0, &["BTCUSDT", "ETHUSDT", "XRPUSDT"], |_| {});
    assert_eq!(driven.opened, [0]);
    driven.on(Input::Opened(0));
    driven.frame(0, &trade(1));
    assert_eq!(driven.told(), [], "not all was asked for");
    driven.pass(MS(5));
    assert_eq!(driven.sent.len(), 2, "fifteen topics, ten in a request: {:?}", driven.sent);
    driven.frame(0, &trade(2));
    assert_eq!(driven.told(), [], "not all is answered");
    driven.answer_all(0);
    driven.frame(0, &trade(3));
    assert_eq!(driven.told(), vec![(Feed::Connected, "subscribed".to_string()); 3]);
}

#[test]
fn a_venue_that_does_not_answer_is_not_waited_for() {
    let mut driven = Driven::new("bybit-linear", 0, &["BTCUSDT"], |options| {
        (options.idle, options.channels.depth) = (MS(60_000), 0);
    });
    driven.on(Input::Opened(0));
    driven.pass_with_trades(0, 4, 1);
    assert_eq!(driven.told(), []);
    driven.pass_with_trades(0, 1, 5);
    assert_eq!(driven.told(), [(Feed::Connected, "subscribed".to_string())]);
}

#[test]
fn who_never_says_a_word_is_told_after_a_while() {
    let mut driven = Driven::new("bybit-linear", 0, &["BTCUSDT"], |options| options.channels.depth = 0);
    driven.on(Input::Opened(0));
    driven.pass(MS(19_999));
    assert_eq!(driven.told(), []);
    driven.pass(MS(2));
    assert_eq!(driven.told(), [(Feed::Disconnected, "no message yet".to_string())]);
}

#[test]
fn a_lost_connection_is_told_from_its_last_message_and_made_again_ever_later() {
    let mut driven = Driven::standing(|_| {});
    driven.pass(MS(700));
    let heard = driven.ts() - 700 * MILLISECOND;
    driven.on(Input::Closed(0, "reset by peer".into()));
    let [(_, event)] = &driven.events[..] else { panic!("{:?}", driven.events) };
    assert!((heard - MILLISECOND..=heard).contains(&event.ts_event), "{} {heard}", event.ts_event);
    assert_eq!(driven.told(), [(Feed::Disconnected, "reset by peer".to_string())]);
    // Half to all of 200 ms, of twice that, and so on to half a minute.
    for wait in [200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 30_000, 30_000] {
        let n = driven.opened.len();
        driven.pass(MS(wait / 2 - 1));
        assert_eq!(driven.opened.len(), n, "too early for {wait}");
        driven.pass(MS(wait / 2 + 2));
        assert_eq!(driven.opened.len(), n + 1, "too late for {wait}");
        driven.on(Input::Closed(0, "no connection".into()));
    }
    assert_eq!(driven.told(), [], "it is told once");
}

#[test]
fn after_a_good_connection_the_first_wait_is_short_again() {
    let mut driven = Driven::standing(|_| {});
    for _ in 0..6 {
        driven.on(Input::Closed(0, "down".into()));
        driven.pass(MS(30_001));
    }
    driven.on(Input::Opened(0));
    driven.pass_with_trades(0, 61, 10);
    driven.on(Input::Closed(0, "down".into()));
    let n = driven.opened.len();
    driven.pass(MS(201));
    assert_eq!(driven.opened.len(), n + 1);
}

#[test]
fn a_silent_connection_is_given_up_and_a_pong_keeps_it() {
    let mut driven = Driven::standing(|options| options.stale = MS(10_000));
    driven.pass(MS(9_000));
    driven.on(Input::Alive(0));
    driven.pass(MS(9_990));
    assert!(driven.closed.is_empty());
    driven.pass(MS(20));
    assert_eq!(driven.closed, [0]);
    let told = driven.told();
    assert_eq!(told.last(), Some(&(Feed::Disconnected, "no message for 10s".to_string())), "{told:?}");
}

#[test]
fn nobody_is_silent_to_who_did_not_listen() {
    let mut driven = Driven::standing(|_| {});
    // The log took twenty seconds to take what was told: no tick came.
    driven.at += MS(20_000);
    driven.machine.main.as_mut().unwrap().heard = driven.at;
    driven.on(Input::Held);
    driven.pass(MS(100));
    assert_eq!((driven.closed.len(), driven.told()), (0, vec![]));
}

#[test]
fn signs_of_life_are_sent_as_the_venue_wants_them() {
    for (face, lane, expected) in [("bybit-linear", 0, "{\"op\":\"ping\"}"), ("binance-linear", 1, "ping")] {
        let mut driven = Driven::new(face, lane, &["BTCUSDT"], |options| options.stale = MS(600_000));
        driven.on(Input::Opened(0));
        driven.pass(MS(61_000));
        let pings = driven.sent.iter().filter(|(_, text)| text == expected).count();
        assert_eq!(pings, 3, "{face}: {:?}", driven.sent);
    }
}

#[test]
fn garbage_is_kept_and_twenty_in_a_row_end_the_connection() {
    let mut driven = Driven::standing(|_| {});
    for n in 0..19 {
        driven.frame(0, &format!("garbage {n}"));
    }
    driven.frame(0, &trade(2));
    assert_eq!(driven.kinds().iter().filter(|kind| **kind == "quarantined").count(), 19);
    (0..20).for_each(|n| driven.frame(0, &format!("garbage {n}")));
    assert_eq!(driven.closed, [0]);
    let told = driven.told();
    assert_eq!(told, [(Feed::Disconnected, "20 frames in a row could not be decoded".to_string())]);
}

#[test]
fn a_message_of_too_many_events_is_none_and_says_the_limit() {
    let mut driven = Driven::standing(|_| {});
    driven.events.clear();
    let one = trade(2);
    let (head, rest) = one.split_once('[').unwrap();
    let data = rest.trim_end_matches("]}");
    driven.frame(0, &format!("{head}[{}]}}", vec![data; 10_001].join(",")));
    let Some((_, Event { body: Some(Body::Quarantined(refused)), .. })) = driven.events.first() else {
        panic!("{} events", driven.events.len())
    };
    assert!(refused.detail.contains("10001 events in one message, the limit is 10000"), "{}", refused.detail);
    assert_eq!(driven.kinds(), ["quarantined"]);
}

#[test]
fn a_trade_with_an_id_that_cannot_be_is_quarantined() {
    let mut driven = Driven::new("binance-linear", 0, &["BTCUSDT"], |_| {});
    driven.on(Input::Opened(0));
    for number in [100, u64::MAX, u64::MAX, 101] {
        driven.frame(0, &agg_trade(number));
    }
    let rules = driven.events.iter().filter_map(|(id, event)| match &event.body {
        Some(Body::Quarantined(refused)) => Some((&*id.symbol, &*refused.rule)),
        _ => None,
    });
    assert_eq!(rules.collect::<Vec<_>>(), [("BTCUSDT", "trade_id"); 2]);
    assert_eq!(driven.kinds(), ["trade", "quarantined", "quarantined", "trade"]);
}

#[test]
fn instruments_join_and_leave_while_others_go_on() {
    let mut driven = Driven::standing(|_| {});
    driven.told();
    driven.on(Input::Change(Change::Follow(followed("bybit-linear", "ETHUSDT"))));
    assert_eq!(driven.told(), [(Feed::Connected, "subscribed".to_string())]);
    assert!(driven.sent.last().unwrap().1.contains("publicTrade.ETHUSDT"));
    driven.on(Input::Change(Change::Leave(followed("bybit-linear", "BTCUSDT").id)));
    assert_eq!(driven.told(), [(Feed::Disconnected, NOT_FOLLOWED.to_string())]);
    driven.pass(MS(2));
    assert!(driven.sent.last().unwrap().1.contains("unsubscribe"));
}

#[test]
fn the_end_is_told_to_who_was_connected_and_to_who_was_not() {
    let mut driven = Driven::standing(|_| {});
    let now = |driven: &Driven| Now { at: driven.at, ts: driven.ts() };
    let ended = |told: Events| {
        told.into_iter().all(|(_, event)| {
        matches!(event.body, Some(Body::FeedStatus(told)) if told.status() == Feed::Disconnected && told.cause == ENDED)
    })
    };
    let at = now(&driven);
    let told = driven.machine.end(ENDED, at);
    assert!(told.len() == 1 && ended(told));
    let mut driven = Driven::standing(|_| {});
    driven.on(Input::Closed(0, "cut".into()));
    let at = now(&driven);
    let told = driven.machine.end(ENDED, at);
    assert!(told.len() == 1 && ended(told), "that prism ends is another thing than that the venue is away");
}
