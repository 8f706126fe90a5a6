//! A seeded market and what arrives of it.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use prism_log::{Log, LogWriter, SegmentLog};
use prism_schemas::{
    Decimal, Event, InstrumentId, Market, Timeframe, Topic,
    event::{
        Batch, Book, Feed, FeedStatus, Instrument, Kline, Levels, Liquidation, OpenInterest, Side, Ticker, Trade,
        event::Body, trade::Id,
    },
    time::{HOUR, MILLISECOND, MINUTE, SECOND},
};

/// 2024-03-05T06:00:00Z, where made-up markets begin.
pub(crate) const START: i64 = 1_709_618_400 * SECOND;

/// Splitmix64: the same numbers on every machine.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `n`.
    pub(crate) fn below(&mut self, n: i64) -> i64 {
        (self.next() % n as u64) as i64
    }

    /// In `0..1`.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// An event on its way into a log.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    pub(crate) id: InstrumentId,
    pub(crate) event: Event,
    /// How much later than usual it comes.
    pub(crate) delay: i64,
    /// It repeats an earlier trade's identity.
    pub(crate) copy: bool,
}

impl Arrival {
    pub(crate) fn new(id: &InstrumentId, ts_event: i64, ts_recv: i64, body: Body) -> Arrival {
        let event = Event { ts_event, ts_recv, seq: None, index: 0, body: Some(body) };
        Arrival { id: id.clone(), event, delay: 0, copy: false }
    }

    pub(crate) fn trade(&self) -> Option<&Trade> {
        match &self.event.body {
            Some(Body::Trade(trade)) => Some(trade),
            _ => None,
        }
    }

    pub(crate) fn trade_mut(&mut self) -> &mut Trade {
        match &mut self.event.body {
            Some(Body::Trade(trade)) => trade,
            other => panic!("{other:?} is no trade"),
        }
    }
}

pub(crate) fn linear(symbol: &str) -> InstrumentId {
    InstrumentId::new("bybit", Market::Linear, symbol)
}

/// A trade of whole cents and thousandths, with its sequence number as identity.
pub(crate) fn trade(cents: i64, milli: i64, side: Side, seq: u64) -> Body {
    Body::Trade(Trade {
        id: Some(Id::Number(seq)),
        price: Some(Decimal::new(cents, 2)),
        size: Some(Decimal::new(milli, 3)),
        side: side.into(),
        stream: "trade".into(),
        ..Trade::default()
    })
}

pub(crate) fn status(id: &InstrumentId, ts: i64, status: Feed) -> Arrival {
    let body = Body::FeedStatus(FeedStatus { status: status.into(), cause: "test".into(), ..FeedStatus::default() });
    Arrival::new(id, ts, ts + 50 * MILLISECOND, body)
}

/// What a made-up market trades.
pub(crate) struct Synthetic {
    pub(crate) seed: u64,
    pub(crate) hours: i64,
    pub(crate) trades: i64,
    /// Trades late by 300 ms, 5 min and 3 h, a third each.
    pub(crate) late: usize,
    /// Trades that come twice.
    pub(crate) copies: usize,
}

/// Symbol, share of the trades in percent, first price in cents, beta to the first.
const SYMBOLS: [(&str, i64, f64, f64); 7] = [
    ("BTCUSDT", 26, 6_000_000.0, 1.0),
    ("ETHUSDT", 20, 350_000.0, 1.2),
    ("SOLUSDT", 17, 14_000.0, 1.8),
    ("XRPUSDT", 15, 60_000.0, 0.7),
    ("DOGEUSDT", 12, 15_000.0, 2.0),
    ("ADAUSDT", 1, 70_000.0, 0.5),
    ("BTCUSD", 9, 6_001_000.0, 1.0),
];

/// SOLUSDT has a gap, XRPUSDT a disconnect: nothing trades meanwhile.
fn silence(symbol: &str, span: i64) -> Option<(i64, i64, Feed, Feed)> {
    match symbol {
        "SOLUSDT" => Some((span * 3 / 7, span * 3 / 7 + 12 * MINUTE, Feed::Gap, Feed::ResyncFinished)),
        "XRPUSDT" => Some((span * 5 / 7, span * 5 / 7 + 20 * MINUTE, Feed::Disconnected, Feed::Connected)),
        _ => None,
    }
}

