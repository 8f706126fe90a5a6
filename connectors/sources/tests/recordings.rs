//! Every recording in ../shared/data decodes to the events counted there by other means.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use prism_log::{Log, LogWriter, SegmentLog};
use prism_schemas::event::event::Body;
use prism_schemas::event::{Book, Feed, FeedStatus, Instrument, trade};
use prism_schemas::feed::IMPORT;
use prism_schemas::topic::event_type;
use prism_schemas::{Decimal, Event, InstrumentId, Market, Topic};
use prism_sources::import::{ImportError, Options, Report, import};

/// Where the recordings are, or a line that says they are not.
fn data(test: &str) -> Option<PathBuf> {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let path = std::env::var_os("PRISM_DATA").map_or(default, PathBuf::from);
    if !path.is_dir() {
        eprintln!("SKIPPED {test}: no ../shared/data");
        return None;
    }
    Some(path)
}

struct Imported {
    report: Report,
    log: Arc<SegmentLog>,
    _dir: tempfile::TempDir,
}

fn run(paths: &[PathBuf]) -> Result<Imported, ImportError> {
    let dir = tempfile::tempdir().unwrap();
    let log = Arc::new(SegmentLog::open(dir.path()).unwrap());
    let mut writer = LogWriter::new(log.clone());
    let report = import(paths, Options::default(), &mut writer)?;
    Ok(Imported { report, log, _dir: dir })
}

impl Imported {
    fn events(&self, topic: Topic) -> Vec<(InstrumentId, Event)> {
        let mut events = Vec::new();
        for partition in 0..self.log.partitions(topic) {
            let mut reader = self.log.read(topic, partition, 0).unwrap();
            while let Some(record) = reader.next().unwrap() {
                let market = Market::parse(&record.batch.market).unwrap();
                let id = InstrumentId::new(&record.batch.exchange, market, &record.batch.symbol);
                events.extend(record.batch.events.iter().map(|event| (id.clone(), event.clone())));
            }
            assert_eq!(reader.torn(), None);
        }
        events
    }

    /// Counts read back from the log, by type.
    /// Events by type, but for what says that the import is begun, which no report counts.
    fn types(&self) -> BTreeMap<&'static str, usize> {
        let mut types = BTreeMap::new();
        for body in Topic::ALL.into_iter().flat_map(|topic| self.events(topic)).filter_map(|(_, event)| event.body) {
            match body {
                Body::FeedStatus(status) if status.channel == IMPORT && status.status() == Feed::Connected => {}
                _ => *types.entry(event_type(&body)).or_default() += 1,
            }
        }
        types
    }

    fn books(&self, of: &InstrumentId) -> Vec<Book> {
        let books = self.events(Topic::Books).into_iter().filter(|(id, _)| id == of);
        books
            .map(|(_, event)| match event.body {
                Some(Body::Book(book)) => book,
                other => panic!("{other:?}"),
            })
            .collect()
    }

    fn instrument(&self, of: &InstrumentId) -> Instrument {
        let mut found = self.events(Topic::Reference).into_iter().filter(|(id, _)| id == of);
        match found.next().unwrap().1.body {
            Some(Body::Instrument(instrument)) => *instrument,
            other => panic!("the first event is {other:?}"),
        }
    }
}

