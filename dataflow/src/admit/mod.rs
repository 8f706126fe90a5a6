//! Log messages to records of the graph, each with its knowledge time.

mod positions;
mod records;

use prism_schemas::{
    Event, InstrumentId, Market, Timeframe, Topic, Ts,
    book::Rules,
    event::{Batch, Feed, FeedStatus, event::Body},
    feed::{BOOK, KLINES},
    instrument::fnv1a,
    time::MILLISECOND,
};

use crate::{
    book::BookUpdates,
    event::{Control, Fact, FeedChange, Shape, Sign, Teller, Trade},
    registry::Registry,
    settings::{Settings, TimeSettings},
    types::Time,
};
use positions::positions;
pub use records::even;
use records::{contract_size, kline_fact, quarantined, refused, trade_record};

/// A record on its way into the graph.
#[derive(Clone, Debug)]
pub enum Record {
    /// A trade.
    Trade(Trade),
    /// Book events of a message.
    Books(Box<BookUpdates>),
    /// Anything else that the graph reads.
    Control(Box<Control>),
}

impl Record {
    /// Its knowledge time; of book events that of the first.
    pub fn known(&self) -> Time {
        match self {
            Record::Trade(trade) => trade.known,
            Record::Books(updates) => updates.known().unwrap_or_default(),
            Record::Control(control) => control.known,
        }
    }

    /// When it was received, of book events the last, if it is an event of a market.
    pub fn received(&self) -> Option<Ts> {
        match self {
            Record::Trade(trade) => Some(trade.ts_recv),
            Record::Books(updates) => updates.received(),
            Record::Control(_) => None,
        }
    }
}

/// The latest time the graph can hold, in the year 2200; sums of times stay in range.
pub(crate) const TS_MAX: Ts = 7_258_118_400_000_000_000;

/// A session's heartbeats less than this after one that counted do not count.
const HEARTBEAT: i64 = 500 * MILLISECOND;
/// Sessions whose heartbeats are thinned out at once; those of the others all count.
const SESSIONS_MAX: usize = 64;

/// The knowledge time of a partition: the running maximum of `ts_recv`, rounded up to the epoch.
#[derive(Clone, Debug)]
pub struct Clock {
    time: TimeSettings,
    /// Knowledge time of the newest event.
    pub known: Option<Time>,
}

impl Clock {
    /// Of a partition that is read from its start.
    pub fn new(time: TimeSettings) -> Clock {
        Clock { time, known: None }
    }

    /// The knowledge time of the next event of the partition.
    #[inline]
    pub fn receive(&mut self, ts_recv: Ts) -> Time {
        let ts_recv = ts_recv.clamp(0, TS_MAX);
        let known = match self.known {
            // Of this epoch or the next, without a division.
            Some(known) if ts_recv <= known as Ts + self.time.epoch => {
                known + if (known as Ts) < ts_recv { self.time.epoch as Time } else { 0 }
            }
            _ => self.time.round_up(ts_recv) as Time,
        };
        *self.known.insert(known)
    }
}

/// Gives the events of one partition their knowledge times: the running maximum of `ts_recv`, rounded up to the epoch.
pub struct Admission {
    registry: Registry,
    clock: Clock,
    topic: Topic,
    partition: u32,
    last: Option<(InstrumentId, u32)>,
    /// The most decimals of each instrument's prices and sizes so far, by number.
    decimals: Vec<[u32; 2]>,
    /// The timeframe whose bars' ends tell how late a trade is.
    base: Timeframe,
    /// Streams of trades in order of preference.
    streams: Vec<String>,
    /// The last stream that was numbered, with its number.
    stream: (String, u32),
    /// Sessions and the last of their signs of life that counted, the one that was heard last at the end.
    alive: Vec<(u64, Ts)>,
    /// Largest event time of a trade or venue bar so far.
    pub last_event: Ts,
}

impl Admission {
    /// For a partition of a topic, read from its start.
    pub fn new(registry: Registry, settings: &Settings, topic: Topic, partition: u32) -> Admission {
        let streams = settings.bars.streams.clone();
        Admission {
            registry,
            clock: Clock::new(settings.time.clone()),
            last: None,
            decimals: Vec::new(),
            topic,
            partition,
            alive: Vec::new(),
            base: settings.timeframes.base(),
            stream: (String::new(), Shape::stream_number("", &streams)),
            streams,
            last_event: Ts::MIN,
        }
    }

