//! A seeded synthetic market: correlated symbols with regimes, speaking Bybit v5 frames. A pure function of its seed.

mod book;
mod crowd;
mod frame;
mod history;
mod holders;
mod process;
mod symbols;

pub use symbols::{SYMBOLS, Symbol, quiet, symbols};

use std::collections::VecDeque;

use prism_schemas::event::event::Body;
use prism_schemas::event::{Feed, FeedStatus, Instrument};
use prism_schemas::random::Random;
use prism_schemas::time::{MILLISECOND, MINUTE, SECOND};
use prism_schemas::{Decimal, Event, InstrumentId, Market as Kind, Timeframe, Ts};

use book::{SyntheticBook, grid};
use crowd::Crowd;
use history::History;
use holders::Holders;
use process::Process;

/// The venue whose frames the market speaks.
pub const EXCHANGE: &str = "bybit";
/// The market whose frames it speaks.
pub const MARKET: Kind = Kind::Linear;
/// Seconds between two ticker messages of a symbol.
const TICKER_EVERY: i64 = 5;

/// One frame as received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// When it was received.
    pub ts_recv: Ts,
    /// Its text; decode it with `Bybit::new(Market::Linear)`.
    pub text: String,
}

/// The market: step it through time.
pub struct Market {
    process: Process,
    traders: Vec<Trader>,
    random: Random,
    start: Ts,
    /// The next second to simulate.
    second: Ts,
    history: History,
    pending: VecDeque<Frame>,
    scratch: Vec<Frame>,
    seq: u64,
}

/// One symbol's state.
struct Trader {
    symbol: Symbol,
    random: Random,
    /// Of forced orders.
    forced: Random,
    book: SyntheticBook,
    crowd: Crowd,
    /// Where the book is, in ticks: at the process' price, unless a reserve holds it or it comes back from one.
    shown: f64,
    /// Whether the last taker bought.
    bought: bool,
    update_id: u64,
    /// The level that corresponds to the symbol's price at the start.
    origin: f64,
    last: i64,
    open_interest: f64,
    holders: Holders,
    /// Minutes of the last day, oldest first: (open, high, low, volume in lots), prices in ticks.
    day: VecDeque<[f64; 4]>,
    announced: bool,
}

impl Market {
    /// A market whose symbols have their nominal prices at `start_ts`; equal arguments give equal frames for ever.
    pub fn new(seed: u64, symbols: &[Symbol], start_ts: Ts) -> Market {
        let mut process = Process::new(seed, symbols);
        let history = History::new(&mut process, &mut Random::new(seed, "history"), symbols.len(), start_ts);
        let mut traders = Vec::with_capacity(symbols.len());
        for (at, symbol) in symbols.iter().enumerate() {
            let mut random = Random::new(seed, &format!("{} trades", symbol.name));
            let mut trader = Trader {
                symbol: *symbol,
                forced: Random::new(seed, &format!("{} liquidations", symbol.name)),
                book: SyntheticBook::default(),
                crowd: Crowd::new(Random::new(seed, &format!("{} crowd", symbol.name))),
                shown: 0.0,
                bought: false,
                update_id: 1_000_000 + random.below(50_000_000),
                origin: process.level(at),
                last: 0,
                holders: Holders::new(Random::new(seed, &format!("{} holders", symbol.name))),
                open_interest: symbol.value / symbol.price * 40_000.0 * (0.5 + random.uniform()),
                day: VecDeque::new(),
                announced: false,
                random,
            };
            let day = history.minutes(at, 1440);
            trader.day = day
                .iter()
                .map(|bar| {
                    let lots = f64::from(bar.activity) * 60.0 * symbol.value / symbol.price / symbol.lot.to_f64();
                    [trader.ticks(bar.open.into()), trader.ticks(bar.high.into()), trader.ticks(bar.low.into()), lots]
                })
                .collect();
            trader.last = trader.ticks(process.level(at)).round() as i64;
            traders.push(trader);
        }
        let random = Random::new(seed, "market");
        let (pending, scratch) = (VecDeque::new(), Vec::new());
        // The first simulated second is the first whole one.
        let second = (start_ts + SECOND - 1).div_euclid(SECOND) * SECOND;
        Market { process, traders, random, start: start_ts, second, history, pending, scratch, seq: 1_000_000_000 }
    }

    /// Its instruments.
    pub fn instruments(&self) -> Vec<InstrumentId> {
        self.traders.iter().map(|trader| InstrumentId::new(EXCHANGE, MARKET, trader.symbol.name)).collect()
    }

