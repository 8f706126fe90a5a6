//! The books of a connection: followed, synchronised anew after a gap, and handed over when the connection is replaced.

use std::time::{Duration, Instant};

use prism_schemas::book::{Applied, Rules, State};
use prism_schemas::event::event::Body;
use prism_schemas::event::{Book, Feed};
use prism_schemas::feed::BOOK;
use prism_schemas::time::MINUTE;
use prism_schemas::{Event, InstrumentId, OrderBook, Ts};

use super::machine::Machine;
use super::ports::{Now, Output};
use super::session::Session;
use crate::{Events, Followed, status};

/// A book whose snapshot does not come within this is asked for again.
pub(super) const RESYNC: Duration = Duration::from_secs(5);

/// That wait doubles so often.
const ASKED_MAX: u32 = 4;

/// A book that changes is told whole so often, as deltas alone make none: a log loses its beginning.
const TOLD_EVERY: Ts = 10 * MINUTE;

/// An instrument, its book, and what is known of its messages.
pub(super) struct Followable {
    pub(super) native: String,
    /// As those know it who get the events.
    pub(super) book: OrderBook,
    /// Since when its snapshot is awaited.
    pub(super) asked: Option<Instant>,
    /// How often it was asked for again since it was live.
    pub(super) n_asked: u32,
    /// A gap was told, and its end was not.
    pub(super) has_gap: bool,
    /// When all of it was told last.
    told: Ts,
    /// When its last message came, and whether that is said to be too long ago.
    pub(super) heard: Ts,
    pub(super) is_stale: bool,
    /// Its trades are refused: other messages make it no better.
    pub(super) is_refused: bool,
    /// Its book on the connection that takes the place of this one.
    pub(super) next: Option<Next>,
    /// Its book made anew on the same connection before the price leaves what the snapshot had, and when the last one was
    /// begun: one that does not come is begun again later.
    renewal: Option<Next>,
    renewed: Option<Instant>,
}

/// A book that is not told yet.
pub(super) struct Next {
    session: u64,
    book: OrderBook,
    asked: Option<Instant>,
    /// Of its last update.
    ts_event: Ts,
}

impl Followable {
    pub(super) fn new(one: &Followed) -> Followable {
        Followable {
            native: one.native.clone(),
            book: OrderBook::new(Rules::of(&one.id)),
            asked: None,
            n_asked: 0,
            has_gap: false,
            told: 0,
            heard: 0,
            is_stale: false,
            is_refused: false,
            next: None,
            renewal: None,
            renewed: None,
        }
    }

    /// Another session follows its book too.
    pub(super) fn begin(&mut self, id: &InstrumentId, session: u64, asked: Option<Instant>) {
        let book = OrderBook::new(Rules::of(id));
        self.next = Some(Next { session, book, asked, ts_event: 0 });
    }

    /// The other session's book, whole, in the place of the one that was told; `None` while it would be taken for an old
    /// one, or is not there.
    fn take_over(&mut self, is_numbered: bool, ts_recv: Ts) -> Option<Event> {
        let is_old = |next: &Next| next.book.last_update() <= self.book.last_update();
        let is_behind = |next: &Next| is_numbered && self.book.state() == State::Live && is_old(next);
        let next = self.next.take_if(|next| next.book.state() == State::Live && !is_behind(next))?;
        (self.book, self.asked, self.told) = (next.book, None, ts_recv);
        Some(whole(&self.book, next.ts_event, ts_recv))
    }
}

/// What a renewal makes of an update.
#[derive(PartialEq)]
enum Renewal {
    /// Nothing yet, or there is none.
    Nothing,
    /// A snapshot is to be asked for.
    Ask,
    /// The book is the renewed one.
    Done,
}

impl Followable {
    /// Takes an update into the renewal too, begins one near the edge, and ends it once it is where the book is.
    fn renew(
        &mut self,
        id: &InstrumentId,
        session: u64,
        (update, event): (&Book, &Event),
        now: Now,
        again: Duration,
    ) -> Renewal {
        if self.book.state() != State::Live || self.renewal.as_ref().is_some_and(|next| next.session != session) {
            self.renewal = None;
        }
        if let Some(next) = &mut self.renewal {
            next.take(update, event.ts_event);
            let is_there = next.book.state() == State::Live && next.book.last_update() == self.book.last_update();
            if let Some(next) = self.renewal.take_if(|_| is_there) {
                self.book = next.book;
                return Renewal::Done;
            }
            return Renewal::Nothing;
        }
        let is_due = |at: Instant| again <= now.at.saturating_duration_since(at);
        if !self.book.is_near_edge() || !self.renewed.is_none_or(is_due) {
            return Renewal::Nothing;
        }
        self.renewed = Some(now.at);
        let book = OrderBook::new(Rules::of(id));
        let mut next = Next { session, book, asked: Some(now.at), ts_event: event.ts_event };
        next.take(update, event.ts_event);
        self.renewal = Some(next);
        Renewal::Ask
    }

