//! The log as segment files in a directory: `DIR/<topic>/<partition>/<first offset>.seg`.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use prism_schemas::Topic;
use prism_schemas::event::{Batch, Message};
use serde::{Deserialize, Serialize};

use super::segment::{self, Found, Scan};
use super::{Log, LogError, Record, Records, Torn};

/// Bytes that wait in memory before they are written.
const BUFFER: usize = 1 << 18;

/// How a log is created and written.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Partitions of each topic, if the log does not exist yet.
    pub partitions: u32,
    /// A segment that reaches this size is closed and the next one begun.
    pub segment_bytes: u64,
}

impl Default for Options {
    fn default() -> Options {
        Options { partitions: 4, segment_bytes: 64 << 20 }
    }
}

/// What opening a log for writing cut off: the tail a crash left unfinished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// The topic.
    pub topic: Topic,
    /// The partition.
    pub partition: u32,
    /// Bytes cut off.
    pub bytes: u64,
    /// Sound records left in the segment.
    pub records: u64,
}

#[derive(Serialize, Deserialize)]
struct Meta {
    version: u32,
    partitions: u32,
}

/// The embedded log.
pub struct SegmentLog {
    dir: PathBuf,
    partitions: u32,
    segment_bytes: u64,
    recovered: Vec<Recovered>,
    /// Held while the log is open for writing.
    lock: Option<File>,
    /// By topic, then partition; opened at the first append.
    tails: Vec<Mutex<Option<Tail>>>,
}

/// The end of a partition being written.
struct Tail {
    dir: PathBuf,
    path: PathBuf,
    file: File,
    buffer: Vec<u8>,
    /// Bytes of the segment, the buffer included.
    bytes: u64,
    next_offset: u64,
    dirty: bool,
}

impl SegmentLog {
    /// Opens a log for writing, creating it if absent, and cuts off what a crash left unfinished.
    pub fn open(dir: &Path) -> Result<SegmentLog, LogError> {
        SegmentLog::open_with(dir, Options::default())
    }

    /// As `open`, with options.
    pub fn open_with(dir: &Path, options: Options) -> Result<SegmentLog, LogError> {
        std::fs::create_dir_all(dir).map_err(LogError::io(dir))?;
        let path = dir.join("log.lock");
        let lock = OpenOptions::new().create(true).append(true).open(&path).map_err(LogError::io(&path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => return Err(LogError::Locked { path: dir.into() }),
            Err(std::fs::TryLockError::Error(source)) => return Err(LogError::Io { path, source }),
        }
        if !dir.join("log.json").exists() {
            let meta = format!("{{\"version\":1,\"partitions\":{}}}\n", options.partitions.max(1));
            write_atomically(&dir.join("log.json"), meta.as_bytes()).map_err(LogError::io(dir))?;
        }
        let mut log = SegmentLog::open_read(dir)?;
        log.segment_bytes = options.segment_bytes;
        log.lock = Some(lock);
        for topic in Topic::ALL {
            for partition in 0..log.partitions {
                let recovered = log.recover(topic, partition)?;
                log.recovered.extend(recovered);
            }
        }
        Ok(log)
    }

    /// Opens an existing log for reading only; changes nothing.
    pub fn open_read(dir: &Path) -> Result<SegmentLog, LogError> {
        let no_log = |detail: String| LogError::NotALog { path: dir.into(), detail };
        let text =
            std::fs::read_to_string(dir.join("log.json")).map_err(|error| no_log(format!("log.json: {error}")))?;
        let meta: Meta = sonic_rs::from_str(&text).map_err(|error| no_log(format!("log.json: {error}")))?;
        if meta.version != 1 || meta.partitions == 0 {
            return Err(no_log(format!("log.json has version {}, partitions {}", meta.version, meta.partitions)));
        }
        let tails = (0..Topic::ALL.len() * meta.partitions as usize).map(|_| Mutex::new(None)).collect();
        Ok(SegmentLog {
            dir: dir.into(),
            partitions: meta.partitions,
            segment_bytes: Options::default().segment_bytes,
            recovered: Vec::new(),
            lock: None,
            tails,
        })
    }

    /// The tails that were cut off when the log was opened.
    pub fn recovered(&self) -> &[Recovered] {
        &self.recovered
    }

    /// Writes everything and waits until it is durable.
    pub fn close(self) -> Result<(), LogError> {
        self.sync()
    }

    fn partition_dir(&self, topic: Topic, partition: u32) -> PathBuf {
        self.dir.join(topic.name()).join(partition.to_string())
    }

    fn recover(&self, topic: Topic, partition: u32) -> Result<Option<Recovered>, LogError> {
        let dir = self.partition_dir(topic, partition);
        let Some(&first) = segment::list(&dir)?.last() else { return Ok(None) };
        let path = segment::path(&dir, first);
        let mut scan = Scan::open(&path, first)?;
        while let Found::Record = scan.step()? {}
        let bytes = scan.length()? - scan.position;
        let next_offset = scan.offset;
        let file = OpenOptions::new().append(true).open(&path).map_err(LogError::io(&path))?;
        if 0 < bytes {
            file.set_len(scan.position).map_err(LogError::io(&path))?;
            file.sync_all().map_err(LogError::io(&path))?;
            tracing::warn!(topic = topic.name(), partition, bytes, "cut off the unfinished end of a segment");
        }
        let mut tail = Tail { dir, path, file, buffer: Vec::new(), bytes: scan.position, next_offset, dirty: false };
        if scan.position == 0 {
            tail.begin(next_offset);
        }
        *self.lock_tail(topic, partition)? = Some(tail);
        Ok((0 < bytes).then_some(Recovered { topic, partition, bytes, records: next_offset - first }))
    }

    fn lock_tail(&self, topic: Topic, partition: u32) -> Result<MutexGuard<'_, Option<Tail>>, LogError> {
        let topic_at = Topic::ALL.iter().position(|t| *t == topic).unwrap_or_default();
        let tail = (partition < self.partitions)
            .then(|| self.tails.get(topic_at * self.partitions as usize + partition as usize))
            .flatten();
        let tail = tail.ok_or_else(|| {
            LogError::Usage(format!("{} has {} partitions, not partition {partition}", topic.name(), self.partitions))
        })?;
        Ok(tail.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn each_tail(&self, mut act: impl FnMut(&mut Tail) -> Result<(), LogError>) -> Result<(), LogError> {
        for tail in &self.tails {
            if let Some(tail) = tail.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
                act(tail)?;
            }
        }
        Ok(())
    }
}

impl Log for SegmentLog {
    fn partitions(&self, _topic: Topic) -> u32 {
        self.partitions
    }

