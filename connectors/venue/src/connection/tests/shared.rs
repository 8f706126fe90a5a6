//! Topics that instruments share, answers to each topic alone, and frames that count contracts: OKX.

use prism_schemas::Decimal;
use prism_schemas::event::Instrument;

use super::*;

/// Two swaps on the lane of books and states, connected; 0.01 BTC and 10 XRP a contract.
fn standing() -> Driven {
    let mut driven = Driven::new("okx-linear", 1, &["BTC-USDT-SWAP", "XRP-USDT-SWAP"], |_| {});
    let known = |native: &str, contract_size| {
        let one = followed("okx-linear", native);
        let native_symbol = native.into();
        (one.id, Instrument { contract_size: Some(contract_size), native_symbol, ..Instrument::default() })
    };
    let news = [("BTC-USDT-SWAP", (1, 2)), ("XRP-USDT-SWAP", (10, 0)), ("IOST-USDT-SWAP", (1_000, 0))];
    driven.on(Input::Opened(0));
    driven.on(Input::Change(Change::Learn(
        news.map(|(native, (mantissa, decimals))| known(native, Decimal::new(mantissa, decimals))).into(),
    )));
    driven
}

/// The topics that were asked for, or given up, since the last look.
fn args(driven: &mut Driven, op: &str) -> Vec<(u64, serde_json::Value)> {
    let sent: Vec<serde_json::Value> =
        driven.sent.drain(..).filter_map(|(_, text)| serde_json::from_str(&text).ok()).collect();
    let of_op = sent.into_iter().filter(|one| one["op"] == op);
    of_op
        .flat_map(|one| {
            let number = one["id"].as_str().unwrap().parse().unwrap();
            one["args"].as_array().unwrap().iter().map(move |arg| (number, arg.clone())).collect::<Vec<_>>()
        })
        .collect()
}

/// As <https://www.okx.com/docs-v5/en/#overview-websocket-subscribe> answers: each alone, and a refusal in words.
fn answer(driven: &mut Driven, refused: &str) {
    for (number, arg) in args(driven, "subscribe") {
        let of = arg["instId"].as_str().or(arg["instType"].as_str()).unwrap();
        let channel = arg["channel"].as_str().unwrap();
        let text = if channel == refused {
            let message =
                format!("Wrong URL or channel:{channel},instType:{of} doesn't exist. Please use the correct URL");
            serde_json::json!({"id": number.to_string(), "event": "error", "code": "60018", "msg": message, "connId": "1"})
        } else {
            serde_json::json!({"id": number.to_string(), "event": "subscribe", "arg": arg, "connId": "1"})
        };
        driven.frame(0, &text.to_string());
    }
}

