//! One client of the stream without its socket: what it says goes in, what it is told comes out.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use prism_schemas::{Ts, canonical_symbol};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::board::{Follower, Symbols};
use crate::change::{Change, Channel};
use crate::door::Door;
use crate::limits::Bucket;
use crate::outbox::Outbox;
use crate::updates::{Reader, Updates};

/// Most symbols of a subscription.
const SYMBOLS_MAX: usize = 500;
/// The newest signals are in a snapshot, and all that are active.
const SIGNALS_MAX: usize = 100;
/// Changes taken from the ring at once.
const READ_AT_ONCE: usize = 256;

#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "lowercase", deny_unknown_fields)]
enum Request {
    Auth {
        token: String,
    },
    Subscribe {
        channel: Channel,
        symbols: Option<Vec<String>>,
        #[serde(default)]
        forming: bool,
    },
    Unsubscribe {
        channel: Channel,
    },
    Ping {},
}

/// A channel that is subscribed to.
#[derive(Debug)]
struct Subscription {
    /// All if `None`.
    symbols: Symbols,
    /// Changes before this number are in the snapshot that was sent.
    from: u64,
    /// Where rows that form are wanted too, and where only the newest of a key is told.
    follower: Option<Follower>,
}

impl Subscription {
    fn wants(&self, change: &Change) -> bool {
        self.symbols.as_ref().is_none_or(|symbols| symbols.contains(&*change.symbol))
    }
}

/// One client.
#[derive(Debug)]
pub(crate) struct Subscriber {
    door: Arc<Door>,
    updates: Arc<Updates>,
    reader: Reader,
    outbox: Outbox,
    /// The number of the last row of the board that was looked at, and what tells of more.
    formed: u64,
    wake: Arc<Notify>,
    channels: BTreeMap<Channel, Subscription>,
    /// Channels to subscribe to once the client has shown what it needs.
    at_start: &'static [Channel],
    bucket: Bucket,
    /// Number of the last message.
    seq: u64,
    /// When the rows that form became known that were said last.
    formed_known: Vec<Ts>,
    is_admitted: bool,
}

/// The client has no right to go on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused;

impl Subscriber {
    /// A client that is subscribed to these channels, at once if its request had what is needed.
    pub(crate) fn new(
        door: Arc<Door>,
        updates: Arc<Updates>,
        at_start: &'static [Channel],
        is_admitted: bool,
        bucket: Bucket,
    ) -> Subscriber {
        let reader = updates.subscribe();
        let (outbox, channels) = (Outbox::default(), BTreeMap::new());
        Subscriber {
            door,
            updates,
            reader,
            outbox,
            formed: 0,
            wake: Arc::default(),
            channels,
            at_start,
            bucket,
            seq: 0,
            formed_known: Vec::new(),
            is_admitted,
        }
    }

    /// Whether it may be told anything.
    pub(crate) fn is_admitted(&self) -> bool {
        self.is_admitted
    }

    /// What it is told at the beginning.
    pub(crate) fn open(&mut self, out: &mut Vec<String>) {
        if self.is_admitted {
            for channel in self.at_start {
                self.subscribe(*channel, None, false, out);
            }
        }
    }

    /// Takes a message of the client; answers are added to `out`.
    ///
    /// # Errors
    /// If a token was needed and this was not it.
    pub(crate) fn hear(&mut self, text: &str, now: Instant, out: &mut Vec<String>) -> Result<(), Refused> {
        if !self.bucket.take(now) {
            self.error("too_many_messages", "too many messages in a second; this one was not read", out);
            return Ok(());
        }
        match serde_json::from_str(text) {
            Ok(Request::Auth { token }) if self.door.opens(&token) => {
                let is_first = !std::mem::replace(&mut self.is_admitted, true);
                self.tell(json!({"type": "admitted"}), out);
                if is_first {
                    self.open(out);
                }
            }
            Ok(Request::Auth { .. }) => return self.refuse("the token is wrong", out),
            _ if !self.is_admitted => {
                return self.refuse("send {\"op\":\"auth\",\"token\":\"...\"} first", out);
            }
            Ok(Request::Subscribe { symbols: Some(symbols), .. }) if SYMBOLS_MAX < symbols.len() => {
                self.error("bad_message", "more than 500 symbols; leave them out for all", out);
            }
            Ok(Request::Subscribe { channel: Channel::Signal, forming: true, .. }) => {
                self.error("bad_message", "no signal forms: they come from closed rows", out);
            }
            Ok(Request::Subscribe { channel, symbols, forming }) => {
                let canonical = |symbols: Vec<String>| symbols.iter().map(|symbol| canonical_symbol(symbol)).collect();
                let symbols = symbols.map(|symbols| Arc::new(canonical(symbols)));
                self.subscribe(channel, symbols, forming, out);
            }
            Ok(Request::Unsubscribe { channel }) => {
                self.channels.remove(&channel);
                self.outbox.clear(channel);
                self.tell(json!({"type": "unsubscribed", "channel": channel.name()}), out);
            }
            Ok(Request::Ping {}) => self.tell(json!({"type": "pong"}), out),
            Err(wrong) => self.error("bad_message", &wrong.to_string(), out),
        }
        Ok(())
    }

    /// A message that is no text.
    pub(crate) fn hear_binary(&mut self, out: &mut Vec<String>) {
        self.error("bad_message", "messages are JSON text", out);
    }