    fn append(&self, topic: Topic, partition: u32, batch: &Batch) -> Result<(), LogError> {
        if self.lock.is_none() {
            return Err(LogError::Usage(format!("{} is open for reading", self.dir.display())));
        }
        let mut guard = self.lock_tail(topic, partition)?;
        let tail = match guard.as_mut() {
            Some(tail) => tail,
            None => guard.insert(Tail::create(self.partition_dir(topic, partition), 0)?),
        };
        if self.segment_bytes <= tail.bytes {
            tail.sync()?;
            *tail = Tail::create(tail.dir.clone(), tail.next_offset)?;
        }
        let before = tail.buffer.len();
        segment::put(&mut tail.buffer, batch)?;
        tail.bytes += (tail.buffer.len() - before) as u64;
        tail.next_offset += 1;
        tail.dirty = true;
        if BUFFER <= tail.buffer.len() {
            tail.flush()?;
        }
        Ok(())
    }

    fn flush(&self) -> Result<(), LogError> {
        self.each_tail(Tail::flush)
    }

    fn sync(&self) -> Result<(), LogError> {
        self.each_tail(Tail::sync)
    }

    fn start(&self, topic: Topic, partition: u32) -> Result<u64, LogError> {
        Ok(segment::list(&self.partition_dir(topic, partition))?.first().copied().unwrap_or(0))
    }

    fn end(&self, topic: Topic, partition: u32) -> Result<u64, LogError> {
        if let Some(tail) = &*self.lock_tail(topic, partition)? {
            return Ok(tail.next_offset);
        }
        let dir = self.partition_dir(topic, partition);
        let Some(&first) = segment::list(&dir)?.last() else { return Ok(0) };
        let mut scan = Scan::open(&segment::path(&dir, first), first)?;
        while let Found::Record = scan.step()? {}
        Ok(scan.offset)
    }

    fn commit(&self, _topic: Topic, _partition: u32, _offset: u64) -> Result<(), LogError> {
        Ok(())
    }

