//! The rules of a connection, each as what happens and what follows; time passes as it is told to.

use std::time::{Duration, Instant};

use prism_exchange::wire;
use prism_schemas::event::event::Body;
use prism_schemas::event::{Book, Feed, Levels};
use prism_schemas::time::{MILLISECOND, SECOND};
use prism_schemas::{Event, InstrumentId, Market, Ts};

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
    Followed { id: InstrumentId::new(exchange, market, symbol), native: symbol.into() }
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
    let mut driven = Driven::new("bybit-linear", 0, &["BTCUSDT"], |_| {});
    driven.on(Input::Opened(0));
    driven.pass(MS(2_499));
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
fn a_refused_topic_is_found_told_and_asked_for_again_each_minute() {
    let mut driven = Driven::new("bybit-linear", 0, &["BTCUSDT"], |options| options.channels.depth = 0);
    driven.on(Input::Opened(0));
    driven.answer_unless(0, "tickers");
    driven.frame(0, &trade(1));
    let told = driven.told();
    let refused = (Feed::Stale, "the venue refuses tickers.BTCUSDT".to_string());
    assert_eq!(told, [(Feed::Connected, "subscribed".to_string()), refused]);
    driven.pass_with_trades(0, 58, 2);
    assert!(!driven.sent.iter().any(|(_, text)| text.contains("tickers")), "{:?}", driven.sent);
    driven.pass_with_trades(0, 3, 100);
    driven.answer_all(0);
    let accepted = (Feed::Connected, "the venue sends tickers.BTCUSDT now".to_string());
    assert_eq!(driven.told(), [accepted]);
}

#[test]
fn an_instrument_whose_trades_are_refused_is_stale_whatever_else_comes() {
    let mut driven = Driven::new("bybit-linear", 0, &["BTCUSDT"], |_| {});
    driven.on(Input::Opened(0));
    driven.answer_unless(0, "publicTrade");
    driven.frame(0, &book(true, 1));
    let told = driven.told();
    assert_eq!(told.last(), Some(&(Feed::Stale, "the venue refuses publicTrade.BTCUSDT".to_string())));
    driven.frame(0, &book(false, 2));
    assert_eq!(driven.told(), []);
}

#[test]
fn a_silent_instrument_is_told_alone_and_when_it_speaks_again() {
    let mut driven = Driven::new("bybit-linear", 0, &["BTCUSDT", "ETHUSDT"], |_| {});
    driven.on(Input::Opened(0));
    driven.answer_all(0);
    driven.frame(0, &trade(1));
    driven.told();
    driven.pass_with_trades(0, 2, 2);
    driven.pass(MS(700));
    let told: Vec<_> =
        driven.events.iter().filter(|(_, event)| matches!(event.body, Some(Body::FeedStatus(_)))).collect();
    let [(id, event)] = &told[..] else { panic!("{told:?}") };
    assert_eq!((&*id.symbol, event.ts_event - START < 100 * MILLISECOND), ("ETHUSDT", true), "since its last message");
    assert_eq!(driven.told(), [(Feed::Stale, "no message for 2.5s".to_string())]);
    driven.frame(0, &trade(9).replace("BTCUSDT", "ETHUSDT"));
    assert_eq!(driven.told(), [(Feed::Connected, "messages come again".to_string())]);
}

#[test]
fn messages_from_the_future_are_told_as_skewed_and_their_end_too() {
    let mut driven = Driven::standing(|_| {});
    let ahead = |driven: &mut Driven, by: i64, from: u64| {
        for n in 0..8 {
            driven.pass(MS(200));
            let ts = (driven.ts() / MILLISECOND + by).to_string();
            let text = trade(from + n).replace("TS", &ts);
            driven.on(Input::Frame(0, &text));
        }
    };
    ahead(&mut driven, 5_000, 10);
    let told = driven.told();
    assert!(matches!(&told[..], [(Feed::Skewed, cause)] if cause.contains("before they happened")), "{told:?}");
    ahead(&mut driven, -5, 30);
    assert_eq!(driven.told(), [(Feed::Connected, "times agree again".to_string())]);
}