fn liquidations() -> String {
    let one = |native: &str| {
        format!(
            r#"{{"details":[{{"bkPx":"2","posSide":"short","side":"buy","sz":"13","ts":"TS"}}],"instId":"{native}","instType":"SWAP"}}"#
        )
    };
    let data = ["BTC-USDT-SWAP", "IOST-USDT-SWAP", "NEW-USDT-SWAP"].map(one).join(",");
    format!(r#"{{"arg":{{"channel":"liquidation-orders","instType":"SWAP"}},"data":[{data}]}}"#)
}

#[test]
fn a_topic_of_all_is_asked_for_once_and_tells_of_those_that_are_followed() {
    let mut driven = standing();
    let is_shared = |(_, arg): &&(u64, serde_json::Value)| arg["channel"] == "liquidation-orders";
    let sent = driven.sent.clone();
    assert_eq!(args(&mut driven, "subscribe").iter().filter(is_shared).count(), 1);
    driven.sent = sent;
    answer(&mut driven, "none of them");
    driven.frame(0, &liquidations());
    let sizes: Vec<_> = driven
        .events
        .iter()
        .filter_map(|(id, event)| match &event.body {
            Some(Body::Liquidation(order)) => Some((id.symbol.clone(), order.size.unwrap().to_string())),
            _ => None,
        })
        .collect();
    assert_eq!(sizes, [("BTCUSDT".to_string(), "0.13".to_string())]);
    for (native, n) in [("BTC-USDT-SWAP", 0), ("XRP-USDT-SWAP", 1)] {
        driven.sent.clear();
        driven.on(Input::Change(Change::Leave(followed("okx-linear", native).id)));
        driven.pass(MS(1_000));
        let given_up = args(&mut driven, "unsubscribe");
        assert!(3 < given_up.len(), "{given_up:?}");
        assert_eq!(given_up.iter().filter(is_shared).count(), n, "{native}");
    }
}

#[test]
fn a_topic_of_all_that_is_refused_is_told_of_all() {
    let mut driven = standing();
    answer(&mut driven, "liquidation-orders");
    driven.pass(MS(500));
    // Those without an answer when it was refused are asked for again.
    answer(&mut driven, "liquidation-orders");
    let ticker = r#"{"arg":{"channel":"mark-price","instId":"BTC-USDT-SWAP"},"data":[{"instType":"SWAP","instId":"BTC-USDT-SWAP","markPx":"42310.6","ts":"TS"}]}"#;
    driven.frame(0, ticker);
    let refused = driven.told().into_iter().filter(|(feed, _)| *feed == Feed::Stale).count();
    assert_eq!(refused, 2);
}

/// Trades and bars have a connection of their own, which sends no books.
#[test]
fn the_connection_of_trades_asks_for_no_book_and_is_quiet_while_the_other_one_speaks() {
    let mut driven = Driven::new("okx-linear", 0, &["BTC-USDT-SWAP", "XRP-USDT-SWAP"], |_| {});
    driven.on(Input::Opened(0));
    answer(&mut driven, "none of them");
    let bar = r#"{"arg":{"channel":"candle1m","instId":"BTC-USDT-SWAP"},"data":[["1597026360000","8533.02","8553.74","8527.17","8548.26","45247","452.47","3863000.5","1"]]}"#;
    driven.frame(0, bar);
    assert_eq!(driven.told().len(), 2, "connected");
    let ids = ["BTC-USDT-SWAP", "XRP-USDT-SWAP"].map(|native| followed("okx-linear", native).id);
    // Nothing is traded for a minute and a half, and books change.
    for _ in 0..90 {
        driven.pass(MS(1_000));
        driven.on(Input::Alive(0));
        ids.iter().for_each(|id| driven.machine.seen.hear(id, driven.ts()));
    }
    let said: Vec<&str> = driven.sent.iter().map(|(_, text)| &**text).filter(|text| *text != "ping").collect();
    assert!(said.is_empty(), "{said:?}");
    assert_eq!(driven.told(), []);
    // Then nothing comes at all; and again on the other connection.
    for _ in 0..30 {
        driven.pass(MS(1_000));
        driven.on(Input::Alive(0));
    }
    assert_eq!(driven.told().iter().map(|(feed, _)| *feed).collect::<Vec<_>>(), [Feed::Stale; 2]);
    driven.machine.seen.hear(&ids[0], driven.ts());
    driven.pass(MS(1_000));
    assert_eq!(driven.told(), [(Feed::Connected, "messages come again".to_string())]);
}

/// A venue that counts requests counts them by connection: one that has few left is replaced, without a gap.
#[test]
fn a_connection_that_has_few_requests_left_is_replaced() {
    let mut driven = standing();
    answer(&mut driven, "none of them");
    let mark = r#"{"arg":{"channel":"mark-price","instId":"BTC-USDT-SWAP"},"data":[{"instType":"SWAP","instId":"BTC-USDT-SWAP","markPx":"42310.6","ts":"TS"}]}"#;
    driven.frame(0, mark);
    let other = followed("okx-linear", "SOL-USDT-SWAP");
    // Two requests a round; three quarters of 450 are 337, and the connection's first topics took some.
    for n in 0..200 {
        assert_eq!(driven.opened.len(), 1 + usize::from(160 < n), "{n}");
        driven.on(Input::Change(Change::Follow(other.clone())));
        driven.pass(MS(1_000));
        answer(&mut driven, "none of them");
        driven.on(Input::Change(Change::Leave(other.id.clone())));
        driven.pass(MS(1_000));
        driven.frame(0, mark);
    }
}

/// 480 requests an hour on a connection: <https://www.okx.com/docs-v5/en/#overview-websocket-connect>.
#[test]
fn a_book_that_never_comes_and_topics_that_are_refused_cost_few_requests() {
    let mut driven = standing();
    let mut n = 0;
    for _ in 0..7_200 {
        n += driven.sent.iter().filter(|(_, text)| text != "ping").count();
        answer(&mut driven, "index-tickers");
        driven.pass(MS(500));
        driven.on(Input::Alive(0));
    }
    assert!((10..200).contains(&n), "{n} requests within an hour");
    // Who is told that there were too many waits, and blames no topic.
    let mut driven = standing();
    driven.told();
    let (number, _) = args(&mut driven, "subscribe").remove(0);
    driven.frame(
        0,
        &format!(r#"{{"id":"{number}","event":"error","code":"60014","msg":"Requests too frequent","connId":"1"}}"#),
    );
    driven.pass(MS(20_000));
    assert_eq!(args(&mut driven, "subscribe"), []);
    driven.on(Input::Alive(0));
    driven.pass(MS(25_000));
    driven.on(Input::Alive(0));
    driven.pass(MS(20_000));
    assert!(10 < args(&mut driven, "subscribe").len());
    assert!(!driven.told().iter().any(|(_, cause)| cause.contains("refuses")));
}
