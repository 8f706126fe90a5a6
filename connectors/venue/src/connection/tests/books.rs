//! Books of a connection.

use prism_schemas::OrderBook;
use prism_schemas::book::{Applied, Rules};

use super::*;
use crate::connection::books::RESYNC;

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
    assert_eq!(driven.kinds(), Vec::<&str>::new(), "it is behind: not told yet");
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
fn a_book_that_changes_is_told_whole_every_ten_minutes() {
    let mut driven = Driven::standing(|_| {});
    driven.kinds();
    let mut number = 7;
    let mut told = Vec::new();
    for _ in 0..21 * 60 {
        driven.pass(MS(1_000));
        number += 1;
        driven.frame(0, &book(false, number));
        let events = std::mem::take(&mut driven.events);
        told.extend(events.into_iter().filter_map(|(_, event)| match event.body? {
            Body::Book(book) if book.snapshot => Some((driven.ts() / SECOND - START / SECOND, book)),
            _ => None,
        }));
    }
    assert_eq!(told.iter().map(|(at, _)| at / 60).collect::<Vec<_>>(), [10, 20]);
    let whole = &told[1].1;
    assert_eq!((whole.update_id, whole.depth), (Some(7 + 20 * 60), Some(50)));
    assert_eq!(whole.bids.as_ref().map(|bids| bids.prices.len()), Some(1));
}

/// A thousand levels of BTCUSDT span 24 to 28 bp (hftbacktest's recordings of 2024-08): the price leaves them 80 to 190 times a day.
#[test]
fn a_book_is_made_anew_before_the_price_leaves_what_its_snapshot_had() {
    let mut driven = Driven::new("binance-linear", 1, &["BTCUSDT"], |_| {});
    let levels = |from: i64, step: i64| -> Vec<i64> { (0..8).map(|n| from + n * step).collect() };
    let snapshot = |ts: Ts, update_id: u64, mid: i64| -> Events {
        let side = |prices: Vec<i64>| Some(Levels { sizes: vec![1; 8], prices, ..Levels::default() });
        let mut events = snapshot(ts, update_id);
        let Some(Body::Book(book)) = &mut events[0].1.body else { panic!("{events:?}") };
        (book.bids, book.asks, book.depth) = (side(levels(mid - 1, -1)), side(levels(mid + 1, 1)), Some(8));
        events
    };
    // The price rises by one with each update, and the asks it passes go.
    let rise = |n: u64| {
        let text = depth(n, n).replace(r#"[["99","#, &format!(r#"[["{}","#, 990 + n));
        text.replace(r#""a":[]"#, &format!(r#""a":[["{}","0"],["{}","1"]]"#, 990 + n, 998 + n))
    };
    driven.on(Input::Opened(0));
    driven.frame(0, &rise(10));
    let (session, id, ts) = (driven.asked[0].0, driven.asked[0].1.id.clone(), driven.ts());
    driven.events.clear();
    driven.on(Input::Change(Change::Snapshot(session, id.clone(), snapshot(ts, 10, 1_000))));
    for n in 11..=14 {
        assert_eq!(driven.asked.len(), 1, "at {n}");
        driven.frame(0, &rise(n));
    }
    assert_eq!(driven.asked.len(), 2, "half of what may go is gone");
    driven.frame(0, &rise(15));
    // As whoever reads the log has it.
    let mut reader = OrderBook::new(Rules::of(&id));
    for (_, event) in driven.events.drain(..) {
        let Some(Body::Book(update)) = &event.body else { continue };
        reader.apply(update).unwrap();
    }
    assert!(reader.is_near_edge());
    driven.on(Input::Change(Change::Snapshot(session, id.clone(), snapshot(ts, 14, 1_004))));
    assert_eq!(driven.kinds(), Vec::<&str>::new(), "the book that is told is told until the other is as far");
    driven.frame(0, &rise(16));
    let Some(Body::Book(whole)) = driven.events.last().and_then(|(_, event)| event.body.clone()) else { panic!() };
    assert!(reader.apply(&whole) == Ok(Applied::Changed) && !reader.is_near_edge(), "whoever reads it takes it");
    assert_eq!(driven.kinds(), ["snapshot"], "in the place of the update");
    // What lies beyond the snapshot is not sure.
    assert_eq!((whole.update_id, whole.asks.unwrap().prices), (Some(16), levels(1_007, 1)[..6].to_vec()));
    driven.frame(0, &rise(17));
    assert_eq!(driven.asked.len(), 2);
    driven.pass(RESYNC);
    driven.frame(0, &rise(18));
    assert_eq!(driven.asked.len(), 3);
    // One that is too old is asked for again a while later.
    driven.on(Input::Change(Change::Snapshot(session, id, snapshot(ts, 15, 1_005))));
    driven.frame(0, &rise(19));
    assert_eq!(driven.asked.len(), 3);
    driven.pass(RESYNC);
    driven.frame(0, &rise(20));
    assert_eq!(driven.asked.len(), 4);
    assert!(driven.told().iter().all(|(feed, _)| *feed == Feed::Connected), "without a gap");
}
