//! The first pass over a file: what it covers, which instruments, how many decimals; and what that adds around its events.

use std::collections::{BTreeMap, HashMap, VecDeque};

use prism_schemas::event::event::Body;
use prism_schemas::event::{Feed, FeedStatus, Instrument, Levels};
use prism_schemas::feed::{IMPORT, KLINES};
use prism_schemas::instrument::fnv1a;
use prism_schemas::{Decimal, Event, InstrumentId, Ts};

use super::input::Input;
use super::merge::{Item, Key};
use super::numbers::{self, AllNumbers, Hole, Numbers};
use super::{Events, ImportError, Recognised, Source, market};

/// How far an event's time may lead its receive time to count for the span of a recording.
const AHEAD_MAX: i64 = 10 * prism_schemas::time::SECOND;

/// Instruments of one file.
const INSTRUMENTS_MAX: usize = 100_000;

/// What one file holds.
#[derive(Default)]
pub(super) struct Summary {
    seen: BTreeMap<InstrumentId, (u32, u32)>,
    declared: HashMap<InstrumentId, Instrument>,
    /// Smallest and largest event time.
    ts_event: Option<(Ts, Ts)>,
    /// Smallest and largest receive time.
    ts_recv: Option<(Ts, Ts)>,
    /// Whether an event was received before one that stands before it.
    is_unsorted: bool,
    /// Whether it is a recording of a feed, not a history of bars.
    feed: bool,
    /// The timeframes of its klines, with the end of the first and the last, by instrument.
    klines: BTreeMap<(InstrumentId, String), (Ts, Ts)>,
    /// Why the first record that was quarantined was.
    quarantined: Option<String>,
    /// The numbers of its trades.
    numbers: AllNumbers,
}

impl Summary {
    pub(super) fn of(recognised: &Recognised) -> std::io::Result<Summary> {
        let mut summary = Summary::default();
        let mut source = (recognised.open)()?;
        let mut events = Vec::new();
        while source.next(&mut events)? {
            for (instrument, event) in events.drain(..) {
                summary.add(instrument, event);
            }
            if INSTRUMENTS_MAX < summary.seen.len().max(summary.declared.len()) {
                return Err(std::io::Error::other(format!("it has more than {INSTRUMENTS_MAX} instruments")));
            }
        }
        Ok(summary)
    }

    /// Whether its events come in the order they were received.
    pub(super) fn is_sorted(&self) -> bool {
        !self.is_unsorted
    }

    pub(super) fn is_empty(&self) -> bool {
        self.seen.is_empty() && self.quarantined.is_none()
    }

    /// Why, if all of its records are quarantined.
    pub(super) fn nothing_decodes(&self) -> Option<&str> {
        self.quarantined.as_deref().filter(|_| self.seen.is_empty() && self.declared.is_empty())
    }

    fn add(&mut self, instrument: InstrumentId, event: Event) {
        let decimals = match event.body {
            Some(Body::Instrument(declared)) => {
                self.declared.insert(instrument, *declared);
                return;
            }
            Some(Body::Quarantined(ref quarantined)) => {
                self.quarantined.get_or_insert_with(|| quarantined.detail.clone());
                (0, 0)
            }
            Some(ref body) => {
                self.number(&instrument, &event);
                self.feed |= matches!(body, Body::Trade(_) | Body::Book(_) | Body::Ticker(_));
                if let Body::Kline(kline) = body {
                    let span = self.klines.entry((instrument.clone(), kline.timeframe.clone()));
                    let (first, last) = span.or_insert((event.ts_event, event.ts_event));
                    (*first, *last) = ((*first).min(event.ts_event), (*last).max(event.ts_event));
                }
                decimals(body)
            }
            None => return,
        };
        let ts_recv = event.ts_recv;
        let (first, last) = self.ts_recv.unwrap_or((ts_recv, ts_recv));
        self.is_unsorted |= ts_recv < last;
        self.ts_recv = Some((first.min(ts_recv), last.max(ts_recv)));
        if matches!(event.body, Some(Body::Quarantined(_))) {
            return;
        }
        // A damaged event time must not stretch the time the feed counts as connected.
        if (0..=event.ts_recv.saturating_add(AHEAD_MAX)).contains(&event.ts_event) {
            let (low, high) = self.ts_event.unwrap_or((event.ts_event, event.ts_event));
            self.ts_event = Some((low.min(event.ts_event), high.max(event.ts_event)));
        }
        match self.seen.get_mut(&instrument) {
            Some(most) => *most = (most.0.max(decimals.0), most.1.max(decimals.1)),
            None => {
                self.seen.insert(instrument, decimals);
            }
        }
    }

