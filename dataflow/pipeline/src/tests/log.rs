//! A log in memory that counts how often it was made durable, for pipelines under test.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use prism_log::{Log, LogError, Record, Records, Torn};
use prism_schemas::{Topic, event::Batch};

#[derive(Default)]
struct Inner {
    partitions: BTreeMap<(&'static str, u32), Vec<Batch>>,
    n_syncs: u64,
    committed: BTreeMap<(&'static str, u32), u64>,
}

/// Two partitions of each topic. Clones are handles of the same log.
#[derive(Clone, Default)]
pub(super) struct MemoryLog(Arc<Mutex<Inner>>);

impl MemoryLog {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn n_syncs(&self) -> u64 {
        self.inner().n_syncs
    }

    pub(super) fn committed(&self, topic: Topic, partition: u32) -> u64 {
        self.inner().committed.get(&(topic.name(), partition)).copied().unwrap_or(0)
    }

    pub(super) fn batches(&self, topic: Topic, partition: u32) -> Vec<Batch> {
        self.inner().partitions.get(&(topic.name(), partition)).cloned().unwrap_or_default()
    }
}

impl Log for MemoryLog {
    fn partitions(&self, _: Topic) -> u32 {
        2
    }

    fn append(&self, topic: Topic, partition: u32, batch: &Batch) -> Result<(), LogError> {
        self.inner().partitions.entry((topic.name(), partition)).or_default().push(batch.clone());
        Ok(())
    }

    fn flush(&self) -> Result<(), LogError> {
        Ok(())
    }

    fn sync(&self) -> Result<(), LogError> {
        self.inner().n_syncs += 1;
        Ok(())
    }

    fn start(&self, _: Topic, _: u32) -> Result<u64, LogError> {
        Ok(0)
    }

    fn end(&self, topic: Topic, partition: u32) -> Result<u64, LogError> {
        Ok(self.inner().partitions.get(&(topic.name(), partition)).map_or(0, |batches| batches.len() as u64))
    }

    fn commit(&self, topic: Topic, partition: u32, offset: u64) -> Result<(), LogError> {
        self.inner().committed.insert((topic.name(), partition), offset);
        Ok(())
    }

    fn read(&self, topic: Topic, partition: u32, from_offset: u64) -> Result<Box<dyn Records>, LogError> {
        Ok(Box::new(Reader {
            log: self.clone(),
            place: (topic.name(), partition),
            next: from_offset,
            last: Batch::default(),
        }))
    }
}

struct Reader {
    log: MemoryLog,
    place: (&'static str, u32),
    next: u64,
    last: Batch,
}

impl Records for Reader {
    fn next(&mut self) -> Result<Option<Record<'_>>, LogError> {
        let found = self.log.inner().partitions.get(&self.place).and_then(|all| all.get(self.next as usize).cloned());
        let Some(batch) = found else { return Ok(None) };
        self.last = batch;
        self.next += 1;
        Ok(Some(Record { offset: self.next - 1, batch: &self.last }))
    }

    fn torn(&self) -> Option<&Torn> {
        None
    }
}