    /// Declarations of the instruments and the newest `n_bars` closed bars of each timeframe before the start (fewer where
    /// the simulated past is shorter: 400 hours of minutes, 400 days before them of hours), in the order they ended.
    /// `ts_event` and `ts_recv` of a bar are its end.
    pub fn warm_up(&self, timeframes: &[Timeframe], n_bars: usize) -> Vec<(InstrumentId, Event)> {
        let mut klines: Vec<(InstrumentId, Event)> = self.past(timeframes, n_bars).collect();
        // Stable: equal ends stay in order of symbol and timeframe.
        klines.sort_by_key(|(_, event)| event.ts_recv);
        let first = klines.first().map_or(self.start, |(_, event)| event.ts_recv);
        let mut events: Vec<(InstrumentId, Event)> = Vec::with_capacity(klines.len() + self.traders.len());
        events.extend(self.declarations().map(|(id, of)| (id, plain(first, Body::Instrument(Box::new(of))))));
        events.append(&mut klines);
        events
    }

    /// What its instruments are.
    pub fn declarations(&self) -> impl Iterator<Item = (InstrumentId, Instrument)> + '_ {
        self.instruments().into_iter().zip(&self.traders).map(|(id, trader)| (id, trader.declaration()))
    }

    /// The closed bars of `warm_up`, one after the other: those of a symbol and timeframe in order, never all at once.
    pub fn past<'a>(
        &'a self,
        timeframes: &'a [Timeframe],
        n_bars: usize,
    ) -> impl Iterator<Item = (InstrumentId, Event)> + 'a {
        let names = self.traders.iter().map(|trader| trader.symbol.name);
        names.flat_map(move |name| timeframes.iter().flat_map(move |timeframe| self.past_of(name, *timeframe, n_bars)))
    }

    /// The closed bars of `past` of one symbol and timeframe, in order.
    pub fn past_of(
        &self,
        symbol: &str,
        timeframe: Timeframe,
        n_bars: usize,
    ) -> impl Iterator<Item = (InstrumentId, Event)> + use<'_> {
        let traders = self.traders.iter().enumerate().filter(move |(_, trader)| trader.symbol.name == symbol);
        let found: Vec<(usize, &Trader)> = traders.collect();
        found.into_iter().flat_map(move |(at, trader)| {
            let id = InstrumentId::new(EXCHANGE, MARKET, trader.symbol.name);
            let bars = self.history.bars(at, timeframe, n_bars);
            bars.into_iter().map(move |(start, bar)| (id.clone(), trader.kline(timeframe, start, &bar)))
        })
    }

    /// What a driver logs when its connection opens: FeedStatus connected, at the start.
    pub fn connected(&self) -> Vec<(InstrumentId, Event)> {
        let status = |id| {
            let status = FeedStatus {
                status: Feed::Connected.into(),
                cause: "synthetic market".into(),
                ..FeedStatus::default()
            };
            (id, plain(self.start, Body::FeedStatus(status)))
        };
        self.instruments().into_iter().map(status).collect()
    }

    /// Appends the frames received after the last step and until `until`, in order of receipt.
    pub fn step(&mut self, until: Ts, frames: &mut Vec<Frame>) {
        // A frame is received after it happened, so seconds up to `until` can have frames until then.
        while self.second <= until {
            self.simulate();
        }
        while let Some(frame) = self.pending.pop_front_if(|frame| frame.ts_recv <= until) {
            frames.push(frame);
        }
    }

    /// What the venue tells beside its frames, where a time at which it does is after `after` and not after `until`, which is how
    /// far the market was stepped: ratios of who is long, and margins.
    pub fn told(&self, after: Ts, until: Ts) -> impl Iterator<Item = (InstrumentId, Event)> + '_ {
        let first = (after.div_euclid(MINUTE) + 1) * MINUTE;
        let times = (first..=until).step_by(MINUTE as usize);
        times.flat_map(move |at| {
            let each = self.instruments().into_iter().zip(&self.traders);
            each.flat_map(move |(id, trader)| trader.holders.told(at).map(move |body| (id.clone(), plain(at, body))))
        })
    }

    /// The share of a symbol's accounts that is long, or of top traders' positions (`top_position`).
    pub fn long(&self, symbol: &str, kind: &str) -> Option<Decimal> {
        let trader = self.traders.iter().find(|trader| trader.symbol.name == symbol)?;
        Some(Decimal::new(trader.holders.long(kind), 4))
    }

    fn simulate(&mut self) {
        let second = self.second;
        self.process.advance(1.0 / 60.0);
        for (at, trader) in (0..).zip(&mut self.traders) {
            let (level, push) = (self.process.level(at), self.process.push(at));
            let view = View { second, at: at as i64, level, push, volatility: self.process.volatility(at) };
            trader.second(&view, &mut self.seq, &mut self.random, &mut self.scratch);
        }
        // Frames of one second can overtake those of the next only within their latency, which is below a second.
        self.pending.extend(self.scratch.drain(..));
        self.pending.make_contiguous().sort_by_key(|frame| frame.ts_recv);
        self.second += SECOND;
    }
}