    /// Admits one message. Events the graph does not read only move time.
    pub fn admit(&mut self, batch: &Batch, records: &mut Vec<Record>) {
        if batch.symbol.is_empty() && batch.events.iter().all(|event| matches!(event.body, Some(Body::Heartbeat(_)))) {
            for event in &batch.events {
                let known = self.clock.receive(event.ts_recv);
                if let Some(Body::Heartbeat(heartbeat)) = &event.body {
                    self.hear(&heartbeat.session, event.ts_recv, known, HEARTBEAT, records);
                }
            }
            return;
        }
        let same = self.last.as_ref().filter(|(id, _)| {
            id.symbol == batch.symbol && id.exchange == batch.exchange && id.market.name() == batch.market
        });
        let (market, number) = match same {
            Some((id, number)) => (id.market, *number),
            None => {
                let Some(market) = Market::parse(&batch.market) else { return self.refuse(batch, records) };
                let id = InstrumentId::new(&batch.exchange, market, &batch.symbol);
                let number = self.registry.number(&id);
                self.last = Some((id, number));
                (market, number)
            }
        };
        let mut books = None;
        for (at, event) in batch.events.iter().enumerate() {
            self.read((event, &batch.events[..at]), market, number, &mut books, records);
        }
        records.extend(books.map(Record::Books));
    }

    /// Whether the instrument that events are read of is Binance's.
    fn is_of_binance(&self) -> bool {
        self.last.as_ref().is_some_and(|(id, _)| id.exchange == "binance")
    }

    /// Admits one event of an instrument, given those before it in its message.
    #[inline]
    fn read(
        &mut self,
        (event, before): (&Event, &[Event]),
        market: Market,
        number: u32,
        books: &mut Option<Box<BookUpdates>>,
        records: &mut Vec<Record>,
    ) {
        if self.is_misdated(event) {
            let detail = "received longer than time.horizon after its bar and after all before it: it moves no time";
            let fact = refused(number, event, "clock", detail);
            let known = self.clock.known.unwrap_or_default();
            records.push(Record::Control(Box::new(Control { instrument: number, known, fact })));
            return;
        }
        let known = self.clock.receive(event.ts_recv);
        let control = |fact| Record::Control(Box::new(Control { instrument: number, known, fact }));
        match &event.body {
            Some(Body::Trade(trade)) if !trade.kind.is_empty() => {
                let detail = format!("{} price x size, which is no match of the book", trade.kind);
                records.push(control(refused(number, event, "off_book", &detail)));
            }
            Some(Body::Trade(trade)) => {
                self.note(event.ts_event, event.ts_recv);
                records.push(match self.trade(event, trade, market, number, known) {
                    Ok(trade) => Record::Trade(trade),
                    Err(detail) => control(refused(number, event, "incomplete_trade", detail)),
                });
            }
            Some(Body::Book(book)) => {
                let rules = || self.last.as_ref().map_or(Rules::default(), |(id, _)| Rules::of(id));
                let new = || Box::new(BookUpdates::new(number, rules(), market == Market::Inverse));
                books.get_or_insert_with(new).push(event, book, known);
            }
            Some(Body::Kline(kline)) if kline.closed => {
                self.note(kline.start, event.ts_recv);
                records.push(control(match kline_fact(kline, market, self.is_of_binance()) {
                    Ok((timeframe, kline)) => Fact::Kline(timeframe, kline),
                    Err(detail) => refused(number, event, "incomplete_kline", detail),
                }));
            }
            Some(Body::Instrument(instrument)) => {
                records.extend(contract_size(number, event, instrument).map(control));
            }
            Some(Body::FeedStatus(status)) => {
                let facts = self.status(status, event, known, records);
                records.extend(facts.map(control));
            }
            Some(Body::Quarantined(frame)) => records.push(control(quarantined(number, event, frame))),
            None => records.push(control(refused(number, event, "unknown_event", "written by a newer version"))),
            Some(_) if market != Market::Spot => {
                let is_inverse = market == Market::Inverse;
                records.extend(positions(number, event, before, is_inverse, self.clock.time.max_ahead).map(control));
            }
            Some(_) => {}
        }
    }

