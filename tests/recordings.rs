//! Recorded markets replay to explained scores; bars and books equal naive recomputations of the same events.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
};

use prism_log::{Log, LogWriter, SegmentLog};
use prism_schemas::{
    Decimal, Event, InstrumentId, Market, Timeframe, Topic, Version,
    event::{Feed, Side, event::Body, trade::Id},
    instrument::fnv1a,
    table,
};
use prism_sources::import::{Options, import};

use crate::support::{Rows, SEALED, Tape, float, int, rows_of, settings, shared, standing, text, ts};

const CONFIG: &str =
    "[timeframes]\nmaintained = [\"1s\", \"5s\", \"15s\", \"1m\"]\nroles = [\"1s\", \"5s\", \"15s\", \"1m\"]\n";

/// A recording in the log, its events and its rows.
pub(crate) struct Recording {
    name: &'static str,
    pub(crate) events: BTreeMap<InstrumentId, Vec<Event>>,
    rows: Rows,
}

pub(crate) fn load(name: &'static str, paths: &[PathBuf]) -> Recording {
    let dir = tempfile::tempdir().unwrap();
    let log = Arc::new(SegmentLog::open(dir.path()).unwrap());
    let mut writer = LogWriter::new(log.clone());
    let report = import(paths, Options::default(), &mut writer).unwrap();
    assert!(report.skipped.is_empty(), "{name}: {:?}", report.skipped);
    for file in &report.files {
        assert!(file.quarantined.is_empty(), "{name}: {:?}", file.quarantined);
    }
    let mut events: BTreeMap<InstrumentId, Vec<Event>> = BTreeMap::new();
    for topic in Topic::ALL {
        for partition in 0..log.partitions(topic) {
            let mut reader = log.read(topic, partition, 0).unwrap();
            while let Some(record) = reader.next().unwrap() {
                let batch = record.batch;
                let id = InstrumentId::new(&batch.exchange, Market::parse(&batch.market).unwrap(), &batch.symbol);
                events.entry(id).or_default().extend(batch.events.iter().cloned());
            }
        }
    }
    let rows = standing(Tape::read(dir.path(), &settings(CONFIG)).replay(SEALED));
    Recording { name, events, rows }
}

/// The six files that were recorded together.
pub(crate) fn hftbacktest(test: &str) -> Option<Recording> {
    let names = ["cm_btcusd_perp", "cm_ethusd_perp", "spot_btcusdt", "spot_ethusdt", "usdm_btcusdt", "usdm_ethusdt"];
    let dir = shared(test, "data")?.join("hftbacktest");
    Some(load("hftbacktest", &names.map(|name| dir.join(format!("{name}_20240808.gz")))))
}

/// Confluence rows, those with coverage of at least 0.24, and all derived rows.
fn counts(recording: &Recording) -> (usize, usize, usize) {
    let confluence = || rows_of(&recording.rows, &table::CONFLUENCE);
    let complete = confluence().filter(|row| float(row, "coverage").is_some_and(|coverage| 0.24 <= coverage));
    let derived = recording.rows.values().filter(|row| row.table.derived);
    (confluence().count(), complete.count(), derived.count())
}

#[test]
fn recordings_replay_to_explained_scores_and_naive_bars() {
    let test = "recordings_replay_to_explained_scores_and_naive_bars";
    let Some(data) = shared(test, "data") else { return };
    let (mut all, mut n_klines) = (Vec::new(), 0);
    for (name, file) in [
        ("hftbacktest", ""),
        ("BINANCE", "cryptofeed/BINANCE.jsonl.zst"),
        ("BINANCE_FUTURES", "cryptofeed/BINANCE_FUTURES.jsonl.zst"),
        ("BINANCE_DELIVERY", "cryptofeed/BINANCE_DELIVERY.jsonl.zst"),
        ("BYBIT", "cryptofeed_v3_agpl/BYBIT.first25s.jsonl.zst"),
    ] {
        let recording = if file.is_empty() { hftbacktest(test).unwrap() } else { load(name, &[data.join(file)]) };
        bars_equal_a_naive_fold(&recording);
        n_klines += klines_agree(&recording);
        all.push((name, counts(&recording)));
    }
    println!("{all:?} and {n_klines} whole venue bars");
    // Rows of confluence, those with coverage of at least 0.24, and all derived rows. Half a minute warms few indicators;
    // books and takers say something at once.
    let expected = [
        ("hftbacktest", (2070, 1986, 216429)),
        ("BINANCE", (25, 0, 1371)),
        ("BINANCE_FUTURES", (101, 42, 6486)),
        ("BINANCE_DELIVERY", (188, 62, 11913)),
        ("BYBIT", (139, 36, 7383)),
    ];
    assert_eq!(all, expected);
}

