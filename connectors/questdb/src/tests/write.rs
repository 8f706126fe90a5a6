//! Rows before servers that take them, are not there, or leave it open.

use std::time::Duration;

use bytes::Bytes;
use prism_schemas::QuestDbAddress;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::Instant;

use super::{dribbling, full, reply, server, soon};
use crate::{Client, Written};

const ROWS: Bytes = Bytes::from_static(b"bars x=1i 1\n");

#[tokio::test]
async fn rows_are_posted_with_the_login_and_their_answer_is_judged() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("questdb://me:secret@{}", listener.local_addr().unwrap());
    let asked = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(&ROWS) {
            request.push(stream.read_u8().await.unwrap());
        }
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
        String::from_utf8(request).unwrap()
    });
    let client = Client::new(QuestDbAddress::parse(&address).unwrap());
    assert_eq!(client.write(ROWS, soon()).await, Written::Taken);
    let asked = asked.await.unwrap();
    assert!(asked.starts_with("POST /write?precision=n HTTP/1.1\r\n"), "{asked}");
    assert!(asked.contains("authorization: Basic bWU6c2VjcmV0\r\n") && asked.contains("content-length: 12\r\n"));

    let refusal = r#"{"code":"invalid","message":"cast error","line":1,"errorId":"7"}"#;
    let (client, _) = server(reply("400 Bad request", refusal)).await;
    assert_eq!(client.write(ROWS, soon()).await, Written::Refused("cast error".into()));
    let (client, _) = server(reply("404 Not Found", "<html>another server</html>")).await;
    assert!(matches!(client.write(ROWS, soon()).await, Written::NotNow(why) if why.contains("not from QuestDB")));
    // Who says that rows are taken and no more has taken them.
    let (client, _) = server("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n".into()).await;
    assert_eq!(client.write(ROWS, soon()).await, Written::Taken);
}

#[tokio::test]
async fn what_never_left_may_be_sent_again_at_once_and_what_did_may_be_committed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone = QuestDbAddress::parse(&format!("questdb://{}", listener.local_addr().unwrap())).unwrap();
    drop(listener);
    let (full, _held) = full().await;
    for nobody in [gone, full] {
        let written = Client::new(nobody).write(ROWS, Instant::now() + Duration::from_millis(100)).await;
        assert!(matches!(written, Written::NotNow(_)), "{written:?}");
    }
    for cut in ["", "HTTP/1.1 500 X\r\nContent-Length: 9\r\n\r\n", "SSH-2.0-OpenSSH\r\n"] {
        let (client, _) = server(cut.into()).await;
        let written = client.write(ROWS, soon()).await;
        assert!(matches!(written, Written::Unknown(_)), "{cut}: {written:?}");
    }
    for head in ["HTTP/1.1 200 OK\r\nX: ", "HTTP/1.1 502 X\r\nContent-Length: 1000000\r\n\r\n"] {
        let (client, _server) = dribbling(head).await;
        let written = client.write(ROWS, Instant::now() + Duration::from_millis(50)).await;
        assert_eq!(written, Written::Unknown("no answer in time".into()), "{head}");
    }
}

#[tokio::test]
async fn the_protocols_versions_are_read() {
    let settings = r#"{"config":{"line.proto.support.versions":[1,2,3]}}"#;
    for (answer, versions) in [
        (reply("200 OK", settings), vec![1, 2, 3]),
        (reply("200 OK", "{}"), vec![1]),
        (reply("404 Not Found", "an older server"), vec![1]),
    ] {
        assert_eq!(server(answer).await.0.line_protocols(soon()).await, Ok(versions));
    }
    assert!(server(reply("200 OK", "<html>")).await.0.line_protocols(soon()).await.unwrap_err().is_away());
}