    /// The snapshot of a renewal, taken out of the events of the answer. One that does not join is given up.
    fn renewed(&mut self, session: u64, events: &mut Events) {
        let Some(next) = self.renewal.as_mut().filter(|next| next.session == session) else { return };
        events.retain(|(_, event)| {
            let Some(Body::Book(update)) = &event.body else { return true };
            next.take(update, event.ts_event);
            false
        });
        self.renewal.take_if(|next| next.book.state() != State::Live);
    }
}

impl Next {
    fn take(&mut self, update: &Book, ts_event: Ts) {
        if update.snapshot {
            self.asked = None;
        }
        // Trouble is looked at in the book's state.
        let _ = self.book.apply(update);
        self.ts_event = ts_event;
    }
}

/// A book as one snapshot.
fn whole(book: &OrderBook, ts_event: Ts, ts_recv: Ts) -> Event {
    Event { ts_event, ts_recv, seq: None, index: 0, body: Some(Body::Book(book.whole())) }
}

impl Machine {
    /// Whether books of an instrument are asked for by request: their updates are numbered by the venue, not by session.
    fn is_numbered(&self, native: &str) -> bool {
        self.wire.book_topic(native, 1).is_none()
    }

    /// Applies books, and asks for the snapshots that are needed.
    pub(super) fn take_books(&mut self, events: &mut Events, now: Now) {
        let (mut told, mut topics, mut due) = (Events::new(), Vec::new(), Vec::new());
        let again = RESYNC / self.options.speed;
        let Some(session) = self.main.as_ref().map(|main| main.number) else { return };
        for (id, event) in events.iter_mut() {
            let Some(Body::Book(update)) = &event.body else { continue };
            let Some(one) = self.instruments.get_mut(id) else { continue };
            let was = one.book.state();
            let applied = one.book.apply(update);
            let is_live = one.book.state() == State::Live;
            if is_live && applied == Ok(Applied::Changed) {
                (one.asked, one.n_asked) = (None, 0);
                if update.snapshot {
                    one.told = event.ts_recv;
                } else if TOLD_EVERY <= event.ts_recv - one.told {
                    one.told = event.ts_recv;
                    due.push((id.clone(), event.ts_event, event.ts_recv));
                }
                if std::mem::take(&mut one.has_gap) {
                    told.push(status(id, now.ts, now.ts, Feed::ResyncFinished, BOOK, "book: snapshot"));
                }
            }
            if let Err(trouble) = applied {
                if update.snapshot {
                    // It did not help: one that is sent by itself is asked for after a while.
                    one.asked = self.sends_books.then_some(now.at);
                }
                if was == State::Live && !std::mem::replace(&mut one.has_gap, true) {
                    self.seen.trouble(now.ts);
                    let cause = format!("book: {trouble}, snapshot asked for");
                    told.push(status(id, now.ts, now.ts, Feed::Gap, BOOK, &cause));
                }
                if self.options.ignore_gaps {
                    one.asked = Some(now.at);
                }
            }
            let renewal = one.renew(id, session, (update, event), now, again);
            if renewal == Renewal::Done {
                // In the place of the update: behind it, it would be taken for an old one.
                (one.told, event.body) = (event.ts_recv, Some(Body::Book(one.book.whole())));
            }
            let is_due = !is_live && one.asked.is_none();
            if is_due {
                one.asked = Some(now.at);
            }
            if is_due && let Some(topic) = self.wire.book_topic(&one.native, self.options.channels.depth) {
                topics.push(topic);
            } else if is_due || renewal == Renewal::Ask {
                let wanted = Followed { id: id.clone(), native: one.native.clone() };
                self.outputs.push(Output::AskBook(session, wanted));
            }
        }
        self.renew(&topics);
        self.overdue(&mut told, now);
        for (id, ts_event, ts_recv) in due {
            let live = self.instruments.get(&id).filter(|one| one.book.state() == State::Live);
            told.extend(live.map(|one| (id, whole(&one.book, ts_event, ts_recv))));
        }
        events.append(&mut told);
    }

    fn renew(&mut self, topics: &[String]) {
        if let Some(main) = self.main.as_mut().filter(|_| !topics.is_empty()) {
            main.renew(topics);
        }
    }

