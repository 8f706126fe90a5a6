//! Old segments go whole and oldest first, readers of the process are waited for, others are told; times are found.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use prism_log::{Log, LogError, Options, SegmentLog, SyncPolicy};
use prism_schemas::event::event::Body;
use prism_schemas::event::{Batch, Heartbeat};
use prism_schemas::time::SECOND;
use prism_schemas::{Event, Topic};

const TOPIC: Topic = Topic::Trades;

fn batch(number: u64) -> Batch {
    let ts_recv = number as i64 * SECOND;
    let body = Some(Body::Heartbeat(Heartbeat { cause: format!("{number:060}"), ..Heartbeat::default() }));
    Batch { events: vec![Event { ts_event: ts_recv, ts_recv, seq: None, index: 0, body }], ..Batch::default() }
}

fn options(retention: i64, retention_bytes: u64) -> Options {
    Options { partitions: 1, segment_bytes: 400, sync: SyncPolicy::Never, retention, retention_bytes }
}

fn log(dir: &Path, options: Options, n: u64) -> SegmentLog {
    let log = SegmentLog::open_with(dir, options).unwrap();
    (0..n).for_each(|number| log.append(TOPIC, 0, &batch(number)).unwrap());
    log.sync().unwrap();
    log
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir.join("prism.trades/0")).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// Makes the files as old as their places say, an hour from one to the next; gives the time.
fn age(dir: &Path) -> SystemTime {
    let files = segments(dir);
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    for (hours, file) in files.iter().rev().enumerate() {
        let file = std::fs::File::options().append(true).open(file).unwrap();
        file.set_modified(now - Duration::from_secs(3_600 * hours as u64)).unwrap();
    }
    now
}

fn first(log: &dyn Log) -> u64 {
    let start = log.start(TOPIC, 0).unwrap();
    let mut records = log.read(TOPIC, 0, start).unwrap();
    let record = records.next().unwrap().unwrap();
    assert_eq!((record.offset, record.batch), (start, &batch(start)));
    start
}

#[test]
fn what_is_older_than_asked_goes_and_the_newest_segment_never() {
    let dir = tempfile::tempdir().unwrap();
    let log = log(dir.path(), options(150 * 60 * SECOND, 0), 30);
    let now = age(dir.path());
    let n = segments(dir.path()).len();
    assert!(4 < n);
    // The newest, and those of one and two hours.
    assert_eq!(log.trim(now).unwrap(), n - 3);
    assert_eq!((segments(dir.path()).len(), log.end(TOPIC, 0).unwrap()), (3, 30));
    assert!(first(&log) > 10);
    assert_eq!(log.trim(now + Duration::from_secs(1_000_000)).unwrap(), 2);
    assert_eq!(segments(dir.path()).len(), 1);
    drop(log);
    // It opens again, and goes on.
    let log = SegmentLog::open_with(dir.path(), options(0, 0)).unwrap();
    assert_eq!((log.recovered(), log.end(TOPIC, 0).unwrap()), (&[][..], 30));
    assert_eq!(log.trim(now + Duration::from_secs(1_000_000)).unwrap(), 0);
}

#[test]
fn what_is_more_than_asked_goes_oldest_first() {
    let dir = tempfile::tempdir().unwrap();
    let log = log(dir.path(), options(0, 1_500), 30);
    let now = age(dir.path());
    let size = || segments(dir.path()).iter().map(|file| file.metadata().unwrap().len()).sum::<u64>();
    assert!(1_500 < size());
    assert!(0 < log.trim(now).unwrap());
    assert!((1_000..=1_500).contains(&size()), "{}", size());
    first(&log);
    assert_eq!(log.trim(now).unwrap(), 0);
}

