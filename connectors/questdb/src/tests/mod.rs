//! The client against small servers on loopback.

mod blocking;
mod write;

use std::time::Duration;

use prism_schemas::QuestDbAddress;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{Instant, timeout};

use crate::{Client, Error, WalTable};

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(10)
}

fn reply(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// A server that gives this answer to one request; the second value is the request.
async fn server(answer: String) -> (Client, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("questdb://me:secret@{}", listener.local_addr().unwrap());
    let asked = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(stream.read_u8().await.unwrap());
        }
        stream.write_all(answer.as_bytes()).await.unwrap();
        String::from_utf8(request).unwrap()
    });
    (Client::new(QuestDbAddress::parse(&address).unwrap()), asked)
}

#[tokio::test]
async fn a_statement_is_sent_with_its_login_and_its_rows_come_back() {
    let (client, asked) = server(reply("200 OK", r#"{"dataset":[[1,"a"],[null,"b"]]}"#)).await;
    let rows = client.exec("SELECT n FROM t WHERE s = 'a&b'", soon()).await.unwrap();
    assert_eq!(rows, [[json!(1), json!("a")], [json!(null), json!("b")]]);
    let asked = asked.await.unwrap();
    assert!(asked.starts_with("GET /exec?query=SELECT%20n%20FROM%20t%20WHERE%20s%20%3D%20%27a%26b%27 "), "{asked}");
    assert!(asked.contains("authorization: Basic bWU6c2VjcmV0\r\n"), "{asked}");
}

/// QuestDB exports to as many at once as it has workers; what it says to one more is as version 9.3.4 does.
#[tokio::test]
async fn a_server_that_has_too_many_at_once_is_asked_again_until_the_deadline() {
    let full = reply("429 Too Many Requests", "exceeded connection limit [name=http_export_connections]\r\n");
    for n_full in [0, 3, usize::MAX] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("questdb://{}", listener.local_addr().unwrap());
        let full = full.clone();
        tokio::spawn(async move {
            for n in 0.. {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    request.push(stream.read_u8().await.unwrap());
                }
                let answer = if n < n_full { full.clone() } else { reply("200 OK", "PAR1") };
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        let client = Client::new(QuestDbAddress::parse(&address).unwrap());
        let deadline = Instant::now() + Duration::from_secs(if n_full == usize::MAX { 1 } else { 60 });
        match client.export("SELECT 1", 1_000, deadline).await {
            Ok(export) => {
                assert_ne!(n_full, usize::MAX);
                assert_eq!(&export.bytes().await.unwrap()[..], b"PAR1");
            }
            Err(error) => assert!(n_full == usize::MAX && error.is_away(), "{n_full}: {error}"),
        }
    }
}

#[tokio::test]
async fn kinds_of_failure_are_told_apart_without_the_password() {
    for (answer, is_kind) in [
        (reply("401 Unauthorized", ""), (|error| matches!(error, Error::Login { .. })) as fn(&Error) -> bool),
        (
            reply("400 Bad request", r#"{"query":"SELECT 1","error":"unexpected token","position":7}"#),
            |error| matches!(error, Error::Refused { detail, .. } if detail == "unexpected token in: SELECT 1"),
        ),
        (
            reply("400 Bad request", r#"{"query":"SELECT 1","error":"table does not exist [table=t]"}"#),
            Error::is_missing_table,
        ),
        (reply("200 OK", r#"{"query":"SELECT 1","error":"late"}"#), |error| matches!(error, Error::Refused { .. })),
        // Its own trouble.
        (reply("500 Internal server error", r#"{"query":"SELECT 1","error":"disk full"}"#), Error::is_away),
        (reply("408 Request timeout", r#"{"query":"SELECT 1","error":"timeout, query aborted"}"#), Error::is_away),
        // What proxies, gateways and other servers say is no refusal of QuestDB's.
        (reply("503 Service Unavailable", "<html>proxy</html>"), Error::is_away),
        (reply("404 Not Found", "no such page"), Error::is_away),
        (reply("400 Bad request", r#"{"error":"table does not exist"}"#), Error::is_away),
        (reply("429 Too many", r#"{"error":"slow down"}"#), Error::is_away),
        (reply("200 OK", "<html>another server</html>"), Error::is_away),
        (reply("200 OK", r#"{"error":"a gateway's"}"#), Error::is_away),
        ("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"data".into(), Error::is_away),
        ("SSH-2.0-OpenSSH\r\n".into(), Error::is_away),
    ] {
        for export in [false, true] {
            let (client, _) = server(answer.clone()).await;
            let error = match export {
                false => client.exec("SELECT 1", soon()).await.unwrap_err(),
                // What says 200 is taken for a file; whoever reads it finds out.
                true if answer.contains(" 200 ") => continue,
                true => client.export("SELECT 1", 1_000, soon()).await.unwrap_err(),
            };
            assert!(is_kind(&error), "{answer}: {error:?}");
            assert!(!format!("{error} {error:?} {client:?}").contains("secret"));
        }
    }
}

#[tokio::test]
async fn nobody_there_is_away() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("questdb://{}", listener.local_addr().unwrap());
    drop(listener);
    let client = Client::new(QuestDbAddress::parse(&address).unwrap());
    let error = client.exec("SELECT 1", soon()).await.unwrap_err();
    assert!(error.is_away() && error.to_string().starts_with(&format!("{address} does not answer: ")), "{error}");
}

#[tokio::test]
async fn the_deadline_ends_a_request_and_its_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("questdb://{}", listener.local_addr().unwrap());
    // It takes the request, sends half an answer, and then waits for the connection to end.
    let hung = tokio::spawn(async move {
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut byte = [0; 4_096];
            assert!(stream.read(&mut byte).await.unwrap() > 0);
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nPAR1").await.unwrap();
            let _ = stream.read(&mut byte).await;
        }
    });
    let client = Client::new(QuestDbAddress::parse(&address).unwrap());
    let deadline = Instant::now() + Duration::from_millis(50);
    assert!(client.exec("SELECT 1", deadline).await.unwrap_err().is_away());
    let mut export = client.export("SELECT 1", 1_000, Instant::now() + Duration::from_millis(50)).await.unwrap();
    assert_eq!(export.chunk().await.unwrap().unwrap(), "PAR1");
    assert!(export.chunk().await.unwrap_err().is_away());
    drop(export);
    timeout(Duration::from_secs(10), hung).await.expect("both connections end").unwrap();
}

#[tokio::test]
async fn a_server_that_dribbles_ends_at_the_deadline() {
    for head in ["HTTP/1.1 200 OK\r\nX: ", "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"] {
        let (client, _server) = dribbling(head).await;
        let error = client.exec("SELECT 1", Instant::now() + Duration::from_millis(50)).await.unwrap_err();
        assert!(error.is_away() && error.to_string().ends_with("no answer in time"), "{error}");
    }
}

/// A server that begins an answer and then sends a byte every millisecond.
async fn dribbling(head: &'static str) -> (Client, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("questdb://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        while stream.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    (Client::new(QuestDbAddress::parse(&address).unwrap()), server)
}

#[tokio::test]
async fn who_takes_no_connection_is_told_long_before_the_deadline() {
    let (address, _held) = full().await;
    let client = Client::new(address);
    tokio::time::pause();
    let began = Instant::now();
    let error = client.exec("SELECT 1", began + Duration::from_secs(600)).await.unwrap_err();
    assert!(error.is_away() && error.to_string().ends_with("no connection in time"), "{error}");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

/// A listener whose queue is full: to connect takes forever.
async fn full() -> (QuestDbAddress, (TcpListener, Vec<TcpStream>)) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut held = Vec::new();
    while let Ok(stream) = timeout(Duration::from_millis(100), TcpStream::connect(address)).await {
        held.push(stream.unwrap());
    }
    (QuestDbAddress::parse(&format!("questdb://{address}")).unwrap(), (listener, held))
}

#[tokio::test]
async fn an_export_is_bounded() {
    let (client, asked) = server(reply("200 OK", &"x".repeat(1_000))).await;
    let whole = client.export("SELECT 1", 1_000, soon()).await.unwrap().bytes().await.unwrap();
    assert_eq!(whole.len(), 1_000);
    let asked = asked.await.unwrap();
    assert!(asked.contains("query=SELECT%20%2A%20FROM%20%28SELECT%201%29%20LIMIT%201000000000000&"), "{asked}");
    let (client, _) = server(reply("200 OK", &"x".repeat(1_001))).await;
    let error = client.export("SELECT 1", 1_000, soon()).await.unwrap().bytes().await.unwrap_err();
    assert!(matches!(error, Error::TooLarge { limit: 1_000, .. }), "{error}");
}

#[tokio::test]
async fn writers_say_how_far_they_are() {
    let answer = r#"{"dataset":[["bars",false,7,5,""],["other",true,3,1,"disk full"],["short"]]}"#;
    let (client, _) = server(reply("200 OK", answer)).await;
    let tables = client.wal_tables(soon()).await.unwrap();
    let bars = WalTable { name: "bars".into(), suspended: false, sequencer: 7, writer: 5, error: String::new() };
    assert_eq!((tables.len(), &tables[0], tables[0].lag()), (2, &bars, 2));
    assert!(tables[1].suspended && tables[1].error == "disk full");
}
