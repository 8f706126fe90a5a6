//! Merges the partitions of a log in the order of knowledge time, for a worker of the graph.

use std::collections::{BTreeMap, VecDeque};

use prism_dataflow::{
    admit::{Admission, Record},
    assemble::Plan,
    tables::Sink,
    types::Time,
};
use prism_log::{Log, LogError, Records};
use prism_schemas::{
    Event, Topic, Versions,
    event::{Batch, Heartbeat, event::Body},
    time::SECOND,
};

use crate::{cut::Cut, passthrough::Passthrough};

/// Topics the graph reads today, in the order that breaks ties of knowledge time.
pub const TOPICS: [Topic; 7] = Topic::ALL;

/// A partition that is silent this long, in nanoseconds of knowledge time, while others go on gets a heartbeat.
const BEHIND: Time = 2 * SECOND as Time;

/// Everything known before a time has been handed to the graph.
#[derive(Clone, Debug)]
pub struct Mark {
    /// That time.
    pub frontier: Time,
    /// By partition, the offset before which there is nothing else, where it moved.
    pub offsets: BTreeMap<(Topic, u32), u64>,
    /// Knowledge time of the first record of all.
    pub first: Option<Time>,
    /// Events read.
    pub events: u64,
    /// Whether everything that was in the log at the start has been handed over.
    pub caught_up: bool,
}

impl Mark {
    /// Takes in a later one, or one of another worker.
    pub(crate) fn merge(&mut self, other: Mark) {
        self.frontier = self.frontier.max(other.frontier);
        self.offsets.extend(other.offsets);
        self.first = self.first.into_iter().chain(other.first).min();
        self.events = self.events.max(other.events);
        self.caught_up |= other.caught_up;
    }
}

/// One partition on its way into the graph.
struct Partition {
    topic: Topic,
    number: u32,
    /// While following, offsets after which something newer is known, with what is known before them.
    offsets: VecDeque<(Time, u64)>,
    /// The offset of the next message.
    next: u64,
    /// Where the partition ended when it was opened.
    end: u64,
    /// Knowledge time of the newest heartbeat written in its place.
    stood_in: Time,
    records: Box<dyn Records>,
    admission: Admission,
    queue: VecDeque<Record>,
    at_end: bool,
}

/// Whose records come next, and before which head of another.
#[derive(Clone, Copy)]
struct Turn {
    at: usize,
    until: (Time, usize),
}

/// The partitions that one worker reads, merged.
pub(crate) struct Merge {
    partitions: Vec<Partition>,
    turn: Option<Turn>,
    scratch: Vec<Record>,
    rows: Vec<prism_schemas::Version>,
    passthrough: Passthrough,
    /// Whether the log may grow, and marks are made.
    following: bool,
    /// Messages read so far.
    pub(crate) messages: u64,
    /// Events read so far, the graph's and others.
    pub(crate) events: u64,
    /// Knowledge time of the first record.
    pub(crate) first: Option<Time>,
}

