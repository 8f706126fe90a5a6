//! What the emulated venue knows: what happens on it, its true books, bars and trades.

use std::collections::{BTreeMap, VecDeque};

use prism_schemas::book::{Applied, Rules, State};
use prism_schemas::event::event::Body;
use prism_schemas::event::{Book, Instrument, Levels, Side, Ticker, Trade, trade};
use prism_schemas::instrument::fnv1a;
use prism_schemas::time::MINUTE;
use prism_schemas::{Decimal, Event, InstrumentId, OrderBook, Timeframe, Ts};

use super::bars::{Bar, closed, fill};
use super::recording::Recording;
use prism_exchange::{Bybit, Exchange as _};
use prism_schemas::random::Random;
use prism_sources::synthetic::{Frame, MARKET, Market, Symbol};

/// Trades of each symbol that requests can see, and whose ids are remembered as the truth: venues know their trades of long ago.
const TRADES_MAX: usize = 20_000;
/// The market goes on this long before anybody sees it.
const BEFORE: i64 = MINUTE;

/// Timeframes that the venue has bars of.
pub(super) const TIMEFRAMES: [Timeframe; 12] = [
    Timeframe::M1,
    Timeframe::M3,
    Timeframe::M5,
    Timeframe::M15,
    Timeframe::M30,
    Timeframe::H1,
    Timeframe::H2,
    Timeframe::H4,
    Timeframe::H6,
    Timeframe::H12,
    Timeframe::D1,
    Timeframe::W1,
];

/// A trade as it happened; faces spell it.
#[derive(Clone, Debug)]
pub(super) struct Done {
    pub(super) ts: Ts,
    /// Its id where ids are texts.
    pub(super) id: String,
    /// Its id where ids are numbers: rises by one.
    pub(super) number: u64,
    pub(super) price: Decimal,
    pub(super) size: Decimal,
    pub(super) buy: bool,
}

/// A price and a size.
pub(super) type Level = (Decimal, Decimal);

/// A change of a book.
#[derive(Clone, Debug)]
pub(super) struct Moved {
    pub(super) ts: Ts,
    /// The update's number: rises by one, and by more where what came between cannot be told as changes.
    pub(super) number: u64,
    /// Where the number began again, for venues that say so.
    pub(super) origin: u64,
    /// Whether the levels are all there are.
    pub(super) whole: bool,
    pub(super) bids: Vec<Level>,
    pub(super) asks: Vec<Level>,
}

/// What happened.
#[derive(Clone, Debug)]
pub(super) enum Happened {
    Traded(Done),
    Moved(Moved),
    /// The state of the market, whole.
    Ticked(Ts, Box<Ticker>),
    /// A forced order: time, whether it buys, price, size.
    Liquidated(Ts, bool, Decimal, Decimal),
    /// A minute is over: its start and bar.
    Closed(Ts, Bar),
}

/// What happened to a symbol.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) symbol: String,
    pub(super) happened: Happened,
}

/// A symbol's book, and how its updates are numbered.
#[derive(Clone)]
pub(super) struct Known {
    pub(super) book: OrderBook,
    pub(super) number: u64,
    pub(super) origin: u64,
}

impl Known {
    /// The book as a change of everything.
    pub(super) fn whole(&self, ts: Ts) -> Moved {
        let [bids, asks] = self.levels(usize::MAX);
        Moved { ts, number: self.number, origin: self.origin, whole: true, bids, asks }
    }

    /// All levels, at most so many of each side, the best first.
    pub(super) fn levels(&self, depth: usize) -> [Vec<Level>; 2] {
        let (prices, sizes) = self.book.decimals();
        let exact = |(price, size)| (Decimal::new(price, prices).shortest(), Decimal::new(size, sizes).shortest());
        [self.book.bids().take(depth).map(exact).collect(), self.book.asks().take(depth).map(exact).collect()]
    }
}

/// Where what happens comes from.
pub(super) enum Tape {
    Market(Box<Market>, Bybit, Vec<Frame>),
    Recording(Box<Recording>),
}

/// Closed bars, by symbol and timeframe.
type Bars = BTreeMap<(String, Timeframe), BTreeMap<Ts, Bar>>;

