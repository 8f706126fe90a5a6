//! Books of made-up feeds through the whole graph.

mod depths;
mod resting;
mod units;

use std::sync::{Arc, Mutex};

use prism_schemas::{
    Cell, Decimal, Event, Table, Timeframe, Topic, Ts, Version, Versions,
    event::{Batch, Book, Feed, FeedStatus, Instrument, Levels, Side, Trade, event::Body, trade::Id},
    random::Random,
    table::{BOOK_COLUMNS, BOOK_FEATURES},
    time::{MILLISECOND, MINUTE, SECOND},
};

use super::sample::N_AT_END;
use crate::{
    admit::{Admission, Record},
    assemble::{Plan, assemble},
    drive::{Driver, Pace},
    settings::{BarSettings, Empty, Settings},
    tables::{Sink, tables},
};

/// 2024-03-05T10:00:00Z, when things happen.
const TEN: Ts = 1_709_632_800 * SECOND;

/// Minutes that close 250 ms after their end, whether there are trades or not.
fn settings() -> Settings {
    let mut settings = crate::refusals::settings();
    settings.bars.empty = Empty::Flat;
    settings.timeframes.roles = vec![Timeframe::M1, Timeframe::M5];
    settings.timeframes.weights = vec![0.4, 0.6];
    settings
}

/// Events in the order of arrival, of one instrument.
#[derive(Clone)]
struct Log {
    exchange: &'static str,
    market: &'static str,
    events: Vec<Event>,
}

impl Log {
    /// With a feed that is connected from the start on.
    fn new(exchange: &'static str, market: &'static str) -> Log {
        let mut log = Log { exchange, market, events: Vec::new() };
        log.says("", TEN, Feed::Connected);
        log
    }

    fn push(&mut self, ts_event: Ts, ts_recv: Ts, body: Body) {
        self.events.push(Event { ts_event, ts_recv, seq: None, index: 0, body: Some(body) });
    }

    fn says(&mut self, channel: &str, ts: Ts, feed: Feed) {
        let body = FeedStatus { channel: channel.into(), status: feed.into(), ..FeedStatus::default() };
        self.push(ts, ts, Body::FeedStatus(body));
    }

    /// Trades at 100 every second of these minutes.
    fn trades(&mut self, minutes: std::ops::Range<i64>) {
        for second in 60 * minutes.start..60 * minutes.end {
            self.trade(TEN + second * SECOND, TEN + second * SECOND);
        }
    }

    fn trade(&mut self, ts: Ts, ts_recv: Ts) {
        let body = Trade {
            id: Some(Id::Number((ts / MILLISECOND) as u64)),
            price: Some(Decimal::new(100, 0)),
            size: Some(Decimal::new(1, 0)),
            side: Side::Buy.into(),
            stream: "trade".into(),
            ..Trade::default()
        };
        self.push(ts, ts_recv, Body::Trade(body));
    }

    fn book(&mut self, ts: Ts, ts_recv: Ts, id: u64, is_snapshot: bool, bids: &[(i64, i64)], asks: &[(i64, i64)]) {
        let levels = |pairs: &[(i64, i64)]| {
            let (prices, sizes) = pairs.iter().copied().unzip();
            Some(Levels { prices, sizes, price_decimals: 1, size_decimals: 0 })
        };
        let body = Book {
            snapshot: is_snapshot,
            bids: levels(bids),
            asks: levels(asks),
            update_id: Some(id),
            depth: Some(50),
            ..Book::default()
        };
        self.push(ts, ts_recv, Body::Book(body));
    }

    /// A snapshot of 99.5 and 100.5, with 30 bids and 2 asks.
    fn snapshot(&mut self, ts: Ts, id: u64) {
        let bids: Vec<(i64, i64)> = (0..30).map(|n| (995 - 5 * n, 10 + n)).collect();
        self.book(ts, ts, id, true, &bids, &[(1_005, 4), (1_100, 1_000)]);
    }

    /// What becomes of the events in messages of so many, in order, and the newest time that is known.
    fn records(&self, plan: &Plan, at_once: usize) -> (Vec<Record>, u64) {
        let (mut records, mut newest) = (Vec::new(), 0);
        for topic in [Topic::Reference, Topic::Status, Topic::Books, Topic::Trades] {
            let mut admission = Admission::new(plan.registry.clone(), &plan.settings, topic, 0);
            let of_topic: Vec<Event> = self
                .events
                .iter()
                .filter(|event| event.body.as_ref().and_then(Topic::of) == Some(topic))
                .cloned()
                .collect();
            for events in of_topic.chunks(at_once) {
                let (exchange, market) = (self.exchange.into(), self.market.into());
                let batch = Batch { exchange, market, symbol: "BTCUSDT".into(), events: events.to_vec() };
                admission.admit(&batch, &mut records);
            }
            newest = newest.max(admission.known().unwrap_or(0));
        }
        records.sort_by_key(Record::known);
        (records, newest)
    }

