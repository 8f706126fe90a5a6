//! The stream on a real socket.

use futures::{SinkExt, StreamExt};
use serde_json::json;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::serve;

pub(super) type Client = WebSocketStream<TcpStream>;

pub(super) async fn started(
    f: &Fixture,
) -> (std::net::SocketAddr, CancellationToken, tokio::task::JoinHandle<std::io::Result<()>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let server = tokio::spawn(serve(listener, f.app.clone(), stop.clone().cancelled_owned()));
    (address, stop, server)
}

pub(super) async fn connect(address: std::net::SocketAddr, path: &str) -> Client {
    connect_with(address, path, &[]).await.unwrap()
}

/// A stream, or the status of its refusal.
pub(super) async fn connect_with(
    address: std::net::SocketAddr,
    path: &str,
    headers: &[(&str, &str)],
) -> Result<Client, u16> {
    let mut request = Request::get(format!("ws://{address}{path}"))
        .header("host", address.to_string())
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(8 * 1024).unwrap();
    let stream = socket.connect(address).await.unwrap();
    match tokio_tungstenite::client_async(request.body(()).unwrap(), stream).await {
        Ok((client, _)) => Ok(client),
        Err(Error::Http(response)) => Err(response.status().as_u16()),
        Err(error) => panic!("{error}"),
    }
}

pub(super) async fn send(client: &mut Client, message: Value) {
    client.send(Message::text(message.to_string())).await.unwrap();
}

pub(super) async fn next(client: &mut Client) -> Value {
    loop {
        let message = tokio::time::timeout(Duration::from_secs(60), client.next()).await.expect("a message");
        if let Message::Text(text) = message.unwrap().unwrap() {
            return serde_json::from_str(&text).unwrap();
        }
    }
}

