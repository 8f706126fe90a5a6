//! Groups events into batches: one instrument, at most 64 events, one window of 5 ms of receive time.

use std::collections::HashMap;
use std::sync::Arc;

use prism_schemas::event::event::Body;
use prism_schemas::event::{Batch, Heartbeat};
use prism_schemas::time::MILLISECOND;
use prism_schemas::{Event, InstrumentId, Topic, Ts};

use super::{Log, LogError, partition_of};

const EVENTS_MAX: usize = 64;
const WINDOW: i64 = 5 * MILLISECOND;

/// Writes events to a log. Windows are aligned and end at multiples of 5 ms inclusive, so that no batch crosses an
/// epoch of the dataflow and, for receive times in order, grouping never changes an event's knowledge time.
pub struct LogWriter {
    log: Arc<dyn Log>,
    /// Partition of each instrument per topic position.
    instruments: HashMap<InstrumentId, u32>,
    /// The instrument of the last event, and its partition.
    last: Option<(InstrumentId, u32)>,
    /// Open batches by topic position and partition.
    open: Vec<Vec<Open>>,
    partitions: u32,
    written: u64,
    /// Put on heartbeats and states of feeds; empty: nobody vouches for what is between them.
    session: String,
}

#[derive(Default)]
struct Open {
    window: i64,
    /// Receive time of the newest event or heartbeat.
    reached: Ts,
    /// Receive time of the newest heartbeat: no earlier one may follow.
    promised: Ts,
    batches: Vec<Batch>,
    /// Emptied batches, kept for their memory.
    spare: Vec<Batch>,
}

impl LogWriter {
    /// A writer to `log`.
    pub fn new(log: Arc<dyn Log>) -> LogWriter {
        let open =
            Topic::ALL.iter().map(|topic| (0..log.partitions(*topic)).map(|_| Open::default()).collect()).collect();
        let partitions = log.partitions(Topic::Trades);
        LogWriter { log, instruments: HashMap::new(), last: None, open, partitions, written: 0, session: String::new() }
    }

    /// As one life of a live process: heartbeats, and states of feeds without a session, carry this text.
    pub fn in_session(self, session: String) -> LogWriter {
        LogWriter { session, ..self }
    }

    /// The log written to.
    pub fn log(&self) -> &Arc<dyn Log> {
        &self.log
    }

    /// Receive times of the newest event or heartbeat of a partition, and of its newest heartbeat.
    pub(crate) fn reached(&self, topic: Topic, partition: u32) -> [Ts; 2] {
        let open = self.open.get(position(topic)).and_then(|open| open.get(partition as usize));
        open.map_or([0; 2], |open| [open.reached, open.promised])
    }

    /// Events pushed so far.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Adds an event of an instrument to its topic. Order is kept as given. One that was received before a heartbeat of
    /// its partition was written, and comes after it, is dated as the heartbeat: what was promised holds.
    pub fn push(&mut self, instrument: &InstrumentId, mut event: Event) -> Result<(), LogError> {
        let Some(topic) = event.body.as_ref().and_then(Topic::of) else {
            return Err(LogError::Usage("an event without a topic (heartbeats name their partition)".into()));
        };
        let partition = self.partition(instrument);
        let at = position(topic);
        let Some(open) = self.open.get_mut(at).and_then(|open| open.get_mut(partition as usize)) else {
            return Err(LogError::Usage(format!("{} has no partition {partition}", topic.name())));
        };
        if let Some(Body::FeedStatus(status)) = &mut event.body
            && status.session.is_empty()
        {
            status.session.clone_from(&self.session);
        }
        event.ts_recv = event.ts_recv.max(open.promised);
        open.reached = open.reached.max(event.ts_recv);
        let window = event.ts_recv.saturating_sub(1).div_euclid(WINDOW);
        if open.window != window {
            open.write(&*self.log, topic, partition)?;
            open.window = window;
        }
        self.written += 1;
        if let Some(batch) = open.batches.iter_mut().find(|batch| is_of(batch, instrument)) {
            batch.events.push(event);
            if batch.events.len() == EVENTS_MAX {
                // All of them, so that batches stay in the order they were begun.
                open.write(&*self.log, topic, partition)?;
            }
            return Ok(());
        }
        let mut batch = open.spare.pop().unwrap_or_default();
        batch.exchange.push_str(&instrument.exchange);
        batch.market.push_str(instrument.market.name());
        batch.symbol.push_str(&instrument.symbol);
        batch.events.push(event);
        open.batches.push(batch);
        Ok(())
    }

    fn partition(&mut self, instrument: &InstrumentId) -> u32 {
        if let Some((_, partition)) = self.last.as_ref().filter(|(last, _)| last == instrument) {
            return *partition;
        }
        let partition = match self.instruments.get(instrument) {
            Some(partition) => *partition,
            None => {
                let partition = partition_of(instrument, self.partitions);
                self.instruments.insert(instrument.clone(), partition);
                partition
            }
        };
        match &mut self.last {
            Some((last, at)) => {
                last.clone_from(instrument);
                *at = partition;
            }
            None => self.last = Some((instrument.clone(), partition)),
        }
        partition
    }

    /// Promises that no event with an earlier `ts_recv` follows in this partition; writes what is open there first.
    pub fn heartbeat(&mut self, topic: Topic, partition: u32, ts_recv: Ts, cause: &str) -> Result<(), LogError> {
        if let Some(open) = self.open.get_mut(position(topic)).and_then(|open| open.get_mut(partition as usize)) {
            open.write(&*self.log, topic, partition)?;
            open.promised = open.promised.max(ts_recv);
            open.reached = open.reached.max(ts_recv);
        }
        let body = Some(Body::Heartbeat(Heartbeat { cause: cause.into(), session: self.session.clone() }));
        let event = Event { ts_event: ts_recv, ts_recv, seq: None, index: 0, body };
        self.log.append(topic, partition, &Batch { events: vec![event], ..Batch::default() })?;
        Ok(())
    }

    /// Writes open batches and makes them visible to readers.
    pub fn flush(&mut self) -> Result<(), LogError> {
        self.write_open()?;
        self.log.flush()
    }

    /// Writes open batches and waits until they are durable.
    pub fn sync(&mut self) -> Result<(), LogError> {
        self.write_open()?;
        self.log.sync()
    }

    fn write_open(&mut self) -> Result<(), LogError> {
        for (topic, partitions) in Topic::ALL.into_iter().zip(&mut self.open) {
            for (partition, open) in (0..).zip(partitions) {
                open.write(&*self.log, topic, partition)?;
            }
        }
        Ok(())
    }
}

impl Open {
    fn write(&mut self, log: &dyn Log, topic: Topic, partition: u32) -> Result<(), LogError> {
        let mut result = Ok(());
        for mut batch in self.batches.drain(..) {
            if result.is_ok() {
                result = log.append(topic, partition, &batch).map(|_| ());
            }
            batch.exchange.clear();
            batch.market.clear();
            batch.symbol.clear();
            batch.events.clear();
            self.spare.push(batch);
        }
        result
    }
}

fn is_of(batch: &Batch, instrument: &InstrumentId) -> bool {
    batch.symbol == instrument.symbol
        && batch.exchange == instrument.exchange
        && batch.market == instrument.market.name()
}

fn position(topic: Topic) -> usize {
    Topic::ALL.iter().position(|t| *t == topic).unwrap_or_default()
}
