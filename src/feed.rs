//! Reads the partitions of a log in the order of knowledge time and feeds them to a worker of the graph.

use std::collections::VecDeque;

use prism_connectors::log::{Log, LogError, Records};
use prism_dataflow::{
    admit::{Admission, Record},
    assemble::Plan,
    tables::Sink,
    types::Time,
};
use prism_schemas::{
    Event, Topic,
    event::{Batch, Heartbeat, event::Body},
    time::SECOND,
};

use crate::passthrough;

/// Topics the graph reads today, in the order that breaks ties of knowledge time.
pub(crate) const TOPICS: [Topic; 4] = [Topic::Reference, Topic::Status, Topic::Trades, Topic::Quarantine];

/// A partition that is silent this long, in nanoseconds of knowledge time, while others go on gets a heartbeat.
const BEHIND: Time = 2 * SECOND as Time;

/// Everything known before a time has been handed to the graph.
#[derive(Clone, Debug)]
pub(crate) struct Mark {
    /// That time.
    pub(crate) frontier: Time,
    /// By partition, the offset before which there is nothing else.
    pub(crate) offsets: Vec<(Topic, u32, u64)>,
    /// Knowledge time of the first record of all.
    pub(crate) first: Option<Time>,
    /// Events read.
    pub(crate) events: u64,
}

/// One partition on its way into the graph.
struct Partition {
    topic: Topic,
    number: u32,
    /// Offsets after which something newer is known, with what is known before them.
    offsets: VecDeque<(Time, u64)>,
    /// Knowledge time of the newest heartbeat written in its place.
    stood_in: Time,
    records: Box<dyn Records>,
    admission: Admission,
    queue: VecDeque<Record>,
    at_end: bool,
}

/// The partitions that one worker reads, merged.
pub(crate) struct Feed {
    partitions: Vec<Partition>,
    scratch: Vec<Record>,
    rows: Vec<prism_schemas::Version>,
    /// Messages read so far.
    pub(crate) messages: u64,
    /// Events read so far, the graph's and others.
    pub(crate) events: u64,
    /// Knowledge time of the first record.
    pub(crate) first: Option<Time>,
}

impl Feed {
    /// The partitions of worker `index` of `peers`, from their starts.
    pub(crate) fn open(log: &dyn Log, plan: &Plan, index: usize, peers: usize) -> Result<Feed, LogError> {
        let mut partitions = Vec::new();
        for topic in TOPICS {
            for partition in 0..log.partitions(topic) {
                if partition as usize % peers == index {
                    let admission = Admission::new(plan.registry.clone(), plan.settings.time.clone());
                    let from = log.start(topic, partition)?;
                    partitions.push(Partition {
                        topic,
                        number: partition,
                        offsets: VecDeque::new(),
                        stood_in: 0,
                        records: log.read(topic, partition, from)?,
                        admission,
                        queue: VecDeque::new(),
                        at_end: false,
                    });
                }
            }
        }
        Ok(Feed { partitions, scratch: Vec::new(), rows: Vec::new(), messages: 0, events: 0, first: None })
    }

    /// Reads each partition on until it has a record waiting or is at its end.
    fn fill(&mut self, at: usize, sink: &Sink) -> Result<(), LogError> {
        let partition = &mut self.partitions[at];
        while partition.queue.is_empty() {
            let Some(record) = partition.records.next()? else {
                partition.at_end = true;
                return Ok(());
            };
            self.messages += 1;
            self.events += record.batch.events.len() as u64;
            partition.admission.admit(record.batch, &mut self.scratch);
            let known = partition.admission.known().unwrap_or(0);
            match partition.offsets.back_mut() {
                Some((have, next)) if *have == known => *next = record.offset + 1,
                _ => partition.offsets.push_back((known, record.offset + 1)),
            }
            passthrough::rows(record.batch, known as i64, &mut self.rows);
            self.rows.drain(..).for_each(|row| sink(row));
            partition.queue.extend(self.scratch.drain(..));
        }
        Ok(())
    }

