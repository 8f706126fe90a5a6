//! Kraken's stream and market requests: <https://docs.kraken.com/api/docs/websocket-v2/book> and
//! <https://docs.kraken.com/api/docs/rest-api/get-tradable-asset-pairs>.

use std::collections::BTreeMap;

use futures::future::join_all;
use prism_emulator::Faults;
use serde_json::json;
use serde_json::value::RawValue;

use super::*;

const REST: &str = "kraken-spot/0/public";

fn subscribe(channel: &str, names: &[&str], depth: Option<usize>) -> Value {
    let mut params = json!({"channel": channel, "symbol": names});
    if let Some(depth) = depth {
        params["depth"] = depth.into();
    }
    json!({"method": "subscribe", "params": params, "req_id": 7})
}

fn is_answer(message: &Value) -> bool {
    message["method"].is_string()
}

async fn client(emulator: &Emulator) -> Client {
    let mut client = Client::connect(emulator, "kraken-spot/v2").await;
    let status = client.next().await;
    assert_eq!((&status["channel"], &status["data"][0]["system"]), (&json!("status"), &json!("online")));
    client
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_symbol_has_an_answer_of_its_own() {
    let emulator = emulator(1, Faults::default()).await;
    let mut client = client(&emulator).await;
    client.send(json!({"method": "ping", "req_id": 101})).await;
    let pong = client.next().await;
    assert_eq!((&pong["method"], &pong["req_id"]), (&json!("pong"), &json!(101)));
    client.send(subscribe("book", &["BTC/USDT", "XBT/USDT", "DOGE/USDT"], Some(25))).await;
    let answers = client.some(3, is_answer).await;
    assert_eq!(answers[0]["result"], json!({"channel": "book", "depth": 25, "snapshot": true, "symbol": "BTC/USDT"}));
    assert!(answers[0]["success"] == true && answers[0]["req_id"] == 7 && answers[0]["time_in"].is_string());
    assert_eq!(
        (&answers[1]["error"], &answers[1]["symbol"]),
        (&json!("Currency pair not supported XBT/USDT"), &json!("XBT/USDT"))
    );
    assert!(answers[1]["success"] == false && answers[1].get("result").is_none() && answers[2]["success"] == true);
    // At another depth, too.
    client.send(subscribe("book", &["BTC/USDT"], Some(100))).await;
    assert_eq!(client.until(is_answer).await["error"], "Already subscribed");
    client.send(subscribe("book", &["ETH/USDT"], Some(42))).await;
    assert_eq!(client.until(is_answer).await["error"], "Subscription depth not supported");
    let mut end = subscribe("book", &["BTC/USDT"], Some(25));
    end["method"] = "unsubscribe".into();
    client.send(end.clone()).await;
    let ended = client.until(is_answer).await;
    assert_eq!((&ended["success"], &ended["method"]), (&json!(true), &json!("unsubscribe")), "{ended}");
    client.send(end).await;
    assert_eq!(client.until(is_answer).await["error"], "Subscription Not Found");
    client.send("{").await;
    assert_eq!(client.until(is_answer).await["success"], false);
}

#[derive(serde::Deserialize)]
struct Framed<'a> {
    #[serde(borrow)]
    data: Vec<Told<'a>>,
    r#type: String,
}

#[derive(serde::Deserialize)]
struct Told<'a> {
    #[serde(borrow)]
    bids: Vec<Row<'a>>,
    #[serde(borrow)]
    asks: Vec<Row<'a>>,
    checksum: u32,
}

#[derive(serde::Deserialize)]
struct Row<'a> {
    #[serde(borrow)]
    price: &'a RawValue,
    #[serde(borrow)]
    qty: &'a RawValue,
}

fn digits(text: &str) -> String {
    text.replace('.', "").trim_start_matches('0').to_string()
}