pub(super) struct Venue {
    pub(super) tape: Tape,
    pub(super) seed: u64,
    random: Random,
    /// By symbol, as all below.
    pub(super) instruments: BTreeMap<String, Instrument>,
    pub(super) books: BTreeMap<String, Known>,
    pub(super) tickers: BTreeMap<String, (Ts, Ticker)>,
    pub(super) trades: BTreeMap<String, VecDeque<Done>>,
    /// Times and ids of all trades.
    pub(super) ids: BTreeMap<String, VecDeque<(Ts, String, u64)>>,
    pub(super) bars: Bars,
    /// Values that were asked for, by kind too.
    pub(super) series: BTreeMap<(String, &'static str), BTreeMap<Ts, Decimal>>,
    /// The minute whose bars are there, traded in or not, and the first that is not told to be over.
    pub(super) minute: Ts,
    pub(super) open: Ts,
    /// Symbols whose books are never reset.
    pub(super) spared: Vec<String>,
    /// Nothing happens any more.
    pub(super) frozen: bool,
}

impl Venue {
    /// The synthetic market of a seed; every instrument has traded by now.
    pub(super) fn market(seed_of_faults: u64, seed: u64, symbols: &[Symbol], now: Ts) -> Venue {
        let market = Box::new(Market::new(seed, symbols, now - BEFORE));
        let instruments = market.declarations().map(|(id, instrument)| (id.symbol, instrument)).collect();
        let mut bars = BTreeMap::new();
        // The last one of each; those before are made again when they are asked for.
        for (id, event) in market.past(&TIMEFRAMES, 1) {
            if let Some((timeframe, start, bar)) = closed(&event) {
                bars.entry((id.symbol, timeframe)).or_insert_with(BTreeMap::new).insert(start, bar);
            }
        }
        let tape = Tape::Market(market, Bybit::new(MARKET), Vec::new());
        let mut venue = Venue { instruments, bars, ..Venue::new(tape, seed_of_faults) };
        venue.step(now, 0.0);
        venue
    }

    /// What was recorded happens again, from now on.
    pub(super) fn recording(seed: u64, recording: Box<Recording>) -> Venue {
        Venue::new(Tape::Recording(recording), seed)
    }

    fn new(tape: Tape, seed: u64) -> Venue {
        Venue {
            tape,
            seed,
            random: Random::new(seed, "venue"),
            instruments: BTreeMap::new(),
            books: BTreeMap::new(),
            tickers: BTreeMap::new(),
            trades: BTreeMap::new(),
            ids: BTreeMap::new(),
            bars: BTreeMap::new(),
            series: BTreeMap::new(),
            minute: 0,
            open: 0,
            spared: Vec::new(),
            frozen: false,
        }
    }

    /// Why what was recorded could not be read to its end.
    pub(super) fn trouble(&self) -> Option<String> {
        match &self.tape {
            Tape::Recording(recording) => recording.trouble.clone(),
            Tape::Market(..) => None,
        }
    }

    /// What happens until `now`; of the books' updates this share is reset.
    pub(super) fn step(&mut self, now: Ts, reset: f64) -> Vec<Sent> {
        let mut sent = Vec::new();
        if self.frozen {
            return sent;
        }
        let mut events = Vec::new();
        match &mut self.tape {
            Tape::Market(market, decoder, frames) => {
                market.step(now, frames);
                for frame in frames.drain(..) {
                    if let Err(error) = decoder.decode(&frame.text, frame.ts_recv, &mut events) {
                        tracing::error!(%error, "the synthetic market sends what cannot be decoded");
                    }
                }
            }
            Tape::Recording(recording) => recording.until(now, &mut events),
        }
        for (id, event) in events {
            self.take(&id, event, reset, &mut sent);
        }
        self.begin_bars(now);
        self.close_minute(now, &mut sent);
        sent
    }
}

impl Venue {
    /// Takes note of an event, and tells what happened.
    fn take(&mut self, id: &InstrumentId, event: Event, reset: f64, sent: &mut Vec<Sent>) {
        let ts = event.ts_event;
        let happened = match event.body {
            Some(Body::Trade(trade)) => self.trade(&id.symbol, ts, &trade).map(Happened::Traded),
            Some(Body::Book(update)) => {
                let moved = self.book(id, ts, &update);
                let is_reset = moved.is_some() && self.random.uniform() < reset;
                if is_reset && !self.spared.contains(&id.symbol) {
                    sent.extend(self.reset(&id.symbol, ts));
                    return;
                }
                moved.map(Happened::Moved)
            }
            Some(Body::Ticker(change)) => {
                let (at, ticker) = self.tickers.entry(id.symbol.clone()).or_default();
                *at = ts;
                merge(ticker, &change);
                Some(Happened::Ticked(ts, Box::new(*ticker)))
            }
            Some(Body::Liquidation(forced)) => match (forced.price, forced.size) {
                (Some(price), Some(size)) => Some(Happened::Liquidated(ts, forced.side() == Side::Buy, price, size)),
                _ => None,
            },
            Some(Body::Instrument(instrument)) => {
                self.instruments.insert(id.symbol.clone(), *instrument);
                None
            }
            _ => None,
        };
        sent.extend(happened.map(|happened| Sent { symbol: id.symbol.clone(), happened }));
    }