/// A symbol's second, as the process has it.
struct View {
    second: Ts,
    at: i64,
    level: f64,
    push: f64,
    volatility: f64,
}

impl Trader {
    /// A level of the process as a price in ticks.
    fn ticks(&self, level: f64) -> f64 {
        self.symbol.price * libm::exp(level - self.origin) / self.symbol.tick.to_f64()
    }

    /// Where the book stands when the process is at a price: reserves hold it, and it comes back by a few levels a second.
    fn stand(&mut self, price: f64) -> f64 {
        let bid = price.floor() as i64;
        let held = self.crowd.holds(bid);
        let wanted = if held == bid { price } else { held as f64 };
        let most = (4 * grid(price)) as f64;
        let is_first = self.shown == 0.0;
        self.shown = if is_first { wanted } else { self.shown + (wanted - self.shown).clamp(-most, most) };
        self.shown
    }

    fn declaration(&self) -> Instrument {
        let Symbol { name, tick, lot, .. } = self.symbol;
        Instrument {
            price_decimals: tick.decimals,
            size_decimals: lot.decimals,
            tick_size: Some(tick),
            lot_size: Some(lot),
            min_size: Some(lot),
            contract_type: "LinearPerpetual".into(),
            base: name.trim_end_matches("USDT").into(),
            quote: "USDT".into(),
            status: "Trading".into(),
            native_symbol: name.into(),
            ..Instrument::default()
        }
    }

    fn second(&mut self, view: &View, seq: &mut u64, latency: &mut Random, out: &mut Vec<Frame>) {
        self.holders.second(view.second);
        let price = self.stand(self.ticks(view.level));
        let number = view.second.div_euclid(SECOND) + view.at;
        let is_quiet = 1 < self.symbol.every;
        if is_quiet && self.announced && number % self.symbol.every != 0 {
            return self.remember(view.second, price);
        }
        // Each symbol's book and ticker have their own moment of the second.
        let book_ms = 20 + view.at * 37 % 900;
        let mut send = |ms: i64, text: String| {
            let delay = (6 + latency.below(9) as i64) * MILLISECOND + latency.below(1_000_000) as i64;
            out.push(Frame { ts_recv: view.second + ms * MILLISECOND + delay, text });
        };
        let mut trades: Vec<i64> = Vec::new();
        let hurry = if self.is_pressed().is_some() { 0.25 } else { 0.0 };
        let mut chance = if is_quiet { 1.0 } else { 0.37 * view.volatility.min(2.0) + 0.13 + hurry };
        while self.random.uniform() < chance && trades.len() < 6 {
            trades.push(self.random.below(1000) as i64);
            chance = 0.5;
        }
        trades.sort_unstable();
        if !self.announced {
            // The snapshot comes before the first trade, so that trades have quotes.
            self.book_frame(price, view, 0, seq, &mut send);
        }
        let mut moved = !self.announced;
        self.announced = true;
        for ms in trades {
            if !moved && book_ms <= ms {
                self.book_frame(price, view, book_ms, seq, &mut send);
                moved = true;
            }
            *seq += 1;
            let text = self.trade_frame(view, ms, *seq);
            text.into_iter().for_each(|text| send(ms, text));
        }
        if !moved {
            self.book_frame(price, view, book_ms, seq, &mut send);
        }
        *seq += 1;
        if let Some((trades, forced)) = self.forced_frames(price, view, *seq) {
            trades.into_iter().for_each(|text| send(920, text));
            send(930, forced);
        }
        if is_quiet || number % TICKER_EVERY == 0 || self.day.is_empty() {
            *seq += 1;
            let text = self.ticker_frame(view, 950, *seq);
            send(950, text);
        }
        self.remember(view.second, price);
    }

    /// Keeps the last day's minutes.
    fn remember(&mut self, second: Ts, price: f64) {
        if second.rem_euclid(MINUTE) == 0 || self.day.is_empty() {
            self.day.push_back([price, price, price, 0.0]);
            if 1440 < self.day.len() {
                self.day.pop_front();
            }
        }
        if let Some(minute) = self.day.back_mut() {
            minute[1] = minute[1].max(price);
            minute[2] = minute[2].min(price);
        }
    }
}

fn plain(ts: Ts, body: Body) -> Event {
    Event { ts_event: ts, ts_recv: ts, seq: None, index: 0, body: Some(body) }
}

#[cfg(test)]
mod tests;
