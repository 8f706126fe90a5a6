//! OKX's streams: <https://www.okx.com/docs-v5/en/#overview-websocket>.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use prism_emulator::Faults;
use prism_schemas::Decimal;
use serde_json::{Value, json};

use super::*;

const PUBLIC: &str = "okx-linear/ws/v5/public";
const BUSINESS: &str = "okx-linear/ws/v5/business";

fn subscribe(args: &Value) -> Value {
    json!({"id": "1512", "op": "subscribe", "args": args})
}

fn is_data(channel: &'static str) -> impl Fn(&Value) -> bool {
    move |message| message["data"].is_array() && message["arg"]["channel"] == channel
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_argument_has_an_answer_of_its_own() {
    let emulator = emulator(1, Faults::default()).await;
    let mut client = Client::connect(&emulator, PUBLIC).await;
    client.send("ping").await;
    assert_eq!(client.text().await.as_deref(), Some("pong"));
    let args = json!([
        {"channel": "trades", "instId": "BTC-USDT-SWAP"},
        {"channel": "trades", "instId": "NONE-USDT-SWAP"},
        {"channel": "candle1m", "instId": "BTC-USDT-SWAP"},
        {"channel": "liquidation-orders", "instType": "SWAP"},
        {"channel": "trades", "instId": "BTC-USDT"},
        {"channel": "index-tickers", "instId": "BTC-USDT"},
    ]);
    client.send(subscribe(&args)).await;
    let answers = client.some(6, |message| message["event"].is_string()).await;
    for (answer, is_taken) in answers.iter().zip([true, false, false, true, false, true]) {
        assert_eq!(answer["id"], "1512");
        assert!(answer["connId"].as_str().is_some_and(|id| id.len() == 8), "{answer}");
        if is_taken {
            assert_eq!(
                (&answer["event"], args.as_array().unwrap().contains(&answer["arg"])),
                (&json!("subscribe"), true)
            );
        } else {
            assert_eq!(
                (&answer["event"], &answer["code"], answer.get("arg")),
                (&json!("error"), &json!("60018"), None)
            );
        }
    }
    let expected = "Wrong URL or channel:candle1m,instId:BTC-USDT-SWAP doesn't exist. Please use the correct URL, channel \
                    and parameters referring to API document.";
    assert_eq!(answers[2]["msg"], expected);
    // What was taken is told.
    let trade = client.until(is_data("trades")).await;
    assert_eq!(trade["arg"], json!({"channel": "trades", "instId": "BTC-USDT-SWAP"}));
    client.send(r#"{"op": "subscribe", "argss": []}"#).await;
    let invalid = client.until(|message| message["event"] == "error").await;
    assert_eq!(invalid["msg"], r#"Invalid request: {"op": "subscribe", "argss": []}"#);
    client.send(json!({"op": "unsubscribe", "args": [{"channel": "trades", "instId": "BTC-USDT-SWAP"}]})).await;
    let gone = client.until(|message| message["event"] == "unsubscribe").await;
    assert_eq!(gone["arg"]["channel"], "trades");
}

/// A book as a client keeps it: by the texts of prices.
#[derive(Default)]
struct Kept {
    sides: [BTreeMap<String, String>; 2],
    last: i64,
    resets: usize,
}

impl Kept {
    fn take(&mut self, message: &Value) {
        let data = &message["data"][0];
        let (before, seq) = (data["prevSeqId"].as_i64().unwrap(), data["seqId"].as_i64().unwrap());
        assert_eq!(data["checksum"], 0);
        if message["action"] == "snapshot" {
            assert_eq!(before, -1);
            self.sides = Default::default();
        } else {
            assert_eq!((before, &message["action"]), (self.last, &json!("update")));
        }
        self.resets += usize::from(seq < before);
        self.last = seq;
        for (side, name) in self.sides.iter_mut().zip(["bids", "asks"]) {
            for level in data[name].as_array().unwrap() {
                let [price, size, "0", _] = [0, 1, 2, 3].map(|at| level[at].as_str().unwrap()) else {
                    panic!("{level}")
                };
                if size == "0" {
                    assert!(side.remove(price).is_some(), "{price} was never told");
                } else {
                    side.insert(price.into(), size.into());
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn books_are_chained_and_end_as_they_are() {
    let emulator = emulator(1, Faults::default()).await;
    let mut client = Client::connect(&emulator, PUBLIC).await;
    let arg = json!({"channel": "books", "instId": "BTC-USDT-SWAP"});
    client.send(subscribe(&json!([arg, {"channel": "bbo-tbt", "instId": "BTC-USDT-SWAP"}]))).await;
    let mut kept = Kept::default();
    for message in client.some(30, is_data("books")).await {
        kept.take(&message);
    }
    emulator.reset("BTCUSDT");
    for message in client.some(10, is_data("books")).await {
        kept.take(&message);
    }
    assert_eq!(kept.resets, 1, "one message has a number less than the one before");
    emulator.freeze();
    let pause = Duration::from_secs(1);
    while let Ok(message) = tokio::time::timeout(pause, client.until(is_data("books"))).await {
        kept.take(&message);
    }
    let book = emulator.book("BTCUSDT").unwrap();
    let (prices, sizes) = book.decimals();
    // A contract is a hundredth.
    let level = |(price, size)| {
        let contracts = Decimal::new(size, sizes).times(Decimal::new(100, 0)).unwrap();
        (Decimal::new(price, prices).shortest().to_string(), contracts.to_string())
    };
    let truth = [book.bids().map(level).collect::<BTreeMap<_, _>>(), book.asks().map(level).collect()];
    assert_eq!(kept.sides, truth);
    // Asked for again it begins anew.
    client.send(subscribe(&json!([arg]))).await;
    let again = client.until(is_data("books")).await;
    assert_eq!((&again["action"], &again["data"][0]["prevSeqId"]), (&json!("snapshot"), &json!(-1)));
    assert_eq!(again["data"][0]["seqId"], kept.last);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn channels_tell_what_is_documented() {
    // Fast, so that a minute is over soon.
    let emulator = emulator(20, Faults::default()).await;
    let [mut client, mut business] =
        [Client::connect(&emulator, PUBLIC).await, Client::connect(&emulator, BUSINESS).await];
    let channels = ["bbo-tbt", "trades", "tickers", "mark-price", "open-interest", "funding-rate"];
    let mut args: Vec<Value> =
        channels.iter().map(|channel| json!({"channel": channel, "instId": "ETH-USDT-SWAP"})).collect();
    args.push(json!({"channel": "index-tickers", "instId": "ETH-USDT"}));
    args.push(json!({"channel": "liquidation-orders", "instType": "SWAP"}));
    client.send(subscribe(&args.into())).await;
    let mut seen: BTreeMap<String, Value> = BTreeMap::new();
    // The market forces somebody only where it moves fast.
    while seen.keys().filter(|channel| *channel != "liquidation-orders").count() < 7 {
        let message = client.until(|message| message["data"].is_array()).await;
        seen.insert(message["arg"]["channel"].as_str().unwrap().into(), message);
    }
    let row = |channel: &str| &seen[channel]["data"][0];
    assert!(row("bbo-tbt")["seqId"].is_i64() && row("bbo-tbt")["asks"].as_array().unwrap().len() == 1);
    assert_eq!((float(&row("trades")["count"]) >= 1.0, row("trades")["source"].as_str()), (true, Some("0")));
    // Contracts are tenths.
    let (contracts, base) = (float(&row("tickers")["vol24h"]), float(&row("tickers")["volCcy24h"]));
    assert!((contracts / base - 10.0).abs() < 1e-6, "{contracts} contracts, {base}");
    let interest = row("open-interest");
    assert!((float(&interest["oi"]) / float(&interest["oiCcy"]) - 10.0).abs() < 1e-6, "{interest}");
    assert!(
        (float(&interest["oiUsd"]) / float(&interest["oiCcy"]) / float(&row("mark-price")["markPx"]) - 1.0).abs()
            < 0.05
    );
    let funding = row("funding-rate");
    assert_eq!(float(&funding["nextFundingTime"]) - float(&funding["fundingTime"]), 8.0 * 3_600_000.0);
    assert!(float(&funding["fundingRate"]).abs() < 0.01 && funding["method"] == "current_period");
    assert!(float(&row("index-tickers")["idxPx"]) > 0.0 && row("index-tickers")["instId"] == "ETH-USDT");

    let args = ["trades-all", "candle1m"].map(|channel| json!({"channel": channel, "instId": "ETH-USDT-SWAP"}));
    business.send(subscribe(&args.to_vec().into())).await;
    let trades = business.some(20, is_data("trades-all")).await;
    let ids: Vec<i64> =
        trades.iter().map(|trade| trade["data"][0]["tradeId"].as_str().unwrap().parse().unwrap()).collect();
    assert!(ids.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{ids:?}");
    let closed = business.until(|m| is_data("candle1m")(m) && m["data"][0][8] == "1").await;
    let bar = closed["data"][0].as_array().unwrap();
    assert_eq!((bar.len(), float(&bar[0]) % 60_000.0), (9, 0.0));
    assert!((float(&bar[5]) / float(&bar[6]) - 10.0).abs() < 1e-6, "{bar:?}");
    let open = business.until(|m| is_data("candle1m")(m) && m["data"][0][8] == "0").await;
    assert!(float(&open["data"][0][0]) > float(&bar[0]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_says_nothing_and_hears_nothing_is_cut() {
    let emulator = emulator(1, Faults::default()).await;
    #[expect(clippy::disallowed_methods, reason = "how long it takes is what is tested")]
    let began = Instant::now();
    let [mut quiet, mut pinging] = [Client::connect(&emulator, PUBLIC).await, Client::connect(&emulator, PUBLIC).await];
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_secs(20)).await;
        pinging.send("ping").await;
    }
    assert_eq!(quiet.text().await, None);
    assert!((30..45).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    for _ in 0..2 {
        assert_eq!(pinging.text().await.as_deref(), Some("pong"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_is_told_before_it_comes() {
    let emulator = emulator(1, Faults { age: 4_000_000_000, ..Faults::default() }).await;
    let mut client = Client::connect(&emulator, PUBLIC).await;
    let notice = client.next().await;
    assert_eq!((&notice["event"], &notice["code"]), (&json!("notice"), &json!("64008")));
    // A quarter of its age later, nothing having been said.
    assert_eq!(client.text().await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_requests_for_topics_are_refused() {
    let emulator = emulator(1, Faults::default()).await;
    let mut client = Client::connect(&emulator, PUBLIC).await;
    let args = json!([{"channel": "funding-rate", "instId": "BTC-USDT-SWAP"}]);
    for _ in 0..481 {
        client.send(subscribe(&args)).await;
    }
    let error = client.until(|message| message["event"] == "error").await;
    assert_eq!((&error["code"], &error["id"]), (&json!("60014"), &json!("1512")));
}
