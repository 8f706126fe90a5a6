//! The first pass over a file: what it covers, which instruments, how many decimals; and what that adds around its events.

use std::collections::{BTreeMap, HashMap, VecDeque};

use prism_schemas::event::event::Body;
use prism_schemas::event::{Feed, FeedStatus, Instrument, Levels};
use prism_schemas::feed::{IMPORT, KLINES};
use prism_schemas::instrument::fnv1a;
use prism_schemas::{Decimal, Event, InstrumentId, Ts};

use super::around::Around;
use super::input::Input;
use super::numbers::Counted;
use super::who::Id;
use super::{Recognised, market};

/// How far an event's time may lead its receive time to count for the span of a recording.
const AHEAD_MAX: i64 = 10 * prism_schemas::time::SECOND;

/// Instruments of one file.
const INSTRUMENTS_MAX: usize = 100_000;

/// What one file holds.
#[derive(Default)]
pub(super) struct Summary {
    /// Decimals of prices and sizes by instrument.
    seen: BTreeMap<InstrumentId, (u32, u32)>,
    /// Those of the last instrument, which are not among them.
    last: Option<(Id, (u32, u32))>,
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
    klines: BTreeMap<InstrumentId, BTreeMap<String, (Ts, Ts)>>,
    /// Why the first record that was quarantined was.
    quarantined: Option<String>,
    /// The numbers of its trades.
    numbers: Counted,
    /// Whether a trade has no identity.
    is_nameless: bool,
}

impl Summary {
    pub(super) fn of(recognised: &Recognised) -> std::io::Result<Summary> {
        let mut summary = Summary::default();
        let mut source = (recognised.open)()?;
        let mut events = Vec::new();
        while source.next(&mut events)? {
            events.iter().for_each(|(id, event)| summary.add(id, event));
            events.clear();
            if INSTRUMENTS_MAX < summary.seen.len().max(summary.declared.len()) {
                return Err(std::io::Error::other(format!("it has more than {INSTRUMENTS_MAX} instruments")));
            }
        }
        summary.put_back();
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

    fn add(&mut self, id: &Id, event: &Event) {
        let decimals = match &event.body {
            Some(Body::Instrument(declared)) => {
                self.declared.insert(InstrumentId::clone(id), Instrument::clone(declared));
                return;
            }
            Some(Body::Quarantined(quarantined)) => {
                self.quarantined.get_or_insert_with(|| quarantined.detail.clone());
                (0, 0)
            }
            Some(body) => {
                self.numbers.add(id, event);
                self.is_nameless |= matches!(body, Body::Trade(trade) if trade.id.is_none());
                self.feed |= matches!(body, Body::Trade(_) | Body::Book(_) | Body::Ticker(_));
                if let Body::Kline(kline) = body {
                    self.bar(id, &kline.timeframe, event.ts_event);
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
        match &mut self.last {
            Some((last, most)) if Id::ptr_eq(last, id) => *most = (most.0.max(decimals.0), most.1.max(decimals.1)),
            _ => {
                self.put_back();
                self.last = Some((id.clone(), decimals));
            }
        }
    }

    fn bar(&mut self, id: &Id, timeframe: &str, end: Ts) {
        match self.klines.get_mut(&**id).and_then(|spans| spans.get_mut(timeframe)) {
            Some((first, last)) => (*first, *last) = ((*first).min(end), (*last).max(end)),
            None => {
                let spans = self.klines.entry(InstrumentId::clone(id)).or_default();
                spans.insert(timeframe.into(), (end, end));
            }
        }
    }

    fn put_back(&mut self) {
        let Some((id, decimals)) = self.last.take() else { return };
        match self.seen.get_mut(&*id) {
            Some(most) => *most = (most.0.max(decimals.0), most.1.max(decimals.1)),
            None => drop(self.seen.insert(InstrumentId::clone(&id), decimals)),
        }
    }

    /// What the file holds: its bytes, whose they are, which its name may say, and what the user says of its columns.
    fn content(&self, input: &Input, columns: &str) -> Option<String> {
        let instruments = self.seen.keys().map(InstrumentId::to_string);
        let timeframes = self.klines.values().flat_map(BTreeMap::keys).cloned();
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
                ready.push_back((id.clone().into(), at(ts_first, recv_first, Body::Instrument(instrument.into()))));
            }
            for id in self.seen.keys().filter(|_| self.feed) {
                let id = Id::new(id.clone());
                ready.push_back((id.clone(), at(ts_first, recv_first, of(String::new(), Feed::Connected))));
                tail.push((id, at(ts_last, recv_last, of(String::new(), Feed::Disconnected))));
            }
            for (id, spans) in self.klines.into_iter().filter(|_| !self.feed) {
                let id = Id::new(id);
                for (timeframe, (first, last)) in spans {
                    let channel = format!("{KLINES}{timeframe}");
                    ready.push_back((id.clone(), at(first, recv_first, of(channel.clone(), Feed::Connected))));
                    tail.push((id.clone(), at(last, recv_last, of(channel, Feed::Disconnected))));
                }
            }
        }
        if let (Some((id, _)), Some(content), Some((ts_event, _)), Some((_, ts_recv))) =
            (self.seen.first_key_value(), &content, self.ts_event, self.ts_recv)
        {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let body = status(Feed::Disconnected, IMPORT.into(), name, content);
            tail.push((id.clone().into(), Event { ts_event, ts_recv, seq: None, index: 0, body: Some(body) }));
        }
        // A file without an event gives nothing but its end, at once.
        let (first, last) = self.ts_recv.unwrap_or((Ts::MIN, Ts::MIN));
        let numbers = (self.numbers.all(), self.is_nameless);
        Around::new((input, content, number), (first, last), recognised, (ready, tail, recording), numbers)
    }
}

pub(super) fn status(feed: Feed, channel: String, cause: String, recording: &str) -> Body {
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
