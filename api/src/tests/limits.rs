//! What clients may take, on real sockets.

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::*;
use crate::Limits;

const ASK: &str = "GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n";

async fn limited(limits: Limits) -> (Fixture, std::net::SocketAddr) {
    let f = Fixture::of(Fixture::new().app.with_limits(limits));
    // The server ends with the runtime of its test.
    let (address, ..) = stream::started(&f).await;
    (f, address)
}

/// Everything until the server closes.
async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let _ = timeout(Duration::from_secs(60), stream.read_to_end(&mut bytes)).await.expect("an end");
    String::from_utf8_lossy(&bytes).into_owned()
}

#[tokio::test]
async fn half_a_request_is_not_waited_for() {
    let (_f, address) = limited(Limits { head_time: Duration::from_millis(100), ..Limits::default() }).await;
    let mut slow = TcpStream::connect(address).await.unwrap();
    slow.write_all(b"GET /health HTTP/1.1\r\nhost: local").await.unwrap();
    let began = Instant::now();
    rest(&mut slow).await;
    assert!(began.elapsed() < Duration::from_secs(5));
    let mut silent = TcpStream::connect(address).await.unwrap();
    assert_eq!(rest(&mut silent).await, "", "one that says nothing is closed too");
}

#[tokio::test]
async fn a_head_without_an_end_is_refused() {
    let (_f, address) = limited(Limits { head_bytes: 8_192, ..Limits::default() }).await;
    let mut long = TcpStream::connect(address).await.unwrap();
    let head = format!("GET /health HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "a".repeat(7_000));
    long.write_all(head.as_bytes()).await.unwrap();
    let mut start = [0; 12];
    long.read_exact(&mut start).await.unwrap();
    assert_eq!(&start, b"HTTP/1.1 200");
    let mut longer = TcpStream::connect(address).await.unwrap();
    let head = format!("GET /health HTTP/1.1\r\nhost: localhost\r\nx: {}", "a".repeat(8_192));
    longer.write_all(head.as_bytes()).await.unwrap();
    assert!(rest(&mut longer).await.starts_with("HTTP/1.1 431"));
}

#[tokio::test]
async fn connections_are_counted_for_all_and_by_address() {
    for (limits, status, code) in [
        (Limits { connections: 2, ..Limits::default() }, "503", "too_many_connections"),
        (Limits { connections_of_address: 2, ..Limits::default() }, "429", "too_many_of_address"),
    ] {
        let (_f, address) = limited(limits).await;
        let mut open = Vec::new();
        for _ in 0..2 {
            let mut one = TcpStream::connect(address).await.unwrap();
            one.write_all(ASK.as_bytes()).await.unwrap();
            one.read_exact(&mut [0; 12]).await.unwrap();
            open.push(one);
        }
        let mut refused = TcpStream::connect(address).await.unwrap();
        refused.write_all(ASK.as_bytes()).await.unwrap();
        let text = rest(&mut refused).await;
        assert!(text.starts_with(&format!("HTTP/1.1 {status}")), "{text}");
        assert!(text.contains(&format!("\"{code}\"")) && text.contains("retry-after: 1"), "{text}");
        drop(open);
        let again = async {
            loop {
                let mut one = TcpStream::connect(address).await.unwrap();
                one.write_all(ASK.replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n").as_bytes()).await.unwrap();
                if rest(&mut one).await.starts_with("HTTP/1.1 200") {
                    break;
                }
            }
        };
        timeout(Duration::from_secs(60), again).await.expect("those that ended do not count");
    }
}

#[tokio::test]
async fn who_takes_nothing_is_let_go() {
    let (_f, address) = limited(Limits { stall: Duration::from_millis(100), ..Limits::default() }).await;
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4 * 1024).unwrap();
    let mut greedy = socket.connect(address).await.unwrap();
    // Each asks for the document of some tens of kilobytes; none is read until the server's buffers are full.
    let ask = "GET /api/openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let flood = async {
        loop {
            if greedy.write_all(ask.as_bytes()).await.is_err() {
                break;
            }
        }
    };
    timeout(Duration::from_secs(60), flood).await.expect("the connection ends");
}

#[tokio::test]
async fn streams_are_counted_by_address() {
    let (_f, address) = limited(Limits { streams_of_address: 2, ..Limits::default() }).await;
    let first = stream::connect(address, "/ws/a").await;
    let _second = stream::connect(address, "/ws/b").await;
    assert_eq!(stream::connect_with(address, "/ws/c", &[]).await.unwrap_err(), 429);
    drop(first);
    let freed = async {
        while stream::connect_with(address, "/ws/c", &[]).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(60), freed).await.expect("one that ended does not count");
    let (_f, address) = limited(Limits { streams: 1, ..Limits::default() }).await;
    let _open = stream::connect(address, "/ws/a").await;
    assert_eq!(stream::connect_with(address, "/ws/b", &[]).await.unwrap_err(), 503);
}

#[tokio::test]
async fn messages_are_counted_and_bounded() {
    let (_f, address) = limited(Limits { messages_a_second: 2, ..Limits::default() }).await;
    let mut client = stream::connect(address, "/ws/loop").await;
    let mut answers = Vec::new();
    for _ in 0..8 {
        stream::send(&mut client, json!({"op": "subscribe", "channel": "signal"})).await;
        answers.push(stream::next(&mut client).await);
    }
    assert!(answers[..4].iter().all(|answer| answer["type"] == "snapshot"), "{answers:?}");
    assert!(answers[4..].iter().any(|answer| answer["code"] == "too_many_messages"), "{answers:?}");
    let mut client = stream::connect(address, "/ws/long").await;
    stream::send(&mut client, json!({"op": "ping", "padding": "a".repeat(20_000)})).await;
    stream::end(&mut client).await;
}
