//! The event log: topics cut into partitions, each an ordered sequence of batches with offsets from 0.

mod clock;
mod disk;
mod embedded;
#[cfg(test)]
mod faults;
mod find;
mod inner;
mod known;
mod live;
mod marks;
mod reader;
mod recover;
mod restate;
mod retention;
mod segment;
mod sync;
mod tail;
mod wake;
mod writer;

pub use clock::{SteadyClock, Step};
pub use embedded::SegmentLog;
pub use inner::{Options, Recovered};
pub use known::Known;
pub use live::{LiveWriter, Pace, session};
pub use restate::EVERY as RESTATED_EVERY;
pub use sync::SyncPolicy;
pub use wake::Wakers;
pub use writer::LogWriter;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::Thread;

use prism_schemas::event::Batch;
use prism_schemas::instrument::fnv1a;
use prism_schemas::time::format_ts;
use prism_schemas::{InstrumentId, Topic, Ts};

/// An ordered, partitioned log of batches. Segment files and Kafka implement it.
pub trait Log: Send + Sync {
    /// How many partitions a topic has; fixed when the log is created.
    fn partitions(&self, topic: Topic) -> u32;

    /// Appends a batch. It may wait in a bounded buffer until `flush`; waits itself while that is full. After an error
    /// the batch is not in the log, and everything appended before still is or waits to be written.
    fn append(&self, topic: Topic, partition: u32, batch: &Batch) -> Result<(), LogError>;

    /// Makes everything appended visible to readers, soon.
    fn flush(&self) -> Result<(), LogError>;

    /// Makes everything that is visible survive a crash of the machine, and first, if this process writes the log, all
    /// that was appended visible. Works on a log opened for reading too.
    fn sync(&self) -> Result<(), LogError>;

    /// The offset before which records are known to survive a crash of the machine.
    fn synced(&self, _topic: Topic, _partition: u32) -> Result<u64, LogError> {
        // What is visible on a broker is what its replicas have acknowledged.
        Ok(u64::MAX)
    }

    /// Returns once everything before these offsets survives, as far as the log's settings ask for it: so that nothing
    /// made of the records outlives them.
    fn sync_to(&self, offsets: &BTreeMap<(Topic, u32), u64>) -> Result<(), LogError> {
        for ((topic, partition), offset) in offsets {
            if self.synced(*topic, *partition)? < *offset {
                return self.sync();
            }
        }
        Ok(())
    }

    /// The first offset that is still there.
    fn start(&self, topic: Topic, partition: u32) -> Result<u64, LogError>;

    /// The offset the next batch will get. May read the newest part of the partition.
    fn end(&self, topic: Topic, partition: u32) -> Result<u64, LogError>;

    /// As `end`, for who has better things to do than to wait for somebody who does not answer.
    fn glance(&self, topic: Topic, partition: u32) -> Result<u64, LogError> {
        self.end(topic, partition)
    }

    /// An offset before which everything was received before `ts_recv`, as late as is cheap to find; receive times must
    /// rise, as live writers make them. Knowledge time is rounded up: ask for an epoch earlier.
    fn offset_at(&self, topic: Topic, partition: u32, _ts_recv: Ts) -> Result<u64, LogError> {
        self.start(topic, partition)
    }

    /// The largest receive time of the last record of each partition; `None` if the log is empty.
    fn newest(&self) -> Result<Option<Ts>, LogError> {
        newest(self)
    }

    /// Notes that everything before `offset` is stored; readers elsewhere see it, nothing here reads it.
    fn commit(&self, topic: Topic, partition: u32, offset: u64) -> Result<(), LogError>;

    /// Batches of a partition from an offset on.
    fn read(&self, topic: Topic, partition: u32, from_offset: u64) -> Result<Box<dyn Records>, LogError>;

    /// As `read`, for several partitions; cheaper where readers can share a connection.
    fn read_all(&self, places: &[(Topic, u32, u64)]) -> Result<Vec<Box<dyn Records>>, LogError> {
        places.iter().map(|(topic, partition, from_offset)| self.read(*topic, *partition, *from_offset)).collect()
    }

    /// Unparks a reader's thread whenever records become visible that this log knows of, for as long as the caller keeps
    /// the handle. Records that another process writes to files are not known of: look for these now and then.
    fn wake(&self, _reader: &Arc<Thread>) {}

