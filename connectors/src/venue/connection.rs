//! One connection: subscribed, kept alive, its books followed, and made anew when it fails.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{SinkExt, StreamExt};
use prism_schemas::book::{Applied, Rules, State};
use prism_schemas::event::Feed;
use prism_schemas::event::event::Body;
use prism_schemas::{InstrumentId, OrderBook, Ts};
use tokio::net::TcpStream;
use tokio::sync::mpsc::Sender;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use tokio_util::sync::CancellationToken;

use super::{Clock, Events, Followed, Options, Seen, Wired, refusal, status};
use crate::exchange::Wire;
use crate::synthetic::Random;

/// The first wait before connecting again.
const BACK_OFF_MIN: Duration = Duration::from_millis(200);
/// The longest.
const BACK_OFF_MAX: Duration = Duration::from_secs(30);
/// A connection that stood this long was a good one.
const GOOD: Duration = Duration::from_secs(60);
/// Frames in a row that cannot be decoded, after which the connection is made anew.
const GARBAGE_MAX: u32 = 20;
/// A book whose snapshot does not come within this is asked for again.
const RESYNC: Duration = Duration::from_secs(5);
/// The name of books' troubles in feed states.
const BOOK: &str = "book";

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// An instrument's book, and since when its snapshot is awaited.
struct Followable {
    native: String,
    book: OrderBook,
    asked: Option<Instant>,
    /// When its last message came, and whether that is said to be too long ago.
    heard: Ts,
    is_stale: bool,
}

pub(super) struct Connection {
    wire: Box<dyn Wire>,
    books: BTreeMap<InstrumentId, Followable>,
    options: Options,
    seen: Arc<Seen>,
    clock: Clock,
    out: Sender<Events>,
    random: Random,
    number: u64,
    /// As recordings call it.
    name: String,
    /// Whether its instruments are said to be connected.
    stands: bool,
    /// When the last message came, once there was one.
    heard: Option<Ts>,
}

#[expect(clippy::disallowed_methods, reason = "time-outs; receive times come from the caller's clock")]
fn now() -> Instant {
    Instant::now()
}

impl Connection {
    pub(super) fn new(
        wire: Box<dyn Wire>,
        followed: &[Followed],
        options: &Options,
        seen: &Arc<Seen>,
        clock: &Clock,
        out: &Sender<Events>,
        number: u64,
    ) -> Connection {
        let books = followed.iter().map(|one| {
            let book = OrderBook::new(Rules::of(&one.id));
            (one.id.clone(), Followable { native: one.native.clone(), book, asked: None, heard: 0, is_stale: false })
        });
        Connection {
            random: Random::new(number, wire.id()),
            books: books.collect(),
            options: options.clone(),
            seen: seen.clone(),
            clock: clock.clone(),
            out: out.clone(),
            number: 0,
            name: format!("{}.ws.{number}", wire.id().to_uppercase()),
            wire,
            stands: false,
            heard: None,
        }
    }