/// A common path of one step a second, with regimes that trend.
fn path(random: &mut Random, span: i64) -> Vec<f64> {
    let mut drift = 0.0;
    (0..=span / SECOND)
        .scan(0.0, |level, at| {
            if at % 1_500 == 0 {
                drift = (random.unit() - 0.5) * 3e-5;
            }
            *level += drift + (random.unit() - 0.5) * 2e-4;
            Some(*level)
        })
        .collect()
}

impl Synthetic {
    /// Its events in the order they arrive: declarations, warm-up klines of ETHUSDT, books, feeds' states, trades.
    pub(crate) fn arrivals(&self) -> Vec<Arrival> {
        let mut random = Random(self.seed);
        let span = self.hours * HOUR;
        let mut all = Vec::new();
        let mut trades = Vec::new();
        let path = path(&mut random, span);
        // Trades come in bursts of about ten, so that a stride of one epoch has fewer steps to make.
        let bursts: Vec<i64> =
            (0..self.trades / 10).map(|_| random.below(span / MILLISECOND - 60) * MILLISECOND).collect();
        for (symbol, share, first, beta) in SYMBOLS {
            let inverse = symbol == "BTCUSD";
            let market = if inverse { Market::Inverse } else { Market::Linear };
            let id = InstrumentId::new("bybit", market, symbol);
            let contract_size = inverse.then_some(Decimal::new(100, 0));
            let declared = Instrument { price_decimals: 2, contract_size, ..Instrument::default() };
            all.push(Arrival::new(&id, START, START, Body::Instrument(declared.into())));
            all.push(Arrival::new(&id, START, START, status(&id, START, Feed::Connected).event.body.unwrap()));
            let silent = silence(symbol, span);
            if let Some((from, to, off, on)) = silent {
                all.extend([status(&id, START + from, off), status(&id, START + to, on)]);
            }
            let mut times: Vec<i64> = (0..self.trades * share / 100)
                .map(|_| bursts[random.below(bursts.len() as i64) as usize] + random.below(60) * MILLISECOND)
                .collect();
            times.sort_unstable();
            let mut own = 0.0;
            let mut last = 0;
            for (seq, mut at) in (1..).zip(times) {
                // A tenth shares the millisecond of the one before.
                if random.below(10) == 0 && 0 < last {
                    at = last;
                }
                last = at;
                if silent.is_some_and(|(from, to, ..)| from <= at && at < to) {
                    continue;
                }
                own += (random.unit() - 0.5) * 2e-4;
                let up = path[(at / SECOND) as usize + 1] - path[(at / SECOND).max(60) as usize - 60];
                let buy = random.unit() < 0.5 + (up * 400.0).clamp(-0.4, 0.4);
                let cents = first * (1.0 + beta * path[(at / SECOND) as usize] + own);
                let size = 1 + random.below(4_000) * if inverse { 1_000 } else { 1 };
                let side = if buy { Side::Buy } else { Side::Sell };
                let body = trade(cents as i64, size, side, seq);
                let latency = (5 + random.below(115)) * MILLISECOND;
                let mut arrival = Arrival::new(&id, START + at, START + at + latency, body);
                arrival.event.seq = Some(seq);
                match symbol {
                    "DOGEUSDT" => {
                        arrival.trade_mut().id = Some(Id::Text(format!("{seq:08x}-5d3a-4c2e-9c2e-7a1b2c3d4e5f")))
                    }
                    "ADAUSDT" => arrival.trade_mut().id = None,
                    _ => {}
                }
                trades.push(arrival);
            }
        }
        all.extend(klines(&mut random).into_iter().chain(self.books()).chain(self.positions()));
        self.delay(&mut random, &mut trades);
        let copied = self.copy(&mut random, &trades);
        trades.extend(copied);
        all.append(&mut trades);
        in_order(&mut all);
        all
    }

