//! One connection: subscribed, kept alive, its books followed, and made anew when it fails.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{SinkExt, StreamExt};
use prism_schemas::book::{Applied, Rules, State};
use prism_schemas::event::Feed;
use prism_schemas::event::event::Body;
use prism_schemas::{Event, InstrumentId, OrderBook, Ts};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{Receiver, Sender};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use tokio_util::sync::CancellationToken;

use super::delay::Delay;
use super::rest::now;
use super::subscriptions::{Answered, Request, Subscriptions};
use super::{Clock, ENDED, Events, Followed, NOT_FOLLOWED, Options, Seen, Venue, Wired, is_over, refusal, status};
use prism_exchange::{Channels, DecodeError, Wire};
use prism_schemas::random::Random;

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
/// Without a message for so long, time-outs are looked at.
const QUIET: Duration = Duration::from_millis(250);
/// The log took so long to take events that other messages waited.
const SLOW: Duration = Duration::from_millis(500);
/// How long after a refusal a topic is asked for again.
const REFUSED: Duration = Duration::from_secs(60);
/// The name of books' troubles in feed states.
const BOOK: &str = "book";

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// What a connection is told from outside.
#[derive(Debug)]
pub(super) enum Change {
    /// Follow these too.
    Follow(Followed),
    /// Follow these no more.
    Leave(InstrumentId),
    /// A book that a session asked for, or why there is none.
    Snapshot(u64, InstrumentId, Events),
}

/// An instrument, its book, and what is known of its messages.
struct Followable {
    native: String,
    book: OrderBook,
    /// Since when its snapshot is awaited.
    asked: Option<Instant>,
    /// A gap was told, and its end was not.
    has_gap: bool,
    /// When its last message came, and whether that is said to be too long ago.
    heard: Ts,
    is_stale: bool,
    /// Its trades are refused: other messages make it no better.
    is_refused: bool,
}

impl Followable {
    fn new(one: &Followed) -> Followable {
        let book = OrderBook::new(Rules::of(&one.id));
        Followable {
            native: one.native.clone(),
            book,
            asked: None,
            has_gap: false,
            heard: 0,
            is_stale: false,
            is_refused: false,
        }
    }
}

pub(super) struct Connection {
    wire: Box<dyn Wire>,
    /// The stream's path among the venue's; the first has the trades and speaks for the whole feed.
    lane: usize,
    instruments: BTreeMap<InstrumentId, Followable>,
    options: Options,
    seen: Arc<Seen>,
    clock: Clock,
    out: Sender<Events>,
    changes: Receiver<Change>,
    /// Where books are asked for that the stream does not send whole.
    books: Sender<(u64, Followed)>,
    random: Random,
    /// Requests so far, and with which all topics of this session were asked for, which is the session's number.
    number: u64,
    first: u64,
    subscriptions: Subscriptions,
    /// When this session began.
    began: Instant,
    /// As recordings call it.
    name: String,
    /// What its instruments are said to be, once something was said: whether they are connected.
    said: Option<bool>,
    /// When the last message came, once there was one.
    heard: Option<Ts>,
    delay: Delay,
}

impl Connection {
    /// The `number`th of a venue, with the instruments it begins with.
    pub(super) fn new(
        venue: &Venue,
        lane: usize,
        number: usize,
        followed: &[Followed],
        changes: Receiver<Change>,
        books: Sender<(u64, Followed)>,
    ) -> Connection {
        let wire = (venue.maker)();
        Connection {
            random: Random::new(number as u64, wire.id()),
            instruments: followed.iter().map(|one| (one.id.clone(), Followable::new(one))).collect(),
            lane,
            options: venue.options.clone(),
            seen: venue.seen.clone(),
            clock: venue.clock.clone(),
            out: venue.out.clone(),
            changes,
            books,
            number: 0,
            first: 0,
            subscriptions: Subscriptions::default(),
            began: now(),
            name: format!("{}.ws.{number}", wire.id().to_uppercase()),
            wire,
            said: None,
            heard: None,
            delay: Delay::default(),
        }
    }

    fn stands(&self) -> bool {
        self.said == Some(true)
    }