    /// Connects again and again, until `over`.
    pub(super) async fn run(mut self, over: CancellationToken) {
        let mut back_off = BACK_OFF_MIN;
        loop {
            let began = now();
            let Some(why) = over.run_until_cancelled(Box::pin(self.session())).await else { break };
            self.lost(&why).await;
            if GOOD <= began.elapsed() {
                back_off = BACK_OFF_MIN;
            }
            // Many connections that fail together must not come back together.
            let wait = back_off.mul_f64(0.5 + self.random.uniform() / 2.0);
            tracing::warn!(venue = self.wire.id(), why, ?wait, "connecting again");
            if over.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
                break;
            }
            back_off = (back_off * 2).min(BACK_OFF_MAX);
        }
        self.lost("prism ends").await;
    }

    /// One connection from its first to its last message; gives why it ended.
    async fn session(&mut self) -> String {
        let url = format!("{}{}", self.options.stream.trim_end_matches('/'), self.wire.stream_path());
        let connecting = tokio::time::timeout(self.options.patience, connect_async(&url)).await;
        let mut socket = match connecting {
            Ok(Ok((socket, _))) => socket,
            Ok(Err(error)) => return format!("{url}: {error}"),
            Err(_) => return format!("{url}: no connection within {:?}", self.options.patience),
        };
        self.options.tap((self.clock)(), &self.name, || Wired::Opened(url)).await;
        let topics: Vec<String> =
            self.books.values().flat_map(|one| self.wire.topics(&one.native, self.options.channels)).collect();
        for some in topics.chunks(self.wire.limits().topics_per_request) {
            self.number += 1;
            if let Err(error) = socket.send(Message::text(self.wire.subscribe(some, self.number))).await {
                return error.to_string();
            }
        }
        match self.follow(&mut socket).await {
            Ok(why) => why,
            Err(error) => error.to_string(),
        }
    }

    async fn follow(&mut self, socket: &mut Socket) -> Result<String, tokio_tungstenite::tungstenite::Error> {
        let (began, mut heard, mut pinged, mut n_garbage) = (now(), now(), now(), 0);
        let mut events = Events::new();
        loop {
            let received = tokio::time::timeout(Duration::from_millis(250), socket.next()).await;
            let ts_recv = (self.clock)();
            match received {
                Ok(None) => return Ok("the venue ended the connection".into()),
                Ok(Some(Err(error))) => return Err(error),
                Ok(Some(Ok(Message::Close(frame)))) => {
                    return Ok(frame.map_or("closed by the venue".into(), |frame| format!("closed: {frame}")));
                }
                Ok(Some(Ok(Message::Text(text)))) => {
                    (heard, self.heard) = (now(), Some(ts_recv));
                    self.options.tap(ts_recv, &self.name, || Wired::Frame(text.to_string())).await;
                    match self.wire.decode(&text, ts_recv, &mut events) {
                        Ok(()) => {
                            n_garbage = 0;
                            for (id, event) in &events {
                                self.seen.is_new(id, event);
                            }
                        }
                        Err(error) => {
                            tracing::debug!(%error, "a frame cannot be decoded");
                            n_garbage += 1;
                            events.push(refusal(&*self.wire, &error, text.as_bytes(), ts_recv));
                        }
                    }
                    if GARBAGE_MAX <= n_garbage {
                        self.send(&mut events).await;
                        return Ok(format!("{n_garbage} frames in a row could not be decoded"));
                    }
                    self.stand(&mut events, ts_recv);
                    self.hear(&mut events, ts_recv);
                    let topics = self.books(&mut events, ts_recv);
                    self.send(&mut events).await;
                    self.again(socket, &topics).await?;
                }
                // The library answers pings.
                Ok(Some(Ok(_))) => (heard, self.heard) = (now(), Some(ts_recv)),
                Err(_) => {
                    self.hear(&mut events, ts_recv);
                    let topics = self.overdue(&mut events, ts_recv);
                    self.send(&mut events).await;
                    self.again(socket, &topics).await?;
                }
            }
            if self.options.stale <= heard.elapsed() {
                return Ok(format!("no message for {:?}", self.options.stale));
            }
            if self.options.rotate <= began.elapsed() {
                return Ok("replaced at its age".into());
            }
            if self.options.ping <= pinged.elapsed() {
                pinged = now();
                let ping = self.wire.ping().map_or(Message::Ping(Vec::new().into()), Message::text);
                socket.send(ping).await?;
            }
        }
    }

    async fn send(&mut self, events: &mut Events) {
        if !events.is_empty() {
            // The receiver ends when all of prism does.
            let _ = self.out.send(std::mem::take(events)).await;
        }
    }

    /// With the first event all instruments are connected.
    fn stand(&mut self, events: &mut Events, ts_recv: Ts) {
        if self.stands || events.is_empty() {
            return;
        }
        self.stands = true;
        for one in self.books.values_mut() {
            (one.heard, one.is_stale) = (ts_recv, false);
        }
        let mut before = Events::new();
        for id in self.books.keys() {
            before.push(status(id, ts_recv, ts_recv, Feed::Connected, "", "subscribed"));
        }
        before.append(events);
        *events = before;
    }

    /// Notes whose messages came, and tells whose do not, or do again.
    fn hear(&mut self, events: &mut Events, ts_recv: Ts) {
        if !self.stands {
            return;
        }
        let mut told = Events::new();
        for (id, _) in events.iter() {
            let Some(one) = self.books.get_mut(id) else { continue };
            one.heard = ts_recv;
            if std::mem::take(&mut one.is_stale) {
                told.push(status(id, ts_recv, ts_recv, Feed::Connected, "", "messages come again"));
            }
        }
        let idle = self.options.idle.as_nanos() as i64;
        for (id, one) in self.books.iter_mut().filter(|(_, one)| !one.is_stale && one.heard + idle <= ts_recv) {
            one.is_stale = true;
            let cause = format!("no message for {:?}", self.options.idle);
            told.push(status(id, one.heard, ts_recv, Feed::Stale, "", &cause));
        }
        events.append(&mut told);
    }

    /// Applies books; gives the topics whose snapshot is needed.
    fn books(&mut self, events: &mut Events, ts_recv: Ts) -> Vec<String> {
        let (mut told, mut topics) = (Events::new(), Vec::new());
        for (id, event) in events.iter() {
            let Some(Body::Book(update)) = &event.body else { continue };
            let Some(one) = self.books.get_mut(id) else { continue };
            let was = one.book.state();
            match one.book.apply(update) {
                Ok(Applied::Changed) if was == State::Suspect => {
                    one.asked = None;
                    told.push(status(id, ts_recv, ts_recv, Feed::ResyncFinished, BOOK, "book: snapshot"));
                }
                Ok(_) => {}
                Err(trouble) if was != State::Suspect && !self.options.ignore_gaps => {
                    one.asked = Some(now());
                    topics.push(self.wire.book_topic(&one.native, self.options.channels.depth));
                    let cause = format!("book: {trouble}, snapshot asked for");
                    told.push(status(id, ts_recv, ts_recv, Feed::Gap, BOOK, &cause));
                }
                Err(_) => {}
            }
        }
        topics.extend(self.overdue(&mut told, ts_recv));
        events.append(&mut told);
        topics
    }

    /// Topics whose snapshot was asked for but did not come.
    fn overdue(&mut self, told: &mut Events, ts_recv: Ts) -> Vec<String> {
        let mut topics = Vec::new();
        for (id, one) in &mut self.books {
            if one.asked.is_some_and(|asked| RESYNC <= asked.elapsed()) {
                one.asked = Some(now());
                topics.push(self.wire.book_topic(&one.native, self.options.channels.depth));
                told.push(status(id, ts_recv, ts_recv, Feed::ResyncStarted, BOOK, "book: snapshot asked for again"));
            }
        }
        topics
    }

    /// Subscribes to topics anew, so that their snapshots are sent.
    async fn again(
        &mut self,
        socket: &mut Socket,
        topics: &[String],
    ) -> Result<(), tokio_tungstenite::tungstenite::Error> {
        for some in topics.chunks(self.wire.limits().topics_per_request) {
            self.number += 2;
            socket.send(Message::text(self.wire.unsubscribe(some, self.number - 1))).await?;
            socket.send(Message::text(self.wire.subscribe(some, self.number))).await?;
        }
        Ok(())
    }

    /// Says that nothing comes any more, from the last message on.
    async fn lost(&mut self, why: &str) {
        let now = (self.clock)();
        let since = self.heard.unwrap_or(now);
        let mut events = Events::new();
        for (id, one) in &mut self.books {
            one.book.reset();
            one.asked = None;
            if self.stands {
                events.push(status(id, since, now, Feed::Disconnected, "", why));
            }
        }
        self.stands = false;
        self.send(&mut events).await;
    }
}