impl Merge {
    /// The partitions of worker `index` of `peers`, from their starts or where the run goes on; `following` a log that may
    /// grow, or once.
    pub(crate) fn open(
        log: &dyn Log,
        plan: &Plan,
        (index, peers): (usize, usize),
        following: bool,
        cut: Option<&Cut>,
    ) -> Result<Merge, LogError> {
        let mut places = Vec::new();
        for topic in TOPICS {
            for partition in (0..log.partitions(topic)).filter(|partition| *partition as usize % peers == index) {
                let start = cut.and_then(|cut| cut.offsets.get(&(topic, partition)));
                places.push((topic, partition, start.map_or_else(|| log.start(topic, partition), |at| Ok(*at))?));
            }
        }
        let mut partitions = Vec::new();
        for ((topic, number, start), records) in places.iter().zip(log.read_all(&places)?) {
            partitions.push(Partition {
                topic: *topic,
                number: *number,
                offsets: VecDeque::new(),
                next: *start,
                end: if following { log.end(*topic, *number)? } else { 0 },
                stood_in: 0,
                records,
                admission: Admission::new(plan.registry.clone(), &plan.settings, *topic, *number),
                queue: VecDeque::new(),
                at_end: false,
            });
        }
        Ok(Merge {
            partitions,
            turn: None,
            scratch: Vec::new(),
            rows: Vec::new(),
            passthrough: cut.map(|cut| cut.told.clone()).unwrap_or_default(),
            following,
            messages: 0,
            events: 0,
            first: None,
        })
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
            partition.next = record.offset + 1;
            match partition.offsets.back_mut() {
                _ if !self.following => {}
                Some((have, next)) if *have == known => *next = record.offset + 1,
                _ => partition.offsets.push_back((known, record.offset + 1)),
            }
            self.passthrough.rows(record.batch, known as i64, &mut self.rows);
            let rows = Versions::of(&self.rows).map_err(|error| LogError::Usage(error.to_string()))?;
            self.rows.clear();
            rows.into_iter().for_each(|rows| sink(rows));
            partition.queue.extend(self.scratch.drain(..));
        }
        Ok(())
    }

    /// Looks again at partitions that were at their end.
    pub(crate) fn poll(&mut self) {
        self.partitions.iter_mut().for_each(|partition| partition.at_end = false);
    }

    /// The next record in the order of knowledge time. `None`: all partitions are at their end, or, while following, one
    /// that may still grow is behind all waiting records.
    pub(crate) fn next(&mut self, sink: &Sink) -> Result<Option<Record>, LogError> {
        // One partition goes on until another has something that is known earlier.
        if let Some(turn) = self.turn
            && let Some(head) = self.head(turn.at)
            && head < turn.until
        {
            return Ok(self.partitions[turn.at].queue.pop_front());
        }
        for at in 0..self.partitions.len() {
            if self.partitions[at].queue.is_empty() && !self.partitions[at].at_end {
                self.fill(at, sink)?;
            }
        }
        self.turn = self.take_turn();
        let Some(Turn { at, .. }) = self.turn else { return Ok(None) };
        let record = self.partitions[at].queue.pop_front();
        self.first = self.first.or(record.as_ref().map(Record::known));
        Ok(record)
    }

    /// What a partition has waiting: its knowledge time, and its place among the partitions, which breaks ties.
    fn head(&self, at: usize) -> Option<(Time, usize)> {
        Some((self.partitions[at].queue.front()?.known(), at))
    }

    /// The partition whose turn it is, once each has something waiting or is at its end.
    fn take_turn(&self) -> Option<Turn> {
        let n = self.partitions.len();
        let (head, at) = (0..n).filter_map(|at| self.head(at)).min()?;
        // What is known when the slowest partition is may be handed over; later records may not.
        let reached = if self.following { self.reached() } else { Time::MAX };
        let others = (0..n).filter(|other| *other != at).filter_map(|other| self.head(other)).min();
        let until = others.unwrap_or((Time::MAX, n)).min((reached, n));
        ((head, at) < until).then_some(Turn { at, until })
    }

    /// Nothing known before this will come from partitions that are at their end and may still grow.
    fn reached(&self) -> Time {
        let open = self.partitions.iter().filter(|partition| partition.queue.is_empty());
        open.map(|partition| partition.admission.known().unwrap_or(0)).min().unwrap_or(Time::MAX)
    }

    /// Messages that were in the log when it was opened and are not read yet.
    pub(crate) fn behind(&self) -> u64 {
        self.partitions.iter().map(|partition| partition.end.saturating_sub(partition.next)).sum()
    }

    /// Everything known before this has been handed over.
    pub(crate) fn frontier(&self) -> Time {
        let known = |p: &Partition| p.queue.front().map_or(p.admission.known().unwrap_or(0), Record::known);
        self.partitions.iter().map(known).min().unwrap_or(Time::MAX)
    }

    /// By partition, the offset before which everything is known before `frontier`, where it moved since the last call.
    pub(crate) fn done(&mut self, frontier: Time) -> BTreeMap<(Topic, u32), u64> {
        let mut offsets = BTreeMap::new();
        for partition in &mut self.partitions {
            while let Some((known, next)) = partition.offsets.front()
                && *known < frontier
            {
                offsets.insert((partition.topic, partition.number), *next);
                partition.offsets.pop_front();
            }
        }
        offsets
    }

    /// Writes a heartbeat to each partition that is at its end and has fallen behind the newest knowledge time of all
    /// workers, so that a replay repeats the decision. Nothing is promised beyond `now`, the reader's own clock: one
    /// writer's wrong clock must not date what others write.
    pub(crate) fn stand_in(&mut self, log: &dyn Log, newest: Time, now: Time) -> Result<(), LogError> {
        let mut wrote = false;
        let newest = newest.min(now);
        for partition in self.partitions.iter_mut().filter(|partition| partition.at_end) {
            let known = partition.admission.known().unwrap_or(0).max(partition.stood_in);
            if newest.saturating_sub(known) <= BEHIND {
                continue;
            }
            let ts_recv = (newest - BEHIND / 2) as i64;
            let cause = format!("reader: silent for {} s", BEHIND / SECOND as Time);
            let body = Some(Body::Heartbeat(Heartbeat { cause, ..Heartbeat::default() }));
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