#[test]
fn a_reader_of_the_process_is_waited_for_and_another_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let log = log(dir.path(), options(SECOND, 0), 30);
    let now = age(dir.path()) + Duration::from_secs(10);
    let other = SegmentLog::open_read(dir.path()).unwrap();
    let (mut mine, mut theirs) = (log.read(TOPIC, 0, 0).unwrap(), other.read(TOPIC, 0, 0).unwrap());
    assert!(theirs.next().unwrap().is_some());
    assert_eq!(log.trim(now).unwrap(), 0);
    for _ in 0..12 {
        mine.next().unwrap().unwrap();
    }
    assert!(0 < log.trim(now).unwrap());
    let start = first(&log);
    assert!((6..=12).contains(&start), "{start}");
    assert_eq!(mine.next().unwrap().unwrap().batch, &batch(12));
    // What it has open it reads to its end.
    let error = loop {
        match theirs.next() {
            Ok(found) => assert!(found.is_some()),
            Err(error) => break error,
        }
    };
    assert!(matches!(&error, LogError::Truncated { offset, .. } if *offset < start), "{error}");
    assert!(matches!(other.read(TOPIC, 0, 0).unwrap().next(), Err(LogError::Truncated { offset: 0, .. })));
    drop(mine);
    log.trim(now).unwrap();
    assert_eq!(segments(dir.path()).len(), 1);
}

#[test]
fn times_are_found_as_exactly_as_segments_allow() {
    let dir = tempfile::tempdir().unwrap();
    let log = log(dir.path(), options(SECOND, 0), 30);
    for (seconds, at_least) in [(-5, 0), (0, 0), (10, 5), (29, 24), (1_000, 25)] {
        let offset = log.offset_at(TOPIC, 0, seconds * SECOND).unwrap();
        assert!((at_least..=seconds.max(0) as u64).contains(&offset), "{seconds} s: {offset}");
    }
    assert_eq!(log.newest().unwrap(), Some(29 * SECOND));
    let other = SegmentLog::open_read(dir.path()).unwrap();
    assert_eq!(other.newest().unwrap(), Some(29 * SECOND));
    // What retention has removed is not found.
    let now = age(dir.path());
    log.trim(now + Duration::from_secs(10)).unwrap();
    assert_eq!(log.offset_at(TOPIC, 0, 0).unwrap(), log.start(TOPIC, 0).unwrap());
    assert_eq!(log.offset_at(Topic::Books, 0, 0).unwrap(), 0);
}

#[test]
fn the_end_of_a_log_that_another_process_writes_is_followed_across_segments() {
    let dir = tempfile::tempdir().unwrap();
    let log = log(dir.path(), options(0, 0), 0);
    let other = SegmentLog::open_read(dir.path()).unwrap();
    assert_eq!(other.end(TOPIC, 0).unwrap(), 0);
    for number in 0..30 {
        log.append(TOPIC, 0, &batch(number)).unwrap();
        log.flush().unwrap();
        if number % 7 != 3 {
            assert_eq!(other.end(TOPIC, 0).unwrap(), number + 1);
        }
    }
    // Only what is new is read: what was read before may even be gone.
    let oldest = segments(dir.path()).remove(0);
    std::fs::remove_file(oldest).unwrap();
    assert_eq!(other.end(TOPIC, 0).unwrap(), 30);
    // And what it stood in may be removed while it goes on.
    let stood_in = segments(dir.path()).pop().unwrap();
    (30..40).for_each(|number| log.append(TOPIC, 0, &batch(number)).unwrap());
    log.flush().unwrap();
    std::fs::remove_file(stood_in).unwrap();
    assert_eq!(other.end(TOPIC, 0).unwrap(), 40);
}

#[test]
fn a_reader_is_woken_by_what_becomes_visible() {
    let dir = tempfile::tempdir().unwrap();
    let log = log(dir.path(), options(0, 0), 1);
    let me = std::sync::Arc::new(std::thread::current());
    log.wake(&me);
    let mut records = log.read(TOPIC, 0, 1).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            log.append(TOPIC, 0, &batch(1)).unwrap();
            log.flush().unwrap();
        });
        while records.next().unwrap().is_none() {
            std::thread::park();
        }
    });
}