/// The code that the server closes with, once it does.
pub(super) async fn end(client: &mut Client) -> Option<u16> {
    let last = async {
        loop {
            match client.next().await {
                Some(Ok(Message::Close(frame))) => return frame.map(|frame| frame.code.into()),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return None,
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), last).await.expect("an end")
}

#[tokio::test]
async fn snapshot_then_changes_then_withdrawal() {
    let f = Fixture::new();
    let (address, stop, server) = started(&f).await;
    let mut client = connect(address, "/ws/test-1").await;
    send(&mut client, json!({"op": "subscribe", "channel": "confluence", "symbols": ["eth/usdt"]})).await;
    let snapshot = next(&mut client).await;
    assert_eq!(
        (&snapshot["type"], &snapshot["channel"], &snapshot["seq"]),
        (&json!("snapshot"), &json!("confluence"), &json!(1))
    );
    assert_eq!(snapshot["rows"].as_array().unwrap().len(), 1);
    assert_eq!(snapshot["rows"][0]["score"], 48.0);
    send(&mut client, json!({"op": "subscribe", "channel": "signal"})).await;
    assert_eq!(next(&mut client).await["rows"].as_array().unwrap().len(), 3);

    let now = ts(NOW);
    f.tell(&[confluence("BTCUSDT", now, 80.0), confluence("ETHUSDT", now, 71.0)]);
    let change = next(&mut client).await;
    assert_eq!(
        (&change["type"], &change["symbol"], &change["score"], &change["seq"]),
        (&json!("confluence"), &json!("ETHUSDT"), &json!(71.0), &json!(3))
    );
    f.tell(&[signal("ETHUSDT", "dd04", now, 71.0, "active")]);
    assert_eq!(next(&mut client).await["type"], "signal");
    let mut gone = signal("ETHUSDT", "dd04", now, 71.0, "withdrawn");
    gone.cells[SIGNALS.position("retracted").unwrap()] = true.into();
    gone.cells[SIGNALS.position("revision").unwrap()] = 1.into();
    f.tell(&[gone]);
    let withdrawn = next(&mut client).await;
    assert_eq!((&withdrawn["type"], &withdrawn["signal_id"]), (&json!("signal_withdrawn"), &json!("dd04")));

    send(&mut client, json!({"op": "ping"})).await;
    assert_eq!(next(&mut client).await["type"], "pong");
    for wrong in [json!({"op": "dance"}), json!(1), json!({"op": "subscribe", "channel": "news"})] {
        send(&mut client, wrong).await;
        assert_eq!(next(&mut client).await["code"], "bad_message");
    }
    send(&mut client, json!({"op": "unsubscribe", "channel": "signal"})).await;
    assert_eq!(next(&mut client).await["type"], "unsubscribed");
    f.tell(&[signal("ETHUSDT", "ee05", now, 71.0, "active"), confluence("ETHUSDT", now + MINUTE, 70.0)]);
    assert_eq!(next(&mut client).await["type"], "confluence");

    let mut shortcut = connect(address, "/ws/signals").await;
    assert_eq!(next(&mut shortcut).await["channel"], "signal");
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(60), server).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn a_slow_client_gets_the_newest_and_a_notice() {
    let f = Fixture::new();
    let (address, _stop, _server) = started(&f).await;
    let mut client = connect(address, "/ws/slow").await;
    send(&mut client, json!({"op": "subscribe", "channel": "confluence", "symbols": ["BTCUSDT"]})).await;
    assert_eq!(next(&mut client).await["type"], "snapshot");
    let last = 12_000;
    for n in 0..=last {
        f.tell(&[confluence("BTCUSDT", ts(NOW), n as f64)]);
        if n % 50 == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    let (mut dropped, mut n_messages, mut seq) = (0, 0, 1);
    loop {
        let message = next(&mut client).await;
        seq += 1;
        n_messages += 1;
        assert_eq!(message["seq"], seq, "no number is left out");
        let rows = message["rows"].as_array().cloned().unwrap_or_default();
        let is_newest = |row: &Value| row["score"] == f64::from(last);
        match message["type"].as_str().unwrap() {
            "lagged" => dropped += message["dropped"].as_u64().unwrap(),
            _ if is_newest(&message) || rows.iter().any(is_newest) => break,
            _ => {}
        }
    }
    assert!(dropped > 0 && n_messages < last, "{dropped} dropped, {n_messages} sent");
}

#[tokio::test]
async fn a_batch_of_more_keys_than_wait_for_a_client_is_whole_for_a_fast_one() {
    let f = Fixture::new();
    let (address, _stop, _server) = started(&f).await;
    let mut client = connect(address, "/ws/all").await;
    send(&mut client, json!({"op": "subscribe", "channel": "confluence"})).await;
    assert_eq!(next(&mut client).await["type"], "snapshot");
    let rows: Vec<Version> = (0..3_000).map(|n| confluence(&format!("S{n}USDT"), ts(NOW), 50.0)).collect();
    f.tell(&rows);
    for n in 0..rows.len() {
        let message = next(&mut client).await;
        assert_eq!((&message["type"], &message["symbol"]), (&json!("confluence"), &json!(format!("S{n}USDT"))));
    }
}

#[tokio::test]
async fn pages_of_other_sites_and_strange_names_are_refused() {
    let f = Fixture::new();
    let (address, _stop, _server) = started(&f).await;
    let own = format!("http://{address}");
    for (path, headers, status) in [
        ("/ws/page", &[("origin", "http://evil.example")][..], 403),
        ("/ws/page", &[("origin", "null")], 403),
        ("/ws/page", &[("origin", "http://localhost:3000")], 403),
        ("/ws/a%20b", &[], 400),
        ("/ws/page", &[("origin", &own)], 101),
    ] {
        let got = connect_with(address, path, headers).await.err().unwrap_or(101);
        assert_eq!(got, status, "{path} {headers:?}");
    }
    // A page whose name was made to lead here names itself twice.
    let stream = TcpStream::connect(address).await.unwrap();
    let mut request = tokio_tungstenite::tungstenite::client::IntoClientRequest::into_client_request(format!(
        "ws://{address}/ws/page"
    ));
    let headers = request.as_mut().unwrap().headers_mut();
    headers.insert("host", "evil.example".parse().unwrap());
    headers.insert("origin", "http://evil.example".parse().unwrap());
    match tokio_tungstenite::client_async(request.unwrap(), stream).await {
        Err(Error::Http(response)) => assert_eq!(response.status().as_u16(), 421),
        other => panic!("{:?}", other.map(|_| ())),
    }
}
