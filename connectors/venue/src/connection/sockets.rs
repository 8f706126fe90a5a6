//! What only a real socket shows: the limit of messages, and the last words of a connection that panics.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use prism_schemas::event::Feed;
use prism_schemas::event::event::Body;
use prism_schemas::{InstrumentId, Market};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc::channel;
use tokio_tungstenite::accept_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::purse::Payer;
use crate::rest::Rest;
use crate::tasks::Tasks;
use crate::{Clock, Maker, Options, Selected};

fn venue(address: &str, clock: Clock, out: Sender<Events>) -> Venue {
    let maker: Maker = Arc::new(|| prism_exchange::wire("bybit-linear").unwrap());
    let options = Options::at(address);
    let rest = Arc::new(Rest::new(&options, maker().limits(), Payer::Feeds).unwrap());
    let tasks = Tasks::new(&CancellationToken::new());
    let (seen, selected, known) = (Arc::default(), Selected::default(), Default::default());
    Venue { maker, known, options, clock, out, rest, seen, selected, tasks, links: Vec::new() }
}

fn followed() -> Followed {
    Followed { id: InstrumentId::new("bybit", Market::Linear, "BTCUSDT"), native: "BTCUSDT".into() }
}

/// The first state that a connection tells, and its task.
async fn first_word(venue: &mut Venue, mut told: Receiver<Events>) -> (Feed, String) {
    let (_changes, changed) = channel(1);
    let connection = Connection::new(venue, 0, 4, &[followed()], changed, channel(1).0);
    venue.tasks.spawn("connection 4", connection.run(venue.tasks.over.clone()));
    let events = tokio::time::timeout(Duration::from_secs(60), told.recv()).await.unwrap().unwrap();
    let Some(Body::FeedStatus(told)) = &events[0].1.body else { panic!("{events:?}") };
    (told.status(), told.cause.clone())
}

#[tokio::test]
async fn a_message_above_the_limit_ends_the_connection_and_names_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (socket, _) = listener.accept().await.unwrap();
        let mut socket = accept_async(socket).await.unwrap();
        let _ = socket.send(Message::text("x".repeat(MESSAGE_MAX + 1))).await;
        while socket.next().await.is_some() {}
    });
    let (out, told) = channel(8);
    let mut venue = venue(&address, Arc::new(|| 1), out);
    let (feed, cause) = first_word(&mut venue, told).await;
    assert_eq!(feed, Feed::Disconnected);
    assert!(cause.starts_with("a message above the limit of 4 MiB"), "{cause}");
    assert!(WebSocketConfig::default().max_message_size > Some(MESSAGE_MAX), "the limit is ours");
}

#[tokio::test]
async fn a_stream_that_a_country_is_refused_says_so() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let _ = socket.read(&mut [0; 1_024]).await;
        let page = "<html><title>403 Forbidden</title><p>block access from your country</p></html>";
        let head = format!("HTTP/1.1 403 Forbidden\r\ncontent-length: {}\r\n\r\n", page.len());
        let _ = socket.write_all((head + page).as_bytes()).await;
    });
    let failure =
        open(address.replacen("http", "ws", 1), Access::plain(), Duration::from_secs(20)).await.err().unwrap();
    assert_eq!(failure.class, Class::Blocked);
    let said = failure.detail;
    assert!(said.contains("does not serve this address (status 403)"), "{said}");
    assert!(said.ends_with("403 Forbidden block access from your country"), "{said}");
}

#[tokio::test]
async fn a_connection_that_panics_says_that_its_feeds_ended_and_is_named() {
    let is_first = Arc::new(AtomicBool::new(true));
    let clock: Clock = Arc::new(move || if is_first.swap(false, Relaxed) { panic!("a fault") } else { 7 });
    let (out, told) = channel(8);
    let mut venue = venue("http://127.0.0.1:1", clock, out);
    assert_eq!(first_word(&mut venue, told).await, (Feed::Disconnected, DIED.to_string()));
    assert_eq!(venue.tasks.join().await, Some(("connection 4".into(), "a fault".into())));
}
