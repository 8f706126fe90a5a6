//! What the emulated venue knows: the market, its true books, bars and trades.

use std::collections::{BTreeMap, VecDeque};

use prism_schemas::book::Rules;
use prism_schemas::event::event::Body;
use prism_schemas::event::{Instrument, Kline, Side, Trade, trade};
use prism_schemas::time::MINUTE;
use prism_schemas::{Decimal, Event, OrderBook, Timeframe, Ts};

use super::Sent;
use crate::exchange::{Bybit, Exchange};
use crate::synthetic::{Frame, MARKET, Market, SYMBOLS};

/// Trades that requests can see.
const TRADES_MAX: usize = 1_000;
/// Closed bars of each timeframe that requests can see at the start.
const BARS: usize = 1_000;

/// The market goes on this long before anybody sees it.
const BEFORE: i64 = MINUTE;

/// Timeframes that Bybit has, but for months.
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

/// A bar with exact prices.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bar {
    pub(super) open: Decimal,
    pub(super) high: Decimal,
    pub(super) low: Decimal,
    pub(super) close: Decimal,
    pub(super) volume: f64,
    pub(super) turnover: f64,
}

/// A trade as it happened.
#[derive(Clone, Debug)]
pub(super) struct Done {
    pub(super) ts: Ts,
    pub(super) id: String,
    pub(super) price: Decimal,
    pub(super) size: Decimal,
    pub(super) buy: bool,
    pub(super) seq: u64,
}

pub(super) struct Venue {
    market: Market,
    decoder: Bybit,
    /// By symbol.
    pub(super) instruments: BTreeMap<String, Instrument>,
    pub(super) books: BTreeMap<String, OrderBook>,
    /// The newest ticker message of each symbol.
    pub(super) tickers: BTreeMap<String, String>,
    pub(super) trades: BTreeMap<String, VecDeque<Done>>,
    /// Times and ids of all trades.
    pub(super) ids: BTreeMap<String, Vec<(Ts, String)>>,
    pub(super) bars: BTreeMap<(String, Timeframe), BTreeMap<Ts, Bar>>,
    /// Nothing happens any more.
    pub(super) frozen: bool,
    frames: Vec<Frame>,
}

impl Venue {
    /// The market of a seed; every instrument has traded by now.
    pub(super) fn new(seed: u64, now: Ts) -> Venue {
        let mut venue = Venue {
            market: Market::new(seed, SYMBOLS, now - BEFORE),
            decoder: Bybit::new(MARKET),
            instruments: BTreeMap::new(),
            books: BTreeMap::new(),
            tickers: BTreeMap::new(),
            trades: BTreeMap::new(),
            ids: BTreeMap::new(),
            bars: BTreeMap::new(),
            frozen: false,
            frames: Vec::new(),
        };
        for (id, event) in venue.market.warm_up(&TIMEFRAMES, BARS) {
            match event.body {
                Some(Body::Instrument(instrument)) => drop(venue.instruments.insert(id.symbol, instrument)),
                Some(Body::Kline(kline)) => venue.remember(&id.symbol, &kline),
                _ => {}
            }
        }
        venue.step(now);
        venue
    }

    fn remember(&mut self, symbol: &str, kline: &Kline) {
        let prices = [kline.open, kline.high, kline.low, kline.close];
        let ([Some(open), Some(high), Some(low), Some(close)], Ok(timeframe)) = (prices, kline.timeframe.parse())
        else {
            return;
        };
        let number = |value: Option<Decimal>| value.map_or(0.0, |value| value.to_f64());
        let (volume, turnover) = (number(kline.volume), number(kline.turnover));
        let bar = Bar { open, high, low, close, volume, turnover };
        self.bars.entry((symbol.into(), timeframe)).or_default().insert(kline.start, bar);
    }

    /// What is sent until `now`.
    pub(super) fn step(&mut self, now: Ts) -> Vec<Sent> {
        if self.frozen {
            return Vec::new();
        }
        let mut frames = std::mem::take(&mut self.frames);
        self.market.step(now, &mut frames);
        let sent = frames.drain(..).filter_map(|frame| self.take(frame)).collect();
        self.frames = frames;
        sent
    }

    /// Takes note of what a frame says.
    fn take(&mut self, frame: Frame) -> Option<Sent> {
        let mut events = Vec::new();
        self.decoder.decode(&frame.text, frame.ts_recv, &mut events).ok()?;
        let mut update = None;
        for (id, event) in &events {
            match &event.body {
                Some(Body::Book(book)) => {
                    update = book.update_id;
                    let known = self.books.entry(id.symbol.clone()).or_insert_with(|| OrderBook::new(Rules::of(id)));
                    known.apply(book).ok()?;
                }
                Some(Body::Trade(trade)) => self.trade(&id.symbol, event, trade),
                Some(Body::Ticker(_)) => drop(self.tickers.insert(id.symbol.clone(), frame.text.clone())),
                _ => {}
            }
        }
        let topic = frame.text.split('"').nth(3)?.to_string();
        Some(Sent { topic, text: frame.text, update })
    }

    fn trade(&mut self, symbol: &str, event: &Event, trade: &Trade) {
        let (Some(price), Some(size), Some(trade::Id::Text(id))) = (trade.price, trade.size, &trade.id) else { return };
        for timeframe in TIMEFRAMES {
            let bars = self.bars.entry((symbol.into(), timeframe)).or_default();
            let first = Bar { open: price, high: price, low: price, close: price, volume: 0.0, turnover: 0.0 };
            let bar = bars.entry(timeframe.start(event.ts_event)).or_insert(first);
            let value = price.to_f64();
            bar.high = if bar.high.to_f64() < value { price } else { bar.high };
            bar.low = if value < bar.low.to_f64() { price } else { bar.low };
            bar.close = price;
            bar.volume += size.to_f64();
            bar.turnover += size.to_f64() * value;
        }
        let (buy, seq) = (trade.side() == Side::Buy, event.seq.unwrap_or_default());
        let done = Done { ts: event.ts_event, id: id.clone(), price, size, buy, seq };
        self.ids.entry(symbol.into()).or_default().push((event.ts_event, id.clone()));
        let trades = self.trades.entry(symbol.into()).or_default();
        trades.push_back(done);
        if TRADES_MAX < trades.len() {
            trades.pop_front();
        }
    }
}
