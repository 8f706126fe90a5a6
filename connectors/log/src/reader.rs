//! Reads a partition's segments in order and follows them while they grow.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Acquire, Ordering::Release};
use std::time::SystemTime;

use prism_schemas::event::{Batch, Message};

use super::segment::{self, Found, Scan};
use super::{LogError, Record, Records, Torn};

/// Where a reader is: it still needs the records from this offset on.
#[derive(Default)]
pub(crate) struct Position(AtomicU64);

impl Position {
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Acquire)
    }
}

/// A partition being read.
pub(crate) struct Reader {
    dir: PathBuf,
    /// Topic and partition.
    name: String,
    scan: Option<Scan>,
    batch: Batch,
    from_offset: u64,
    torn: Option<Torn>,
    pub(crate) position: Arc<Position>,
    /// What this process has written, if it is the one that writes: there is nothing to look for beyond it.
    visible: Option<Arc<AtomicU64>>,
    /// When the directory's entries were last read.
    listed: Option<SystemTime>,
}

impl Reader {
    pub(crate) fn new(dir: PathBuf, name: String, from_offset: u64, visible: Option<Arc<AtomicU64>>) -> Reader {
        let position = Arc::new(Position(AtomicU64::new(from_offset)));
        let (scan, batch, torn, listed) = (None, Batch::default(), None, None);
        Reader { dir, name, scan, batch, from_offset, torn, position, visible, listed }
    }

    /// Goes on with the segment that begins with this offset.
    fn open(&mut self, first: u64) -> Result<(), LogError> {
        let scan = Scan::open(&segment::path(&self.dir, first), first)?;
        self.position.0.store(self.from_offset.max(first), Release);
        self.scan = Some(scan);
        self.listed = None;
        Ok(())
    }

    fn truncated(&self, offset: u64) -> LogError {
        LogError::Truncated { place: self.name.clone(), offset }
    }

    /// Opens the segment that holds `from_offset`; false if there is none yet.
    fn begin(&mut self) -> Result<bool, LogError> {
        let offsets = segment::list(&self.dir)?;
        if offsets.is_empty() {
            return Ok(false);
        }
        let first = offsets.iter().rev().find(|first| **first <= self.from_offset);
        let first = *first.ok_or_else(|| self.truncated(self.from_offset))?;
        match self.open(first) {
            // Removed since the directory was listed.
            Err(error) if error.is_absent() => Err(self.truncated(self.from_offset)),
            opened => opened.map(|()| true),
        }
    }

    /// Whether this process has written nothing beyond what is read.
    fn is_at_own_end(&self) -> bool {
        let next = self.scan.as_ref().map_or(0, |scan| scan.offset).max(self.from_offset);
        self.visible.as_ref().is_some_and(|visible| visible.load(Acquire) <= next)
    }

    fn step(&mut self) -> Result<bool, LogError> {
        self.torn = None;
        if self.is_at_own_end() || self.scan.is_none() && !self.begin()? {
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
            let (at_end, offset) = (matches!(found, Found::End), scan.offset);
            // The next segment is named by the offset it begins with.
            if at_end && offset != scan.first_offset && segment::path(&self.dir, offset).exists() {
                self.open(offset)?;
                continue;
            }
            if self.is_followed()? {
                if looked_again {
                    return Err(self.no_next());
                }
                looked_again = true;
                continue;
            }
            if !at_end && let Some(scan) = &self.scan {
                let bytes = scan.length()?.saturating_sub(scan.position);
                self.torn = Some(Torn { file: scan.path.clone(), position: scan.position, bytes });
            }
            return Ok(false);
        }
    }

    /// Whether a segment with a later record exists. Lists the directory only if it has changed since the last time.
    fn is_followed(&mut self) -> Result<bool, LogError> {
        let Some(scan) = &self.scan else { return Ok(false) };
        let changed = std::fs::metadata(&self.dir).and_then(|found| found.modified()).ok();
        if changed.is_some() && changed == self.listed {
            return Ok(false);
        }
        let is_followed = segment::list(&self.dir)?.into_iter().any(|first| scan.first_offset < first);
        if !is_followed {
            self.listed = changed;
        }
        Ok(is_followed)
    }

    /// Why the segment that follows does not go on where this one ends.
    fn no_next(&self) -> LogError {
        let Some(scan) = &self.scan else { return self.truncated(self.from_offset) };
        if scan.path.exists() {
            scan.corrupt("it ends here, and the next segment begins with a later record")
        } else {
            self.truncated(scan.offset)
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

#[cfg(test)]
mod tests {
    use prism_schemas::event::Event;

    use super::*;
    use crate::{Log, SegmentLog};

    #[test]
    fn a_writer_that_comes_back_cuts_off_what_a_reader_has_read_ahead() {
        let dir = tempfile::tempdir().unwrap();
        let path = segment::path(dir.path(), 0);
        let record = |n: u64| {
            let (mut bytes, raw) = (Vec::new(), format!("{n}").repeat(100));
            let [exchange, market] = ["x", "spot"].map(String::from);
            let batch = Batch { exchange, market, symbol: raw, events: vec![Event::default()] };
            segment::put(&mut bytes, &batch).unwrap();
            bytes
        };
        let whole = [&segment::header(0)[..], &record(1)].concat();
        std::fs::write(&path, [&whole[..], &record(22)[..50]].concat()).unwrap();
        let mut reader = Reader::new(dir.path().into(), "trades/0".into(), 0, None);
        assert!(reader.next().unwrap().is_some());
        // The unfinished one is in the reader's buffer.
        std::fs::write(&path, [whole, record(3), record(4)].concat()).unwrap();
        for n in ["3", "4"] {
            assert!(reader.next().unwrap().unwrap().batch.symbol.starts_with(n));
        }
        assert!(reader.next().unwrap().is_none());
    }

    #[test]
    fn a_directory_is_listed_again_only_when_it_has_changed() {
        let dir = tempfile::tempdir().unwrap();
        let log = SegmentLog::open(dir.path()).unwrap();
        let topic = prism_schemas::Topic::Trades;
        log.append(topic, 0, &Batch { events: vec![Event::default()], ..Batch::default() }).unwrap();
        log.flush().unwrap();
        let partition = dir.path().join(topic.name()).join("0");
        let mut reader = Reader::new(partition.clone(), "trades/0".into(), 0, None);
        assert!(reader.next().unwrap().is_some() && reader.next().unwrap().is_none());
        let listed = reader.listed.unwrap();
        // A later segment without those between is damage, which is looked for when the directory says it changed.
        std::fs::write(segment::path(&partition, 9), "").unwrap();
        let entries = std::fs::File::open(&partition).unwrap();
        entries.set_modified(listed).unwrap();
        assert!(reader.next().unwrap().is_none());
        entries.set_modified(listed + std::time::Duration::from_secs(1)).unwrap();
        assert!(matches!(reader.next(), Err(LogError::Corrupt { .. })));
    }
}
