//! What is told of feeds.

use super::*;

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
    let mut driven = Driven::new("bybit-linear", 0, &["BTCUSDT", "ETHUSDT"], |options| options.channels.depth = 0);
    driven.on(Input::Opened(0));
    driven.answer_all(0);
    driven.frame(0, &trade(1));
    driven.told();
    driven.pass_with_trades(0, 19, 2);
    driven.pass(MS(1_200));
    let told: Vec<_> =
        driven.events.iter().filter(|(_, event)| matches!(event.body, Some(Body::FeedStatus(_)))).collect();
    let [(id, event)] = &told[..] else { panic!("{told:?}") };
    assert_eq!((&*id.symbol, event.ts_event - START < 100 * MILLISECOND), ("ETHUSDT", true), "since its last message");
    assert_eq!(driven.told(), [(Feed::Stale, "no message for 20s".to_string())]);
    driven.frame(0, &trade(90).replace("BTCUSDT", "ETHUSDT"));
    assert_eq!(driven.told(), [(Feed::Connected, "messages come again".to_string())]);
}

#[test]
fn messages_from_the_future_are_told_as_skewed_and_their_end_too() {
    let mut driven = Driven::standing(|_| {});
    // What comes first after a subscription may be seconds old: bybit-exchange.github.io/docs/v5/ws/connect.
    for n in 0..3 {
        driven.pass(MS(1_000));
        let before = (driven.ts() / MILLISECOND - 3_000).to_string();
        driven.on(Input::Frame(0, &trade(2 + n).replace("TS", &before)));
    }
    driven.pass_with_trades(0, 1, 5);
    assert_eq!(driven.told(), []);
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

/// Quiet pairs trade every 12 to 15 s and rarer; a venue's pong says that the connection lives.
#[test]
fn a_quiet_connection_is_kept_while_its_pings_are_answered() {
    let pong = r#"{"success":true,"ret_msg":"pong","conn_id":"7","op":"ping"}"#;
    let mut driven = Driven::standing(|_| {});
    for _ in 0..10 {
        driven.pass(MS(20_000));
        assert!(driven.sent.pop().is_some_and(|(_, text)| text.contains("ping")));
        driven.frame(0, pong);
    }
    assert!(driven.closed.is_empty());
    assert_eq!(driven.told(), [(Feed::Stale, "no message for 20s".to_string())]);
    driven.pass(MS(30_000));
    assert_eq!(driven.closed, [0]);
    assert_eq!(driven.told(), [(Feed::Disconnected, "no message for 30s".to_string())]);
}
