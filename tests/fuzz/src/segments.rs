//! Segments of a log, damaged: what is whole is read, in order, and nothing else ever.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use prism_log::{Log, LogError, Options, SegmentLog, SyncPolicy};
use prism_schemas::Topic;
use prism_schemas::event::event::Body;
use prism_schemas::event::{Batch, Event, Message, Trade};

use crate::choice;

const RECORDS: usize = 12;
const TOPIC: Topic = Topic::Trades;
/// As the format is documented: magic, first offset, checksum; length and checksum of a record.
const HEADER: usize = 20;
const PREFIX: usize = 8;

/// A log as its writer left it.
struct Written {
    batches: Vec<Batch>,
    /// Segments in order: their first offset and bytes.
    segments: Vec<(u64, Vec<u8>)>,
    /// What is noted of syncs: nothing, half of the records, all.
    marks: [Option<Vec<u8>>; 3],
    meta: Vec<u8>,
}

/// The first letter says what was noted of syncs; four bytes a damage follow. Readers and a writer that recovers find the
/// same records, a writer goes on behind them, and one that refuses changes nothing.
pub fn run(input: &[u8]) {
    let Some((letter, damage)) = input.split_first() else { return };
    let written = written();
    let segments = damaged(&written.segments, damage);
    let expected = whole(&segments);
    let dir = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
    let path = dir.path();
    lay(path, &segments, written.marks[choice(*letter, 3)].as_deref(), &written.meta);
    let log: Arc<dyn Log> = Arc::new(opened(SegmentLog::open_read_with(path, options())));
    let (before, _) = read(&*log);
    assert_eq!(before, expected, "what is whole");
    assert_eq!(before, written.batches[..before.len()], "what was written");
    drop(log);
    let log = match SegmentLog::open_with(path, options()) {
        Ok(log) => log,
        Err(LogError::Corrupt { .. }) => {
            for (first, bytes) in &segments {
                assert_eq!(&content(&segment(path, *first)), bytes, "it was refused and changed");
            }
            return;
        }
        Err(error) => panic!("{error}"),
    };
    let (mut after, _) = read(&log);
    assert_eq!(after, before, "what is whole after recovery");
    let next = batch(RECORDS + 1);
    log.append(TOPIC, 0, &next).and_then(|()| log.flush()).unwrap_or_else(|error| panic!("{error}"));
    // Without a note of syncs only the last segment is looked at: what is damaged before it is told by who reads.
    let (read, ended) = read(&log);
    after.extend(ended.then_some(next));
    assert_eq!(read, after, "what is written after recovery");
}

fn options() -> Options {
    Options { partitions: 1, segment_bytes: 400, sync: SyncPolicy::Never, ..Options::default() }
}

fn opened(log: Result<SegmentLog, LogError>) -> SegmentLog {
    log.unwrap_or_else(|error| panic!("{error}"))
}

fn segment(dir: &Path, first: u64) -> PathBuf {
    dir.join(TOPIC.name()).join("0").join(format!("{first:020}.seg"))
}

fn content(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn batch(number: usize) -> Batch {
    let events = (0..number % 3 + 1).map(|index| {
        let trade = Trade { stream: "x".repeat(number), ..Trade::default() };
        Event {
            ts_event: number as i64,
            ts_recv: number as i64,
            seq: None,
            index: index as u32,
            body: Some(Body::Trade(trade)),
        }
    });
    Batch { exchange: "bybit".into(), market: "linear".into(), symbol: "BTCUSDT".into(), events: events.collect() }
}

fn written() -> &'static Written {
    static WRITTEN: OnceLock<Written> = OnceLock::new();
    WRITTEN.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
        let path = dir.path();
        let batches: Vec<Batch> = (0..RECORDS).map(batch).collect();
        let log = opened(SegmentLog::open_with(path, options()));
        let noted = |from: usize, to: usize| {
            let appended = batches[from..to].iter().try_for_each(|batch| log.append(TOPIC, 0, batch));
            appended.and_then(|()| log.sync()).unwrap_or_else(|error| panic!("{error}"));
            Some(content(&path.join("log.synced")))
        };
        let marks = [None, noted(0, RECORDS / 2), noted(RECORDS / 2, RECORDS)];
        drop(log);
        let mut segments = Vec::new();
        for first in 0..RECORDS as u64 {
            if segment(path, first).exists() {
                segments.push((first, content(&segment(path, first))));
            }
        }
        assert!(2 < segments.len(), "{} segments", segments.len());
        Written { batches, segments, marks, meta: content(&path.join("log.json")) }
    })
}

