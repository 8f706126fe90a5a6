//! What subscribers are told, without sockets.

use prism_schemas::Versions;
use std::collections::BTreeMap;

use futures::FutureExt;
use serde_json::json;
use tokio::time::Instant;

use super::*;
use crate::change::Channel;
use crate::limits::Bucket;
use crate::subscriber::Subscriber;
use crate::updates::CHANGES_MAX;

fn subscriber(f: &Fixture) -> Subscriber {
    let bucket = Bucket::new(1_000_000, Instant::now());
    Subscriber::new(f.app.door.clone(), f.app.updates.clone(), &[], true, bucket)
}

/// The answer to a message of the client.
fn ask(client: &mut Subscriber, message: &Value) -> Vec<Value> {
    let mut out = Vec::new();
    client.hear(&message.to_string(), Instant::now(), &mut out).unwrap();
    read(&out)
}

/// Everything there is to say.
fn told(client: &mut Subscriber) -> Vec<Value> {
    let mut all = Vec::new();
    loop {
        let n = all.len();
        client.say(64, &mut all);
        if all.len() == n {
            return read(&all);
        }
    }
}

fn read(messages: &[String]) -> Vec<Value> {
    messages.iter().map(|message| serde_json::from_str(message).unwrap()).collect()
}

fn types(messages: &[Value]) -> Vec<&str> {
    messages.iter().map(|message| message["type"].as_str().unwrap()).collect()
}

fn withdrawn(symbol: &str, id: &str, start: i64) -> Version {
    let mut gone = signal(symbol, id, start, 71.0, "withdrawn");
    gone.cells[SIGNALS.position("revision").unwrap()] = 1.into();
    gone
}

/// What a client holds that does as the messages say.
fn follow(held: &mut BTreeMap<String, String>, messages: &[Value]) {
    let text = |row: &Value, name: &str| row[name].as_str().unwrap_or_default().to_string();
    for message in messages {
        match message["type"].as_str().unwrap() {
            "snapshot" if message["channel"] == "signal" => {
                held.clear();
                let rows = message["rows"].as_array().unwrap().iter();
                held.extend(rows.map(|row| (text(row, "signal_id"), text(row, "status"))));
            }
            "signal" => drop(held.insert(text(message, "signal_id"), text(message, "status"))),
            "signal_withdrawn" => drop(held.insert(text(message, "signal_id"), "withdrawn".into())),
            _ => {}
        }
    }
}

#[test]
fn a_withdrawal_that_a_slow_client_lost_is_made_good() {
    let f = Fixture::new();
    let mut client = subscriber(&f);
    let mut held = BTreeMap::new();
    follow(&mut held, &ask(&mut client, &json!({"op": "subscribe", "channel": "signal"})));
    ask(&mut client, &json!({"op": "subscribe", "channel": "confluence"}));
    let now = ts(NOW);
    f.tell(&[signal("ETHUSDT", "dd04", now, 71.0, "active"), signal("SOLUSDT", "ee05", now, 71.0, "active")]);
    follow(&mut held, &told(&mut client));
    assert_eq!(held["dd04"], "active");
    // It reads nothing while more happens than is kept for it.
    f.tell(&[withdrawn("ETHUSDT", "dd04", now)]);
    for n in 0..CHANGES_MAX {
        f.tell(&[confluence("BTCUSDT", now, n as f64)]);
    }
    let messages = told(&mut client);
    assert_eq!(types(&messages), ["lagged", "snapshot", "snapshot"], "all of it is in the snapshots");
    assert_eq!(messages[0]["dropped"], 1);
    follow(&mut held, &messages);
    assert_eq!(held["dd04"], "withdrawn");
    assert_eq!((&*held["ee05"], &*held["aa01"]), ("active", "active"));
    assert!(told(&mut client).is_empty());
}

/// Rows of these scores that form.
fn form(f: &Fixture, rows: &[Version]) {
    Versions::of(rows).unwrap().iter().for_each(|rows| f.app.updates.form(rows));
}