#[test]
fn a_gap_in_a_book_is_told_and_its_snapshot_asked_for_until_it_comes() {
    let mut driven = Driven::standing(|_| {});
    driven.told();
    driven.frame(0, &book(false, 8));
    assert_eq!(driven.told(), []);
    driven.frame(0, &book(false, 10));
    let told = driven.told();
    assert!(matches!(&told[..], [(Feed::Gap, cause)] if cause.contains("update 10 does not follow 8")), "{told:?}");
    driven.pass(MS(5));
    let sent: Vec<&str> = driven.sent.iter().map(|(_, text)| &**text).collect();
    assert!(
        matches!(&sent[..], [end, begin] if end.contains("unsubscribe") && begin.contains("orderbook")),
        "{sent:?}"
    );
    driven.frame(0, &book(false, 11));
    assert_eq!(driven.told(), [], "it is told once");
    driven.pass_with_trades(0, 5, 2);
    assert_eq!(driven.told(), [(Feed::ResyncStarted, "book: snapshot asked for again".to_string())]);
    driven.frame(0, &book(true, 20));
    assert_eq!(driven.told(), [(Feed::ResyncFinished, "book: snapshot".to_string())]);
}

#[test]
fn a_book_that_is_asked_for_by_request_joins_its_own_session_only() {
    let mut driven = Driven::new("binance-linear", 1, &["BTCUSDT"], |_| {});
    driven.on(Input::Opened(0));
    driven.frame(0, &depth(10, 12));
    let [(session, wanted)] = &driven.asked[..] else { panic!("{:?}", driven.asked) };
    let (session, id) = (*session, wanted.id.clone());
    driven.frame(0, &depth(13, 13));
    assert_eq!(driven.asked.len(), 1, "once");
    driven.on(Input::NotAsked(id.clone()));
    driven.frame(0, &depth(14, 14));
    assert_eq!(driven.asked.len(), 2, "what could not be asked for is asked for with the next change");
    driven.events.clear();
    let ts = driven.ts();
    driven.on(Input::Change(Change::Snapshot(session + 7, id.clone(), snapshot(ts, 11))));
    assert_eq!(driven.kinds(), Vec::<&str>::new(), "of another session");
    driven.on(Input::Change(Change::Snapshot(session, id, snapshot(ts, 11))));
    assert_eq!(driven.kinds(), ["snapshot"]);
}

#[test]
fn a_connection_is_replaced_before_its_end_without_a_word_and_without_a_gap() {
    let mut driven = Driven::standing(|options| {
        options.rotate = MS(60_000);
        options.channels.tickers = false;
    });
    driven.pass_with_trades(0, 61, 2);
    assert_eq!((driven.opened.clone(), driven.closed.clone()), (vec![0, 1], vec![]));
    driven.on(Input::Opened(1));
    driven.told();
    driven.answer_all(1);
    // Both bring trades; the book is the old one's.
    driven.frame(0, &trade(100));
    driven.frame(1, &trade(100));
    driven.frame(0, &book(false, 8));
    assert_eq!(driven.kinds(), ["trade", "trade", "delta"]);
    driven.pass_with_trades(0, 2, 101);
    assert!(driven.closed.is_empty(), "its book is not there");
    driven.events.clear();
    driven.frame(1, &book(true, 8));
    assert_eq!(driven.closed, [0]);
    assert_eq!(driven.events.len(), 1, "nothing but the book: {:?}", driven.events);
    assert_eq!(driven.kinds(), ["snapshot"]);
    driven.frame(0, &trade(103));
    assert_eq!(driven.kinds(), Vec::<&str>::new(), "it is closed");
    driven.frame(1, &trade(103));
    driven.frame(1, &book(false, 9));
    assert_eq!(driven.kinds(), ["trade", "delta"]);
    driven.pass_with_trades(1, 10, 104);
    assert_eq!((driven.told(), driven.closed.len()), (vec![], 1));
}

#[test]
fn what_is_refused_on_the_replacement_alone_is_told() {
    let mut driven = Driven::standing(|options| options.rotate = MS(5_000));
    driven.pass_with_trades(0, 6, 2);
    driven.on(Input::Opened(1));
    driven.told();
    driven.answer_unless(1, "allLiquidation");
    driven.frame(1, &book(true, 9));
    assert_eq!(driven.closed, [0]);
    assert_eq!(driven.told(), [(Feed::Stale, "the venue refuses allLiquidation.BTCUSDT".to_string())]);
}

