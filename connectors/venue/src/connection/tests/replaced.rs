//! A connection that is replaced by another.

use super::*;

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
    assert_eq!(driven.events.len(), 1, "nothing but the book: {:?}", driven.events);
    assert_eq!(driven.kinds(), ["snapshot"]);
    // What the old one was sent before the new one was subscribed may come after; its book is the new one's.
    driven.frame(0, &trade(103));
    driven.frame(0, &book(false, 9));
    driven.frame(1, &trade(103));
    driven.frame(1, &book(false, 9));
    assert_eq!((driven.kinds(), driven.closed.len()), (vec!["trade", "trade", "delta"], 0));
    driven.pass(MS(2_000));
    assert_eq!(driven.closed, [0]);
    driven.frame(0, &trade(104));
    assert_eq!(driven.kinds(), Vec::<&str>::new(), "it is closed");
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
    assert_eq!(driven.told(), [(Feed::Stale, "the venue refuses allLiquidation.BTCUSDT".to_string())]);
}

/// The replacement's book must not be taken for an old one by whoever has the first one's.
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

/// Binance spot says so ten minutes before: developers.binance.com, "serverShutdown".
#[test]
fn a_connection_whose_venue_leaves_is_replaced_before() {
    let mut driven = Driven::new("binance-spot", 0, &["BTCUSDT"], |_| {});
    driven.on(Input::Opened(0));
    driven.frame(0, r#"{"result":null,"id":1}"#);
    let trade = r#"{"e":"aggTrade","E":TS,"a":1,"s":"BTCUSDT","p":"1","q":"1","f":1,"l":1,"T":TS,"m":true}"#;
    driven.frame(0, &format!(r#"{{"stream":"btcusdt@aggTrade","data":{trade}}}"#));
    assert_eq!(driven.told(), [(Feed::Connected, "subscribed".to_string())]);
    assert_eq!(driven.opened, [0]);
    driven.frame(0, r#"{"e":"serverShutdown","E":TS}"#);
    assert_eq!((driven.opened.clone(), driven.closed.len(), driven.told()), (vec![0, 1], 0, vec![]));
}