#[test]
fn what_forms_is_told_to_who_asks_each_in_the_place_of_the_one_before() {
    let f = Fixture::new();
    let (mut plain, mut client) = (subscriber(&f), subscriber(&f));
    ask(&mut plain, &json!({"op": "subscribe", "channel": "confluence"}));
    assert!(!f.app.updates.wants(None), "nobody asked");
    ask(&mut client, &json!({"op": "subscribe", "channel": "confluence", "symbols": ["BTCUSDT"], "forming": true}));
    assert!(f.app.updates.wants(Some(&CONFLUENCE)) && !f.app.updates.wants(Some(&BARS)));
    assert!(f.app.updates.wants_symbol("BTCUSDT") && !f.app.updates.wants_symbol("ETHUSDT"));
    let now = ts(NOW);
    let scores = |messages: &[Value]| -> Vec<(bool, f64)> {
        messages.iter().map(|one| (one["forming"] == true, one["score"].as_f64().unwrap())).collect()
    };
    form(&f, &[confluence("BTCUSDT", now, 61.0), confluence("ETHUSDT", now, 1.0)]);
    assert_eq!(scores(&told(&mut client)), [(true, 61.0)]);
    // It is woken by what it follows, and by nothing else.
    assert!(client.news().now_or_never().is_some() && client.news().now_or_never().is_none());
    form(&f, &[confluence("ETHUSDT", now, 2.0)]);
    assert!(client.news().now_or_never().is_none());
    form(&f, &[confluence("BTCUSDT", now, 61.5)]);
    assert!(client.news().now_or_never().is_some());
    for score in [62.0, 63.0, 64.0] {
        form(&f, &[confluence("BTCUSDT", now, score)]);
    }
    assert_eq!(scores(&told(&mut client)), [(true, 64.0)], "of what came meanwhile the newest");
    assert!(told(&mut client).is_empty());
    // It closes, and the next one forms, before the client reads: what formed of the closed one is over.
    form(&f, &[confluence("BTCUSDT", now, 65.0)]);
    f.tell(&[row(&BARS, "SOLUSDT", now, MINUTE, &[("timeframe", "1m".into())]), confluence("BTCUSDT", now, 66.0)]);
    form(&f, &[confluence("BTCUSDT", now + MINUTE, 67.0), confluence("BTCUSDT", now, 1.0)]);
    assert_eq!(scores(&told(&mut client)), [(false, 66.0), (true, 67.0)]);
    let mut late = subscriber(&f);
    ask(&mut late, &json!({"op": "subscribe", "channel": "confluence", "forming": true}));
    assert_eq!(
        scores(&told(&mut late)),
        [(true, 67.0)],
        "what formed of a bar that is over, and never closed, is gone"
    );
    drop(late);
    assert_eq!(scores(&told(&mut plain)), [(false, 66.0)]);
    ask(&mut client, &json!({"op": "unsubscribe", "channel": "confluence"}));
    assert!(!f.app.updates.wants(None) && !f.app.updates.wants_symbol("BTCUSDT"), "nobody asks any more");
    let refused = ask(&mut client, &json!({"op": "subscribe", "channel": "signal", "forming": true}));
    assert_eq!(types(&refused), ["error"]);
}

#[test]
fn bars_are_told_closed_or_forming_too_and_the_newest_of_each_stands() {
    let f = Fixture::new();
    let mut client = subscriber(&f);
    let now = ts(NOW);
    let bar = |start, close: f64| {
        row(&BARS, "BTCUSDT", start, MINUTE, &[("timeframe", "1m".into()), ("close", close.into())])
    };
    let closes = |messages: &[Value]| -> Vec<(bool, f64)> {
        messages.iter().map(|one| (one["forming"] == true, one["close"].as_f64().unwrap())).collect()
    };
    let snapshot = ask(&mut client, &json!({"op": "subscribe", "channel": "bars"}));
    assert_eq!((types(&snapshot), &snapshot[0]["channel"]), (vec!["snapshot"], &json!("bars")));
    assert!(!f.app.updates.wants(None), "closed ones alone");
    form(&f, &[bar(now, 1.0)]);
    f.tell(&[bar(now, 2.0)]);
    f.tell(&[bar(now + MINUTE, 3.0)]);
    assert_eq!(closes(&told(&mut client)), [(false, 3.0)]);
    let asked = f.app.live.forming.asked();
    ask(&mut client, &json!({"op": "subscribe", "channel": "bars", "forming": true}));
    assert!(asked < f.app.live.forming.asked(), "silent instruments form, too");
    form(&f, &[bar(now + 2 * MINUTE, 4.0)]);
    assert_eq!(closes(&told(&mut client)), [(false, 3.0), (true, 4.0)]);
    drop(client);
    assert!(!f.app.updates.wants(None), "a client that is gone follows nothing");
}

