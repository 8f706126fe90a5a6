//! The second pass over a file: its events, one at a time, with what its summary adds before, between and behind them.

use std::collections::{BTreeMap, HashMap, VecDeque};

use prism_schemas::event::event::Body;
use prism_schemas::event::{Feed, FeedStatus};
use prism_schemas::feed::IMPORT;
use prism_schemas::{Event, InstrumentId, Ts};

use super::input::Input;
use super::merge::{Item, Key, Push};
use super::numbers::{self, AllNumbers, Hole};
use super::summary::status;
use super::who::Id;
use super::{Events, ImportError, Recognised, Source};

/// A file's events, one at a time; it is open from the first of them to the last.
pub(super) struct Around {
    input: Input,
    content: Option<String>,
    number: usize,
    first: Ts,
    last: Ts,
    reading: Reading,
    ready: VecDeque<(Id, Event)>,
    tail: Events,
    /// What its states carry.
    recording: String,
    /// By instrument, the recording that this one goes on with.
    goes_on: HashMap<InstrumentId, String>,
    /// The numbers of its trades, with the holes that are not told yet.
    numbers: AllNumbers,
    has_holes: bool,
    is_nameless: bool,
    /// Receive time of what was given last.
    at: Ts,
}

enum Reading {
    NotYet(Recognised),
    Open(Box<dyn Source>),
    /// Read to its end, with so many lines without events.
    Ended(u64),
    Told,
}

/// Gives an event, and says where trades are missing: from the one before the hole on, until the one behind it.
fn tell(numbers: &mut AllNumbers, recording: &str, instrument: Id, event: Event, ready: &mut VecDeque<(Id, Event)>) {
    let Some((trade, number)) = numbers::number(&instrument, &event) else {
        return ready.push_back((instrument, event));
    };
    let streams = numbers.get_mut(&*instrument);
    let holes = streams.and_then(|streams| streams.get_mut(&trade.stream)).map(|numbers| &mut numbers.holes);
    let state = |feed: Feed, ts_event: Ts, hole: &Hole| {
        let cause = format!("{}s {} to {} are missing", trade.stream, hole.before.0 + 1, hole.behind.0 - 1);
        Event {
            ts_event,
            ts_recv: event.ts_recv,
            seq: None,
            index: 0,
            body: Some(status(feed, String::new(), cause, recording)),
        }
    };
    let (mut before, mut behind) = (None, None);
    if let Some(holes) = holes {
        if holes.front().is_some_and(|hole| hole.behind.0 <= number)
            && let Some(hole) = holes.pop_front()
        {
            before = Some(state(Feed::ResyncFinished, hole.behind.1, &hole));
        }
        let begins = holes.front().filter(|hole| hole.before.0 == number);
        behind = begins.map(|hole| state(Feed::Gap, hole.before.1, hole));
    }
    ready.extend(before.map(|event| (instrument.clone(), event)));
    ready.push_back((instrument.clone(), event));
    ready.extend(behind.map(|event| (instrument, event)));
}

/// What an instrument is, which stands before the events.
fn is_declared((_, event): &(Id, Event)) -> bool {
    matches!(event.body, Some(Body::Instrument(_)))
}

impl Around {
    /// Of a file with its content and number, from one receive time to another, with what comes before and behind its events
    /// and the recording that these are.
    pub(super) fn new(
        (input, content, number): (Input, Option<String>, usize),
        (first, last): (Ts, Ts),
        recognised: Recognised,
        (ready, tail, recording): (VecDeque<(Id, Event)>, Events, String),
        (numbers, is_nameless): (AllNumbers, bool),
    ) -> Around {
        let (reading, goes_on, has_holes, at) = (Reading::NotYet(recognised), HashMap::new(), false, first);
        Around {
            input,
            content,
            number,
            first,
            last,
            reading,
            ready,
            tail,
            recording,
            goes_on,
            numbers,
            has_holes,
            is_nameless,
            at,
        }
    }

    /// A text that is equal for equal contents.
    pub(super) fn content(&self) -> Option<&str> {
        self.content.as_deref()
    }

    /// Whether it gives more than its end.
    pub(super) fn has_events(&self) -> bool {
        self.first != Ts::MIN
    }

    /// Whether it has trades that nothing tells apart from equal ones.
    pub(super) fn is_nameless(&self) -> bool {
        self.is_nameless
    }

