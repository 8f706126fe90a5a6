//! One socket's side of a connection: what was asked for on it, how it is kept alive, and when it is given up.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use prism_exchange::{DecodeError, Wire};
use prism_schemas::Ts;

use super::ports::{Output, Slot};
use crate::known::{Described, learn};
use crate::subscriptions::{Request, Subscriptions};
use crate::{Events, Options};

/// Frames in a row that cannot be decoded, after which the connection is made anew.
const GARBAGE_MAX: u32 = 20;
/// Events in one frame: venues send a thousand trades at once, at most.
const EVENTS_MAX: usize = 10_000;
/// Venues count requests for topics within this.
const HOUR: Duration = Duration::from_secs(3_600);
/// How long after a refusal a topic is asked for again.
const REFUSED: Duration = Duration::from_secs(60);
/// A replacement waits for the answers to its subscriptions as long as this many times `patience`.
const ANSWERS: u32 = 2;
/// And so long for its books: those that are asked for by request come as fast as the venue's limits allow.
const BOOKS: Duration = Duration::from_secs(600);

/// A socket that is being opened, or stands.
pub(super) struct Session {
    pub(super) slot: Slot,
    /// Under which books are asked for.
    pub(super) number: u64,
    /// Its own decoder: what changes is told on the socket where the whole was.
    wire: Box<dyn Wire>,
    pub(super) subscriptions: Subscriptions,
    /// When it began to be opened, and when it stood.
    pub(super) began: Instant,
    pub(super) opened: Option<Instant>,
    pub(super) heard: Instant,
    pinged: Instant,
    /// When requests were sent within the last hour.
    spoken: VecDeque<Instant>,
    /// No request is sent before: venues cut connections that ask too fast.
    free: Instant,
    n_garbage: u32,
    has_news: bool,
    /// The venue said that it ends the connection soon, or few requests for topics are left on it.
    pub(super) is_leaving: bool,
    /// Requests so far, and with which all topics were asked for, and when.
    n_sent: u64,
    n_first: u64,
    asked: Option<Instant>,
}

impl Session {
    pub(super) fn new(slot: Slot, number: u64, wire: Box<dyn Wire>, refused: Subscriptions, at: Instant) -> Session {
        Session {
            slot,
            number,
            wire,
            subscriptions: refused,
            began: at,
            opened: None,
            heard: at,
            pinged: at,
            spoken: VecDeque::new(),
            free: at,
            n_garbage: 0,
            has_news: false,
            is_leaving: false,
            n_sent: 0,
            n_first: 0,
            asked: None,
        }
    }

    /// Takes in what more is known of instruments.
    pub(super) fn learn(&mut self, news: &[Described]) {
        learn(&mut *self.wire, news);
    }

    /// The socket stands; all these are asked for.
    pub(super) fn open(&mut self, topics: &[String], at: Instant) {
        (self.opened, self.heard, self.pinged, self.free) = (Some(at), at, at, at);
        let each = self.wire.limits().topics_per_request;
        self.n_first = topics.len().div_ceil(each) as u64;
        self.subscriptions.subscribe(topics, each);
    }

    /// Topics are wanted too; before it stands nothing is asked for one by one.
    pub(super) fn subscribe(&mut self, topics: &[String]) {
        if self.opened.is_some() {
            self.subscriptions.subscribe(topics, self.wire.limits().topics_per_request);
        }
    }

    /// Topics are not wanted any more.
    pub(super) fn leave(&mut self, topics: &[String]) {
        if self.opened.is_some() {
            self.subscriptions.leave(topics, self.wire.limits().topics_per_request);
        } else {
            self.subscriptions.forget(topics);
        }
    }

    /// The venue wants no request for a while.
    pub(super) fn hold(&mut self, at: Instant, options: &Options) {
        self.free = self.free.max(at + REFUSED / options.speed);
        // Nothing is late before that.
        self.asked = self.asked.map(|_| self.free);
    }

    /// Topics are asked for anew, so that their snapshots are sent.
    pub(super) fn renew(&mut self, topics: &[String]) {
        self.subscriptions.renew(topics, self.wire.limits().topics_per_request);
    }

    /// When the next request may be sent, if one waits.
    pub(super) fn next_request(&self) -> Option<Instant> {
        (self.opened.is_some() && self.subscriptions.is_waiting()).then_some(self.free)
    }