#[test]
fn every_active_signal_is_in_a_snapshot_however_old() {
    let f = Fixture::new();
    let now = ts(NOW);
    f.tell(&[signal("ETHUSDT", "old", now - HOUR, 71.0, "active")]);
    let closed: Vec<Version> =
        (0..150).map(|n| signal("ETHUSDT", &format!("n{n}"), now + n * MINUTE, 71.0, "closed")).collect();
    f.tell(&closed);
    let snapshot = ask(&mut subscriber(&f), &json!({"op": "subscribe", "channel": "signal"})).remove(0);
    let rows = snapshot["rows"].as_array().unwrap();
    let active: Vec<&str> =
        rows.iter().filter(|row| row["status"] == "active").map(|row| row["signal_id"].as_str().unwrap()).collect();
    assert_eq!((rows.len(), active), (103, vec!["aa01", "bb02", "old"]));
    assert_eq!((&rows[0]["signal_id"], &rows[99]["signal_id"]), (&json!("n149"), &json!("n50")));
}

#[test]
fn nothing_older_than_a_snapshot_follows_it() {
    let f = Fixture::new();
    let mut client = subscriber(&f);
    ask(&mut client, &json!({"op": "subscribe", "channel": "confluence"}));
    let now = ts(NOW);
    f.tell(&[confluence("BTCUSDT", now, 60.0), signal("BTCUSDT", "dd04", now, 60.0, "active")]);
    // What waits for the client is in the snapshot already.
    let again = ask(&mut client, &json!({"op": "subscribe", "channel": "confluence", "symbols": ["BTCUSDT"]}));
    let linear = again[0]["rows"].as_array().unwrap().iter().find(|row| row["market"] == "linear").unwrap();
    assert_eq!(linear["score"], 60.0);
    assert!(told(&mut client).is_empty());
    // Of another channel only this snapshot was taken.
    f.tell(&[confluence("BTCUSDT", now + MINUTE, 61.0), withdrawn("BTCUSDT", "dd04", now)]);
    let signals = ask(&mut client, &json!({"op": "subscribe", "channel": "signal"}));
    let row = signals[0]["rows"].as_array().unwrap().iter().find(|row| row["signal_id"] == "dd04").unwrap();
    assert_eq!(row["status"], "withdrawn");
    let messages = told(&mut client);
    assert_eq!((types(&messages), &messages[0]["score"]), (vec!["confluence"], &json!(61.0)));
    // What was told stays told, and what comes next is told.
    f.tell(&[confluence("BTCUSDT", now + 2 * MINUTE, 62.0)]);
    assert_eq!(told(&mut client)[0]["score"], 62.0);
    ask(&mut client, &json!({"op": "unsubscribe", "channel": "confluence"}));
    f.tell(&[confluence("BTCUSDT", now + 3 * MINUTE, 63.0)]);
    assert!(told(&mut client).is_empty());
}

