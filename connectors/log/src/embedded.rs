//! The log as segment files in a directory: `DIR/<topic>/<partition>/<first offset>.seg`.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::path::Path;
use std::sync::Arc;
use std::thread::Thread;

use prism_schemas::event::Batch;
use prism_schemas::{Topic, Ts};

use super::disk::{Disk, System, write_all_at};
use super::inner::{Inner, Options, Place, Recovered, lock};
use super::marks::{self, Marks};
use super::reader::Reader;
use super::segment::{self, Found, Scan};
use super::sync::{SyncPolicy, Syncer};
use super::tail::Tail;
use super::{Log, LogError, Records, find, retention};

/// The embedded log.
pub struct SegmentLog {
    inner: Arc<Inner>,
    recovered: Vec<Recovered>,
    /// Syncs and removes in the background while the log is open for writing.
    syncer: Option<Syncer>,
}

impl SegmentLog {
    /// Opens a log for writing, creating it if absent, and cuts off what a crash left unfinished.
    pub fn open(dir: &Path) -> Result<SegmentLog, LogError> {
        SegmentLog::open_with(dir, Options::default())
    }

    /// As `open`, with options.
    pub fn open_with(dir: &Path, options: Options) -> Result<SegmentLog, LogError> {
        SegmentLog::open_on(Arc::new(System), dir, options)
    }

    /// As `open_with`, on a disk.
    pub(crate) fn open_on(disk: Arc<dyn Disk>, dir: &Path, options: Options) -> Result<SegmentLog, LogError> {
        std::fs::create_dir_all(dir).map_err(LogError::io(dir))?;
        let path = dir.join("log.lock");
        let held = OpenOptions::new().create(true).append(true).open(&path).map_err(LogError::io(&path))?;
        match held.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => return Err(LogError::Locked { path: dir.into() }),
            Err(std::fs::TryLockError::Error(source)) => return Err(LogError::Io { path, source }),
        }
        if !dir.join("log.json").exists() {
            let meta = format!("{{\"version\":1,\"partitions\":{}}}\n", options.partitions.max(1));
            write_atomically(&*disk, &dir.join("log.json"), meta.as_bytes()).map_err(LogError::io(dir))?;
        }
        let mut inner = Inner::open(disk, dir, options)?;
        inner.lock = Some(held);
        let noted = marks::read(dir, inner.places.len())?;
        let mut log = SegmentLog { recovered: Vec::new(), syncer: None, inner: Arc::new(inner) };
        for (at, (topic, partition)) in log.inner.names().enumerate() {
            let synced = noted.as_ref().map(|(_, offsets)| offsets[at]);
            log.recovered.extend(log.inner.recover(at, topic, partition, synced)?);
        }
        let number = noted.map_or(0, |(number, _)| number);
        let inner = &log.inner;
        inner.sync()?;
        *lock(&inner.marks) = Some(Marks::open(&*inner.disk, dir, number, inner.synced())?);
        log.syncer = Syncer::start(inner)?;
        Ok(log)
    }

    /// Opens an existing log for reading only; changes nothing.
    pub fn open_read(dir: &Path) -> Result<SegmentLog, LogError> {
        SegmentLog::open_read_with(dir, Options::default())
    }

    /// As `open_read`, with options: of these only `sync` counts.
    pub fn open_read_with(dir: &Path, options: Options) -> Result<SegmentLog, LogError> {
        SegmentLog::open_read_on(Arc::new(System), dir, options)
    }

    /// As `open_read_with`, on a disk.
    pub(crate) fn open_read_on(disk: Arc<dyn Disk>, dir: &Path, options: Options) -> Result<SegmentLog, LogError> {
        let inner = Arc::new(Inner::open(disk, dir, options)?);
        Ok(SegmentLog { inner, recovered: Vec::new(), syncer: None })
    }

    /// The tails that were cut off when the log was opened.
    pub fn recovered(&self) -> &[Recovered] {
        &self.recovered
    }

    /// Writes everything and waits until it is durable.
    pub fn close(self) -> Result<(), LogError> {
        self.sync()
    }

    /// Removes the oldest closed segments as far as `retention` and `retention_bytes` say, and gives their number. What
    /// a reader of this process has not read yet stays.
    pub fn trim(&self, now: std::time::SystemTime) -> Result<usize, LogError> {
        retention::trim(&self.inner, now)
    }
}

impl Log for SegmentLog {
    fn partitions(&self, _topic: Topic) -> u32 {
        self.inner.partitions
    }

    fn append(&self, topic: Topic, partition: u32, batch: &Batch) -> Result<(), LogError> {
        let inner = &*self.inner;
        if inner.lock.is_none() {
            return Err(LogError::Usage(format!("{} is open for reading", inner.dir.display())));
        }
        inner.check()?;
        let place = inner.place(topic, partition)?;
        let mut guard = lock(&place.tail);
        if guard.as_ref().is_some_and(Tail::is_ahead) {
            drop(guard);
            inner.sync()?;
            guard = lock(&place.tail);
        }
        let tail = match guard.as_mut() {
            Some(tail) => tail,
            None => guard.insert(Tail::create(inner.disk.clone(), &inner.partition_dir(topic, partition))?),
        };
        let outcome = tail.append(batch, inner.options.segment_bytes);
        inner.show(place, tail);
        outcome
    }

    fn flush(&self) -> Result<(), LogError> {
        if self.inner.options.sync == SyncPolicy::Always && self.inner.lock.is_some() {
            return self.sync();
        }
        self.inner.check()?;
        self.inner.flush()
    }

