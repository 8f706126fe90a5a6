//! The embedded log keeps what it was given, survives torn writes, and names damage instead of returning wrong rows.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use prism_log::{Log, LogError, LogWriter, Options, SegmentLog, partition_of};
use prism_schemas::event::event::Body;
use prism_schemas::event::{Batch, Quarantined, Trade, trade};
use prism_schemas::{Decimal, Event, InstrumentId, Market, Topic};
use proptest::prelude::*;

const MS: i64 = 1_000_000;

fn trade(number: u64, ts_recv: i64) -> Event {
    let trade = Trade {
        id: Some(trade::Id::Number(number)),
        price: Some(Decimal::new(100 + number as i64, 1)),
        size: Some(Decimal::new(1, 0)),
        side: 1,
        stream: "trade".into(),
        ..Trade::default()
    };
    Event { ts_event: ts_recv, ts_recv, seq: Some(number), index: 0, body: Some(Body::Trade(trade)) }
}

fn batch(number: u64) -> Batch {
    let events = (0..1 + number % 3).map(|i| trade(10 * number + i, number as i64 * MS)).collect();
    Batch { exchange: "bybit".into(), market: "linear".into(), symbol: "BTCUSDT".into(), events }
}

fn options(segment_bytes: u64) -> Options {
    Options { segment_bytes, ..Options::default() }
}

fn write(dir: &Path, n: u64, segment_bytes: u64) {
    let log = SegmentLog::open_with(dir, options(segment_bytes)).unwrap();
    for number in 0..n {
        log.append(Topic::Trades, 1, &batch(number)).unwrap();
    }
    log.close().unwrap();
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let dir = dir.join("prism.trades/1");
    let mut files: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// Batches read until the end or an error; every one must be the one that was written there.
fn read_prefix(dir: &Path, from: u64) -> (u64, Option<LogError>, bool) {
    let log = SegmentLog::open_read(dir).unwrap();
    let mut reader = log.read(Topic::Trades, 1, from).unwrap();
    let mut n = from;
    loop {
        match reader.next() {
            Ok(Some(record)) => {
                assert_eq!(record.offset, n);
                assert_eq!(record.batch, &batch(n));
                n += 1;
            }
            Ok(None) => return (n, None, reader.torn().is_some()),
            Err(error) => return (n, Some(error), false),
        }
    }
}

#[test]
fn what_is_written_is_read_across_segments_and_from_any_offset() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), 200, 1_000);
    assert!(10 < segments(dir.path()).len());
    for from in [0, 1, 57, 199, 200] {
        assert!(matches!(read_prefix(dir.path(), from), (200, None, false)));
    }
    let log = SegmentLog::open_with(dir.path(), options(1_000)).unwrap();
    assert_eq!(log.recovered(), []);
    log.append(Topic::Trades, 1, &batch(200)).unwrap();
    log.sync().unwrap();
    assert!(matches!(read_prefix(dir.path(), 150), (201, None, false)));
    assert!(matches!(SegmentLog::open(dir.path()), Err(LogError::Locked { .. })));
}

#[test]
fn a_reader_follows_a_log_that_grows() {
    let dir = tempfile::tempdir().unwrap();
    let log = SegmentLog::open_with(dir.path(), options(500)).unwrap();
    let mut reader = log.read(Topic::Trades, 1, 0).unwrap();
    assert!(reader.next().unwrap().is_none());
    for number in 0..50 {
        log.append(Topic::Trades, 1, &batch(number)).unwrap();
        log.flush().unwrap();
        assert_eq!(reader.next().unwrap().unwrap().batch, &batch(number));
        assert!(reader.next().unwrap().is_none());
    }
}

#[test]
fn misuse_and_foreign_directories_are_named() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(SegmentLog::open_read(dir.path()), Err(LogError::NotALog { .. })));
    write(dir.path(), 1, 1_000);
    let log = SegmentLog::open_read(dir.path()).unwrap();
    assert!(matches!(log.append(Topic::Trades, 1, &batch(0)), Err(LogError::Usage(_))));
    assert!(matches!(log.read(Topic::Trades, 4, 0).err(), Some(LogError::Usage(_))));
    std::fs::write(dir.path().join("log.json"), "{\"version\":2,\"partitions\":4}").unwrap();
    assert!(matches!(SegmentLog::open_read(dir.path()), Err(LogError::NotALog { .. })));
}

