//! The stream on a real socket.

use futures::{SinkExt, StreamExt};
use serde_json::json;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::serve;

type Client = WebSocketStream<TcpStream>;

async fn started(
    f: &Fixture,
) -> (std::net::SocketAddr, CancellationToken, tokio::task::JoinHandle<std::io::Result<()>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let server = tokio::spawn(serve(listener, f.app.clone(), stop.clone().cancelled_owned()));
    (address, stop, server)
}

async fn connect(address: std::net::SocketAddr, path: &str) -> Client {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(8 * 1024).unwrap();
    let stream = socket.connect(address).await.unwrap();
    tokio_tungstenite::client_async(format!("ws://{address}{path}"), stream).await.unwrap().0
}

async fn send(client: &mut Client, message: Value) {
    client.send(Message::text(message.to_string())).await.unwrap();
}

async fn next(client: &mut Client) -> Value {
    loop {
        let message = tokio::time::timeout(Duration::from_secs(10), client.next()).await.expect("a message");
        if let Message::Text(text) = message.unwrap().unwrap() {
            return serde_json::from_str(&text).unwrap();
        }
    }
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
    f.tell(vec![confluence("BTCUSDT", now, 80.0), confluence("ETHUSDT", now, 71.0)]);
    let change = next(&mut client).await;
    assert_eq!(
        (&change["type"], &change["symbol"], &change["score"], &change["seq"]),
        (&json!("confluence"), &json!("ETHUSDT"), &json!(71.0), &json!(3))
    );
    f.tell(vec![signal("ETHUSDT", "dd04", now, 71.0, "active")]);
    assert_eq!(next(&mut client).await["type"], "signal");
    let mut gone = signal("ETHUSDT", "dd04", now, 71.0, "withdrawn");
    gone.cells[SIGNALS.position("retracted").unwrap()] = true.into();
    gone.cells[SIGNALS.position("revision").unwrap()] = 1.into();
    f.tell(vec![gone]);
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
    f.tell(vec![signal("ETHUSDT", "ee05", now, 71.0, "active"), confluence("ETHUSDT", now + MINUTE, 70.0)]);
    assert_eq!(next(&mut client).await["type"], "confluence");

    let mut shortcut = connect(address, "/ws/signals").await;
    assert_eq!(next(&mut shortcut).await["channel"], "signal");
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(8), server).await.unwrap().unwrap().unwrap();
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
        f.tell(vec![confluence("BTCUSDT", ts(NOW), n as f64)]);
        if n % 50 == 0 {
            tokio::task::yield_now().await;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    let (mut dropped, mut n_messages, mut seq) = (0, 0, 1);
    loop {
        let message = next(&mut client).await;
        seq += 1;
        n_messages += 1;
        assert_eq!(message["seq"], seq, "no number is left out");
        match message["type"].as_str().unwrap() {
            "lagged" => dropped += message["dropped"].as_u64().unwrap(),
            _ if message["score"] == f64::from(last) => break,
            _ => {}
        }
    }
    assert!(dropped > 0 && n_messages < last, "{dropped} dropped, {n_messages} sent");
}

#[tokio::test]
async fn pages_of_other_sites_and_strange_names_are_refused() {
    let f = Fixture::new();
    let (address, _stop, _server) = started(&f).await;
    for (path, origin, status) in [
        ("/ws/page", "http://evil.example", 403),
        ("/ws/a%20b", "", 400),
        ("/ws/page", &*format!("http://{address}"), 101),
    ] {
        let mut request = Request::get(format!("ws://{address}{path}"))
            .header("host", address.to_string())
            .header("connection", "Upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        if !origin.is_empty() {
            request = request.header("origin", origin);
        }
        let stream = TcpStream::connect(address).await.unwrap();
        let got = match tokio_tungstenite::client_async(request.body(()).unwrap(), stream).await {
            Ok(_) => 101,
            Err(tokio_tungstenite::tungstenite::Error::Http(response)) => response.status().as_u16(),
            Err(error) => panic!("{error}"),
        };
        assert_eq!(got, status, "{path} {origin}");
    }
}