fn lay(dir: &Path, segments: &[(u64, Vec<u8>)], marks: Option<&[u8]>, meta: &[u8]) {
    let put = |path: &Path, bytes: &[u8]| {
        let made = path.parent().map_or(Ok(()), std::fs::create_dir_all);
        made.and_then(|()| std::fs::write(path, bytes)).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    };
    put(&dir.join("log.json"), meta);
    if let Some(marks) = marks {
        put(&dir.join("log.synced"), marks);
    }
    for (first, bytes) in segments {
        put(&segment(dir, *first), bytes);
    }
}

/// Damages of which none can make a sound record of another: what, where (of two bytes), and with which byte.
fn damaged(segments: &[(u64, Vec<u8>)], damage: &[u8]) -> Vec<(u64, Vec<u8>)> {
    let mut segments = segments.to_vec();
    for damage in damage.chunks_exact(4) {
        let [what, high, low, byte] = [damage[0], damage[1], damage[2], damage[3]];
        let n = segments.len();
        let Some((_, bytes)) = segments.get_mut(usize::from(high >> 4) % n.max(1)) else { continue };
        let at = (usize::from(high & 0x0f) << 8 | usize::from(low)) % (bytes.len() + 1);
        let end = (at + usize::from(byte)).min(bytes.len());
        match what % 6 {
            0 => bytes.truncate(at),
            1 => bytes[at..end].fill(0),
            2 => drop(bytes.splice(at..at, [byte; 9])),
            3 => bytes.extend([byte, low, high, 0, 0, 0]),
            4 if byte == 0 => drop(segments.pop()),
            _ => {
                if let Some(place) = bytes.get_mut(at) {
                    *place ^= byte;
                }
            }
        }
    }
    segments
}

/// The records before the first damage, by the description of the format alone.
fn whole(segments: &[(u64, Vec<u8>)]) -> Vec<Batch> {
    let mut records = Vec::new();
    for (first, bytes) in segments {
        let Some((header, mut rest)) = bytes.split_at_checked(HEADER) else { break };
        let crc = crc32fast::hash(&header[..16]).to_le_bytes();
        let is_sound = header.starts_with(b"PRSMLOG1") && header[8..16] == first.to_le_bytes() && header[16..] == crc;
        if !is_sound || *first != records.len() as u64 {
            break;
        }
        while let Some((batch, length)) = record(rest) {
            records.push(batch);
            rest = &rest[length..];
        }
        if !rest.is_empty() {
            break;
        }
    }
    records
}

fn record(bytes: &[u8]) -> Option<(Batch, usize)> {
    let (prefix, rest) = bytes.split_at_checked(PREFIX)?;
    let length = usize::try_from(u32::from_le_bytes(prefix[..4].try_into().ok()?)).ok().filter(|length| 0 < *length)?;
    let payload = rest.get(..length)?;
    let crc = crc32fast::hash(&[&prefix[..4], payload].concat()).to_le_bytes();
    (prefix[4..] == crc).then(|| Some((Batch::decode(payload).ok()?, PREFIX + length))).flatten()
}

/// Records up to the end or a damage, and whether it was the end.
fn read(log: &dyn Log) -> (Vec<Batch>, bool) {
    let mut batches = Vec::new();
    let mut records = match log.read(TOPIC, 0, 0) {
        Ok(records) => records,
        Err(error) => panic!("{error}"),
    };
    loop {
        match records.next() {
            Ok(Some(record)) => {
                assert_eq!(record.offset, batches.len() as u64);
                batches.push(record.batch.clone());
            }
            Ok(None) => return (batches, true),
            Err(LogError::Corrupt { .. }) => return (batches, false),
            Err(error) => panic!("{error}"),
        }
    }
}