    fn books(&self) -> Vec<Arrival> {
        [("BTCUSDT", 60_000), ("SOLUSDT", 140), ("BTCUSD", 60_010)].map(|of| self.book(of)).concat()
    }

    /// An order book in dollars around a price, changed every three seconds; now and then a number is missing until the next
    /// snapshot, or a change comes half a minute late.
    fn book(&self, (symbol, price): (&str, i64)) -> Vec<Arrival> {
        let mut random = Random(self.seed + price as u64);
        let market = if symbol == "BTCUSD" { Market::Inverse } else { Market::Linear };
        let id = InstrumentId::new("bybit", market, symbol);
        let mut size = |n: i64| 1 + random.below(100 * n);
        let mut all = Vec::new();
        for n in 0..self.hours * HOUR / (3 * SECOND) {
            let (ts, is_snapshot) = (START + 3 * n * SECOND, n % 400 == 0);
            let n_levels = if is_snapshot { 40 } else { 3 };
            // Levels 2.5 basis points apart, or 70.
            let mut side = |step: i64| {
                let prices = (1..=n_levels).map(|level| price + step * level * (price / 4_000).max(1)).collect();
                let sizes = (1..=n_levels).map(&mut size).collect();
                Some(Levels { prices, sizes, price_decimals: 0, size_decimals: 2 })
            };
            let book = Book {
                snapshot: is_snapshot,
                bids: side(-1),
                asks: side(1),
                update_id: Some(if n % 1_500 == 1_300 { 0 } else { n as u64 + 1 }),
                depth: Some(50),
                ..Book::default()
            };
            let late = if n % 700 == 650 { 90 } else { 0 };
            all.push(Arrival::new(&id, ts - late * SECOND, ts + 20 * MILLISECOND, Body::Book(book)));
        }
        all
    }

    /// What is open and who is forced out, for the same instruments as books; now and then told late.
    fn positions(&self) -> Vec<Arrival> {
        let mut random = Random(self.seed + 1);
        let mut all = Vec::new();
        for (symbol, cents) in [("BTCUSDT", 6_000_000), ("SOLUSDT", 14_000), ("BTCUSD", 6_001_000)] {
            let market = if symbol == "BTCUSD" { Market::Inverse } else { Market::Linear };
            let id = InstrumentId::new("bybit", market, symbol);
            let mut open = 1_000_000;
            for n in 0..self.hours * HOUR / (7 * SECOND) {
                let ts = START + 7 * n * SECOND;
                open += random.below(2_001) - 1_000;
                let late =
                    [0, 3, 5 * 60, 3 * 3_600][if n % 40 == 39 { 1 + random.below(3) as usize } else { 0 }] * SECOND;
                // Nothing comes after the market's end, when all else is silent.
                let late = if ts + late < START + self.hours * HOUR { late } else { 0 };
                let recv = ts + 30 * MILLISECOND + late;
                let size = Some(Decimal::new(open, 3));
                let funding_rate = (n % 3 == 0).then(|| Decimal::new(random.below(2_001) - 1_000, 6));
                let ticker = Ticker { open_interest: size, funding_rate, ..Ticker::default() };
                all.push(Arrival::new(&id, ts, recv, Body::Ticker(ticker.into())));
                if n % 43 == 0 {
                    let told = OpenInterest { size, value: None };
                    all.push(Arrival::new(&id, ts, recv + 20 * SECOND, Body::OpenInterest(told)));
                }
                // Storms of forced orders, and single ones between them.
                let n_forced = if n % 600 < 20 { random.below(8) } else { i64::from(random.below(50) == 0) };
                for _ in 0..n_forced {
                    let order = Liquidation {
                        side: if n % 1_200 < 600 { Side::Sell } else { Side::Buy }.into(),
                        price: Some(Decimal::new(cents + random.below(cents / 100), 2)),
                        size: Some(Decimal::new(1 + random.below(50), if symbol == "BTCUSD" { 0 } else { 3 })),
                        completeness: if symbol == "SOLUSDT" { "latest_per_second" } else { "all" }.into(),
                    };
                    all.push(Arrival::new(&id, ts, recv, Body::Liquidation(order)));
                }
            }
        }
        all
    }

