//! How far the log survives a crash: the file `DIR/log.synced`, written after each sync and never ahead of it.
//!
//! It has two places, written in turn, so that one is whole whatever happens. Each: `PRSMSYNC`, a number that rises
//! (u64 LE), how many offsets follow (u32 LE), by topic and partition the offset before which records survive (u64 LE),
//! a checksum of all of it (u32 LE).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::LogError;
use super::disk::{Disk, DiskFile, write_all_at};

const MAGIC: &[u8; 8] = b"PRSMSYNC";
/// Bytes around the offsets.
const FRAME: usize = 8 + 8 + 4 + 4;

/// The file of a log.
pub(crate) fn path(dir: &Path) -> PathBuf {
    dir.join("log.synced")
}

/// Offsets by topic and partition, as far as they were noted; `None` if nobody noted any.
pub(crate) fn read(dir: &Path, n: usize) -> Result<Option<(u64, Vec<u64>)>, LogError> {
    let path = path(dir);
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(LogError::Io { path, source }),
    };
    let places = bytes.chunks(FRAME + 8 * n).filter_map(|place| parse(place, n));
    Ok(places.max_by_key(|(number, _)| *number))
}

fn parse(place: &[u8], n: usize) -> Option<(u64, Vec<u64>)> {
    let (body, crc) = place.split_last_chunk::<4>()?;
    let (magic, body_rest) = body.split_first_chunk::<8>()?;
    let (number, rest) = body_rest.split_first_chunk::<8>()?;
    let (count, offsets) = rest.split_first_chunk::<4>()?;
    let is_whole = magic == MAGIC
        && u32::from_le_bytes(*count) as usize == n
        && offsets.len() == 8 * n
        && crc32fast::hash(body) == u32::from_le_bytes(*crc);
    let read = |bytes: &[u8]| bytes.iter().rev().fold(0, |offset, byte| offset << 8 | u64::from(*byte));
    is_whole.then(|| (u64::from_le_bytes(*number), offsets.chunks(8).map(read).collect()))
}

/// Notes how far the log survives.
pub(crate) struct Marks {
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    number: u64,
    noted: Vec<u64>,
}

impl Marks {
    /// Goes on after the `number` that was read, and makes these offsets the ones that count.
    pub(crate) fn open(disk: &dyn Disk, dir: &Path, number: u64, offsets: Vec<u64>) -> Result<Marks, LogError> {
        let path = path(dir);
        let file = disk.open(&path).map_err(LogError::io(&path))?;
        let mut marks = Marks { path, file, number, noted: Vec::new() };
        marks.note(offsets)?;
        // Offsets may be smaller than before, where a disk has lost records: the old ones must not come back.
        marks.keep()?;
        disk.sync_dir(dir).map_err(LogError::io(dir))?;
        Ok(marks)
    }

    /// Makes what is noted survive a crash of the machine.
    pub(crate) fn keep(&self) -> Result<(), LogError> {
        self.file.sync().map_err(LogError::io(&self.path))
    }

    /// Notes offsets up to which everything is synced. Needs no sync itself: an old note is true as well.
    pub(crate) fn note(&mut self, offsets: Vec<u64>) -> Result<(), LogError> {
        if offsets == self.noted {
            return Ok(());
        }
        let number = self.number + 1;
        let mut place = Vec::with_capacity(FRAME + 8 * offsets.len());
        place.extend_from_slice(MAGIC);
        place.extend_from_slice(&number.to_le_bytes());
        place.extend_from_slice(&(offsets.len() as u32).to_le_bytes());
        offsets.iter().for_each(|offset| place.extend_from_slice(&offset.to_le_bytes()));
        let crc = crc32fast::hash(&place);
        place.extend_from_slice(&crc.to_le_bytes());
        let position = (number % 2) * place.len() as u64;
        let written = write_all_at(&*self.file, &place, position);
        written.map_err(|(_, source)| LogError::Io { path: self.path.clone(), source })?;
        (self.number, self.noted) = (number, offsets);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::System;

    #[test]
    fn one_of_two_places_is_always_whole() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path(), 3).unwrap(), None);
        let mut marks = Marks::open(&System, dir.path(), 0, vec![0, 0, 0]).unwrap();
        for round in 1..6 {
            marks.note(vec![round, 2 * round, 0]).unwrap();
            assert_eq!(read(dir.path(), 3).unwrap(), Some((round + 1, vec![round, 2 * round, 0])));
        }
        // A place that was being written.
        let bytes = std::fs::read(path(dir.path())).unwrap();
        let (size, newest) = (FRAME + 24, 6 % 2);
        let mut torn = bytes.clone();
        torn[newest * size + 21] ^= 1;
        std::fs::write(path(dir.path()), torn).unwrap();
        assert_eq!(read(dir.path(), 3).unwrap(), Some((5, vec![4, 8, 0])));
        // Of another number of topics: not noted.
        std::fs::write(path(dir.path()), bytes).unwrap();
        assert_eq!(read(dir.path(), 4).unwrap(), None);
    }
}