    /// What says that it is begun, as what says at its end that it is whole.
    pub(super) fn begun(&self) -> Option<(Id, Event)> {
        let (id, end) = self.tail.iter().find(|(_, event)| is_mark(event))?;
        let mut event = Event { ts_recv: self.first, ..end.clone() };
        if let Some(Body::FeedStatus(status)) = &mut event.body {
            status.set_status(Feed::Connected);
        }
        Some((id.clone(), event))
    }

    /// Its number, and the numbers of its trades.
    pub(super) fn numbers(&mut self) -> (usize, &mut AllNumbers) {
        (self.number, &mut self.numbers)
    }

    /// Its instrument goes on in another file; gives the recording they are together.
    pub(super) fn end_open(&mut self, instrument: &InstrumentId) -> String {
        self.tail.retain(|(id, event)| **id != *instrument || state_of_feed(event).is_none());
        self.goes_on.get(instrument).unwrap_or(&self.recording).clone()
    }

    /// Its instrument goes on where another file of this recording ended.
    pub(super) fn go_on(&mut self, instrument: &InstrumentId, recording: &str) {
        self.ready.retain(|(id, event)| **id != *instrument || state_of_feed(event).is_none());
        for (_, event) in
            self.tail.iter_mut().filter(|(id, event)| **id == *instrument && state_of_feed(event).is_some())
        {
            if let Some(Body::FeedStatus(status)) = &mut event.body {
                status.recording = recording.into();
            }
        }
        self.goes_on.insert(instrument.clone(), recording.into());
    }

    /// The key of what it gives first.
    pub(super) fn first(&self) -> Key {
        (self.first, self.number)
    }

    /// The largest receive time of what it gives.
    pub(super) fn last(&self) -> Ts {
        self.last
    }

    /// Hands over what comes up to a limit; gives the key of what is next, if there is something.
    pub(super) fn give(&mut self, limit: Option<Key>, push: Push) -> Result<Option<Key>, ImportError> {
        while !self.fill().map_err(|source| ImportError::Io { path: self.input.path.clone(), source })? {
            self.at = self.ready.front().map_or(self.at, |(_, event)| event.ts_recv);
            let key = (self.at, self.number);
            if limit.is_some_and(|limit| limit < key) {
                return Ok(Some(key));
            }
            match (self.ready.pop_front(), &self.reading) {
                (Some((id, event)), _) => push(key, Item::Event(id, event))?,
                (None, Reading::Ended(control)) => {
                    let control = *control;
                    self.reading = Reading::Told;
                    push(key, Item::Ended(control))?;
                }
                _ => {}
            }
        }
        Ok(None)
    }

    /// Reads on until something is ready; true if there is nothing any more.
    fn fill(&mut self) -> std::io::Result<bool> {
        while self.ready.is_empty() {
            match &mut self.reading {
                Reading::NotYet(recognised) => {
                    self.has_holes = self.numbers.values().flat_map(BTreeMap::values).any(|own| !own.holes.is_empty());
                    self.reading = Reading::Open((recognised.open)()?);
                }
                Reading::Open(source) => {
                    // The memory of what was given before is filled anew.
                    let mut batch = Vec::from(std::mem::take(&mut self.ready));
                    if !source.next(&mut batch)? {
                        self.reading = Reading::Ended(source.control());
                        self.ready.extend(self.tail.drain(..));
                    } else if self.has_holes || batch.iter().any(is_declared) {
                        for (id, event) in batch.into_iter().filter(|one| !is_declared(one)) {
                            let recording = self.goes_on.get(&*id).unwrap_or(&self.recording);
                            tell(&mut self.numbers, recording, id, event, &mut self.ready);
                        }
                    } else {
                        self.ready = batch.into();
                    }
                }
                Reading::Ended(_) => return Ok(false),
                Reading::Told => return Ok(true),
            }
        }
        Ok(false)
    }
}

/// Whether an event is what an import says of itself.
fn is_mark(event: &Event) -> bool {
    matches!(&event.body, Some(Body::FeedStatus(status)) if status.channel == IMPORT)
}

/// What an event says of a feed.
fn state_of_feed(event: &Event) -> Option<&FeedStatus> {
    match &event.body {
        Some(Body::FeedStatus(status)) if !is_mark(event) => Some(status),
        _ => None,
    }
}