    fn read(&self, topic: Topic, partition: u32, from_offset: u64) -> Result<Box<dyn Records>, LogError> {
        drop(self.lock_tail(topic, partition)?);
        let reader = Reader {
            dir: self.partition_dir(topic, partition),
            scan: None,
            batch: Batch::default(),
            from_offset,
            torn: None,
        };
        Ok(Box::new(reader))
    }
}

impl Drop for SegmentLog {
    fn drop(&mut self) {
        if let Err(error) = self.sync() {
            tracing::error!(%error, "the log could not be written");
        }
    }
}

impl Tail {
    fn create(dir: PathBuf, first_offset: u64) -> Result<Tail, LogError> {
        std::fs::create_dir_all(&dir).map_err(LogError::io(&dir))?;
        let path = segment::path(&dir, first_offset);
        let file = OpenOptions::new().create(true).append(true).open(&path).map_err(LogError::io(&path))?;
        sync_dir(&dir).map_err(LogError::io(&dir))?;
        let mut tail = Tail { dir, path, file, buffer: Vec::new(), bytes: 0, next_offset: first_offset, dirty: true };
        tail.begin(first_offset);
        Ok(tail)
    }

    fn begin(&mut self, first_offset: u64) {
        self.buffer.extend_from_slice(&segment::header(first_offset));
        self.bytes += segment::HEADER as u64;
        self.dirty = true;
    }

    fn flush(&mut self) -> Result<(), LogError> {
        self.file.write_all(&self.buffer).map_err(LogError::io(&self.path))?;
        self.buffer.clear();
        Ok(())
    }

    fn sync(&mut self) -> Result<(), LogError> {
        self.flush()?;
        if self.dirty {
            self.file.sync_data().map_err(LogError::io(&self.path))?;
            self.dirty = false;
        }
        Ok(())
    }
}

/// Writes a file so that it is there whole or not at all.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let temporary = path.with_extension("tmp");
    let mut file = File::create(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)?;
    path.parent().map_or(Ok(()), sync_dir)
}

/// Makes a directory's entries durable.
fn sync_dir(dir: &Path) -> std::io::Result<()> {
    File::open(dir)?.sync_all()
}

struct Reader {
    dir: PathBuf,
    scan: Option<Scan>,
    batch: Batch,
    from_offset: u64,
    torn: Option<Torn>,
}

impl Reader {
    /// Opens the segment that holds `from_offset`, or the first after it; false if there is none yet.
    fn begin(&mut self) -> Result<bool, LogError> {
        let offsets = segment::list(&self.dir)?;
        let first = offsets.iter().rev().find(|first| **first <= self.from_offset).or(offsets.first());
        let Some(&first) = first else { return Ok(false) };
        self.scan = Some(Scan::open(&segment::path(&self.dir, first), first)?);
        Ok(true)
    }

    fn step(&mut self) -> Result<bool, LogError> {
        self.torn = None;
        if self.scan.is_none() && !self.begin()? {
            return Ok(false);
        }
        // A writer may have finished this segment between our look at its end and our look for the next one.
        let mut looked_again = false;
        loop {
            let Some(scan) = &mut self.scan else { return Ok(false) };
            let found = scan.step()?;
            if matches!(found, Found::Record) {
                if self.from_offset < scan.offset {
                    return Ok(true);
                }
                continue;
            }
            let next = segment::list(&self.dir)?.into_iter().find(|first| scan.first_offset < *first);
            match (found, next) {
                (Found::Torn, None) => {
                    let bytes = scan.length()?.saturating_sub(scan.position);
                    self.torn = Some(Torn { file: scan.path.clone(), position: scan.position, bytes });
                    return Ok(false);
                }
                (_, None) => return Ok(false),
                (Found::End, Some(first)) if first == scan.offset => {
                    self.scan = Some(Scan::open(&segment::path(&self.dir, first), first)?);
                }
                (_, Some(_)) if !looked_again => looked_again = true,
                (_, Some(_)) => {
                    return Err(scan.corrupt("it ends here, and the next segment begins with a later record"));
                }
            }
        }
    }
}

impl Records for Reader {
    fn next(&mut self) -> Result<Option<Record<'_>>, LogError> {
        if !self.step()? {
            return Ok(None);
        }
        let Some(scan) = &self.scan else { return Ok(None) };
        self.batch.clear();
        if self.batch.merge(scan.payload()).is_err() {
            return Err(scan.corrupt("the record before this byte is sound but no batch"));
        }
        Ok(Some(Record { offset: scan.offset - 1, batch: &self.batch }))
    }

    fn torn(&self) -> Option<&Torn> {
        self.torn.as_ref()
    }
}