/// The replacement's book must not be taken for an old one by whoever has the first one's.
#[test]
fn a_numbered_book_is_handed_over_when_it_is_ahead() {
    let mut driven = Driven::new("binance-linear", 1, &["BTCUSDT"], |options| {
        options.rotate = MS(5_000);
        options.stale = MS(60_000);
    });
    let id = followed("binance-linear", "BTCUSDT").id;
    let answer = |driven: &mut Driven, slot: Slot| {
        driven.pass(MS(1));
        let is = |(on, text): &(Slot, String)| *on == slot && text.contains("SUBSCRIBE");
        let (_, text) = driven.sent.iter().rev().find(|one| is(one)).unwrap().clone();
        let request: serde_json::Value = serde_json::from_str(&text).unwrap();
        driven.frame(slot, &format!("{{\"result\":null,\"id\":{}}}", request["id"]));
    };
    driven.on(Input::Opened(0));
    answer(&mut driven, 0);
    driven.frame(0, &depth(10, 12));
    let (session, ts) = (driven.asked[0].0, driven.ts());
    driven.on(Input::Change(Change::Snapshot(session, id.clone(), snapshot(ts, 10))));
    driven.pass(MS(5_001));
    driven.on(Input::Opened(1));
    answer(&mut driven, 1);
    driven.frame(0, &depth(13, 16));
    driven.told();
    // Other messages of the same updates.
    driven.frame(1, &depth(13, 14));
    let (session, _) = driven.asked[1].clone();
    driven.on(Input::Change(Change::Snapshot(session, id, snapshot(ts, 13))));
    assert_eq!((driven.closed.clone(), driven.kinds()), (vec![0], vec![]), "it is behind: not told yet");
    driven.frame(1, &depth(15, 16));
    assert_eq!(driven.kinds(), Vec::<&str>::new());
    driven.frame(1, &depth(17, 19));
    let Some((_, Event { body: Some(Body::Book(told)), .. })) = driven.events.first() else {
        panic!("{:?}", driven.events)
    };
    assert_eq!((told.snapshot, told.update_id), (true, Some(19)));
    assert_eq!(driven.kinds(), ["snapshot"]);
    driven.frame(1, &depth(20, 20));
    assert_eq!(driven.told(), []);
}

#[test]
fn a_replacement_that_fails_costs_nothing_and_is_tried_again_a_minute_later() {
    for fails in ["closes", "does not answer"] {
        let mut driven = Driven::standing(|options| options.rotate = MS(5_000));
        driven.pass_with_trades(0, 6, 2);
        assert_eq!(driven.opened, [0, 1]);
        if fails == "closes" {
            driven.on(Input::Closed(1, "refused".into()));
        } else {
            driven.on(Input::Opened(1));
            for n in 0..12 {
                driven.pass(MS(1_000));
                driven.frame(0, &trade(20 + n));
                driven.on(Input::Alive(1));
            }
            assert_eq!(driven.closed, [1]);
        }
        driven.pass_with_trades(0, 40, 100);
        assert_eq!(driven.opened, [0, 1], "{fails}");
        driven.pass_with_trades(0, 30, 200);
        assert_eq!(driven.opened, [0, 1, 1], "{fails}");
        assert!(!driven.closed.contains(&0) && !driven.told().iter().any(|(feed, _)| *feed == Feed::Disconnected));
    }
}

#[test]
fn a_connection_that_ends_while_it_is_replaced_is_told_and_made_anew() {
    let mut driven = Driven::standing(|options| options.rotate = MS(5_000));
    driven.pass_with_trades(0, 6, 2);
    driven.on(Input::Opened(1));
    driven.told();
    driven.on(Input::Closed(0, "cut".into()));
    assert_eq!((driven.told(), driven.closed.clone()), (vec![(Feed::Disconnected, "cut".to_string())], vec![1]));
    driven.pass(MS(201));
    assert_eq!(driven.opened, [0, 1, 0]);
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