/// ts_event, seq, index, price, volume, turnover, whether the taker bought, id.
type Folded = (i64, u64, u32, f64, f64, f64, bool, String);

/// ts_event, seq, index, price, size, whether the taker bought, id.
type Told = (i64, u64, u32, f64, f64, bool, String);

/// One bar, the slow way.
#[derive(Default)]
struct Naive {
    trades: Vec<Folded>,
}

/// The trades in order, each identity once.
fn told_once(events: &[Event], label: &str) -> Vec<Told> {
    let (mut seen, mut stream) = (BTreeSet::new(), None);
    let mut trades = Vec::new();
    for event in events {
        let Some(Body::Trade(trade)) = &event.body else { continue };
        assert_eq!(stream.get_or_insert(&trade.stream), &&trade.stream, "{label}: a second stream");
        let shown = match &trade.id {
            Some(Id::Number(number)) => number.to_string(),
            Some(Id::Text(uuid)) if uuid.len() == 36 => uuid.replace('-', "").chars().take(16).collect(),
            Some(Id::Text(text)) => format!("{:016x}", fnv1a(text.as_bytes())),
            None => String::new(),
        };
        if seen.insert(shown.clone()) || shown.is_empty() {
            let (price, size) = (trade.price.unwrap().to_f64(), trade.size.unwrap().to_f64());
            let seq = event.seq.unwrap();
            trades.push((event.ts_event, seq, event.index, price, size, trade.side() == Side::Buy, shown));
        }
    }
    trades.sort_by_key(|trade| (trade.0, trade.1, trade.2));
    trades
}

/// A bar is what these trades make.
fn same_bar(row: &Version, trades: &[Folded], label: &str) {
    let same = |column: &str, expected: f64| {
        let got = float(row, column).unwrap_or(f64::NAN);
        assert!((got - expected).abs() <= 1e-9 * expected.abs(), "{label} {column}: {got} {expected}");
    };
    let prices = || trades.iter().map(|trade| trade.3);
    let sum = |of: fn(&Folded) -> f64| trades.iter().map(of).sum::<f64>();
    same("open", prices().next().unwrap());
    same("high", prices().fold(f64::MIN, f64::max));
    same("low", prices().fold(f64::MAX, f64::min));
    same("close", prices().next_back().unwrap());
    same("volume", sum(|trade| trade.4));
    same("turnover", sum(|trade| trade.5));
    same("vwap", sum(|trade| trade.5) / sum(|trade| trade.4));
    let bought = sum(|trade| if trade.6 { trade.4 } else { 0.0 });
    let got = float(row, "buy_volume").unwrap();
    assert!((got - bought).abs() <= 1e-9 * sum(|trade| trade.4), "{label}: {got} {bought}");
    assert_eq!(int(row, "n_trades"), trades.len() as i64, "{label}");
    assert_eq!(int(row, "n_buys"), trades.iter().filter(|trade| trade.6).count() as i64, "{label}");
    assert_eq!(text(row, "first_trade_id"), trades.first().unwrap().7, "{label}");
    assert_eq!(text(row, "last_trade_id"), trades.last().unwrap().7, "{label}");
}