    /// A symbol's book numbers its updates from 1 again, from the next one on.
    pub(super) fn reset(&mut self, symbol: &str, ts: Ts) -> Option<Sent> {
        let known = self.books.get_mut(symbol)?;
        (known.number, known.origin) = (known.number + 2, known.number + 1);
        Some(Sent { symbol: symbol.into(), happened: Happened::Moved(known.whole(ts)) })
    }

    fn book(&mut self, id: &InstrumentId, ts: Ts, update: &Book) -> Option<Moved> {
        let known = self.books.entry(id.symbol.clone()).or_insert_with(|| Known {
            book: OrderBook::new(Rules::of(id)),
            number: 1_000_000 + u64::from(fnv1a(id.symbol.as_bytes()) as u16),
            origin: 0,
        });
        let was = known.book.state();
        match known.book.apply(update) {
            Ok(Applied::Changed) if !update.snapshot && was == State::Live => {
                known.number += 1;
                let side = |levels: &Option<Levels>| {
                    let levels = levels.clone().unwrap_or_default();
                    let (prices, sizes) = (levels.price_decimals, levels.size_decimals);
                    let exact =
                        |(price, size)| (Decimal::new(price, prices).shortest(), Decimal::new(size, sizes).shortest());
                    levels.prices.into_iter().zip(levels.sizes).map(exact).collect()
                };
                let (bids, asks) = (side(&update.bids), side(&update.asks));
                Some(Moved { ts, number: known.number, origin: known.origin, whole: false, bids, asks })
            }
            // What came between cannot be told as changes.
            Ok(Applied::Changed) => {
                known.number += 2;
                Some(known.whole(ts))
            }
            // A recording may have gaps; nothing is told until it has a snapshot again.
            Ok(_) | Err(_) => None,
        }
    }

    fn trade(&mut self, symbol: &str, ts: Ts, trade: &Trade) -> Option<Done> {
        let (price, size) = (trade.price?, trade.size?);
        for timeframe in TIMEFRAMES {
            let bars = self.bars.entry((symbol.into(), timeframe)).or_default();
            let first = Bar::flat(price);
            fill(bars, timeframe, ts);
            let bar = bars.entry(timeframe.start(ts)).or_insert(first);
            if bar.n_trades == 0 {
                *bar = first;
            }
            let value = price.to_f64();
            bar.high = if bar.high.to_f64() < value { price } else { bar.high };
            bar.low = if value < bar.low.to_f64() { price } else { bar.low };
            if ts < bar.first {
                (bar.open, bar.first) = (price, ts);
            }
            if bar.last <= ts {
                (bar.close, bar.last) = (price, ts);
            }
            bar.volume += size.to_f64();
            bar.turnover += size.to_f64() * value;
            bar.n_trades += 1;
            bar.bought += if trade.side() == Side::Buy { size.to_f64() } else { 0.0 };
        }
        let ids = self.ids.entry(symbol.into()).or_default();
        let number = ids.back().map_or(5_000_000, |(_, _, number)| number + 1);
        let id = match &trade.id {
            Some(trade::Id::Text(text)) => text.clone(),
            _ => format!("{:08x}-0000-5000-8000-{number:012x}", fnv1a(symbol.as_bytes()) as u32),
        };
        push(ids, (ts, id.clone(), number), TRADES_MAX);
        let done = Done { ts, id, number, price, size, buy: trade.side() == Side::Buy };
        push(self.trades.entry(symbol.into()).or_default(), done.clone(), TRADES_MAX);
        Some(done)
    }
}

fn push<T>(queue: &mut VecDeque<T>, one: T, max: usize) {
    queue.push_back(one);
    if max < queue.len() {
        queue.pop_front();
    }
}

/// A field that is absent has not changed.
fn merge(ticker: &mut Ticker, change: &Ticker) {
    macro_rules! take {
        ($($field:ident)*) => { $(if change.$field.is_some() { ticker.$field = change.$field; })* };
    }
    take!(last mark index bid_price bid_size ask_price ask_size open_interest open_interest_value funding_rate);
    take!(next_funding_ts open_24h high_24h low_24h volume_24h turnover_24h);
}