    fn number(&mut self, instrument: &InstrumentId, event: &Event) {
        let Some((trade, number)) = numbers::number(instrument, event) else { return };
        let streams = self.numbers.get_mut(instrument);
        match streams.and_then(|streams| streams.get_mut(&trade.stream)) {
            Some(numbers) => numbers.add(number, event.ts_event),
            None => {
                let streams = self.numbers.entry(instrument.clone()).or_default();
                streams.insert(trade.stream.clone(), Numbers::new(number, event.ts_event));
            }
        }
    }

    /// What the file holds: its bytes, whose they are, which its name may say, and what the user says of its columns.
    fn content(&self, input: &Input, columns: &str) -> Option<String> {
        let instruments = self.seen.keys().map(InstrumentId::to_string);
        let timeframes = self.klines.keys().map(|(_, timeframe)| timeframe.clone());
        let whose: Vec<String> = instruments.chain(timeframes).chain([columns.to_string()]).collect();
        Some(format!("{}-{:016x}", input.digest()?, fnv1a(whose.join(" ").as_bytes())))
    }

    /// The file's events with each instrument's declaration and its feed's status around them.
    pub(super) fn around(mut self, recognised: Recognised, number: usize, columns: &str) -> Around {
        let input = recognised.input.clone();
        let path = input.path.clone();
        let content = self.content(&input, columns);
        let mut ready = VecDeque::new();
        let (mut tail, mut recording) = (Vec::new(), String::new());
        if let (Some((ts_first, ts_last)), Some((recv_first, recv_last))) = (self.ts_event, self.ts_recv) {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let at = |ts_event, ts_recv, body| Event { ts_event, ts_recv, seq: None, index: 0, body: Some(body) };
            // Two files of one name that begin at one time are the same.
            recording = format!("{name} {ts_first}");
            let of = |channel: String, feed: Feed| status(feed, channel, format!("recording {name}"), &recording);
            for (id, (price_decimals, size_decimals)) in &self.seen {
                let inferred = || market::inferred(id, *price_decimals, *size_decimals);
                let mut instrument = self.declared.remove(id).unwrap_or_else(inferred);
                instrument.price_decimals = instrument.price_decimals.max(*price_decimals);
                instrument.size_decimals = instrument.size_decimals.max(*size_decimals);
                instrument.contract_size = instrument.contract_size.or(market::declared_contract_size(id));
                ready.push_back((id.clone(), at(ts_first, recv_first, Body::Instrument(instrument.into()))));
            }
            for id in self.seen.keys().filter(|_| self.feed) {
                ready.push_back((id.clone(), at(ts_first, recv_first, of(String::new(), Feed::Connected))));
                tail.push((id.clone(), at(ts_last, recv_last, of(String::new(), Feed::Disconnected))));
            }
            for ((id, timeframe), (first, last)) in self.klines.into_iter().filter(|_| !self.feed) {
                let channel = format!("{KLINES}{timeframe}");
                ready.push_back((id.clone(), at(first, recv_first, of(channel.clone(), Feed::Connected))));
                tail.push((id, at(last, recv_last, of(channel, Feed::Disconnected))));
            }
        }
        if let (Some((id, _)), Some(content), Some((ts_event, _)), Some((_, ts_recv))) =
            (self.seen.first_key_value(), &content, self.ts_event, self.ts_recv)
        {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let body = status(Feed::Disconnected, IMPORT.into(), name, content);
            tail.push((id.clone(), Event { ts_event, ts_recv, seq: None, index: 0, body: Some(body) }));
        }
        // A file without an event gives nothing but its end, at once.
        let (first, last) = self.ts_recv.unwrap_or((Ts::MIN, Ts::MIN));
        let reading = Reading::NotYet(recognised);
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
            goes_on: HashMap::new(),
            numbers: self.numbers,
            batch: Vec::new(),
            at: first,
        }
    }
}

/// What an event says of a feed; not what an import says of itself.
fn state_of_feed(event: &Event) -> Option<&FeedStatus> {
    match &event.body {
        Some(Body::FeedStatus(status)) => Some(status).filter(|status| status.channel != IMPORT),
        _ => None,
    }
}

fn status(feed: Feed, channel: String, cause: String, recording: &str) -> Body {
    let recording = recording.into();
    Body::FeedStatus(FeedStatus { status: feed.into(), channel, cause, recording, ..FeedStatus::default() })
}