fn check(test: &str, file: &str, control: u64, expected: &[(&'static str, usize)]) -> Option<Imported> {
    let imported = run(&[data(test)?.join(file)]).unwrap();
    let report = &imported.report.files[0];
    assert_eq!(report.quarantined, BTreeMap::new(), "{file}");
    assert_eq!(report.control, control, "{file}");
    // And what the import says of itself.
    let expected = expected.iter().map(|(kind, n)| (*kind, n + usize::from(*kind == "feed_status")));
    let expected: BTreeMap<&str, usize> = expected.collect();
    assert_eq!(imported.types(), expected, "{file}");
    for (kind, n) in &expected {
        assert_eq!(report.of_type(kind), *n as u64, "{file} {kind}");
    }
    Some(imported)
}

#[test]
fn hftbacktest_counts_and_update_ids() {
    let test = "hftbacktest_counts_and_update_ids";
    for (file, market, symbol, deltas, tickers, trades) in [
        ("cm_btcusd_perp", Market::Inverse, "BTCUSD_PERP", 26847, 19136, 2286),
        ("cm_ethusd_perp", Market::Inverse, "ETHUSD_PERP", 22909, 15812, 1732),
        ("spot_btcusdt", Market::Spot, "BTCUSDT", 3451, 28040, 9757),
        ("spot_ethusdt", Market::Spot, "ETHUSDT", 3434, 24077, 6106),
        ("usdm_btcusdt", Market::Linear, "BTCUSDT", 6551, 66089, 21313),
        ("usdm_ethusdt", Market::Linear, "ETHUSDT", 6586, 53992, 14076),
    ] {
        let expected = [
            ("book_delta", deltas),
            ("book_snapshot", 1),
            ("feed_status", 2),
            ("instrument", 1),
            ("ticker", tickers),
            ("trade", trades),
        ];
        let file = format!("hftbacktest/{file}_20240808.gz");
        let Some(imported) = check(test, &file, 0, &expected) else { return };
        let id = InstrumentId::new("binance", market, symbol);
        let books = imported.books(&id);
        let deltas: Vec<&Book> = books.iter().filter(|book| !book.snapshot).collect();
        assert!(1000 < deltas.len());
        for pair in deltas.windows(2) {
            if market == Market::Spot {
                assert_eq!(pair[1].first_update_id, pair[0].update_id.map(|u| u + 1), "{file}");
            } else {
                assert_eq!(pair[1].previous_update_id, pair[0].update_id, "{file}");
            }
        }
        let snapshot = books.iter().find(|book| book.snapshot).unwrap();
        let next = snapshot.update_id.unwrap() + 1;
        let joins = |book: &&&Book| book.first_update_id.unwrap() <= next && next <= book.update_id.unwrap();
        assert!(
            deltas.iter().find(joins).is_some() || market != Market::Spot,
            "{file}: no delta continues the snapshot"
        );
        let contract_size = imported.instrument(&id).contract_size;
        let expected = match symbol {
            "BTCUSD_PERP" => Some(Decimal::new(100, 0)),
            "ETHUSD_PERP" => Some(Decimal::new(10, 0)),
            _ => None,
        };
        assert_eq!(contract_size, expected);
    }
}

#[test]
fn hftbacktest_recorded_together_is_merged_by_receive_time() {
    let Some(data) = data("hftbacktest_recorded_together_is_merged_by_receive_time") else { return };
    let imported = run(&[data.join("hftbacktest")]).unwrap();
    assert_eq!(imported.report.files.len(), 6);
    let skipped: Vec<_> = imported.report.skipped.iter().map(|(path, _)| path.file_name().unwrap()).collect();
    assert_eq!(skipped, ["LICENSE", "PROVENANCE.md"]);
    for partition in 0..imported.log.partitions(Topic::Trades) {
        let mut reader = imported.log.read(Topic::Trades, partition, 0).unwrap();
        let mut last = i64::MIN;
        while let Some(record) = reader.next().unwrap() {
            for event in &record.batch.events {
                // Grouping may move an event by less than its window of 5 ms.
                assert!(last <= event.ts_recv + 5_000_000);
                last = last.max(event.ts_recv);
            }
        }
    }
}

#[test]
fn cryptofeed_binance_counts() {
    let test = "cryptofeed_binance_counts";
    let spot = [
        ("book_delta", 177),
        ("book_snapshot", 4),
        ("feed_status", 8),
        ("instrument", 4),
        ("kline", 2),
        ("ticker", 84),
        ("trade", 2),
    ];
    let Some(imported) = check(test, "cryptofeed/BINANCE.jsonl.zst", 1, &spot) else { return };
    let nkn = imported.instrument(&InstrumentId::new("binance", Market::Spot, "NKNUSDT"));
    assert_eq!((nkn.base.as_str(), nkn.quote.as_str(), nkn.status.as_str()), ("NKN", "USDT", "TRADING"));
    assert!(nkn.tick_size.is_some() && nkn.lot_size.is_some());
    let futures = [
        ("book_delta", 764),
        ("book_snapshot", 4),
        ("feed_status", 8),
        ("instrument", 4),
        ("kline", 67),
        ("ticker", 613),
        ("trade", 91),
    ];
    check(test, "cryptofeed/BINANCE_FUTURES.jsonl.zst", 1, &futures);
    let delivery = [
        ("book_delta", 2047),
        ("book_snapshot", 10),
        ("feed_status", 20),
        ("instrument", 10),
        ("kline", 33),
        ("ticker", 2240),
        ("trade", 51),
    ];
    let imported = check(test, "cryptofeed/BINANCE_DELIVERY.jsonl.zst", 1, &delivery).unwrap();
    let link = imported.instrument(&InstrumentId::new("binance", Market::Inverse, "LINKUSD_PERP"));
    assert_eq!(link.contract_size, Some(Decimal::new(10, 0)));
}

#[test]
fn cryptofeed_bybit_counts_and_update_ids() {
    let test = "cryptofeed_bybit_counts_and_update_ids";
    let expected = [
        ("book_delta", 1315),
        ("book_snapshot", 6),
        ("feed_status", 12),
        ("instrument", 6),
        ("kline", 63),
        ("ticker", 518),
        ("trade", 160),
    ];
    let Some(imported) = check(test, "cryptofeed_v3_agpl/BYBIT.first25s.jsonl.zst", 51, &expected) else { return };
    let report = &imported.report.files[0];
    for (market, symbol) in [
        (Market::Linear, "BTCUSDT"),
        (Market::Linear, "ETHUSDT"),
        (Market::Linear, "SOLUSDT"),
        (Market::Linear, "DOGEUSDT"),
        (Market::Spot, "BTCUSDT"),
        (Market::Spot, "ETHUSDT"),
    ] {
        let id = InstrumentId::new("bybit", market, symbol);
        assert!(report.counts.contains_key(&(id.clone(), "ticker")), "{id}");
        let books = imported.books(&id);
        assert!(books[0].snapshot);
        for pair in books.windows(2) {
            assert_eq!(pair[1].update_id, pair[0].update_id.map(|u| u + 1), "{id}");
        }
    }
}

#[test]
fn bitmex_counts_sides_and_row_numbers() {
    let test = "bitmex_counts_sides_and_row_numbers";
    let expected = [("feed_status", 2), ("instrument", 1), ("trade", 1_000_000)];
    let Some(imported) = check(test, "bitmex_1m_trades/Bitmex_XBTUSD_1M.csv.zst", 0, &expected) else { return };
    let trades = imported.events(Topic::Trades);
    let mut sells = 0;
    for (row, (_, event)) in (1..).zip(&trades) {
        let Some(Body::Trade(trade)) = &event.body else { panic!() };
        assert_eq!((event.seq, trade.id.clone()), (Some(row), Some(trade::Id::Number(row))));
        assert_eq!(event.ts_event, event.ts_recv);
        sells += u64::from(trade.side == 2);
    }
    assert_eq!(sells, 499_466);
    let instrument = imported.instrument(&InstrumentId::new("bitmex", Market::Inverse, "XBTUSD"));
    assert_eq!((instrument.price_decimals, instrument.size_decimals), (1, 0));
    assert_eq!(instrument.contract_size, Some(Decimal::new(1, 0)));
    // Behind what says that the import is begun.
    let status = imported.events(Topic::Status).split_off(1);
    assert_eq!(status[0].1.ts_event, 1_514_764_802_610_000_000);
    assert_eq!(status[1].1.ts_event, trades.iter().map(|(_, event)| event.ts_event).max().unwrap());
    let cause = "recording Bitmex_XBTUSD_1M.csv.zst".to_string();
    let recording = "Bitmex_XBTUSD_1M.csv.zst 1514764802610000000".to_string();
    let connected = FeedStatus { status: Feed::Connected.into(), cause, recording, ..FeedStatus::default() };
    assert_eq!(status[0].1.body, Some(Body::FeedStatus(connected)));
}

#[test]
fn klines_counts_and_times() {
    let test = "klines_counts_and_times";
    let Some(data) = data(test) else { return };
    let imported = run(&[data.join("klines_binance_um")]).unwrap();
    let report = &imported.report;
    assert_eq!(report.files.len(), 16);
    assert_eq!(report.files.iter().map(|file| file.of_type("kline")).sum::<u64>(), 708_180);
    // Where the history begins and ends.
    assert!(report.files.iter().all(|file| file.quarantined.is_empty() && file.of_type("feed_status") == 3));
    assert_eq!(report.skipped.len(), 38 + 2);
    let mut klines = imported.events(Topic::Reference);
    klines.retain(|(id, _)| id.symbol == "ADAUSDT");
    let Some(Body::Kline(first)) = &klines[1].1.body else { panic!() };
    assert_eq!((first.start, first.timeframe.as_str(), first.closed), (1_746_814_680_000_000_000, "1m", true));
    assert_eq!(klines[1].1.ts_recv, first.start + 60_000_000_000);
    assert_eq!(first.turnover, None);
}

#[test]
fn cryptofeed_okx_and_kraken_counts() {
    let test = "cryptofeed_okx_and_kraken_counts";
    // Counted with Python: entries of each channel's data, and notices, requests, connections and answers of options only.
    let counts = |deltas, snapshots, n, tickers, trades| {
        [
            ("book_delta", deltas),
            ("book_snapshot", snapshots),
            ("feed_status", 2 * n),
            ("instrument", n),
            ("ticker", tickers),
            ("trade", trades),
        ]
    };
    let Some(okx) = check(test, "cryptofeed/OKX.jsonl.zst", 32, &counts(287, 3, 3, 28, 74)) else { return };
    let dated = okx.instrument(&InstrumentId::new("okx", Market::Inverse, "BTCUSD_220527"));
    assert_eq!(dated.contract_size, Some(Decimal::new(100, 0)));
    check(test, "cryptofeed/KRAKEN.jsonl.zst", 131, &counts(4_269, 10, 10, 18, 10));
}

#[test]
fn venues_without_a_decoder_say_so() {
    let Some(data) = data("venues_without_a_decoder_say_so") else { return };
    let kucoin = run(&[data.join("cryptofeed/KUCOIN.jsonl.zst")]).err().unwrap();
    assert!(kucoin.to_string().ends_with("no decoder for exchange KUCOIN yet"), "{kucoin}");
    let imported = run(&[data.join("cryptofeed")]).unwrap();
    assert_eq!(imported.report.files.len(), 7);
    assert_eq!(imported.report.skipped.len(), 3 + 2);
    let readme = run(&[data.join("README.md")]).err().unwrap();
    assert!(matches!(readme, ImportError::Refused { .. }), "{readme}");
}

/// Made by ../shared/w1/gen.py; `make test` does so and names the folder in W1_DIR.
#[test]
fn w1_counts() {
    let file = std::env::var_os("W1_DIR").map(|dir| PathBuf::from(dir).join("trades_50000.parquet"));
    let Some(file) = file.filter(|file| file.exists()) else {
        eprintln!("SKIPPED w1_counts: no trades_50000.parquet in W1_DIR");
        return;
    };
    let imported = run(&[file]).unwrap();
    let expected = BTreeMap::from([("feed_status", 101), ("instrument", 50), ("trade", 50_000)]);
    assert_eq!(imported.types(), expected);
    let bitcoin = imported.instrument(&InstrumentId::new("w1", Market::Linear, "BTCUSDT"));
    assert_eq!((bitcoin.price_decimals, bitcoin.size_decimals), (1, 4));
}
