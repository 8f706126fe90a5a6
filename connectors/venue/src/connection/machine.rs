//! What a connection does next, decided from what happens to it: no socket, no clock, no waiting.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use prism_exchange::{Channels, DecodeError, Wire};
use prism_schemas::event::Feed;
use prism_schemas::event::event::Body;
use prism_schemas::random::Random;
use prism_schemas::{Event, InstrumentId, Ts};

use super::books::Followable;
use super::ports::{Change, Input, Now, Output, Slot};
use super::session::Session;
use crate::delay::Delay;
use crate::seen::{Seen, Verdict};
use crate::subscriptions::Subscriptions;
use crate::{Events, Followed, Maker, NOT_FOLLOWED, Options, is_over, refusal, status};

/// The first wait before connecting again.
const BACK_OFF_MIN: Duration = Duration::from_millis(200);
/// The longest.
const BACK_OFF_MAX: Duration = Duration::from_secs(30);
/// A connection that stood this long was a good one.
const GOOD: Duration = Duration::from_secs(60);
/// Without a message for so long, time-outs are looked at.
const QUIET: Duration = Duration::from_millis(250);
/// Before a replacement that failed is tried again.
const REPLACE_AGAIN: Duration = Duration::from_secs(60);
/// A connection's state.
pub(super) struct Machine {
    pub(super) wire: Box<dyn Wire>,
    maker: Maker,
    /// The stream's path among the venue's; the first has the trades and speaks for the whole feed.
    pub(super) lane: usize,
    /// Whether its stream sends books whole by itself.
    pub(super) sends_books: bool,
    /// Whether the venue's other connections tell of its instruments too.
    pub(super) is_one_of_many: bool,
    pub(super) instruments: BTreeMap<InstrumentId, Followable>,
    pub(super) options: Options,
    pub(super) seen: Arc<Seen>,
    random: Random,
    back_off: Duration,
    /// Nobody connects, or replaces a connection, before.
    connect_at: Option<Instant>,
    pub(super) replace_at: Option<Instant>,
    n_sessions: u64,
    /// What is known to be refused while nothing is connected.
    refused: Subscriptions,
    /// The session that is followed, and the one that takes its place.
    pub(super) main: Option<Session>,
    pub(super) spare: Option<Session>,
    /// The one whose place was taken, and until when it is heard.
    pub(super) old: Option<(Session, Instant)>,
    /// What its instruments are said to be, once something was said: whether they are connected.
    pub(super) said: Option<bool>,
    /// When the last message came, once there was one.
    pub(super) heard: Option<Ts>,
    pub(super) delay: Delay,
    pub(super) events: Events,
    pub(super) outputs: Vec<Output>,
}

impl Machine {
    /// The `number`th connection of a venue, with the instruments it begins with.
    pub(super) fn new(
        maker: Maker,
        options: Options,
        seen: Arc<Seen>,
        lane: usize,
        number: usize,
        followed: &[Followed],
    ) -> Machine {
        let wire = maker();
        let of_books = Channels { depth: 1, ..Channels::default() };
        Machine {
            sends_books: wire.book_topic("", 1).is_some() && !wire.topics(lane, "", of_books).is_empty(),
            is_one_of_many: 1 < wire.lanes().len(),
            random: Random::new(number as u64, wire.id()),
            instruments: followed.iter().map(|one| (one.id.clone(), Followable::new(one))).collect(),
            back_off: BACK_OFF_MIN / options.speed,
            wire,
            maker,
            lane,
            options,
            seen,
            connect_at: None,
            replace_at: None,
            n_sessions: 0,
            refused: Subscriptions::default(),
            main: None,
            spare: None,
            old: None,
            said: None,
            heard: None,
            delay: Delay::default(),
            events: Events::new(),
            outputs: Vec::new(),
        }
    }

    /// When a tick is due, if nothing happens before.
    pub(super) fn wake(&self, at: Instant) -> Instant {
        let due = self.sessions().filter_map(Session::next_request).chain(self.connect_at.filter(|due| at < *due));
        let due = due.chain(self.old.iter().map(|(_, until)| *until));
        due.fold(at + QUIET, Instant::min)
    }

    /// Takes what happened; gives what is to be done.
    pub(super) fn handle(&mut self, input: Input<'_>, now: Now) -> Vec<Output> {
        match input {
            Input::Opened(slot) => self.opened(slot, now),
            Input::Frame(slot, text) => self.frame(slot, text, now),
            Input::Alive(slot) => self.note(slot, now),
            Input::Closed(slot, cause) => self.closed(slot, &cause, now),
            Input::Change(Change::Snapshot(session, id, events)) => self.snapshot(session, &id, events, now),
            Input::Change(change) => self.change(change, now),
            Input::NotAsked(id) => self.not_asked(&id),
            Input::Held => self.held(now),
            Input::Tick => self.tick(now),
        }
        self.keep(now);
        self.events.retain(is_over);
        let mut outputs = Vec::new();
        if !self.events.is_empty() {
            outputs.push(Output::Events(std::mem::take(&mut self.events)));
        }
        outputs.append(&mut self.outputs);
        outputs
    }