#[test]
fn an_empty_or_half_begun_segment_is_begun_again() {
    let whole = tempfile::tempdir().unwrap();
    write(whole.path(), 0, 1_000);
    for length in [0, 1, 19, 20] {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), 1, 1_000);
        let file = &segments(dir.path())[0];
        let bytes = std::fs::read(file).unwrap();
        std::fs::write(file, &bytes[..length]).unwrap();
        assert!(matches!(read_prefix(dir.path(), 0), (0, None, torn) if torn == (0 < length && length < 20)));
        let log = SegmentLog::open(dir.path()).unwrap();
        assert_eq!(log.recovered().len(), usize::from(0 < length && length < 20));
        log.append(Topic::Trades, 1, &batch(0)).unwrap();
        drop(log);
        assert!(matches!(read_prefix(dir.path(), 0), (1, None, false)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn a_cut_last_segment_loses_only_its_torn_record(n in 1u64..60, cut in 0.0f64..1.0) {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), n, 600);
        let file = segments(dir.path()).pop().unwrap();
        let bytes = std::fs::read(&file).unwrap();
        let length = (bytes.len() as f64 * cut) as usize;
        std::fs::write(&file, &bytes[..length]).unwrap();
        let (read, error, torn) = read_prefix(dir.path(), 0);
        prop_assert!(error.is_none() && read <= n);
        let log = SegmentLog::open_with(dir.path(), options(600)).unwrap();
        let recovered: u64 = log.recovered().iter().map(|recovered| recovered.bytes).sum();
        prop_assert_eq!(0 < recovered, torn);
        // It goes on where it was cut.
        for number in read..n + 3 {
            log.append(Topic::Trades, 1, &batch(number)).unwrap();
        }
        drop(log);
        let (read, error, torn) = read_prefix(dir.path(), 0);
        prop_assert!(error.is_none() && !torn && read == n + 3);
    }

    #[test]
    fn a_flipped_bit_is_an_error_or_a_torn_tail_and_never_a_wrong_row(n in 1u64..60, at in 0.0f64..1.0, bit in 0u8..8) {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), n, 2_000);
        let files = segments(dir.path());
        let total: u64 = files.iter().map(|file| file.metadata().unwrap().len()).sum();
        let mut position = (total as f64 * at) as usize;
        let mut last = false;
        let mut damaged = PathBuf::new();
        for (number, file) in files.iter().enumerate() {
            let mut bytes = std::fs::read(file).unwrap();
            if position < bytes.len() {
                bytes[position] ^= 1 << bit;
                std::fs::write(file, bytes).unwrap();
                last = number + 1 == files.len();
                damaged = file.clone();
                break;
            }
            position -= bytes.len();
        }
        // read_prefix compares every row it gets with what was written.
        let (read, error, torn) = read_prefix(dir.path(), 0);
        prop_assert!(read < n);
        match error {
            Some(LogError::Corrupt { path, offset, .. }) => {
                prop_assert_eq!(path, damaged);
                prop_assert_eq!(offset, read);
            }
            // Only the very last record can be mistaken for one that was not finished.
            None => prop_assert!(torn && last && read == n - 1),
            Some(other) => prop_assert!(false, "{other}"),
        }
        if torn {
            let log = SegmentLog::open(dir.path()).unwrap();
            prop_assert_eq!(log.recovered().len(), 1);
        }
    }

    #[test]
    fn the_writer_keeps_each_instruments_order_and_its_limits(
        events in proptest::collection::vec((0usize..4, 0i64..3_000_000), 1..400)
    ) {
        let dir = tempfile::tempdir().unwrap();
        let log = Arc::new(SegmentLog::open(dir.path()).unwrap());
        let mut writer = LogWriter::new(log.clone());
        let ids: Vec<_> = ["A", "B", "C", "D"].map(|name| InstrumentId::new("x", Market::Spot, name)).into();
        let mut now = 0;
        let mut given = vec![Vec::new(); ids.len()];
        for (number, (instrument, gap)) in (0..).zip(events) {
            now += gap;
            given[instrument].push(trade(number, now));
            writer.push(&ids[instrument], trade(number, now)).unwrap();
        }
        writer.flush().unwrap();
        let mut read = vec![Vec::new(); ids.len()];
        for partition in 0..4 {
            let mut reader = log.read(Topic::Trades, partition, 0).unwrap();
            let mut latest = 0;
            while let Some(record) = reader.next().unwrap() {
                let at = ids.iter().position(|id| id.symbol == record.batch.symbol).unwrap();
                prop_assert_eq!(partition_of(&ids[at], 4), partition);
                let events = &record.batch.events;
                let (first, last) = (events[0].ts_recv, events[events.len() - 1].ts_recv);
                prop_assert!(events.len() <= 64 && last - first < 5 * MS);
                for event in events {
                    // Knowledge times on any epoch of a multiple of 5 ms are those of ungrouped events.
                    latest = latest.max(event.ts_recv);
                    prop_assert_eq!((latest - 1).div_euclid(5 * MS), (event.ts_recv - 1).div_euclid(5 * MS));
                }
                read[at].extend(events.iter().cloned());
            }
        }
        prop_assert_eq!(read, given);
    }
}

#[test]
fn heartbeats_stand_in_their_partition_after_what_came_before() {
    let dir = tempfile::tempdir().unwrap();
    let log = Arc::new(SegmentLog::open(dir.path()).unwrap());
    let mut writer = LogWriter::new(log.clone());
    let id = InstrumentId::new("x", Market::Spot, "A");
    let partition = partition_of(&id, 4);
    writer.push(&id, trade(1, MS)).unwrap();
    writer.heartbeat(Topic::Trades, partition, 2 * MS, "idle").unwrap();
    assert!(matches!(writer.push(&id, Event { body: None, ..trade(2, MS) }), Err(LogError::Usage(_))));
    writer.sync().unwrap();
    let mut reader = log.read(Topic::Trades, partition, 0).unwrap();
    assert_eq!(reader.next().unwrap().unwrap().batch.events, [trade(1, MS)]);
    let beat = reader.next().unwrap().unwrap().batch.events[0].clone();
    assert!(matches!(beat.body, Some(Body::Heartbeat(_))) && beat.ts_recv == 2 * MS);
}

#[test]
fn raw_bytes_that_look_like_records_do_not_confuse_recovery() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), 3, 1 << 20);
    let raw = std::fs::read(&segments(dir.path())[0]).unwrap();
    let body = Body::Quarantined(Quarantined { rule: "r".into(), detail: String::new(), raw });
    let event = Event { ts_event: 1, ts_recv: 1, seq: None, index: 0, body: Some(body) };
    let odd = Batch { exchange: "x".into(), market: "spot".into(), symbol: "A".into(), events: vec![event] };
    let log = SegmentLog::open(dir.path()).unwrap();
    log.append(Topic::Trades, 1, &odd).unwrap();
    drop(log);
    assert_eq!(SegmentLog::open(dir.path()).unwrap().recovered(), []);
}