    fn sync(&self) -> Result<(), LogError> {
        if self.inner.lock.is_none() {
            return self.inner.sync_files();
        }
        self.inner.check()?;
        self.inner.flush()?;
        self.inner.sync()
    }

    fn synced(&self, topic: Topic, partition: u32) -> Result<u64, LogError> {
        let inner = &*self.inner;
        let place = inner.place(topic, partition)?;
        if inner.lock.is_some() {
            return Ok(lock(&place.tail).as_ref().map_or(0, |tail| tail.synced));
        }
        let at = inner.names().position(|name| name == (topic, partition)).unwrap_or(0);
        Ok(marks::read(&inner.dir, inner.places.len())?.map_or(0, |(_, offsets)| offsets[at]))
    }

    fn sync_to(&self, offsets: &BTreeMap<(Topic, u32), u64>) -> Result<(), LogError> {
        let inner = &*self.inner;
        if inner.options.sync == SyncPolicy::Never {
            return Ok(());
        }
        let synced = match inner.lock {
            Some(_) => inner.synced(),
            None => marks::read(&inner.dir, inner.places.len())?.map_or_else(Vec::new, |(_, offsets)| offsets),
        };
        let is_synced = |name: &(Topic, u32), offset: u64| {
            let at = inner.names().position(|have| have == *name);
            at.and_then(|at| synced.get(at)).is_some_and(|synced| offset <= *synced)
        };
        if offsets.iter().all(|(name, offset)| is_synced(name, *offset)) { Ok(()) } else { self.sync() }
    }

    fn start(&self, topic: Topic, partition: u32) -> Result<u64, LogError> {
        Ok(segment::list(&self.inner.partition_dir(topic, partition))?.first().copied().unwrap_or(0))
    }

    fn end(&self, topic: Topic, partition: u32) -> Result<u64, LogError> {
        let place = self.inner.place(topic, partition)?;
        if let Some(tail) = &*lock(&place.tail) {
            return Ok(tail.next_offset);
        }
        let dir = self.inner.partition_dir(topic, partition);
        let mut end = lock(&place.end);
        let mut known = end.take();
        loop {
            let newest = || Ok(segment::list(&dir)?.last().map(|first| (*first, 0, *first)));
            let Some((first, position, offset)) = known.map_or_else(newest, |known| Ok(Some(known)))? else {
                return Ok(0);
            };
            let mut scan = match Scan::open_at(&segment::path(&dir, first), first, (position, offset), 1 << 18) {
                // Retention removed it since.
                Err(error) if error.is_absent() => {
                    known = None;
                    continue;
                }
                opened => opened?,
            };
            while let Found::Record = scan.step()? {}
            // The next segment is named by the offset it begins with.
            if first == scan.offset || !segment::path(&dir, scan.offset).exists() {
                *end = Some((first, scan.position, scan.offset));
                return Ok(scan.offset);
            }
            known = Some((scan.offset, 0, scan.offset));
        }
    }

    fn offset_at(&self, topic: Topic, partition: u32, ts_recv: Ts) -> Result<u64, LogError> {
        find::offset_at(&self.inner.partition_dir(topic, partition), ts_recv)
    }

    fn newest(&self) -> Result<Option<Ts>, LogError> {
        let tails =
            self.inner.places.iter().filter_map(|place| lock(&place.tail).as_ref().and_then(|tail| tail.newest));
        match (self.inner.lock.is_some(), tails.max()) {
            (true, Some(newest)) => Ok(Some(newest)),
            _ => super::newest(self),
        }
    }

    fn commit(&self, _topic: Topic, _partition: u32, _offset: u64) -> Result<(), LogError> {
        Ok(())
    }

    fn read(&self, topic: Topic, partition: u32, from_offset: u64) -> Result<Box<dyn Records>, LogError> {
        let inner = &*self.inner;
        let place = inner.place(topic, partition)?;
        let name = format!("{}/{partition}", topic.name());
        let visible = inner.lock.as_ref().map(|_| place.visible.clone());
        let reader = Reader::new(inner.partition_dir(topic, partition), name, from_offset, visible);
        let mut readers = lock(&place.readers);
        readers.retain(|reader| 0 < reader.strong_count());
        readers.push(Arc::downgrade(&reader.position));
        Ok(Box::new(reader))
    }

    fn wake(&self, reader: &Arc<Thread>) {
        self.inner.wakers.add(reader);
    }
}

impl Drop for SegmentLog {
    fn drop(&mut self) {
        if let Some(syncer) = self.syncer.take() {
            syncer.stop();
        }
        if self.inner.lock.is_none() {
            return;
        }
        if let Err(error) = self.sync() {
            let waiting = |place: &Place| lock(&place.tail).as_ref().map_or(0, Tail::waiting);
            let records: u64 = self.inner.places.iter().map(waiting).sum();
            tracing::error!(%error, records, "the log could not be written: so many records are lost");
        }
    }
}

/// Writes a file so that it is there whole or not at all.
fn write_atomically(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let temporary = path.with_extension("tmp");
    let file = disk.open(&temporary)?;
    file.set_len(0)?;
    write_all_at(&*file, bytes, 0).map_err(|(_, error)| error)?;
    file.sync()?;
    std::fs::rename(&temporary, path)?;
    path.parent().map_or(Ok(()), |dir| disk.sync_dir(dir))
}
