//! What faces do as their venues document it, seen by a client that knows nothing of prism.

mod binance;
mod kraken;
mod okx;
mod okx_requests;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures::{SinkExt, StreamExt};
use prism_emulator::{Emulator, Faults, Origin};
use prism_sources::synthetic::SYMBOLS;
use prism_venue::Clock;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// A clock that runs `speed` times as fast as time, from now on.
#[expect(clippy::disallowed_methods, reason = "the venue's time runs by the wall clock")]
fn clock(speed: u32) -> Clock {
    let start = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as i64;
    let began = Instant::now();
    Arc::new(move || start + began.elapsed().as_nanos() as i64 * i64::from(speed))
}

async fn emulator(speed: u32, faults: Faults) -> Emulator {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let emulator = Emulator::start(listener, Origin::Market(7, SYMBOLS), faults, clock(speed)).unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    emulator
}

/// A connection.
struct Client(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Client {
    async fn connect(emulator: &Emulator, path: &str) -> Client {
        let url = format!("ws://{}/{path}", emulator.address);
        Client(connect_async(url).await.unwrap().0)
    }

    async fn send(&mut self, text: impl ToString) {
        self.0.send(Message::text(text.to_string())).await.unwrap();
    }

    /// The next text; `None` at the end of the connection.
    async fn text(&mut self) -> Option<String> {
        loop {
            match tokio::time::timeout(Duration::from_secs(60), self.0.next()).await.expect("a message within a minute")
            {
                Some(Ok(Message::Text(text))) => return Some(text.to_string()),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                Some(Ok(_)) => {}
            }
        }
    }

    async fn next(&mut self) -> Value {
        let text = self.text().await.expect("the connection goes on");
        serde_json::from_str(&text).unwrap()
    }

    /// The next message of which something holds.
    async fn until(&mut self, is: impl Fn(&Value) -> bool) -> Value {
        loop {
            let message = self.next().await;
            if is(&message) {
                return message;
            }
        }
    }

    /// So many messages of which something holds.
    async fn some(&mut self, n: usize, is: impl Fn(&Value) -> bool) -> Vec<Value> {
        let mut all = Vec::new();
        while all.len() < n {
            all.push(self.until(&is).await);
        }
        all
    }
}

/// The status and the body of an answer.
async fn get(emulator: &Emulator, path: &str) -> (u16, Value) {
    let mut stream = TcpStream::connect(emulator.address).await.unwrap();
    let request = format!("GET /{path} HTTP/1.1\r\nHost: emulator\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap_or_else(|error| panic!("{path}: {error}: {body}")))
}

fn float(value: &Value) -> f64 {
    value.as_str().unwrap_or_else(|| panic!("{value} is a text")).parse().unwrap()
}