    fn delay(&self, random: &mut Random, trades: &mut [Arrival]) {
        let span = self.hours * HOUR;
        // Of the ones late by 300 ms, those at the end of their minute miss its close.
        let tail: Vec<usize> = (0..trades.len())
            .filter(|at| MINUTE - 150 * MILLISECOND < trades[*at].event.ts_event % MINUTE)
            .take(self.late / 6)
            .collect();
        let mut n_late = [0, 0, 0];
        let mut make_late = |trade: &mut Arrival, class: usize| {
            let delay = [300 * MILLISECOND, 5 * MINUTE, 3 * HOUR][class];
            trade.delay = delay;
            trade.event.ts_recv += delay;
            n_late[class] += 1;
        };
        tail.iter().for_each(|at| make_late(&mut trades[*at], 0));
        let mut n = tail.len();
        while n < self.late {
            let class = n % 3;
            let before = [span, span - 6 * MINUTE, span - 3 * HOUR - MINUTE][class];
            let trade = &mut trades[random.below(trades.len() as i64) as usize];
            if trade.delay == 0 && trade.event.ts_event - START < before {
                make_late(trade, class);
                n += 1;
            }
        }
    }

    fn copy(&self, random: &mut Random, trades: &[Arrival]) -> Vec<Arrival> {
        let mut copies = BTreeMap::new();
        while copies.len() < self.copies {
            let at = random.below(trades.len() as i64) as usize;
            if trades[at].delay == 0 && trades[at].trade().unwrap().id.is_some() {
                let mut copy = trades[at].clone();
                copy.event.ts_recv += (1 + random.below(120_000)) * MILLISECOND;
                copy.copy = true;
                copies.insert(at, copy);
            }
        }
        copies.into_values().collect()
    }
}

/// Closed venue bars of ETHUSDT up to the start.
fn klines(random: &mut Random) -> Vec<Arrival> {
    let mut bars = Vec::new();
    for (timeframe, n) in [(Timeframe::M1, 120), (Timeframe::M5, 60), (Timeframe::M15, 60), (Timeframe::H1, 60)] {
        let mut close = 350_000 + random.below(1_000);
        for back in (1..=n).rev() {
            let (open, length) = (close, timeframe.length());
            close += random.below(801) - 400;
            let price = |cents| Some(Decimal::new(cents, 2));
            let kline = Kline {
                timeframe: timeframe.name().into(),
                start: START - back * length,
                open: price(open),
                high: price(open.max(close) + random.below(200)),
                low: price(open.min(close) - random.below(200)),
                close: price(close),
                volume: Some(Decimal::new(1_000 + random.below(100_000), 3)),
                closed: true,
                ..Kline::default()
            };
            let body = Body::Kline(kline.into());
            bars.push(Arrival::new(&linear("ETHUSDT"), START - (back - 1) * length, START, body));
        }
    }
    bars
}

/// Sorts by receive time; equal ones stay as they are.
pub(crate) fn in_order(arrivals: &mut [Arrival]) {
    arrivals.sort_by_key(|arrival| arrival.event.ts_recv);
}

/// Writes a log of these arrivals, in their order; heartbeats go to all partitions of trades and states.
pub(crate) fn write_log(dir: &Path, arrivals: &[Arrival]) {
    let log = Arc::new(SegmentLog::open(dir).unwrap());
    let mut writer = LogWriter::new(log.clone());
    for arrival in arrivals {
        if let Some(Body::Heartbeat(_)) = arrival.event.body {
            writer.flush().unwrap();
            let batch = Batch { events: vec![arrival.event.clone()], ..Batch::default() };
            for topic in [Topic::Trades, Topic::Status] {
                (0..log.partitions(topic)).for_each(|partition| log.append(topic, partition, &batch).unwrap());
            }
            continue;
        }
        writer.push(&arrival.id, arrival.event.clone()).unwrap();
    }
    writer.sync().unwrap();
}