    /// Why appending waits, or what was appended is not accepted, if that is so.
    fn delayed(&self) -> Option<String> {
        None
    }
}

/// The largest receive time of the last record of each partition, by reading them.
fn newest(log: &(impl Log + ?Sized)) -> Result<Option<Ts>, LogError> {
    let mut places = Vec::new();
    for topic in Topic::ALL {
        for partition in 0..log.partitions(topic) {
            let end = log.end(topic, partition)?;
            if log.start(topic, partition)? < end {
                places.push((topic, partition, end - 1));
            }
        }
    }
    let mut newest = None;
    for mut records in log.read_all(&places)? {
        while let Some(record) = records.next()? {
            newest = newest.max(record.batch.events.iter().map(|event| event.ts_recv).max());
        }
    }
    Ok(newest)
}

/// A reader of one partition.
pub trait Records: Send {
    /// The next batch, borrowed until the next call; `None` at the end. Call again later to follow a log that grows.
    fn next(&mut self) -> Result<Option<Record<'_>>, LogError>;

    /// After `None`: the unfinished or damaged tail the reader stopped before, if there is one.
    fn torn(&self) -> Option<&Torn>;
}

/// One batch and where it stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Record<'a> {
    /// Its number in the partition.
    pub offset: u64,
    /// One instrument's events.
    pub batch: &'a Batch,
}

/// Bytes at the end of a partition that are no complete record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Torn {
    /// The segment file.
    pub file: PathBuf,
    /// Where the tail begins in it.
    pub position: u64,
    /// How long it is.
    pub bytes: u64,
}

/// What can go wrong with a log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The disk refused: free space or repair, then retry.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Stored data is damaged: restore the file from elsewhere, or import again.
    #[error("{} is damaged at byte {position} (record {offset}): {detail}", path.display())]
    Corrupt {
        /// The segment file.
        path: PathBuf,
        /// The byte where the damaged record begins.
        position: u64,
        /// The offset it should have had.
        offset: u64,
        /// What is wrong with it.
        detail: &'static str,
    },
    /// There is no log: create one by import or ingest.
    #[error("{} is no log: {detail}", path.display())]
    NotALog {
        /// The directory.
        path: PathBuf,
        /// What is missing or unexpected.
        detail: String,
    },
    /// The broker cannot be reached or refuses: correct what `detail` names, or start it.
    #[error("{address}: {detail}")]
    Broker {
        /// The broker.
        address: String,
        /// What was tried and what it said.
        detail: String,
    },
    /// The log no longer holds what was asked for: results could not be repeated.
    #[error("{place} no longer holds offset {offset}: retention removed it")]
    Truncated {
        /// Topic and partition.
        place: String,
        /// The offset asked for.
        offset: u64,
    },
    /// Live events would be dated before those of the log: set the clock right, wait, or write to another log.
    #[error(
        "the newest record of the log was received at {}, {:.1} s ahead of the clock of this machine ({}): set the clock \
         right, wait until it is past that time, or write to another log",
        format_ts(*newest), (*newest - *now) as f64 / 1e9, format_ts(*now)
    )]
    Ahead {
        /// Receive time of the newest record.
        newest: Ts,
        /// The time now.
        now: Ts,
    },
    /// Another process writes to it: stop that one first.
    #[error("{} is being written by another process", path.display())]
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// The caller's mistake: a partition that does not exist, or writing to a log opened for reading.
    #[error("{0}")]
    Usage(String),
}

impl LogError {
    /// Whether a file is not there.
    pub(crate) fn is_absent(&self) -> bool {
        matches!(self, LogError::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound)
    }

    pub(crate) fn io(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> LogError + use<'_> {
        move |source| LogError::Io { path: path.to_path_buf(), source }
    }
}

/// The partition that keeps an instrument's events in order.
pub fn partition_of(instrument: &InstrumentId, partitions: u32) -> u32 {
    let key = format!("{}|{}|{}", instrument.exchange, instrument.market.name(), instrument.symbol);
    // The remainder is below a u32.
    (fnv1a(key.as_bytes()) % u64::from(partitions.max(1))) as u32
}
