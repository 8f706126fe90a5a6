//! What an open log has in memory: its settings, its partitions' ends, and who waits for them.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Release};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use prism_schemas::Topic;
use serde::{Deserialize, Serialize};

use super::LogError;
use super::disk::Disk;
use super::marks::Marks;
use super::reader::Position;
use super::recover::recover;
use super::sync::SyncPolicy;
use super::tail::Tail;
use super::wake::Wakers;

/// How a log is created and written.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Partitions of each topic, if the log does not exist yet.
    pub partitions: u32,
    /// A segment that reaches this size is closed and the next one begun.
    pub segment_bytes: u64,
    /// When what is written is made to survive a crash of the machine.
    pub sync: SyncPolicy,
    /// Closed segments that have not been written to for this long, in nanoseconds, are removed; 0: never.
    pub retention: i64,
    /// The oldest closed segments are removed while all files together are larger; 0: never.
    pub retention_bytes: u64,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            partitions: 4,
            segment_bytes: 64 << 20,
            sync: SyncPolicy::default(),
            retention: 0,
            retention_bytes: 0,
        }
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

/// What the log and its background thread share.
pub(crate) struct Inner {
    pub(crate) dir: PathBuf,
    pub(crate) partitions: u32,
    pub(crate) options: Options,
    pub(crate) disk: Arc<dyn Disk>,
    /// Held while the log is open for writing.
    pub(crate) lock: Option<File>,
    /// By topic, then partition.
    pub(crate) places: Vec<Place>,
    /// Notes what is synced; whoever syncs holds it.
    pub(crate) marks: Mutex<Option<Marks>>,
    /// Held by whoever removes old segments.
    pub(crate) trimming: Mutex<()>,
    /// Why the log must not go on: a sync failed, and nobody knows what the disk has.
    pub(crate) failed: Mutex<Option<String>>,
    pub(crate) wakers: Wakers,
}

/// A partition of a topic.
#[derive(Default)]
pub(crate) struct Place {
    /// While the log is open for writing, from the first append on.
    pub(crate) tail: Mutex<Option<Tail>>,
    /// The offset before which readers of this process find records.
    pub(crate) visible: Arc<AtomicU64>,
    /// Where its readers in this process are.
    pub(crate) readers: Mutex<Vec<Weak<Position>>>,
    /// First offset of the newest segment, and position and offset of its end, as last seen by a log opened for reading.
    pub(crate) end: Mutex<Option<(u64, u64, u64)>>,
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Inner {
    /// The log of a directory, before it is opened for writing.
    pub(crate) fn open(disk: Arc<dyn Disk>, dir: &Path, options: Options) -> Result<Inner, LogError> {
        let no_log = |detail: String| LogError::NotALog { path: dir.into(), detail };
        let text =
            std::fs::read_to_string(dir.join("log.json")).map_err(|error| no_log(format!("log.json: {error}")))?;
        let meta: Meta = sonic_rs::from_str(&text).map_err(|error| no_log(format!("log.json: {error}")))?;
        if meta.version != 1 || meta.partitions == 0 {
            return Err(no_log(format!("log.json has version {}, partitions {}", meta.version, meta.partitions)));
        }
        Ok(Inner {
            dir: dir.into(),
            partitions: meta.partitions,
            options,
            disk,
            lock: None,
            places: (0..Topic::ALL.len() * meta.partitions as usize).map(|_| Place::default()).collect(),
            marks: Mutex::new(None),
            trimming: Mutex::default(),
            failed: Mutex::new(None),
            wakers: Wakers::default(),
        })
    }

    /// Topic and partition of each place.
    pub(crate) fn names(&self) -> impl Iterator<Item = (Topic, u32)> + use<> {
        let partitions = self.partitions;
        Topic::ALL.into_iter().flat_map(move |topic| (0..partitions).map(move |partition| (topic, partition)))
    }

    pub(crate) fn partition_dir(&self, topic: Topic, partition: u32) -> PathBuf {
        self.dir.join(topic.name()).join(partition.to_string())
    }

    pub(crate) fn place(&self, topic: Topic, partition: u32) -> Result<&Place, LogError> {
        let topic_at = Topic::ALL.iter().position(|t| *t == topic).unwrap_or_default();
        let place = (partition < self.partitions)
            .then(|| self.places.get(topic_at * self.partitions as usize + partition as usize))
            .flatten();
        place.ok_or_else(|| {
            LogError::Usage(format!("{} has {} partitions, not partition {partition}", topic.name(), self.partitions))
        })
    }

    /// Opens a partition for writing; gives what was cut off.
    pub(crate) fn recover(
        &self,
        at: usize,
        topic: Topic,
        partition: u32,
        synced: Option<u64>,
    ) -> Result<Option<Recovered>, LogError> {
        let Some(found) = recover(&self.disk, &self.partition_dir(topic, partition), synced)? else { return Ok(None) };
        let (bytes, records, lost) = (found.bytes, found.records, synced.unwrap_or(0).max(found.tail.next_offset));
        if 0 < bytes {
            tracing::warn!(topic = topic.name(), partition, bytes, "cut off the unfinished end of a segment");
        }
        if found.tail.next_offset < lost {
            let n = lost - found.tail.next_offset;
            tracing::error!(topic = topic.name(), partition, n, "the disk has lost records that were synced");
        }
        let place = &self.places[at];
        place.visible.store(found.tail.written, Release);
        *lock(&place.tail) = Some(found.tail);
        Ok((0 < bytes).then_some(Recovered { topic, partition, bytes, records }))
    }

    /// Lets readers see what is in the file.
    pub(crate) fn show(&self, place: &Place, tail: &Tail) {
        if place.visible.swap(tail.written, Release) != tail.written {
            self.wakers.wake();
        }
    }

    /// Writes what waits in memory, of all partitions whatever happens to one.
    pub(crate) fn flush(&self) -> Result<(), LogError> {
        let mut outcome = Ok(());
        for place in &self.places {
            if let Some(tail) = lock(&place.tail).as_mut() {
                outcome = outcome.and(tail.flush());
                self.show(place, tail);
            }
        }
        outcome
    }

    /// By place, the offset before which records survive.
    pub(crate) fn synced(&self) -> Vec<u64> {
        self.places.iter().map(|place| lock(&place.tail).as_ref().map_or(0, |tail| tail.synced)).collect()
    }
}