    /// Looks again at partitions that were at their end.
    pub(crate) fn poll(&mut self) {
        self.partitions.iter_mut().for_each(|partition| partition.at_end = false);
    }

    /// The next record in the order of knowledge time. `None`: all partitions are at their end, or, when `following`,
    /// one that may still grow is behind all waiting records.
    pub(crate) fn next(&mut self, following: bool, sink: &Sink) -> Result<Option<Record>, LogError> {
        for at in 0..self.partitions.len() {
            if self.partitions[at].queue.is_empty() && !self.partitions[at].at_end {
                self.fill(at, sink)?;
            }
        }
        let heads = self.partitions.iter().enumerate();
        let first = heads.filter_map(|(at, p)| Some((p.queue.front()?.known(), at))).min();
        match first {
            Some((known, at)) if !following || self.reached().is_some_and(|reached| known <= reached) => {
                self.first.get_or_insert(known);
                Ok(self.partitions[at].queue.pop_front())
            }
            _ => Ok(None),
        }
    }

    /// Nothing known before this will come from partitions that are at their end and may still grow.
    pub(crate) fn reached(&self) -> Option<Time> {
        let open = self.partitions.iter().filter(|partition| partition.queue.is_empty());
        open.map(|partition| partition.admission.known().unwrap_or(0)).min().or(Some(Time::MAX))
    }

    /// What has been handed over so far.
    pub(crate) fn mark(&mut self) -> Mark {
        let known = |p: &Partition| p.queue.front().map_or(p.admission.known().unwrap_or(0), Record::known);
        let frontier = self.partitions.iter().map(known).min().unwrap_or(0);
        let mut offsets = Vec::new();
        for partition in &mut self.partitions {
            let mut done = None;
            while let Some((known, next)) = partition.offsets.front()
                && *known < frontier
            {
                done = Some(*next);
                partition.offsets.pop_front();
            }
            offsets.extend(done.map(|next| (partition.topic, partition.number, next)));
        }
        Mark { frontier, offsets, first: self.first, events: self.events }
    }

    /// Writes a heartbeat to each partition that is at its end and has fallen behind, so that a replay repeats the decision.
    pub(crate) fn stand_in(&mut self, log: &dyn Log) -> Result<(), LogError> {
        let newest = self.newest().unwrap_or(0);
        let mut wrote = false;
        for partition in self.partitions.iter_mut().filter(|partition| partition.at_end) {
            let known = partition.admission.known().unwrap_or(0).max(partition.stood_in);
            if newest.saturating_sub(known) <= BEHIND {
                continue;
            }
            let ts_recv = (newest - BEHIND / 2) as i64;
            let cause = format!("reader: silent for {} s", BEHIND / SECOND as Time);
            let body = Some(Body::Heartbeat(Heartbeat { cause }));
            let event = Event { ts_event: ts_recv, ts_recv, seq: None, index: 0, body };
            let batch = Batch { events: vec![event], ..Batch::default() };
            match log.append(partition.topic, partition.number, &batch) {
                Ok(()) => wrote = true,
                // A log that only its writer may write to: its writer sends the heartbeats.
                Err(LogError::Usage(_)) => {}
                Err(error) => return Err(error),
            }
            partition.stood_in = ts_recv as Time;
        }
        if wrote { log.flush() } else { Ok(()) }
    }

    /// The newest knowledge time of all partitions.
    pub(crate) fn newest(&self) -> Option<Time> {
        self.partitions.iter().filter_map(|partition| partition.admission.known()).max()
    }

    /// The largest event time of a trade or venue bar.
    pub(crate) fn last_event(&self) -> i64 {
        self.partitions.iter().map(|partition| partition.admission.last_event).max().unwrap_or(i64::MIN)
    }

    /// Unfinished tails that readers stopped before, in words.
    pub(crate) fn torn(&self) -> Vec<String> {
        let torn = self.partitions.iter().filter_map(|partition| partition.records.torn());
        torn.map(|torn| format!("{} ends in {} unfinished bytes at {}", torn.file.display(), torn.bytes, torn.position))
            .collect()
    }
}