#[test]
fn the_newest_of_a_key_waits_and_the_rest_is_counted() {
    let f = Fixture::new();
    let mut client = subscriber(&f);
    ask(&mut client, &json!({"op": "subscribe", "channel": "confluence"}));
    let now = ts(NOW);
    f.tell(&[confluence("BTCUSDT", now + MINUTE, 60.0), confluence("ETHUSDT", now, 70.0)]);
    f.tell(&[confluence("BTCUSDT", now + 2 * MINUTE, 61.0)]);
    f.tell(&[confluence("BTCUSDT", now, 62.0)]);
    let messages = told(&mut client);
    assert_eq!(types(&messages), ["lagged", "confluence", "confluence"]);
    assert_eq!(messages[0]["dropped"], 2);
    let scores: Vec<&Value> = messages[1..].iter().map(|message| &message["score"]).collect();
    assert_eq!(scores, [61.0, 70.0], "of the latest bar, in the order of the keys");
    let seqs: Vec<u64> = messages.iter().map(|message| message["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, [2, 3, 4]);
}

#[test]
fn of_versions_at_one_time_the_last_is_told() {
    let f = Fixture::new();
    let mut client = subscriber(&f);
    ask(&mut client, &json!({"op": "subscribe", "channel": "confluence"}));
    let now = ts(NOW);
    // Rows reach memory, somebody takes a snapshot, and then they are told.
    let rows = Versions::of(&[
        confluence("BTCUSDT", now, 60.0),
        confluence("BTCUSDT", now, 61.0),
        signal("BTCUSDT", "dd04", now, 61.0, "active"),
        withdrawn("BTCUSDT", "dd04", now),
    ])
    .unwrap();
    f.app.live.apply(&rows);
    let mut between = subscriber(&f);
    let snapshot = ask(&mut between, &json!({"op": "subscribe", "channel": "signal"}));
    let row = snapshot[0]["rows"].as_array().unwrap().iter().find(|row| row["signal_id"] == "dd04").unwrap();
    assert_eq!(row["status"], "withdrawn");
    f.app.updates.tell(&rows);
    assert_eq!(types(&told(&mut between)), ["signal_withdrawn"], "twice rather than never, but nothing older");
    let messages = told(&mut client);
    assert_eq!(types(&messages), ["confluence"], "no notice: nothing was passed over");
    assert_eq!(messages[0]["score"], 61.0);
    // Bars that were passed over are counted, in whatever order they come.
    f.tell(&[
        confluence("BTCUSDT", now + 3 * MINUTE, 63.0),
        confluence("BTCUSDT", now + MINUTE, 61.0),
        confluence("BTCUSDT", now + 2 * MINUTE, 62.0),
    ]);
    let messages = told(&mut client);
    assert_eq!((types(&messages), &messages[0]["dropped"]), (vec!["lagged", "confluence"], &json!(2)));
    assert_eq!(messages[1]["score"], 63.0);
}

#[test]
fn rows_that_are_no_news_are_in_snapshots_only() {
    let f = Fixture::new();
    let mut client = subscriber(&f);
    f.app.live.apply(&Versions::of(&[confluence("ETHUSDT", ts(NOW), 62.0)]).unwrap());
    let wish = json!({"op": "subscribe", "channel": "confluence", "symbols": ["ETHUSDT"]});
    assert_eq!(ask(&mut client, &wish)[0]["rows"][0]["score"], 62.0);
    assert!(told(&mut client).is_empty());
}

#[test]
fn a_row_is_encoded_once_for_a_thousand_clients() {
    let f = Fixture::new();
    let mut clients: Vec<Subscriber> = (0..1_000).map(|_| subscriber(&f)).collect();
    for client in &mut clients {
        ask(client, &json!({"op": "subscribe", "channel": "confluence"}));
    }
    let snapshots = [(); 2].map(|()| f.app.updates.snapshot(Channel::Confluence));
    assert!(Arc::ptr_eq(&snapshots[0].rows, &snapshots[1].rows), "snapshots are shared too");
    let mut readers = [(); 2].map(|()| f.app.updates.subscribe());
    let rows: Vec<Version> = (0..100).map(|n| confluence(&format!("S{n}USDT"), ts(NOW), 50.0)).collect();
    f.tell(&rows);
    for client in &mut clients {
        let mut out = Vec::new();
        client.say(1_000, &mut out);
        assert_eq!(out.len(), rows.len());
    }
    let texts = readers.each_mut().map(|reader| reader.read(1).remove(0).1.text().as_ptr());
    assert_eq!(texts[0], texts[1]);
}

#[test]
fn what_waits_for_everybody_is_bounded_by_rows() {
    let f = Fixture::new();
    let mut reader = f.app.updates.subscribe();
    let rows: Vec<Version> = (0..CHANGES_MAX + 500).map(|n| confluence(&format!("S{n}USDT"), ts(NOW), 50.0)).collect();
    f.tell(&rows);
    assert_eq!(reader.lost(), 500);
    assert_eq!(reader.read(usize::MAX).len(), CHANGES_MAX);
    assert_eq!((reader.lost(), reader.read(usize::MAX).len()), (0, 0));
    drop(reader);
    f.tell(&rows[..10]);
    assert_eq!(f.app.updates.subscribe().read(usize::MAX).len(), 0, "only what comes after it");
}

#[test]
fn a_client_without_a_right_is_told_nothing() {
    let f = Fixture::new();
    let bucket = Bucket::new(10, Instant::now());
    let mut client = Subscriber::new(f.app.door.clone(), f.app.updates.clone(), &[Channel::Signal], false, bucket);
    let mut out = Vec::new();
    client.open(&mut out);
    f.tell(&[signal("ETHUSDT", "dd04", ts(NOW), 71.0, "active")]);
    client.say(64, &mut out);
    assert!(out.is_empty());
    assert!(client.hear(r#"{"op":"subscribe","channel":"signal"}"#, Instant::now(), &mut out).is_err());
    assert_eq!(read(&out)[0]["code"], "unauthorized");
}
