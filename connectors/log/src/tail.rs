//! The end of a partition being written: what waits in memory, what is in the file, and what of it survives a crash.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use prism_schemas::Ts;
use prism_schemas::event::Batch;

use super::LogError;
use super::disk::{Disk, DiskFile, write_all_at};
use super::segment;

/// Bytes that wait in memory before they are written.
const BUFFER: usize = 1 << 18;
/// Finished segments that may wait to be synced; then whoever writes syncs them.
const UNSYNCED_MAX: usize = 4;

/// The end of a partition being written.
pub(crate) struct Tail {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    /// The offset of the file's first record.
    first_offset: u64,
    /// Records that are not in the file yet, behind the header if that is not there either.
    buffer: Vec<u8>,
    /// Bytes of the file that are whole records. What a failed write left behind them is written over.
    length: u64,
    /// The offset before which records are in files.
    pub(crate) written: u64,
    /// The offset of the next record.
    pub(crate) next_offset: u64,
    /// The offset before which records survive a crash of the machine.
    pub(crate) synced: u64,
    /// Finished segments that are not synced yet.
    finished: Vec<(PathBuf, Arc<dyn DiskFile>)>,
    /// Whether the file has been written to since it was synced.
    is_dirty: bool,
    /// Whether the directory has a new entry since it was synced.
    has_new_entry: bool,
    /// The largest receive time of the newest record.
    pub(crate) newest: Option<Ts>,
}

/// What is to be synced outside of the partition's lock.
pub(crate) struct Unsynced {
    files: Vec<(PathBuf, Arc<dyn DiskFile>)>,
    dir: Option<PathBuf>,
    /// The offset before which everything survives afterwards.
    until: u64,
}

impl Unsynced {
    /// Syncs it. After a failure nobody knows what the disk has: the log must not go on.
    pub(crate) fn sync(self, disk: &dyn Disk) -> Result<u64, LogError> {
        for (path, file) in &self.files {
            file.sync().map_err(LogError::io(path))?;
        }
        if let Some(dir) = &self.dir {
            disk.sync_dir(dir).map_err(LogError::io(dir))?;
        }
        Ok(self.until)
    }
}

impl Tail {
    /// Begins a partition.
    pub(crate) fn create(disk: Arc<dyn Disk>, dir: &Path) -> Result<Tail, LogError> {
        std::fs::create_dir_all(dir).map_err(LogError::io(dir))?;
        // The directories are there after a crash if the log and the topic know of them.
        for parent in dir.ancestors().skip(1).take(2) {
            disk.sync_dir(parent).map_err(LogError::io(parent))?;
        }
        Tail::resume(disk, dir, 0, 0, 0)
    }

    /// Goes on behind the `length` sound bytes of the segment with this first offset.
    pub(crate) fn resume(
        disk: Arc<dyn Disk>,
        dir: &Path,
        first_offset: u64,
        length: u64,
        next_offset: u64,
    ) -> Result<Tail, LogError> {
        let path = segment::path(dir, first_offset);
        let file = disk.open(&path).map_err(LogError::io(&path))?;
        let mut tail = Tail {
            disk,
            dir: dir.into(),
            path,
            file,
            first_offset,
            buffer: Vec::new(),
            length,
            written: next_offset,
            next_offset,
            synced: 0,
            finished: Vec::new(),
            is_dirty: true,
            has_new_entry: true,
            newest: None,
        };
        tail.begin();
        Ok(tail)
    }

    /// Puts the header before the first record of a file.
    fn begin(&mut self) {
        if self.length == 0 && self.buffer.is_empty() {
            self.buffer.extend_from_slice(&segment::header(self.first_offset));
            self.is_dirty = true;
        }
    }

    /// Takes a batch whole, or not at all: after an error it is not in the log, and everything before it still is.
    pub(crate) fn append(&mut self, batch: &Batch, segment_bytes: u64) -> Result<(), LogError> {
        if segment_bytes <= self.length + self.buffer.len() as u64 && self.first_offset < self.next_offset {
            self.roll()?;
        }
        if BUFFER <= self.buffer.len() {
            self.flush()?;
        }
        segment::put(&mut self.buffer, batch)?;
        self.next_offset += 1;
        self.is_dirty = true;
        self.newest = self.newest.max(batch.events.iter().map(|event| event.ts_recv).max());
        Ok(())
    }

    /// Closes the segment and begins the next one.
    fn roll(&mut self) -> Result<(), LogError> {
        self.flush()?;
        let path = segment::path(&self.dir, self.next_offset);
        let file = self.disk.open(&path).map_err(LogError::io(&path))?;
        file.set_len(0).map_err(LogError::io(&path))?;
        let path = std::mem::replace(&mut self.path, path);
        self.finished.push((path, std::mem::replace(&mut self.file, file)));
        self.first_offset = self.next_offset;
        self.length = 0;
        self.has_new_entry = true;
        self.begin();
        Ok(())
    }

    /// Writes what waits. After an error what was not written still waits, and the file ends with a whole record: the
    /// next call goes on there.
    pub(crate) fn flush(&mut self) -> Result<(), LogError> {
        match write_all_at(&*self.file, &self.buffer, self.length) {
            Ok(()) => {
                self.length += self.buffer.len() as u64;
                self.buffer.clear();
                self.written = self.next_offset;
                Ok(())
            }
            Err((n_written, source)) => {
                // Readers may have seen whole records: these stay.
                let (bytes, records) = self.whole(n_written);
                self.length += bytes as u64;
                self.buffer.drain(..bytes);
                self.written += records;
                // If even this fails, the torn bytes are written over, or cut off when the log is opened.
                if let Err(error) = self.file.set_len(self.length) {
                    tracing::warn!(path = %self.path.display(), %error, "an unfinished record was not cut off");
                }
                Err(LogError::Io { path: self.path.clone(), source })
            }
        }
    }

    /// Bytes and number of the whole records within the first `n` bytes of the buffer.
    fn whole(&self, n: usize) -> (usize, u64) {
        let mut bytes = if self.length == 0 { segment::HEADER } else { 0 };
        if n < bytes {
            return (0, 0);
        }
        let mut records = 0;
        while let Some(length) = self.buffer.get(bytes..bytes + 4) {
            let length = length.iter().rev().fold(0, |length, byte| length << 8 | usize::from(*byte));
            let end = bytes + segment::PREFIX + length;
            if n < end {
                break;
            }
            bytes = end;
            records += 1;
        }
        (bytes, records)
    }

    /// Whether so many finished segments wait to be synced that whoever writes should sync them first.
    pub(crate) fn is_ahead(&self) -> bool {
        UNSYNCED_MAX <= self.finished.len()
    }

    /// Records that are not in the file.
    pub(crate) fn waiting(&self) -> u64 {
        self.next_offset - self.written
    }

    /// Takes what is written and not synced yet.
    pub(crate) fn unsynced(&mut self) -> Option<Unsynced> {
        let mut files = std::mem::take(&mut self.finished);
        if std::mem::take(&mut self.is_dirty) {
            files.push((self.path.clone(), self.file.clone()));
        }
        // What waits in memory makes the file dirty again when it is written.
        self.is_dirty = !self.buffer.is_empty();
        let dir = std::mem::take(&mut self.has_new_entry).then(|| self.dir.clone());
        (!files.is_empty() || dir.is_some()).then_some(Unsynced { files, dir, until: self.written })
    }
}