    /// A trade as the graph takes it, at the most decimals of its instrument so far; what it lacks if it cannot be used.
    fn trade(
        &mut self,
        event: &Event,
        trade: &prism_schemas::event::Trade,
        market: Market,
        number: u32,
        known: Time,
    ) -> Result<Trade, &'static str> {
        if self.stream.0 != trade.stream {
            self.stream = (trade.stream.clone(), Shape::stream_number(&trade.stream, &self.streams));
        }
        let at = number as usize;
        if self.decimals.len() <= at {
            self.decimals.resize(at + 1, [0; 2]);
        }
        trade_record(event, trade, market, number, known, self.stream.1, &mut self.decimals[at])
    }

    /// What a feed's state says to bars.
    fn status(
        &mut self,
        status: &FeedStatus,
        event: &Event,
        known: Time,
        records: &mut Vec<Record>,
    ) -> impl Iterator<Item = Fact> + use<> {
        // Bars are made of trades: a book that is made anew leaves them whole.
        let is_of_trades = status.channel.is_empty();
        let every = if is_of_trades { 1 } else { HEARTBEAT };
        let teller = match self.hear(&status.session, event.ts_recv, known, every, records) {
            Some(session) => Teller::Session(session),
            None if status.recording.is_empty() => Teller::Nobody,
            None => Teller::Recording(fnv1a(status.recording.as_bytes())),
        };
        let feed = Feed::try_from(status.status).unwrap_or(Feed::Unspecified);
        let (at, goes_on) = (event.ts_event, feed == Feed::Connected);
        let change = FeedChange::of(feed).filter(|_| is_of_trades);
        let timeframe = status.channel.strip_prefix(KLINES).and_then(|name| name.parse().ok());
        let timeframe = timeframe.filter(|_| matches!(feed, Feed::Connected | Feed::Disconnected));
        let of_trades = change.map(|change| Fact::Feed { teller, at, change });
        let is_suspect = match feed {
            Feed::Gap | Feed::ResyncStarted => Some(true),
            Feed::ResyncFinished => Some(false),
            _ => None,
        };
        let of_book = is_suspect.filter(|_| status.channel == BOOK).map(|is_suspect| Fact::Book { at, is_suspect });
        of_trades.into_iter().chain(of_book).chain(timeframe.map(|timeframe| Fact::History {
            teller,
            timeframe,
            at,
            goes_on,
        }))
    }

    /// Whether the receive time of a trade or book event must be wrong, or makes no difference: were it right, the event
    /// would be too late for its bar, and nothing came for as long. Such a time moves no clock: all that follows would be dated by it.
    #[inline]
    fn is_misdated(&self, event: &Event) -> bool {
        let horizon = self.clock.time.horizon;
        let (ts_event, ts_recv) = (event.ts_event, event.ts_recv);
        horizon < ts_recv.saturating_sub(ts_event)
            && (0..TS_MAX).contains(&ts_event)
            && matches!(event.body, Some(Body::Trade(_) | Body::Book(_) | Body::Ticker(_)))
            && self.clock.known.is_some_and(|known| horizon < ts_recv.saturating_sub(known as Ts))
            && horizon < ts_recv.saturating_sub(self.base.end(self.base.start(ts_event)))
    }

    /// Refuses what the graph would read of a message whose market this version does not know.
    #[cold]
    fn refuse(&mut self, batch: &Batch, records: &mut Vec<Record>) {
        let detail = format!("this version does not know the market \"{}\"", batch.market);
        for event in &batch.events {
            let known = self.clock.receive(event.ts_recv);
            let instrument = || self.registry.foreign(&batch.exchange, &batch.market, &batch.symbol);
            let (instrument, fact) = match &event.body {
                Some(Body::Kline(kline)) if !kline.closed => continue,
                Some(Body::Quarantined(frame)) => (instrument(), quarantined(instrument(), event, frame)),
                Some(Body::Trade(_) | Body::Kline(_)) | None => {
                    (instrument(), refused(instrument(), event, "unknown_market", &detail))
                }
                Some(_) => continue,
            };
            records.push(Record::Control(Box::new(Control { instrument, known, fact })));
        }
    }

    /// A session wrote; it counts unless one that did is less than `every` before. Gives the session, if there is one.
    fn hear(&mut self, session: &str, ts_recv: Ts, known: Time, every: i64, records: &mut Vec<Record>) -> Option<u64> {
        if session.is_empty() {
            return None;
        }
        let of_states = self.topic == Topic::Status;
        let session = fnv1a(session.as_bytes()).wrapping_add(self.partition.into());
        if !of_states && self.topic != Topic::Trades {
            return Some(session);
        }
        let at = ts_recv.clamp(0, TS_MAX);
        let place = self.alive.iter().rposition(|(have, _)| *have == session);
        let before = place.map(|place| self.alive.remove(place).1);
        let counts = before.is_none_or(|before| !(before..before + every).contains(&at));
        self.alive.push((session, if counts { at } else { before.unwrap_or(at) }));
        if SESSIONS_MAX < self.alive.len() {
            self.alive.remove(0);
        }
        if counts {
            let fact = Fact::Alive(Sign { session, of_states, at });
            records.push(Record::Control(Box::new(Control { instrument: 0, known, fact })));
        }
        Some(session)
    }

    /// Notes an event time, unless it is one that the graph refuses.
    fn note(&mut self, ts_event: Ts, ts_recv: Ts) {
        if ts_event <= ts_recv.saturating_add(self.clock.time.max_ahead) {
            self.last_event = self.last_event.max(ts_event);
        }
    }

    /// The knowledge time of the partition's newest event: nothing known earlier follows.
    pub fn known(&self) -> Option<Time> {
        self.clock.known
    }
}