fn bars_equal_a_naive_fold(recording: &Recording) {
    let name = recording.name;
    let mut n_bars = 0;
    for (id, events) in &recording.events {
        let contract = events.iter().find_map(|event| match &event.body {
            Some(Body::Instrument(instrument)) => instrument.contract_size.as_ref().map(Decimal::to_f64),
            _ => None,
        });
        let trades = told_once(events, &format!("{name} {id}"));
        for timeframe in [Timeframe::S1, Timeframe::S5, Timeframe::S15, Timeframe::M1] {
            let mut bars: BTreeMap<i64, Naive> = BTreeMap::new();
            for (at, seq, index, price, size, buy, shown) in &trades {
                let (volume, turnover) = match (id.market, contract) {
                    (Market::Inverse, Some(value)) => (size * value / price, size * value),
                    _ => (*size, price * size),
                };
                let bar = bars.entry(timeframe.start(*at)).or_default();
                bar.trades.push((*at, *seq, *index, *price, volume, turnover, *buy, shown.clone()));
            }
            let ours: BTreeMap<i64, &Version> = rows_of(&recording.rows, &table::BARS)
                .filter(|row| text(row, "timeframe") == timeframe.name() && text(row, "symbol") == id.symbol)
                .filter(|row| text(row, "market") == id.market.name() && text(row, "source") == "trades")
                .map(|row| (ts(row, "ts"), row))
                .collect();
            let traded = ours.iter().filter(|(_, row)| 0 < int(row, "n_trades")).map(|(start, _)| start);
            assert!(traded.eq(bars.keys()), "{name} {id} {timeframe}: other intervals");
            let mut close = None;
            for (start, row) in &ours {
                let label = format!("{name} {id} {timeframe} {start}");
                let same = |column: &str, expected: f64| {
                    let got = float(row, column).unwrap_or(f64::NAN);
                    assert!((got - expected).abs() <= 1e-9 * expected.abs(), "{label} {column}: {got} {expected}");
                };
                let Some(Naive { trades }) = bars.get(start) else {
                    if text(row, "quality") != "gap" {
                        ["open", "high", "low", "close"].iter().for_each(|column| same(column, close.unwrap()));
                        same("volume", 0.0);
                    }
                    continue;
                };
                close = trades.last().map(|trade| trade.3);
                same_bar(row, trades, &label);
                n_bars += 1;
            }
        }
    }
    assert!(0 < n_bars, "{name}: no bar was compared");
}

/// The venue's closed bars equal ours where the recording covers all of the interval.
fn klines_agree(recording: &Recording) -> usize {
    let mut n = 0;
    for (id, events) in &recording.events {
        let feed = |status: Feed| {
            events.iter().find_map(|event| match &event.body {
                Some(Body::FeedStatus(feed)) if feed.status() == status => Some(event.ts_event),
                _ => None,
            })
        };
        let (Some(first), Some(last)) = (feed(Feed::Connected), feed(Feed::Disconnected)) else { continue };
        for event in events {
            let Some(Body::Kline(kline)) = &event.body else { continue };
            let timeframe: Timeframe = kline.timeframe.parse().unwrap();
            if !kline.closed || kline.start < first || last + 1 < timeframe.end(kline.start) {
                continue;
            }
            let row = rows_of(&recording.rows, &table::BARS).find(|row| {
                ts(row, "ts") == kline.start
                    && text(row, "timeframe") == timeframe.name()
                    && text(row, "symbol") == id.symbol
                    && text(row, "market") == id.market.name()
            });
            let row = row.unwrap();
            for (column, value) in [
                ("open", kline.open),
                ("high", kline.high),
                ("low", kline.low),
                ("close", kline.close),
                ("volume", kline.volume),
            ] {
                let (ours, theirs) = (float(row, column).unwrap(), value.unwrap().to_f64());
                assert!((ours - theirs).abs() <= 1e-9 * theirs.abs(), "{id} {} {column}: {ours} {theirs}", kline.start);
            }
            n += 1;
        }
    }
    n
}