    /// The last words: nothing comes any more, and why.
    pub(super) fn end(&mut self, cause: &str, now: Now) -> Events {
        self.said = None;
        self.lost(cause, now);
        std::mem::take(&mut self.events)
    }

    pub(super) fn sessions(&self) -> impl Iterator<Item = &Session> {
        self.main.iter().chain(&self.spare)
    }

    fn sessions_mut(&mut self) -> impl Iterator<Item = &mut Session> {
        self.main.iter_mut().chain(&mut self.spare)
    }

    fn session(&mut self, slot: Slot) -> Option<&mut Session> {
        let old = self.old.iter_mut().map(|(old, _)| old);
        self.main.iter_mut().chain(&mut self.spare).chain(old).find(|session| session.slot == slot)
    }

    fn is_main(&self, slot: Slot) -> bool {
        self.main.as_ref().is_some_and(|main| main.slot == slot)
    }

    pub(super) fn topics(&self, native: &str) -> Vec<String> {
        self.wire.topics(self.lane, native, self.options.channels)
    }

    /// The topics of an instrument that no other of these has.
    fn own_topics(&self, native: &str) -> Vec<String> {
        let mut topics = self.topics(native);
        for one in self.instruments.values().filter(|one| one.native != native) {
            let others = self.topics(&one.native);
            topics.retain(|topic| !others.contains(topic));
        }
        topics
    }

    /// A socket stands: all topics are asked for.
    fn opened(&mut self, slot: Slot, now: Now) {
        let mut topics: Vec<String> = self.instruments.values().flat_map(|one| self.topics(&one.native)).collect();
        // Instruments share some.
        let mut known = BTreeSet::new();
        topics.retain(|topic| known.insert(topic.clone()));
        let is_main = self.is_main(slot);
        let Some(session) = self.session(slot) else { return };
        session.open(&topics, now.at);
        let number = session.number;
        for (id, one) in &mut self.instruments {
            let asked = self.sends_books.then_some(now.at);
            if is_main {
                (one.asked, one.n_asked) = (asked, 0);
            } else {
                one.begin(id, number, asked);
            }
        }
    }

    /// Notes that a socket lives.
    fn note(&mut self, slot: Slot, now: Now) {
        if let Some(session) = self.session(slot) {
            session.heard = now.at;
        }
        if self.is_main(slot) {
            self.heard = Some(now.ts);
        }
    }

    fn frame(&mut self, slot: Slot, text: &str, now: Now) {
        self.note(slot, now);
        let (mut events, is_main) = (Events::new(), self.is_main(slot));
        let leaves = self.wire.is_leaving(text);
        let Some(session) = self.session(slot) else { return };
        session.is_leaving |= leaves;
        let number = session.number;
        if let Err(error) = session.decode(text, now.ts, &mut events) {
            tracing::debug!(%error, "a frame cannot be decoded");
            if !matches!(error, DecodeError::Refused(_)) {
                self.seen.trouble(now.ts);
            }
            events.push(refusal(&*self.wire, &error, text.as_bytes(), now.ts));
        }
        if events.iter().all(|(id, _)| id.symbol.is_empty()) {
            // It may be the answer to a request.
            self.answered(slot, text, &mut events, now);
        }
        // Some topics tell of all instruments.
        events.retain(|(id, event)| match event.body {
            Some(Body::Quarantined(_)) if id.symbol.is_empty() => true,
            _ => self.instruments.contains_key(id),
        });
        for (id, event) in &mut events {
            if let Verdict::Strange(detail) = self.seen.take(id, event) {
                *event = prism_exchange::quarantined("trade_id", detail, text.as_bytes(), now.ts);
            }
            if is_main {
                self.delay.note(event);
            }
        }
        self.divert(number, &mut events, now);
        if is_main {
            self.stand(&mut events, now);
            self.hear(&mut events, now.ts);
            self.take_books(&mut events, now);
        } else {
            // Of any other connection only trades count: two of them are one.
            let is_either = |event: &Event| matches!(event.body, Some(Body::Trade(_) | Body::Quarantined(_)));
            events.retain(|(_, event)| is_either(event));
        }
        self.events.append(&mut events);
    }

    fn closed(&mut self, slot: Slot, cause: &str, now: Now) {
        if self.is_main(slot) {
            self.lose(cause, now);
        } else if self.old.take_if(|(old, _)| old.slot == slot).is_some() {
            // Its place is taken.
        } else if self.session(slot).is_some() {
            self.give_up(cause, now);
        }
    }