/// CRC-32 as ISO 3309 has it, bit by bit.
fn crc(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
    !bytes.iter().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

/// The levels of a side by price in the smallest units, as a client keeps them.
type Side = BTreeMap<u64, [String; 2]>;

fn apply(side: &mut Side, rows: &[Row<'_>]) {
    for row in rows {
        let (price, qty) = (row.price.get(), row.qty.get());
        // The digits of a pair's prices are as many after the point.
        let key = price.replace('.', "").parse().unwrap();
        assert_eq!(qty.split_once('.').map(|(_, fraction)| fraction.len()), Some(8), "{qty}");
        if qty.parse::<f64>().unwrap() == 0.0 {
            side.remove(&key);
        } else {
            side.insert(key, [digits(price), digits(qty)]);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn books_cut_to_their_depth_have_the_checksum_they_say() {
    let emulator = emulator(5, Faults::default()).await;
    let all = [("BTC/USDT", "BTCUSDT", 10), ("XRP/USDT", "XRPUSDT", 10), ("ETH/USDT", "ETHUSDT", 100)];
    join_all(all.map(|(name, symbol, depth)| follow(&emulator, name, symbol, depth))).await;
}

/// Follows a book for so many messages, each of which must have the checksum of what is kept.
async fn follow(emulator: &Emulator, name: &str, symbol: &str, depth: usize) {
    let mut client = client(emulator).await;
    client.send(subscribe("book", &[name], Some(depth))).await;
    let [mut bids, mut asks] = [Side::new(), Side::new()];
    for n in 0..60 {
        let text = loop {
            let text = client.text().await.unwrap();
            if text.contains("\"channel\":\"book\",\"type\"") {
                break text;
            }
        };
        let framed: Framed<'_> = serde_json::from_str(&text).unwrap();
        assert_eq!(framed.r#type, if n == 0 { "snapshot" } else { "update" });
        let told = &framed.data[0];
        assert!(told.bids.len() + told.asks.len() > 0, "{text}");
        apply(&mut bids, &told.bids);
        apply(&mut asks, &told.asks);
        while depth < bids.len() {
            bids.pop_first();
        }
        while depth < asks.len() {
            asks.pop_last();
        }
        let best = asks.values().take(10).chain(bids.values().rev().take(10)).flatten();
        let sum = best.map(String::as_str).collect::<String>();
        assert_eq!(crc(sum.as_bytes()), told.checksum, "{name}, message {n}: {text}");
        assert!(bids.last_key_value().unwrap().0 < asks.first_key_value().unwrap().0, "{name}");
    }
    let whole = emulator.book(symbol).unwrap();
    assert!(bids.len() == depth.min(whole.bids().count()) || depth == 100, "{name}: {}", bids.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trades_tickers_and_silence_are_told() {
    let emulator = emulator(1, Faults::default()).await;
    let mut client = client(&emulator).await;
    client.send(subscribe("trade", &["BTC/USDT"], None)).await;
    let taken = client.until(is_answer).await;
    assert_eq!(taken["result"], json!({"channel": "trade", "snapshot": false, "symbol": "BTC/USDT"}));
    let trades = client.some(20, |message| message["channel"] == "trade").await;
    let ids: Vec<i64> = trades.iter().map(|trade| trade["data"][0]["trade_id"].as_i64().unwrap()).collect();
    assert!(ids.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{ids:?}");
    let row = &trades[0]["data"][0];
    assert!(row["price"].is_number() && row["qty"].is_number(), "{row}");
    assert!(row["timestamp"].as_str().is_some_and(|ts| ts.len() == 27 && ts.ends_with('Z')), "{row}");
    client
        .send(json!({"method": "subscribe", "params": {"channel": "trade", "symbol": ["ETH/USDT"], "snapshot": true}}))
        .await;
    let snapshot = client.until(|message| message["channel"] == "trade" && message["type"] == "snapshot").await;
    // The newest 50, or as many as there were so far.
    let n_trades = snapshot["data"].as_array().unwrap().len();
    assert!((30..=50).contains(&n_trades), "{n_trades}");
    let bbo = json!({"channel": "ticker", "symbol": ["BTC/USDT"], "event_trigger": "bbo"});
    client.send(json!({"method": "subscribe", "params": bbo})).await;
    let taken = client.until(is_answer).await;
    assert_eq!(taken["result"]["event_trigger"], "bbo");
    let tickers = client.some(3, |message| message["channel"] == "ticker").await;
    assert_eq!((&tickers[0]["type"], &tickers[1]["type"]), (&json!("snapshot"), &json!("update")));
    let row = &tickers[2]["data"][0];
    assert!(
        row["bid"].as_f64() < row["ask"].as_f64() && row["change_pct"].is_number() && row["vwap"].is_number(),
        "{row}"
    );
    // Nothing is told of what is stalled, but that the connection lives.
    ["BTCUSDT", "ETHUSDT"].iter().for_each(|symbol| emulator.stall(symbol));
    client.some(2, |message| *message == json!({"channel": "heartbeat"})).await;
    let next = tokio::time::timeout(Duration::from_millis(1_500), client.next()).await.unwrap();
    assert_eq!(next, json!({"channel": "heartbeat"}));
}

async fn result(emulator: &Emulator, path: &str) -> Value {
    let (status, body) = get(emulator, &format!("{REST}/{path}")).await;
    assert_eq!((status, &body["error"]), (200, &json!([])), "{path}: {body}");
    body["result"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_answered_by_key() {
    let emulator = emulator(1, Faults::default()).await;
    let pairs = result(&emulator, "AssetPairs").await;
    assert_eq!(pairs.as_object().unwrap().len(), SYMBOLS.len());
    let pair = &pairs["XBTUSDT"];
    assert_eq!(
        (&pair["wsname"], &pair["base"], &pair["status"]),
        (&json!("XBT/USDT"), &json!("XXBT"), &json!("online"))
    );
    assert_eq!((&pair["pair_decimals"], &pair["lot_decimals"]), (&json!(1), &json!(8)));
    for name in ["XBTUSDT", "XBT/USDT", "BTC/USDT"] {
        let tickers = result(&emulator, &format!("Ticker?pair={name}")).await;
        assert_eq!(tickers.as_object().unwrap().keys().collect::<Vec<_>>(), ["XBTUSDT"], "{name}");
        let row = &tickers["XBTUSDT"];
        assert!(float(&row["b"][0]) < float(&row["a"][0]) && float(&row["p"][1]) > 1_000.0, "{row}");
    }
    let today = result(&emulator, "AssetPairs?pair=XBTUSDT&assetVersion=1").await;
    assert!(today["BTC/USDT"].is_object(), "{today}");
    assert_eq!(result(&emulator, "Ticker").await.as_object().unwrap().len(), SYMBOLS.len());
    let depth = result(&emulator, "Depth?pair=XBTUSDT&count=5").await;
    let level = &depth["XBTUSDT"]["asks"][0];
    assert_eq!(depth["XBTUSDT"]["asks"].as_array().unwrap().len(), 5);
    assert!(level[0].as_str().is_some_and(|price| price.ends_with("0000")) && level[2].is_i64(), "{level}");
    let time = result(&emulator, "Time").await;
    assert!(
        time["unixtime"].is_i64() && time["rfc1123"].as_str().is_some_and(|text| text.ends_with("+0000")),
        "{time}"
    );
    let (status, none) = get(&emulator, &format!("{REST}/Depth?pair=NONEUSDT")).await;
    assert_eq!((status, none), (200, json!({"error": ["EQuery:Unknown asset pair"]})));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bars_and_trades_say_where_to_go_on() {
    let emulator = emulator(1, Faults::default()).await;
    for (minutes, remainder) in [(1, 0), (240, 0), (1_440, 0), (10_080, 0)] {
        let bars = result(&emulator, &format!("OHLC?pair=ETHUSDT&interval={minutes}")).await;
        let rows = bars["ETHUSDT"].as_array().unwrap();
        let starts: Vec<i64> = rows.iter().map(|row| row[0].as_i64().unwrap()).collect();
        assert!(rows.len() <= 720 && rows.iter().all(|row| row.as_array().unwrap().len() == 8), "{minutes}");
        assert!(starts.windows(2).all(|pair| pair[1] - pair[0] == minutes * 60), "{minutes}: {starts:?}");
        assert_eq!((starts[0] % (minutes * 60), bars["last"].as_i64()), (remainder, Some(starts[starts.len() - 2])));
    }
    let (_, odd) = get(&emulator, &format!("{REST}/OHLC?pair=ETHUSDT&interval=3")).await;
    assert_eq!(odd, json!({"error": ["EGeneral:Invalid arguments"]}));
    emulator.freeze();
    let trades = result(&emulator, "Trades?pair=ETHUSDT").await;
    let rows = trades["ETHUSDT"].as_array().unwrap();
    let id = |row: &Value| row[6].as_i64().unwrap();
    assert!(rows.windows(2).all(|pair| id(&pair[0]) + 1 == id(&pair[1])), "the oldest first");
    let last = trades["last"].as_str().unwrap();
    assert_eq!(last.len(), 19, "nanoseconds");
    assert_eq!(result(&emulator, &format!("Trades?pair=ETHUSDT&since={last}")).await["ETHUSDT"], json!([]));
    let early = (rows[0][2].as_f64().unwrap() * 1e9) as i64 - 1_000_000;
    let some = result(&emulator, &format!("Trades?pair=ETHUSDT&since={early}&count=3")).await;
    assert_eq!(some["ETHUSDT"].as_array().unwrap()[..], rows[..3]);
    assert!(["b", "s"].contains(&rows[0][3].as_str().unwrap()) && ["m", "l"].contains(&rows[0][4].as_str().unwrap()));
}

/// Some thirty at once, then one a second; it is said with status 200.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_too_often_is_told_with_a_good_status() {
    let emulator = emulator(1, Faults::default()).await;
    let mut answers = Vec::new();
    for _ in 0..40 {
        answers.push(get(&emulator, &format!("{REST}/Time")).await);
    }
    assert!(answers.iter().all(|(status, _)| *status == 200));
    let too_many = json!({"error": ["EGeneral:Too many requests"]});
    let n = answers.iter().filter(|(_, body)| *body == too_many).count();
    assert!((5..=10).contains(&n), "{n} of 40 refused");
    tokio::time::sleep(Duration::from_millis(2_200)).await;
    let again = [get(&emulator, &format!("{REST}/Time")).await.1, get(&emulator, &format!("{REST}/Time")).await.1];
    assert!(again.iter().all(|body| *body != too_many));
}