/// Decimals of an event's traded or quoted prices and sizes.
fn decimals(body: &Body) -> (u32, u32) {
    let most = |numbers: &[Option<Decimal>]| numbers.iter().flatten().map(|number| number.decimals).max().unwrap_or(0);
    match body {
        Body::Trade(trade) => (most(&[trade.price]), most(&[trade.size])),
        Body::Liquidation(order) => (most(&[order.price]), most(&[order.size])),
        Body::Kline(bar) => (most(&[bar.open, bar.high, bar.low, bar.close]), most(&[bar.volume])),
        Body::Ticker(ticker) => {
            (most(&[ticker.last, ticker.bid_price, ticker.ask_price]), most(&[ticker.bid_size, ticker.ask_size]))
        }
        Body::Book(book) => {
            let of = |levels: &Option<Levels>| levels.as_ref().map_or((0, 0), |l| (l.price_decimals, l.size_decimals));
            let (bids, asks) = (of(&book.bids), of(&book.asks));
            (bids.0.max(asks.0), bids.1.max(asks.1))
        }
        _ => (0, 0),
    }
}

/// A file's events, one at a time; it is open from the first of them to the last.
pub(super) struct Around {
    input: Input,
    content: Option<String>,
    number: usize,
    first: Ts,
    last: Ts,
    reading: Reading,
    ready: VecDeque<(InstrumentId, Event)>,
    tail: Events,
    /// What its states carry.
    recording: String,
    /// By instrument, the recording that this one goes on with.
    goes_on: HashMap<InstrumentId, String>,
    /// The numbers of its trades, with the holes that are not told yet.
    numbers: AllNumbers,
    batch: Events,
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
fn tell(
    numbers: &mut AllNumbers,
    recording: &str,
    instrument: InstrumentId,
    event: Event,
    ready: &mut VecDeque<(InstrumentId, Event)>,
) {
    let Some((trade, number)) = numbers::number(&instrument, &event) else {
        return ready.push_back((instrument, event));
    };
    let streams = numbers.get_mut(&instrument);
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

impl Around {
    /// A text that is equal for equal contents.
    pub(super) fn content(&self) -> Option<&str> {
        self.content.as_deref()
    }

    /// Whether it gives more than its end.
    pub(super) fn has_events(&self) -> bool {
        self.first != Ts::MIN
    }

    /// Its number, and the numbers of its trades.
    pub(super) fn numbers(&mut self) -> (usize, &mut AllNumbers) {
        (self.number, &mut self.numbers)
    }

    /// Its instrument goes on in another file; gives the recording they are together.
    pub(super) fn end_open(&mut self, instrument: &InstrumentId) -> String {
        self.tail.retain(|(id, event)| id != instrument || state_of_feed(event).is_none());
        self.goes_on.get(instrument).unwrap_or(&self.recording).clone()
    }

    /// Its instrument goes on where another file of this recording ended.
    pub(super) fn go_on(&mut self, instrument: &InstrumentId, recording: &str) {
        self.ready.retain(|(id, event)| id != instrument || state_of_feed(event).is_none());
        for (_, event) in self.tail.iter_mut().filter(|(id, event)| id == instrument && state_of_feed(event).is_some())
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

    /// The key of what is next, if there is something.
    pub(super) fn head(&mut self) -> Result<Option<Key>, ImportError> {
        let ended = self.fill().map_err(|source| ImportError::Io { path: self.input.path.clone(), source })?;
        if let Some((_, event)) = self.ready.front() {
            self.at = event.ts_recv;
        }
        Ok((!ended).then_some((self.at, self.number)))
    }

    /// Reads on until something is ready; true if there is nothing any more.
    fn fill(&mut self) -> std::io::Result<bool> {
        while self.ready.is_empty() {
            match &mut self.reading {
                Reading::NotYet(recognised) => self.reading = Reading::Open((recognised.open)()?),
                Reading::Open(source) => {
                    if source.next(&mut self.batch)? {
                        for (instrument, event) in self.batch.drain(..) {
                            if !matches!(event.body, Some(Body::Instrument(_))) {
                                let recording = self.goes_on.get(&instrument).unwrap_or(&self.recording);
                                tell(&mut self.numbers, recording, instrument, event, &mut self.ready);
                            }
                        }
                    } else {
                        self.reading = Reading::Ended(source.control());
                        self.ready.extend(self.tail.drain(..));
                    }
                }
                Reading::Ended(_) => return Ok(false),
                Reading::Told => return Ok(true),
            }
        }
        Ok(false)
    }

    /// Gives what is next, after `head`.
    pub(super) fn take(&mut self) -> Option<Item> {
        if let Some((instrument, event)) = self.ready.pop_front() {
            return Some(Item::Event(instrument, event));
        }
        match self.reading {
            Reading::Ended(control) => {
                self.reading = Reading::Told;
                Some(Item::Ended(control))
            }
            _ => None,
        }
    }
}
