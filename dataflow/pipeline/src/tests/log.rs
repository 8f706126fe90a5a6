//! A log in memory that counts how often it was made durable, for pipelines under test.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use prism_log::{Log, LogError, Record, Records, Torn};
use prism_schemas::{Topic, Ts, event::Batch};

#[derive(Clone, Default)]
struct Inner {
    partitions: BTreeMap<(&'static str, u32), Vec<Batch>>,
    n_syncs: u64,
    committed: BTreeMap<(&'static str, u32), u64>,
    /// First offsets that are left.
    starts: BTreeMap<(&'static str, u32), u64>,
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

impl MemoryLog {
    /// Another log that holds the same.
    pub(super) fn copy(&self) -> MemoryLog {
        MemoryLog(Arc::new(Mutex::new(self.inner().clone())))
    }

    /// Retention removes all that was received before `ts`, of every partition.
    pub(super) fn cut(&self, ts: Ts) {
        let mut inner = self.inner();
        let is_old = |batch: &&Batch| batch.events.iter().all(|event| event.ts_recv < ts);
        let count = |batches: &Vec<Batch>| batches.iter().take_while(is_old).count() as u64;
        let starts = inner.partitions.iter().map(|(place, batches)| (*place, count(batches))).collect();
        inner.starts = starts;
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

    fn start(&self, topic: Topic, partition: u32) -> Result<u64, LogError> {
        Ok(self.inner().starts.get(&(topic.name(), partition)).copied().unwrap_or(0))
    }

    fn offset_at(&self, topic: Topic, partition: u32, ts_recv: Ts) -> Result<u64, LogError> {
        let inner = self.inner();
        let batches = inner.partitions.get(&(topic.name(), partition)).into_iter().flatten();
        let before = batches.take_while(|batch| batch.events.iter().all(|event| event.ts_recv < ts_recv));
        let at = before.count() as u64;
        drop(inner);
        Ok(self.start(topic, partition)?.max(at))
    }

    fn end(&self, topic: Topic, partition: u32) -> Result<u64, LogError> {
        Ok(self.inner().partitions.get(&(topic.name(), partition)).map_or(0, |batches| batches.len() as u64))
    }

    fn commit(&self, topic: Topic, partition: u32, offset: u64) -> Result<(), LogError> {
        self.inner().committed.insert((topic.name(), partition), offset);
        Ok(())
    }

    fn read(&self, topic: Topic, partition: u32, from_offset: u64) -> Result<Box<dyn Records>, LogError> {
        if from_offset < self.start(topic, partition)? {
            return Err(LogError::Truncated { place: topic.name().into(), offset: from_offset });
        }
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