    /// The rows of a table, in messages of so many events.
    fn rows(&self, table: &Table, stride: u64, at_once: usize, workers: usize) -> Vec<Version> {
        let plan = Plan::new(settings()).unwrap();
        let (records, newest) = self.records(&plan, at_once);
        let rows = Arc::new(Mutex::new(Vec::new()));
        let sink: Sink = {
            let rows = rows.clone();
            Arc::new(move |versions: Versions| rows.lock().unwrap().extend(versions.to_vec()))
        };
        let guards = timely::execute(timely::Config::process(workers), move |worker| {
            let (inputs, probe) =
                worker.dataflow(|scope| assemble(scope, &plan, |outputs| tables(outputs, &plan, &sink)));
            let pace = Pace { epoch: plan.settings.time.epoch as u64, stride, batch: 0 };
            let mut driver = Driver::new(inputs, probe, pace);
            // Each worker reads some of the partitions.
            let mine = |record: &Record| match record {
                Record::Books(_) => worker.peers() - 1,
                Record::Trade(_) => worker.peers() / 2,
                Record::Control(_) => 0,
            };
            let own: Vec<Record> = records.iter().filter(|record| mine(record) == worker.index()).cloned().collect();
            own.into_iter().for_each(|record| driver.send(worker, record));
            driver.advance(newest + MINUTE as u64);
            driver.drain(worker);
        });
        guards.unwrap().join().into_iter().for_each(|worker| worker.unwrap());
        let mut rows = Arc::into_inner(rows).unwrap().into_inner().unwrap();
        rows.retain(|row| row.table == table);
        rows.sort_by_key(|row| (int(row, "ts"), int(row, "known_at"), int(row, "revision")));
        rows
    }

    /// The same, however they come.
    fn checked(&self) -> Vec<Version> {
        let rows = self.rows(&BOOK_FEATURES, 600, 1, 1);
        for (stride, at_once, workers) in [(1, 1, 1), (600, 7, 1), (7, 3, 2), (600, 100, 3)] {
            let others = self.rows(&BOOK_FEATURES, stride, at_once, workers);
            assert_eq!(told(&rows), told(&others), "{stride} {at_once} {workers}");
            for (row, other) in rows.iter().zip(&others) {
                assert_eq!(row.to_json(), other.to_json(), "{stride} {at_once} {workers}");
            }
        }
        rows
    }
}

fn int(row: &Version, column: &str) -> i64 {
    match row.get(column) {
        Some(Cell::Ts(ts)) => *ts,
        Some(Cell::Int(int)) => *int,
        other => panic!("{column}: {other:?}"),
    }
}

fn float(row: &Version, column: &str) -> Option<f64> {
    row.get(column).unwrap().to_json().as_f64()
}

/// Minute, revision, quality and best bid of each version.
fn told(rows: &[Version]) -> Vec<(i64, i64, String, Option<f64>)> {
    let quality = |row: &Version| row.get("quality").unwrap().to_json().as_str().unwrap().to_string();
    rows.iter()
        .map(|row| ((int(row, "ts") - TEN) / MINUTE, int(row, "revision"), quality(row), float(row, "bid")))
        .collect()
}

fn version(minute: i64, revision: i64, quality: &str, bid: Option<f64>) -> (i64, i64, String, Option<f64>) {
    (minute, revision, quality.into(), bid)
}

