//! Removes the oldest segments, by the age of their files or by the size of all: whole, oldest first, never the newest.
//!
//! Readers of this process are waited for: what they have not read stays. A reader in another process that is overtaken
//! is told `LogError::Truncated`. The entry of each file is gone for good before the next is removed, so that a crash
//! leaves no hole.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use super::inner::{Inner, lock};
use super::{LogError, segment};

/// A segment that is not the newest of its partition.
struct Closed {
    path: PathBuf,
    place: usize,
    bytes: u64,
    written: SystemTime,
    /// The first offset of the next segment.
    next: u64,
}

/// Removes what the options no longer keep and gives the number of segments.
pub(crate) fn trim(inner: &Inner, now: SystemTime) -> Result<usize, LogError> {
    let options = &inner.options;
    if options.retention <= 0 && options.retention_bytes == 0 {
        return Ok(0);
    }
    let _alone = lock(&inner.trimming);
    let (mut closed, mut total) = (Vec::new(), 0);
    for (place, (topic, partition)) in inner.names().enumerate() {
        let dir = inner.partition_dir(topic, partition);
        let segments = segment::list(&dir)?;
        // A file that was copied may look older than one before it.
        let mut written = SystemTime::UNIX_EPOCH;
        for (at, first) in segments.iter().enumerate() {
            let path = segment::path(&dir, *first);
            let found = std::fs::metadata(&path).map_err(LogError::io(&path))?;
            total += found.len();
            if let Some(&next) = segments.get(at + 1) {
                written = found.modified().map_err(LogError::io(&path))?.max(written);
                closed.push(Closed { path, place, bytes: found.len(), written, next });
            }
        }
    }
    // Within a partition they stay in order: a stable sort, and whoever keeps one keeps those after it.
    closed.sort_by_key(|segment| segment.written);
    let mut kept = vec![false; inner.places.len()];
    let mut n_removed = 0;
    for segment in closed {
        let age = now.duration_since(segment.written).unwrap_or(Duration::ZERO);
        let is_old = 0 < options.retention && Duration::from_nanos(options.retention.unsigned_abs()) < age;
        let is_much = 0 < options.retention_bytes && options.retention_bytes < total;
        kept[segment.place] |= !is_old && !is_much || is_needed(inner, &segment);
        if kept[segment.place] {
            continue;
        }
        if n_removed == 0
            && let Some(marks) = &*lock(&inner.marks)
        {
            // A partition that begins later than it was synced to has lost its beginning: that must not seem so.
            marks.keep()?;
        }
        inner.disk.remove(&segment.path).map_err(LogError::io(&segment.path))?;
        if let Some(dir) = segment.path.parent() {
            inner.disk.sync_dir(dir).map_err(LogError::io(dir))?;
        }
        tracing::info!(path = %segment.path.display(), bytes = segment.bytes, "removed an old segment");
        total -= segment.bytes;
        n_removed += 1;
    }
    Ok(n_removed)
}

/// Whether it is not synced yet, or a reader of this process is not past it.
fn is_needed(inner: &Inner, segment: &Closed) -> bool {
    let place = &inner.places[segment.place];
    lock(&place.tail).as_ref().is_none_or(|tail| tail.synced < segment.next)
        || lock(&place.readers).iter().filter_map(std::sync::Weak::upgrade).any(|reader| reader.get() < segment.next)
}
