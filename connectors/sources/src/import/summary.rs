//! The first pass over a file: what it covers, which instruments, how many decimals; and what that adds around its events.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::Path;

use prism_schemas::event::event::Body;
use prism_schemas::event::{Feed, FeedStatus, Instrument, Levels};
use prism_schemas::{Decimal, Event, InstrumentId, Ts};

use super::{Events, Recognised, Source, market};

/// How far an event's time may lead its receive time to count for the span of a recording.
const AHEAD_MAX: i64 = 10 * prism_schemas::time::SECOND;

/// What one file holds.
#[derive(Default)]
pub(super) struct Summary {
    seen: BTreeMap<InstrumentId, (u32, u32)>,
    declared: HashMap<InstrumentId, Instrument>,
    /// Smallest and largest event time.
    ts_event: Option<(Ts, Ts)>,
    /// Receive time of the first and the last event in file order.
    ts_recv: Option<(Ts, Ts)>,
    /// Whether it is a recording of a feed, not a history of bars.
    feed: bool,
    quarantined: bool,
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
        }
        Ok(summary)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.seen.is_empty() && !self.quarantined
    }

    fn add(&mut self, instrument: InstrumentId, event: Event) {
        let decimals = match event.body {
            Some(Body::Instrument(declared)) => {
                self.declared.insert(instrument, *declared);
                return;
            }
            Some(Body::Quarantined(_)) => {
                self.quarantined = true;
                (0, 0)
            }
            Some(ref body) => {
                self.feed |= matches!(body, Body::Trade(_) | Body::Book(_) | Body::Ticker(_));
                decimals(body)
            }
            None => return,
        };
        let ts_recv = event.ts_recv;
        self.ts_recv = Some((self.ts_recv.map_or(ts_recv, |(first, _)| first), ts_recv));
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

    /// The file's events with each instrument's declaration and its feed's status around them.
    pub(super) fn around(mut self, recognised: &Recognised, path: &Path) -> std::io::Result<Around> {
        let mut ready = VecDeque::new();
        let mut tail = Vec::new();
        if let (Some((ts_first, ts_last)), Some((recv_first, recv_last))) = (self.ts_event, self.ts_recv) {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let at = |ts_event, ts_recv, body| Event { ts_event, ts_recv, seq: None, index: 0, body: Some(body) };
            let status = |status: Feed| {
                Body::FeedStatus(FeedStatus {
                    status: status.into(),
                    cause: format!("recording {name}"),
                    ..FeedStatus::default()
                })
            };
            for (id, (price_decimals, size_decimals)) in &self.seen {
                let inferred = || market::inferred(id, *price_decimals, *size_decimals);
                let mut instrument = self.declared.remove(id).unwrap_or_else(inferred);
                instrument.price_decimals = instrument.price_decimals.max(*price_decimals);
                instrument.size_decimals = instrument.size_decimals.max(*size_decimals);
                instrument.contract_size = instrument.contract_size.or(market::declared_contract_size(id));
                ready.push_back((id.clone(), at(ts_first, recv_first, Body::Instrument(instrument.into()))));
            }
            for id in self.seen.keys().filter(|_| self.feed) {
                ready.push_back((id.clone(), at(ts_first, recv_first, status(Feed::Connected))));
                tail.push((id.clone(), at(ts_last, recv_last, status(Feed::Disconnected))));
            }
        }
        let source = (recognised.open)()?;
        Ok(Around { format: recognised.format, ready, source: Some(source), tail, batch: Vec::new(), control: 0 })
    }
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

/// A file's events, one at a time.
pub(super) struct Around {
    pub(super) format: &'static str,
    ready: VecDeque<(InstrumentId, Event)>,
    /// Dropped at the end of the file.
    source: Option<Box<dyn Source>>,
    tail: Events,
    batch: Events,
    control: u64,
}

impl Around {
    /// The receive time of the next event, if there is one.
    pub(super) fn head(&mut self) -> std::io::Result<Option<Ts>> {
        while self.ready.is_empty() {
            let Some(source) = &mut self.source else { return Ok(None) };
            if source.next(&mut self.batch)? {
                let declared = |event: &Event| matches!(event.body, Some(Body::Instrument(_)));
                self.ready.extend(self.batch.drain(..).filter(|(_, event)| !declared(event)));
            } else {
                self.control = source.control();
                self.source = None;
                self.ready.extend(self.tail.drain(..));
            }
        }
        Ok(self.ready.front().map(|(_, event)| event.ts_recv))
    }

    pub(super) fn take(&mut self) -> Option<(InstrumentId, Event)> {
        self.ready.pop_front()
    }

    pub(super) fn control(&self) -> u64 {
        self.control
    }
}