#[test]
fn the_numbers_of_a_row_stand_where_the_table_says() {
    assert_eq!(N_AT_END + 5, BOOK_COLUMNS.len());
    let mut log = Log::new("bybit", "linear");
    log.trades(0..3);
    log.snapshot(TEN - SECOND, 1);
    // Half a minute long the best bid has nothing, and then twice as much.
    log.book(TEN + 15 * SECOND, TEN + 15 * SECOND, 2, false, &[(995, 0)], &[]);
    log.book(TEN + 45 * SECOND, TEN + 45 * SECOND, 3, false, &[(995, 20)], &[(1_005, 5)]);
    let rows = log.checked();
    assert_eq!(told(&rows)[0], version(0, 0, "ok", Some(99.5)));
    let of = |column: &str| float(&rows[0], column);
    let sizes = |n: i64| (20 + (1..n).map(|n| 10 + n).sum::<i64>()) as f64;
    for (column, expected) in [
        ("bid_size", Some(20.0)),
        ("ask", Some(100.5)),
        ("ask_size", Some(5.0)),
        ("mid", Some(100.0)),
        ("spread", Some(1.0)),
        ("spread_bps", Some(100.0)),
        ("microprice", Some((99.5 * 5.0 + 100.5 * 20.0) / 25.0)),
        ("bid_depth_5", Some(sizes(5))),
        ("bid_depth_25", Some(sizes(25))),
        // All asks there are: the venue would tell fifty.
        ("ask_depth_5", Some(1_005.0)),
        ("bid_depth_10bp", Some(0.0)),
        ("bid_depth_100bp", Some(sizes(3) - 12.0)),
        ("bid_depth_200bp", Some(sizes(4))),
        ("ask_depth_200bp", Some(5.0)),
        ("imbalance_1", Some(0.6)),
        // 30 bids from 99.5 down, each counting by its distance, and both asks.
        ("imbalance_weighted", {
            let bids = (0..25)
                .map(|n| (10.0 + f64::from(n) + f64::from(u8::from(n == 0)) * 10.0) / (6.0 + 5.0 * f64::from(n)));
            let (bids, asks) = (bids.sum::<f64>(), 5.0 / 6.0 + 1_000.0 / 101.0);
            Some((bids - asks) / (bids + asks))
        }),
        ("imbalance_5", Some((sizes(5) - 1_005.0) / (sizes(5) + 1_005.0))),
        // 5 at 100.5, the rest at 110.
        ("slippage_buy_1k", {
            let base = 5.0 + (1_000.0 - 502.5) / 110.0;
            Some(10_000.0 * (1_000.0 / base / 100.0 - 1.0))
        }),
        ("slippage_buy_1m", None),
        ("slippage_sell_1k", Some(50.0)),
        ("slippage_sell_100k", None),
        // -10 as the bid falls, then 20 as it rises, less one more asked.
        ("ofi", Some(-10.0 + 20.0 - 1.0)),
        ("spread_mean", Some((1.0 + 1.5) / 2.0)),
        ("mid_mean", Some((100.0 + 99.75) / 2.0)),
        ("imbalance_mean", Some((15.0 * 6.0 / 14.0 + 30.0 * 7.0 / 15.0 + 15.0 * 0.6) / 60.0)),
        ("live_share", Some(1.0)),
    ] {
        match (of(column), expected) {
            (Some(have), Some(want)) => assert!((have - want).abs() < 1e-8, "{column}: {have}, expected {want}"),
            (have, want) => assert_eq!(have, want, "{column}"),
        }
    }
    assert_eq!(int(&rows[0], "n_updates"), 2, "the snapshot was before");
    // Nothing happened in the next minute.
    let (ofi, bid) = (float(&rows[1], "ofi"), float(&rows[1], "bid_size"));
    assert_eq!((told(&rows)[1].clone(), ofi, bid), (version(1, 0, "ok", Some(99.5)), Some(0.0), Some(20.0)));
    assert_eq!((int(&rows[1], "n_updates"), float(&rows[1], "spread_mean")), (0, Some(1.0)));
}

#[test]
fn a_break_is_suspect_until_the_book_is_whole_again() {
    let mut log = Log::new("bybit", "linear");
    log.trades(0..6);
    log.snapshot(TEN + 10 * SECOND, 1);
    for (second, id) in [(70, 2), (130, 4), (150, 5)] {
        log.book(TEN + second * SECOND, TEN + second * SECOND, id, false, &[(990, id as i64)], &[]);
    }
    log.snapshot(TEN + 250 * SECOND, 9);
    let rows = told(&log.checked());
    let expected = [
        version(0, 0, "partial", Some(99.5)),
        version(1, 0, "ok", Some(99.5)),
        version(2, 0, "suspect", None),
        version(3, 0, "gap", None),
        version(4, 0, "suspect", Some(99.5)),
    ];
    assert_eq!(rows[..5], expected);
}