    /// Asks again for snapshots that did not come, until they do.
    pub(super) fn overdue(&mut self, told: &mut Events, now: Now) {
        let mut topics = Vec::new();
        if self.options.ignore_gaps || self.options.channels.depth == 0 || !self.sends_books {
            return;
        }
        // What was asked for last is not sent yet.
        if self.main.as_ref().and_then(Session::next_request).is_some_and(|due| now.at < due) {
            return;
        }
        let wait = RESYNC / self.options.speed;
        for (id, one) in &mut self.instruments {
            // Each time later: venues count requests, and some books never come.
            let wait = wait * 2_u32.pow(one.n_asked);
            if one.asked.is_some_and(|asked| wait <= now.at.saturating_duration_since(asked))
                && let Some(topic) = self.wire.book_topic(&one.native, self.options.channels.depth)
            {
                (one.asked, one.n_asked) = (Some(now.at), (one.n_asked + 1).min(ASKED_MAX));
                topics.push(topic);
                told.push(status(id, now.ts, now.ts, Feed::ResyncStarted, BOOK, "book: snapshot asked for again"));
            }
        }
        self.renew(&topics);
    }

    /// A book that a session asked for, or why there is none.
    pub(super) fn snapshot(&mut self, session: u64, id: &InstrumentId, mut events: Events, now: Now) {
        self.divert(session, &mut events, now);
        let is_ours = self.main.as_ref().is_some_and(|main| main.number == session);
        // A book of the session before does not join the messages of this one.
        events.retain(|(_, event)| is_ours || !matches!(event.body, Some(Body::Book(_))));
        if let Some(one) = self.instruments.get_mut(id) {
            one.renewed(session, &mut events);
            // If it is not live now, the next change asks again.
            match &mut one.next {
                Some(next) if next.session == session => next.asked = None,
                _ if is_ours => one.asked = None,
                _ => {}
            }
        }
        self.take_books(&mut events, now);
        self.events.append(&mut events);
    }

    /// A book could not be asked for: the next change asks again.
    pub(super) fn not_asked(&mut self, id: &InstrumentId) {
        if let Some(one) = self.instruments.get_mut(id) {
            one.asked = None;
            one.renewal = None;
            if let Some(next) = &mut one.next {
                next.asked = None;
            }
        }
    }

    /// Takes the books out of a session's events that are not told yet; those whose turn it is are told whole.
    pub(super) fn divert(&mut self, session: u64, events: &mut Events, now: Now) {
        let is_main = self.main.as_ref().is_some_and(|main| main.number == session);
        let mut taken: Vec<InstrumentId> = Vec::new();
        events.retain(|(id, event)| {
            let Some(Body::Book(update)) = &event.body else { return true };
            let Some(one) = self.instruments.get_mut(id) else { return is_main };
            let Some(next) = one.next.as_mut().filter(|next| next.session == session) else { return is_main };
            next.take(update, event.ts_event);
            if next.book.state() != State::Live
                && next.asked.is_none()
                && self.wire.book_topic(&one.native, 1).is_none()
            {
                next.asked = Some(now.at);
                let wanted = Followed { id: id.clone(), native: one.native.clone() };
                self.outputs.push(Output::AskBook(session, wanted));
            }
            taken.push(id.clone());
            false
        });
        for id in taken.iter().filter(|_| is_main) {
            self.hand_over_one(id, now);
        }
    }

    /// Whether the books of the connection that takes this one's place are as good as those here.
    pub(super) fn has_books(&self) -> bool {
        let is_there = |next: &Next| next.book.state() == State::Live;
        self.instruments.values().all(|one| one.book.state() != State::Live || one.next.as_ref().is_some_and(is_there))
    }

    /// The other connection was replaced: what is told of books is this one's from now on.
    pub(super) fn hand_over(&mut self, now: Now) {
        let ids: Vec<InstrumentId> = self.instruments.keys().cloned().collect();
        for id in &ids {
            self.hand_over_one(id, now);
            let Some(one) = self.instruments.get_mut(id) else { continue };
            if let Some(next) = one.next.take_if(|next| next.book.state() != State::Live) {
                // Its snapshot did not come in time: as if the connection had been lost.
                let was_live = one.book.state() == State::Live;
                (one.book, one.asked) = (next.book, next.asked);
                if was_live && !std::mem::replace(&mut one.has_gap, true) {
                    let cause = "book: the connection was replaced, and its snapshot did not come";
                    self.events.push(status(id, now.ts, now.ts, Feed::Gap, BOOK, cause));
                }
            }
        }
    }

    fn hand_over_one(&mut self, id: &InstrumentId, now: Now) {
        let Some(native) = self.instruments.get(id).map(|one| one.native.clone()) else { return };
        let is_numbered = self.is_numbered(&native);
        let Some(one) = self.instruments.get_mut(id) else { return };
        let Some(event) = one.take_over(is_numbered, now.ts) else { return };
        self.events.push((id.clone(), event));
        if std::mem::take(&mut one.has_gap) {
            self.events.push(status(id, now.ts, now.ts, Feed::ResyncFinished, BOOK, "book: snapshot"));
        }
    }
}
