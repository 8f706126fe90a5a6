//! Opening a partition for writing: what a crash left unfinished is cut off, and real damage is named.
//!
//! Behind the offset that is known to be synced, a crash of the machine may have left holes, and whole segments after
//! them: none of it was promised, so it goes. Before that offset a wrong byte is damage, and nothing is changed.

use std::path::Path;
use std::sync::Arc;

use prism_schemas::event::{Batch, Message};

use super::LogError;
use super::disk::Disk;
use super::segment::{self, Found, Scan};
use super::tail::Tail;

/// A partition that can be written.
pub(crate) struct Recovery {
    pub(crate) tail: Tail,
    /// Bytes cut off.
    pub(crate) bytes: u64,
    /// Sound records left in the last segment.
    pub(crate) records: u64,
}

/// Opens a partition; `None` if it has never been written. `synced` is the offset before which records were synced, if
/// that was noted.
pub(crate) fn recover(disk: &Arc<dyn Disk>, dir: &Path, synced: Option<u64>) -> Result<Option<Recovery>, LogError> {
    let segments = segment::list(dir)?;
    let Some(last) = segments.len().checked_sub(1) else { return Ok(None) };
    if synced == Some(0) && segments[0] != 0 {
        // Nothing was ever synced, and the beginning is lost.
        let bytes = remove(disk, dir, &segments)?;
        return Ok(Some(Recovery { tail: Tail::resume(disk.clone(), dir, 0, 0, 0)?, bytes, records: 0 }));
    }
    // Without a note, all segments but the last are sound.
    let mut at = synced.map_or(last, |synced| segments.iter().rposition(|first| *first <= synced).unwrap_or(0));
    let is_lost = |offset: u64| synced.is_some_and(|synced| synced <= offset);
    let mut newest = Vec::new();
    loop {
        let path = segment::path(dir, segments[at]);
        let mut scan = Scan::open(&path, segments[at])?;
        loop {
            match scan.step() {
                Ok(Found::Record) => {
                    newest.clear();
                    newest.extend_from_slice(scan.payload());
                }
                Ok(Found::End | Found::Torn) => break,
                Err(LogError::Corrupt { .. }) if is_lost(scan.offset) => break,
                Err(error) => return Err(error),
            }
        }
        let mut bytes = scan.length()? - scan.position;
        if at < last {
            if bytes == 0 && segments[at + 1] == scan.offset {
                // It was written, and perhaps never synced.
                disk.sync_file(&path).map_err(LogError::io(&path))?;
                at += 1;
                continue;
            }
            if !is_lost(scan.offset) {
                return Err(scan.corrupt("it ends here, and the next segment begins with a later record"));
            }
            bytes += remove(disk, dir, &segments[at + 1..])?;
        }
        if 0 < bytes {
            let file = disk.open(&path).map_err(LogError::io(&path))?;
            file.set_len(scan.position).map_err(LogError::io(&path))?;
            file.sync().map_err(LogError::io(&path))?;
        }
        let mut tail = Tail::resume(disk.clone(), dir, segments[at], scan.position, scan.offset)?;
        tail.newest = Batch::decode(&*newest).ok().and_then(|b| b.events.iter().map(|event| event.ts_recv).max());
        return Ok(Some(Recovery { tail, bytes, records: scan.offset - segments[at] }));
    }
}

/// Removes segments, the last first, and gives the number of bytes.
fn remove(disk: &Arc<dyn Disk>, dir: &Path, segments: &[u64]) -> Result<u64, LogError> {
    let mut bytes = 0;
    for first in segments.iter().rev() {
        let path = segment::path(dir, *first);
        bytes += std::fs::metadata(&path).map_err(LogError::io(&path))?.len();
        disk.remove(&path).map_err(LogError::io(&path))?;
        disk.sync_dir(dir).map_err(LogError::io(dir))?;
    }
    Ok(bytes)
}