#[test]
fn what_a_closed_minute_should_have_had_makes_it_suspect_and_changes_no_number() {
    let mut log = Log::new("bybit", "linear");
    log.trades(0..4);
    log.snapshot(TEN - SECOND, 1);
    // Of the first minute's end, received while the third is open.
    log.book(TEN + 59 * SECOND, TEN + 125 * SECOND, 2, false, &[(995, 99)], &[]);
    // In time by the grace, and a snapshot of old.
    log.book(TEN + 180 * SECOND - 1, TEN + 180 * SECOND + 100 * MILLISECOND, 3, false, &[(1_000, 1)], &[]);
    log.book(TEN + 100 * SECOND, TEN + 185 * SECOND, 4, true, &[(995, 1)], &[(1_005, 1)]);
    let rows = log.checked();
    let expected = [
        version(0, 0, "ok", Some(99.5)),
        version(0, 1, "suspect", Some(99.5)),
        version(1, 0, "ok", Some(99.5)),
        version(1, 1, "suspect", Some(99.5)),
        version(2, 0, "ok", Some(100.0)),
    ];
    assert_eq!(told(&rows)[..5], expected);
    let sizes: Vec<Option<f64>> = rows[..5].iter().map(|row| float(row, "bid_size")).collect();
    assert_eq!(sizes, [10.0, 10.0, 10.0, 10.0, 1.0].map(Some), "the late change counts in the third minute alone");
    assert_eq!(int(&rows[1], "known_at"), TEN + 125 * SECOND);
}

#[test]
fn what_the_feed_says_of_its_book_is_believed() {
    let mut log = Log::new("bybit", "linear");
    log.trades(0..8);
    log.snapshot(TEN - SECOND, 1);
    log.says("book", TEN + 70 * SECOND, Feed::Gap);
    log.snapshot(TEN + 130 * SECOND, 1);
    log.says("book", TEN + 200 * SECOND, Feed::ResyncStarted);
    log.says("book", TEN + 210 * SECOND, Feed::ResyncFinished);
    // Of a minute that is closed.
    log.says("book", TEN + 400 * SECOND, Feed::Gap);
    log.events.iter_mut().next_back().unwrap().ts_event = TEN + 290 * SECOND;
    log.says("book", TEN + 400 * SECOND, Feed::ResyncFinished);
    let rows = told(&log.checked());
    let (ok, suspect) = (|n, r| version(n, r, "ok", Some(99.5)), |n, r| version(n, r, "suspect", Some(99.5)));
    let expected = [
        ok(0, 0),
        suspect(1, 0),
        suspect(2, 0),
        suspect(3, 0),
        ok(4, 0),
        suspect(4, 1),
        ok(5, 0),
        suspect(5, 1),
        suspect(6, 0),
    ];
    assert_eq!(rows[..9], expected);
}

#[test]
fn a_bar_that_is_a_gap_has_no_book_and_gives_it_back() {
    let mut log = Log::new("bybit", "linear");
    log.trades(0..1);
    log.snapshot(TEN - SECOND, 1);
    log.says("", TEN + 61 * SECOND, Feed::Disconnected);
    log.says("", TEN + 200 * SECOND, Feed::Connected);
    log.trades(4..6);
    log.trade(TEN + 130 * SECOND, TEN + 300 * SECOND);
    let rows = told(&log.checked());
    let expected = [
        version(0, 0, "ok", Some(99.5)),
        version(1, 0, "gap", None),
        version(2, 0, "gap", None),
        version(2, 1, "partial", Some(99.5)),
        version(3, 0, "gap", None),
        version(4, 0, "ok", Some(99.5)),
    ];
    assert_eq!(rows[..6], expected);
}

#[test]
fn it_shows_nowhere_how_events_arrive() {
    let mut random = Random::new(11, "books");
    for _ in 0..12 {
        let mut log = Log::new("bybit", "linear");
        let (mut now, mut id) = (TEN, 1);
        log.snapshot(TEN, 1);
        while now < TEN + 20 * MINUTE {
            now += random.below(4_000) as i64 * MILLISECOND;
            let back = if random.below(6) == 0 { random.below(200_000) as i64 * MILLISECOND } else { 0 };
            match random.below(40) {
                _ if random.below(200) == 0 => {
                    id += 1;
                    let impossible = [i64::MIN, -1, i64::MAX][random.below(3) as usize];
                    log.book(impossible, now, id, false, &[], &[(1_020, 1)]);
                }
                0 => log.says("book", now, [Feed::Gap, Feed::ResyncFinished][random.below(2) as usize]),
                1 => log.says("", now, [Feed::Disconnected, Feed::Connected][random.below(2) as usize]),
                2 => log.snapshot(now - back, id),
                3 => id += 1,
                4..15 => log.trade(now - back, now),
                _ => {
                    id += 1;
                    let (bid, ask) = (980 + random.below(20) as i64, 1_001 + random.below(10) as i64);
                    let size = random.below(5) as i64;
                    log.book(now - back, now, id, false, &[(bid, size)], &[(ask, size + 1)]);
                }
            }
        }
        let rows = log.checked();
        let of = |quality: &str| told(&rows).iter().filter(|row| row.2 == quality).count();
        assert!(10 < rows.len() && 0 < of("suspect"), "{}", rows.len());
    }
}