    /// The connection that is followed ended: all begins anew after a while.
    fn lose(&mut self, cause: &str, now: Now) {
        let Some(main) = self.main.take() else { return };
        let others = self.spare.take().into_iter().chain(self.old.take().map(|(old, _)| old));
        self.outputs.extend(others.map(|other| Output::Close(other.slot)));
        self.refused = main.subscriptions.heir();
        self.lost(cause, now);
        if GOOD / self.options.speed <= now.at.saturating_duration_since(main.began) {
            self.back_off = BACK_OFF_MIN / self.options.speed;
        }
        // Many connections that fail together must not come back together.
        let wait = self.back_off.mul_f64(0.5 + self.random.uniform() / 2.0);
        tracing::warn!(venue = self.wire.id(), why = cause, ?wait, "connecting again");
        self.connect_at = Some(now.at + wait);
        self.back_off = (self.back_off * 2).min(BACK_OFF_MAX);
    }

    /// The connection that should take the other's place ended before it could.
    pub(super) fn give_up(&mut self, cause: &str, now: Now) {
        tracing::warn!(venue = self.wire.id(), why = cause, "not replaced, tried again");
        self.spare = None;
        self.replace_at = Some(now.at + REPLACE_AGAIN / self.options.speed);
        self.instruments.values_mut().for_each(|one| one.next = None);
    }

    /// Takes or leaves an instrument.
    fn change(&mut self, change: Change, now: Now) {
        match change {
            Change::Follow(one) => {
                let mut followable = Followable::new(&one);
                followable.heard = now.ts;
                let asked = self.sends_books.then_some(now.at);
                followable.asked = asked;
                if let Some(spare) = self.spare.as_ref().filter(|spare| spare.opened.is_some()) {
                    followable.begin(&one.id, spare.number, asked);
                }
                let topics = self.own_topics(&followable.native);
                self.instruments.insert(one.id.clone(), followable);
                if self.stands() {
                    let told = status(&one.id, now.ts, now.ts, Feed::Connected, self.channel(), "subscribed");
                    self.events.push(told);
                    if self.lane == 0 {
                        self.seen.again(&one.id, now.ts);
                    }
                }
                self.sessions_mut().for_each(|session| session.subscribe(&topics));
            }
            Change::Leave(id) => {
                let Some(one) = self.instruments.remove(&id) else { return };
                self.seen.forget(&id);
                let told = status(&id, now.ts, now.ts, Feed::Disconnected, self.channel(), NOT_FOLLOWED);
                self.events.push(told);
                let topics = self.own_topics(&one.native);
                self.refused.forget(&topics);
                self.sessions_mut().for_each(|session| session.leave(&topics));
            }
            Change::Learn(news) => self.sessions_mut().for_each(|session| session.learn(&news)),
            Change::Snapshot(..) => {}
        }
    }

    /// Nobody was heard because nobody was listened to.
    fn held(&mut self, now: Now) {
        self.sessions_mut().for_each(|session| session.heard = now.at);
        self.instruments.values_mut().for_each(|one| one.heard = now.ts);
    }

    fn tick(&mut self, now: Now) {
        let Some(opened) = self.main.as_ref().and_then(|main| main.opened) else { return };
        if self.said.is_none() && self.options.idle <= now.at.saturating_duration_since(opened) {
            self.said = Some(false);
            let mut told = self.tell_all(Feed::Disconnected, now.ts, now.ts, "no message yet");
            self.events.append(&mut told);
        }
        let mut told = Events::new();
        self.hear(&mut told, now.ts);
        self.overdue(&mut told, now);
        self.events.append(&mut told);
    }

    /// What time alone decides: connections that are broken, due, too old, and what is to be sent on them.
    fn keep(&mut self, now: Now) {
        if let Some((slot, cause)) = self.main.as_ref().and_then(|main| main.broken(&self.options, now.at)) {
            self.outputs.push(Output::Close(slot));
            self.lose(&cause, now);
        }
        if let Some((slot, cause)) = self.spare.as_ref().and_then(|spare| spare.broken(&self.options, now.at)) {
            self.outputs.push(Output::Close(slot));
            self.give_up(&cause, now);
        }
        if self.main.is_none() && !self.instruments.is_empty() && self.connect_at.is_none_or(|due| due <= now.at) {
            self.connect_at = None;
            let session = self.begin(0, self.refused.clone(), now);
            self.main = Some(session);
        }
        self.replace(now);
        let Machine { main, spare, options, outputs, .. } = self;
        main.iter_mut().chain(spare).for_each(|session| session.speak(options, now.at, outputs));
    }

    /// A session whose socket is to be opened.
    pub(super) fn begin(&mut self, slot: Slot, refused: Subscriptions, now: Now) -> Session {
        self.n_sessions += 1;
        self.outputs.push(Output::Open(slot));
        Session::new(slot, self.n_sessions, (self.maker)(), refused, now.at)
    }
}
