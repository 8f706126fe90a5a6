//! The client for threads that wait, from inside and outside of runtimes.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use prism_schemas::QuestDbAddress;
use serde_json::json;

use crate::Written;
use crate::blocking::Client;

const TIMEOUT: Duration = Duration::from_secs(10);

/// A server that gives each request this answer, and keeps the connections.
fn server(answer: &'static str) -> Client {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("questdb://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        let mut held = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4_096]).and_then(|_| stream.write(answer.as_bytes()));
            held.push(stream);
        }
    });
    Client::new(QuestDbAddress::parse(&address).unwrap())
}

const ONE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\n{\"dataset\":[[1]]}";

#[test]
fn it_is_asked_from_many_threads_at_once() {
    let client = server(ONE);
    let asking: Vec<_> = (0..20)
        .map(|_| {
            let client = client.clone();
            thread::spawn(move || client.exec("SELECT 1", TIMEOUT).unwrap())
        })
        .collect();
    for rows in asking {
        assert_eq!(rows.join().unwrap(), [[json!(1)]]);
    }
}

#[test]
fn it_is_asked_from_inside_a_runtime() {
    let client = server(ONE);
    let ask = async || (client.exec("SELECT 1", TIMEOUT).unwrap(), client.export("SELECT 1", 17, TIMEOUT).unwrap());
    for mut builder in [tokio::runtime::Builder::new_current_thread(), tokio::runtime::Builder::new_multi_thread()] {
        let (rows, file) = builder.enable_all().build().unwrap().block_on(ask());
        assert_eq!((rows, file.len()), (vec![vec![json!(1)]], 17));
    }
}

#[test]
fn a_timeout_is_that_of_the_last_byte() {
    let patience = Duration::from_millis(50);
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("questdb://{}", silent.local_addr().unwrap());
    let silent = Client::new(QuestDbAddress::parse(&address).unwrap());
    let half = server("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nPAR1\r\n");
    assert!(silent.exec("SELECT 1", patience).unwrap_err().is_away());
    assert!(silent.export("SELECT 1", 100, patience).unwrap_err().is_away());
    assert!(silent.wal_tables(patience).unwrap_err().is_away());
    assert!(silent.line_protocols(patience).unwrap_err().is_away());
    assert!(matches!(silent.write(Bytes::from_static(b"a x=1i 1\n"), patience), Written::Unknown(_)));
    assert!(half.export("SELECT 1", 100, patience).unwrap_err().is_away());
}