    /// The name under which its feeds' states are told: empty is all of the feed.
    fn channel(&self) -> &'static str {
        if self.lane == 0 { "" } else { BOOK }
    }

    /// Connects again and again, until `over`.
    pub(super) async fn run(mut self, over: CancellationToken) {
        let speed = self.options.speed;
        let mut back_off = BACK_OFF_MIN / speed;
        loop {
            let began = now();
            let Some(why) = over.run_until_cancelled(Box::pin(self.session())).await else { break };
            self.lost(&why).await;
            if GOOD / speed <= began.elapsed() {
                back_off = BACK_OFF_MIN / speed;
            }
            // Many connections that fail together must not come back together.
            let wait = back_off.mul_f64(0.5 + self.random.uniform() / 2.0);
            tracing::warn!(venue = self.wire.id(), why, ?wait, "connecting again");
            if over.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
                break;
            }
            back_off = (back_off * 2).min(BACK_OFF_MAX);
        }
        self.lost(ENDED).await;
    }

    /// One connection from its first to its last message; gives why it ended.
    async fn session(&mut self) -> String {
        while self.instruments.is_empty() || !self.changes.is_empty() {
            let Some(change) = self.changes.recv().await else { return "nothing is followed any more".into() };
            let mut told = Events::new();
            self.change(change, &mut told);
            self.send(&mut told).await;
        }
        let lanes = self.wire.lanes();
        let path = lanes.get(self.lane).map_or("", |path| path);
        let url = format!("{}{path}", self.options.stream.trim_end_matches('/'));
        let connecting = tokio::time::timeout(self.options.patience, connect_async(&url)).await;
        let mut socket = match connecting {
            Ok(Ok((socket, _))) => socket,
            Ok(Err(error)) => return format!("{url}: {error}"),
            Err(_) => return format!("{url}: no connection within {:?}", self.options.patience),
        };
        self.options.tap((self.clock)(), &self.name, || Wired::Opened(url)).await;
        let topics: Vec<String> = self.instruments.values().flat_map(|one| self.topics(&one.native)).collect();
        for one in self.instruments.values_mut() {
            // The stream sends it whole by itself.
            one.asked = self.wire.book_topic(&one.native, 1).map(|_| now());
        }
        let each = self.wire.limits().topics_per_request;
        // What changed before the connection is among all topics.
        self.subscriptions.lost();
        self.first = self.number + topics.len().div_ceil(each) as u64;
        self.subscriptions.subscribe(&topics, each);
        self.follow(&mut socket).await.unwrap_or_else(|error| error.to_string())
    }

    fn topics(&self, native: &str) -> Vec<String> {
        self.wire.topics(self.lane, native, self.options.channels)
    }

    async fn follow(&mut self, socket: &mut Socket) -> Result<String, Error> {
        self.began = now();
        let (began, mut heard, mut pinged, mut free, mut n_garbage) = (now(), now(), now(), now(), 0);
        let mut events = Events::new();
        loop {
            tokio::select! {
                received = socket.next() => {
                    let Some(message) = received.transpose()? else { return Ok("the venue ended the connection".into()) };
                    let ts_recv = (self.clock)();
                    (heard, self.heard) = (now(), Some(ts_recv));
                    match message {
                        Message::Close(frame) => {
                            return Ok(frame.map_or("closed by the venue".into(), |frame| format!("closed: {frame}")));
                        }
                        Message::Text(text) => {
                            self.options.tap(ts_recv, &self.name, || Wired::Frame(text.to_string())).await;
                            match self.wire.decode(&text, ts_recv, &mut events) {
                                Ok(()) => n_garbage = 0,
                                Err(error) => {
                                    tracing::debug!(%error, "a frame cannot be decoded");
                                    let is_answer = matches!(error, DecodeError::Refused(_));
                                    if !is_answer {
                                        self.seen.trouble(ts_recv);
                                    }
                                    n_garbage = if is_answer { 0 } else { n_garbage + 1 };
                                    events.push(refusal(&*self.wire, &error, text.as_bytes(), ts_recv));
                                }
                            }
                            if events.iter().all(|(id, _)| id.symbol.is_empty()) {
                                // It may be the answer to a request.
                                self.answered(&text, &mut events, ts_recv);
                            }
                            for (id, event) in &events {
                                self.seen.is_new(id, event);
                                self.delay.note(event);
                            }
                            self.stand(&mut events, ts_recv);
                            self.hear(&mut events, ts_recv);
                            self.take_books(&mut events, ts_recv);
                        }
                        // The library answers pings.
                        _ => {}
                    }
                }
                Some(change) = self.changes.recv() => match change {
                    Change::Snapshot(session, id, mut snapshot) => {
                        let now = (self.clock)();
                        let is_ours = session == self.first;
                        // A book of the session before does not join the messages of this one.
                        snapshot.retain(|(_, event)| is_ours || !matches!(event.body, Some(Body::Book(_))));
                        if let Some(one) = self.instruments.get_mut(&id).filter(|_| is_ours) {
                            // If it is not live now, the next change asks again.
                            one.asked = None;
                        }
                        self.take_books(&mut snapshot, now);
                        events.append(&mut snapshot);
                    }
                    change => {
                        self.change(change, &mut events);
                        self.send(&mut events).await;
                    }
                },
                () = tokio::time::sleep_until(free.into()), if self.subscriptions.is_waiting() => {
                    let limits = self.wire.limits();
                    self.number += 1;
                    let text = match self.subscriptions.next(self.number) {
                        Some(Request::Subscribe(topics)) => self.wire.subscribe(&topics, self.number),
                        Some(Request::Unsubscribe(topics)) => self.wire.unsubscribe(&topics, self.number),
                        None => continue,
                    };
                    socket.send(Message::text(text)).await?;
                    // Venues cut connections that ask too fast.
                    free = now() + Duration::from_millis(limits.pace);
                }
                () = tokio::time::sleep(QUIET) => {
                    let ts_recv = (self.clock)();
                    if self.said.is_none() && self.options.idle <= began.elapsed() {
                        self.said = Some(false);
                        events.append(&mut self.tell_all(Feed::Disconnected, ts_recv, ts_recv, "no message yet"));
                    }
                    self.hear(&mut events, ts_recv);
                    self.overdue(&mut events, ts_recv);
                }
            }
            let sending = now();
            self.send(&mut events).await;
            if SLOW <= sending.elapsed() {
                // Nobody was heard because nobody was listened to.
                heard = now();
                let now_ts = (self.clock)();
                self.instruments.values_mut().for_each(|one| one.heard = now_ts);
            }
            self.subscriptions.repeat(REFUSED / self.options.speed);
            if GARBAGE_MAX <= n_garbage {
                return Ok(format!("{n_garbage} frames in a row could not be decoded"));
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
        events.retain(is_over);
        if !events.is_empty() {
            // The receiver ends when all of prism does.
            let _ = self.out.send(std::mem::take(events)).await;
        }
    }

    /// Takes or leaves an instrument.
    fn change(&mut self, change: Change, told: &mut Events) {
        let (now_ts, each) = ((self.clock)(), self.wire.limits().topics_per_request);
        match change {
            Change::Follow(one) => {
                let mut followable = Followable::new(&one);
                followable.heard = now_ts;
                followable.asked = self.wire.book_topic(&one.native, 1).map(|_| now());
                let topics = self.topics(&followable.native);
                self.instruments.insert(one.id.clone(), followable);
                if self.stands() {
                    told.push(status(&one.id, now_ts, now_ts, Feed::Connected, self.channel(), "subscribed"));
                    if self.lane == 0 {
                        self.seen.again(&one.id, now_ts);
                    }
                }
                self.subscriptions.subscribe(&topics, each);
            }
            Change::Leave(id) => {
                let Some(one) = self.instruments.remove(&id) else { return };
                self.seen.forget(&id);
                told.push(status(&id, now_ts, now_ts, Feed::Disconnected, self.channel(), NOT_FOLLOWED));
                self.subscriptions.leave(&self.topics(&one.native), each);
            }
            // Of a connection that is lost: the next one asks again.
            Change::Snapshot(..) => {}
        }
    }

    /// With the first event after all was asked for and answered, all instruments are connected.
    fn stand(&mut self, events: &mut Events, ts_recv: Ts) {
        let is_news = |event: &Event| !matches!(event.body, Some(Body::Quarantined(_)));
        if self.stands() || self.number < self.first || !events.iter().any(|(_, event)| is_news(event)) {
            return;
        }
        // What was asked for last may be sent last; a venue that does not answer is not waited for.
        if !self.subscriptions.is_settled() && self.began.elapsed() < self.options.patience {
            return;
        }
        self.said = Some(true);
        for (id, one) in &mut self.instruments {
            (one.heard, one.is_stale, one.is_refused) = (ts_recv, false, false);
            if self.lane == 0 {
                self.seen.again(id, ts_recv);
            }
        }
        self.delay = Delay::since(ts_recv);
        let mut before = self.tell_all(Feed::Connected, ts_recv, ts_recv, "subscribed");
        let refused: Vec<String> = self.subscriptions.refused().cloned().collect();
        for topic in &refused {
            before.extend(self.tell_topic(topic, false, ts_recv));
        }
        before.append(events);
        *events = before;
    }

    /// Takes the answer to a request, if a frame is one.
    fn answered(&mut self, frame: &str, events: &mut Events, ts_recv: Ts) {
        let Some((number, answer)) = self.wire.answered(frame) else { return };
        match self.subscriptions.answer(number, answer) {
            Answered::Known => {}
            Answered::Refused(topic) => {
                tracing::warn!(venue = self.wire.id(), topic, "refused by the venue, asked for again every minute");
                events.extend(self.tell_topic(&topic, false, ts_recv));
            }
            Answered::Accepted(topics) => {
                for topic in topics {
                    events.extend(self.tell_topic(&topic, true, ts_recv));
                }
            }
        }
    }

    /// Whether a topic is sent, as its instrument's state. Before the connection stands only good news is told: the rest is
    /// told with it.
    fn tell_topic(&mut self, topic: &str, is_sent: bool, ts_recv: Ts) -> Option<(InstrumentId, Event)> {
        let stands = self.stands();
        let is_of = |native: &str, channels: Channels| {
            self.wire.topics(self.lane, native, channels).iter().any(|one| one == topic)
        };
        let id = self.instruments.iter().find(|(_, one)| is_of(&one.native, self.options.channels))?.0.clone();
        let one = self.instruments.get_mut(&id)?;
        let (none, depth) = (Channels::default(), self.options.channels.depth);
        let of = |channels| self.wire.topics(self.lane, &one.native, channels).iter().any(|one| one == topic);
        // Without its trades the feed has nothing to go on.
        let channel = match () {
            () if of(Channels { trades: true, ..none }) => "",
            () if of(Channels { depth, ..none }) => BOOK,
            () if of(Channels { tickers: true, ..none }) => "ticker",
            () if of(Channels { liquidations: true, ..none }) => "liquidation",
            () => "kline",
        };
        if !stands && (channel.is_empty() || !is_sent) {
            return None;
        }
        if channel.is_empty() {
            (one.is_refused, one.is_stale) = (!is_sent, !is_sent);
        }
        if channel == BOOK {
            // Nobody waits for a snapshot that is refused, or that must be asked for.
            one.asked = self.wire.book_topic(&one.native, 1).filter(|_| is_sent).map(|_| now());
        }
        let (feed, cause) = match is_sent {
            true if channel.is_empty() && self.delay.is_told => (Feed::Skewed, format!("the venue sends {topic} now")),
            true => (Feed::Connected, format!("the venue sends {topic} now")),
            false => (Feed::Stale, format!("the venue refuses {topic}")),
        };
        Some(status(&id, ts_recv, ts_recv, feed, channel, &cause))
    }

    /// A state of all instruments.
    fn tell_all(&self, feed: Feed, ts: Ts, now: Ts, cause: &str) -> Events {
        self.instruments.keys().map(|id| status(id, ts, now, feed, self.channel(), cause)).collect()
    }

    /// Notes whose messages came, and tells whose do not, or do again, or come at the wrong time.
    fn hear(&mut self, events: &mut Events, ts_recv: Ts) {
        if !self.stands() {
            return;
        }
        let mut told = Events::new();
        let channel = self.channel();
        for (id, event) in events.iter() {
            let Some(one) = self.instruments.get_mut(id) else { continue };
            if matches!(event.body, Some(Body::FeedStatus(_))) {
                // Our own words.
                continue;
            }
            one.heard = ts_recv;
            if !one.is_refused && std::mem::take(&mut one.is_stale) {
                let feed = if self.delay.is_told { Feed::Skewed } else { Feed::Connected };
                told.push(status(id, ts_recv, ts_recv, feed, channel, "messages come again"));
            }
        }
        let idle = self.options.idle.as_nanos() as i64;
        for (id, one) in self.instruments.iter_mut().filter(|(_, one)| !one.is_stale && one.heard + idle <= ts_recv) {
            one.is_stale = true;
            let cause = format!("no message for {:?}", self.options.idle);
            told.push(status(id, one.heard, ts_recv, Feed::Stale, channel, &cause));
        }
        match self.delay.judge(ts_recv, self.options.skew) {
            Some(Some(cause)) => {
                let heard = self.instruments.iter().filter(|(_, one)| !one.is_stale);
                told.extend(heard.map(|(id, _)| status(id, ts_recv, ts_recv, Feed::Skewed, channel, &cause)));
            }
            Some(None) => {
                for (id, one) in &self.instruments {
                    let feed = if one.is_stale { Feed::Stale } else { Feed::Connected };
                    told.push(status(id, ts_recv, ts_recv, feed, channel, "times agree again"));
                }
            }
            None => {}
        }
        events.append(&mut told);
    }

    /// Applies books, and asks for the snapshots that are needed.
    fn take_books(&mut self, events: &mut Events, ts_recv: Ts) {
        let (mut told, mut topics) = (Events::new(), Vec::new());
        for (id, event) in events.iter() {
            let Some(Body::Book(update)) = &event.body else { continue };
            let Some(one) = self.instruments.get_mut(id) else { continue };
            let was = one.book.state();
            let applied = one.book.apply(update);
            let is_live = one.book.state() == State::Live;
            if is_live && applied == Ok(Applied::Changed) {
                one.asked = None;
                if std::mem::take(&mut one.has_gap) {
                    told.push(status(id, ts_recv, ts_recv, Feed::ResyncFinished, BOOK, "book: snapshot"));
                }
            }
            if let Err(trouble) = applied {
                if update.snapshot {
                    // It did not help.
                    one.asked = None;
                }
                if was == State::Live && !std::mem::replace(&mut one.has_gap, true) {
                    self.seen.trouble(ts_recv);
                    let cause = format!("book: {trouble}, snapshot asked for");
                    told.push(status(id, ts_recv, ts_recv, Feed::Gap, BOOK, &cause));
                }
                if self.options.ignore_gaps {
                    one.asked = Some(now());
                }
            }
            if !is_live && one.asked.is_none() {
                let is_asked = match self.wire.book_topic(&one.native, self.options.channels.depth) {
                    Some(topic) => {
                        topics.push(topic);
                        true
                    }
                    None => {
                        let wanted = Followed { id: id.clone(), native: one.native.clone() };
                        self.books.try_send((self.first, wanted)).is_ok()
                    }
                };
                one.asked = is_asked.then(now);
            }
        }
        self.subscriptions.renew(&topics, self.wire.limits().topics_per_request);
        self.overdue(&mut told, ts_recv);
        events.append(&mut told);
    }

    /// Asks again for snapshots that did not come, until they do.
    fn overdue(&mut self, told: &mut Events, ts_recv: Ts) {
        let mut topics = Vec::new();
        if self.options.ignore_gaps || self.options.channels.depth == 0 {
            return;
        }
        for (id, one) in &mut self.instruments {
            if one.asked.is_some_and(|asked| RESYNC / self.options.speed <= asked.elapsed())
                && let Some(topic) = self.wire.book_topic(&one.native, self.options.channels.depth)
            {
                one.asked = Some(now());
                topics.push(topic);
                told.push(status(id, ts_recv, ts_recv, Feed::ResyncStarted, BOOK, "book: snapshot asked for again"));
            }
        }
        self.subscriptions.renew(&topics, self.wire.limits().topics_per_request);
    }

    /// Says that nothing comes any more, from the last message on.
    async fn lost(&mut self, why: &str) {
        let now = (self.clock)();
        let since = self.heard.unwrap_or(now);
        self.subscriptions.lost();
        self.seen.trouble(now);
        for one in self.instruments.values_mut() {
            one.book.reset();
            (one.asked, one.has_gap) = (None, false);
        }
        // Who never was connected is told too.
        if self.said.replace(false) != Some(false) {
            let mut events = self.tell_all(Feed::Disconnected, since, now, why);
            self.send(&mut events).await;
        }
    }
}