    /// A frame's events; on an error there are none.
    pub(super) fn decode(&mut self, text: &str, ts_recv: Ts, events: &mut Events) -> Result<(), DecodeError> {
        let decoded = self.wire.decode(text, ts_recv, events).and_then(|()| {
            if events.len() <= EVENTS_MAX {
                return Ok(());
            }
            let n = events.len();
            events.clear();
            Err(DecodeError::Malformed(format!("{n} events in one message, the limit is {EVENTS_MAX}")))
        });
        // An answer is no garbage, whatever it says.
        let is_garbage = matches!(&decoded, Err(error) if !matches!(error, DecodeError::Refused(_)));
        self.n_garbage = if is_garbage { self.n_garbage + 1 } else { 0 };
        self.has_news |= !events.is_empty();
        decoded
    }

    /// Why it is given up, if it is, and its socket.
    pub(super) fn broken(&self, options: &Options, at: Instant) -> Option<(Slot, String)> {
        let n = self.n_garbage;
        let why = if GARBAGE_MAX <= n {
            format!("{n} frames in a row could not be decoded")
        } else if self.opened.is_some() && options.stale <= at.saturating_duration_since(self.heard) {
            format!("no message for {:?}", options.stale)
        } else {
            return None;
        };
        Some((self.slot, why))
    }

    /// Whether all topics were asked for and answered; a venue that does not answer is not waited for.
    pub(super) fn is_subscribed(&self, options: &Options, at: Instant) -> bool {
        let waited = self.opened.map_or(Duration::ZERO, |opened| at.saturating_duration_since(opened));
        let is_asked = self.opened.is_some() && self.n_first <= self.n_sent;
        is_asked && (self.subscriptions.is_settled() || options.patience <= waited)
    }

    /// Whether it can take another's place: subscribed, answered, with news and, if they come in time, books.
    pub(super) fn is_ready(&self, has_books: bool, options: &Options, at: Instant) -> bool {
        let is_answered = self.asked.is_some() && self.subscriptions.is_settled();
        is_answered && ((has_books && self.has_news) || self.has_waited(BOOKS / options.speed, at))
    }

    /// Whether its subscriptions were not answered in time.
    pub(super) fn is_late(&self, options: &Options, at: Instant) -> bool {
        self.has_waited(options.patience * ANSWERS, at) && !self.subscriptions.is_settled()
    }

    fn has_waited(&self, wait: Duration, at: Instant) -> bool {
        self.asked.is_some_and(|asked| wait <= at.saturating_duration_since(asked))
    }

    /// Sends a sign of life, and the next request, when they are due.
    pub(super) fn speak(&mut self, options: &Options, at: Instant, outputs: &mut Vec<Output>) {
        if self.opened.is_none() {
            return;
        }
        self.subscriptions.repeat(REFUSED / options.speed, at);
        if options.ping <= at.saturating_duration_since(self.pinged) {
            self.pinged = at;
            outputs.push(self.wire.ping().map_or(Output::Ping(self.slot), |text| Output::Send(self.slot, text.into())));
        }
        if self.free <= at
            && let Some(request) = self.subscriptions.next(self.n_sent + 1)
        {
            self.n_sent += 1;
            let texts = match request {
                Request::Subscribe(topics) => self.wire.subscribe(&topics, self.n_sent),
                Request::Unsubscribe(topics) => self.wire.unsubscribe(&topics, self.n_sent),
            };
            outputs.extend(texts.into_iter().map(|text| Output::Send(self.slot, text)));
            let limits = self.wire.limits();
            self.free = at + Duration::from_millis(limits.pace) / options.speed;
            let hour = HOUR / options.speed;
            self.spoken.push_back(at);
            self.spoken.retain(|spoken| at.saturating_duration_since(*spoken) < hour);
            // Another connection has an allowance of its own.
            self.is_leaving |= limits.hourly / 4 * 3 <= self.spoken.len() as u32;
            if let Some(first) = self.spoken.front().filter(|_| limits.hourly as usize <= self.spoken.len()) {
                self.free = self.free.max(*first + hour);
            }
        }
        if self.n_first <= self.n_sent {
            self.asked.get_or_insert(at);
        }
    }
}