    /// Waits until there may be something to say.
    pub(crate) async fn news(&mut self) {
        let (reader, wake) = (&mut self.reader, &self.wake);
        match self.channels.values().any(|one| one.follower.is_some()) {
            false => reader.changed().await,
            true => {
                tokio::select! {
                    () = reader.changed() => {}
                    () = wake.notified() => {}
                }
            }
        }
    }

    /// What is to be said next: at most about `most` changes.
    pub(crate) fn say(&mut self, most: usize, out: &mut Vec<String>) {
        let said = out.len();
        self.collect(out);
        for _ in 0..most {
            let Some(number) = self.outbox.take() else { break };
            match self.reader.get(number) {
                Some(change) => {
                    self.tell_dropped(out);
                    self.seq += 1;
                    out.push(change.message(self.seq));
                }
                // It left the ring while it waited here: the client is too slow for single changes.
                None => self.start_anew(1, out),
            }
        }
        // What closed is told before what forms behind it.
        if out.len() < said + most {
            self.say_formed(most, out);
        }
    }

    /// Tells of the rows on the board that were not looked at yet.
    fn say_formed(&mut self, most: usize, out: &mut Vec<String>) {
        if !self.channels.values().any(|one| one.follower.is_some()) {
            return;
        }
        let end = out.len() + most;
        while out.len() < end {
            let rows = self.updates.board.behind(self.formed, READ_AT_ONCE);
            if rows.is_empty() {
                return;
            }
            for (number, row) in rows {
                self.formed = number;
                let is_wanted = |one: &Subscription| {
                    one.follower.as_ref().is_some_and(|follower| row.forming <= follower.forming) && one.wants(&row)
                };
                if self.channels.get(&row.channel).is_some_and(is_wanted) {
                    self.seq += 1;
                    out.push(row.message(self.seq));
                    if row.forming {
                        self.formed_known.push(row.known);
                    }
                    if out.len() == end {
                        return;
                    }
                }
            }
        }
    }

    /// When the rows that form became known that were said since this was asked last.
    pub(crate) fn formed_known(&mut self) -> impl Iterator<Item = Ts> + '_ {
        self.formed_known.drain(..)
    }

    /// Takes what is wanted from the ring as long as there is room.
    fn collect(&mut self, out: &mut Vec<String>) {
        loop {
            let lost = self.reader.lost();
            if 0 < lost && !self.channels.is_empty() {
                self.start_anew(lost, out);
            }
            let changes = self.reader.read(self.outbox.room().min(READ_AT_ONCE));
            if changes.is_empty() {
                return;
            }
            for (number, change) in changes {
                let subscription = self.channels.get(&change.channel);
                if subscription.is_some_and(|one| one.from <= number && one.wants(&change)) {
                    self.outbox.change(number, &change);
                }
            }
        }
    }

    /// Changes were lost: says so, and replaces what the client knows.
    fn start_anew(&mut self, lost: u64, out: &mut Vec<String>) {
        self.outbox.lost(lost);
        let channels: Vec<Channel> = self.channels.keys().copied().collect();
        for channel in &channels {
            self.outbox.clear(*channel);
        }
        self.tell_dropped(out);
        for channel in channels {
            self.snapshot(channel, out);
        }
    }

    fn subscribe(&mut self, channel: Channel, symbols: Symbols, forming: bool, out: &mut Vec<String>) {
        let is_followed = forming || !channel.is_told_whole();
        let follower = is_followed.then(|| self.updates.board.follow(channel, symbols.clone(), forming, &self.wake));
        if forming {
            self.updates.live().forming.ask();
        }
        // What is on the board now is wanted too.
        self.formed = 0;
        self.wake.notify_one();
        self.channels.insert(channel, Subscription { symbols, from: 0, follower });
        self.snapshot(channel, out);
    }

    /// Tells all of a channel; no change that is in it already will follow.
    fn snapshot(&mut self, channel: Channel, out: &mut Vec<String>) {
        let Some(subscription) = self.channels.get_mut(&channel) else { return };
        let snapshot = self.updates.snapshot(channel);
        subscription.from = snapshot.next;
        self.outbox.clear(channel);
        let wanted = snapshot.rows.iter().filter(|row| subscription.wants(row)).enumerate();
        let these = wanted.filter(|(at, row)| channel != Channel::Signal || *at < SIGNALS_MAX || row.is_active);
        self.seq += 1;
        let mut message =
            format!("{{\"type\":\"snapshot\",\"seq\":{},\"channel\":\"{}\",\"rows\":[", self.seq, channel.name());
        for (n, (_, row)) in these.enumerate() {
            let _ = write!(message, "{}{}", if n == 0 { "" } else { "," }, row.text());
        }
        message.push_str("]}");
        out.push(message);
    }

    fn tell_dropped(&mut self, out: &mut Vec<String>) {
        let dropped = self.outbox.dropped();
        if 0 < dropped {
            self.tell(json!({"type": "lagged", "dropped": dropped}), out);
        }
    }

    fn refuse(&mut self, why: &str, out: &mut Vec<String>) -> Result<(), Refused> {
        self.error("unauthorized", why, out);
        Err(Refused)
    }

    fn error(&mut self, code: &str, message: &str, out: &mut Vec<String>) {
        self.tell(json!({"type": "error", "code": code, "message": message}), out);
    }

    fn tell(&mut self, message: Value, out: &mut Vec<String>) {
        self.seq += 1;
        let mut message = match message {
            Value::Object(fields) => fields,
            _ => Map::new(),
        };
        message.insert("seq".into(), self.seq.into());
        out.push(Value::Object(message).to_string());
    }
}
