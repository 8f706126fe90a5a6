//! One file's events in the order they were received: newest first, or connection after connection, they come as if they
//! had been recorded together.

use std::collections::VecDeque;
use std::io::{Error, Result};

use prism_exchange::quarantined;
use prism_schemas::time::{DAY, MINUTE};
use prism_schemas::{Event, Ts};

use super::merge::{Item, OPEN_MAX, Run, Stream};
use super::who::Id;
use super::{Events, Source};

/// Events that are sorted in memory at once.
const CHUNK: usize = 1 << 18;

/// Events of another source, in order of receive time, from a temporary file.
pub(super) struct Sorted {
    /// What is left, if anything was there.
    run: Option<Run>,
    control: u64,
}

impl Sorted {
    /// Reads the other source to its end.
    pub(super) fn new(mut source: Box<dyn Source>) -> Result<Sorted> {
        let (mut events, mut runs, mut ended) = (Vec::new(), Vec::new(), false);
        while !ended {
            ended = !source.next(&mut events)?;
            if CHUNK <= events.len() || ended {
                events.sort_by_key(|(_, event)| (event.ts_recv, event.seq));
                runs.extend(Run::of_events(events.drain(..))?);
            }
        }
        while 1 < runs.len() {
            let first = runs.drain(..OPEN_MAX.min(runs.len())).map(|run| Stream::Run(Box::new(run))).collect();
            runs.splice(0..0, Run::of(first).map_err(Error::other)?);
        }
        Ok(Sorted { run: runs.pop(), control: source.control() })
    }
}

impl Source for Sorted {
    fn next(&mut self, out: &mut Events) -> Result<bool> {
        let item = self.run.as_mut().map(Run::take).transpose().map_err(Error::other)?.flatten();
        match item {
            Some(Item::Event(instrument, event)) => out.push((instrument, event)),
            Some(Item::Ended(_)) => {}
            None => return Ok(false),
        }
        Ok(true)
    }

    fn control(&self) -> u64 {
        self.control
    }
}

/// More events at one instant are no stray.
const STRAYS_MAX: usize = 64;

/// Events of another source, but for strays: one row of another year would date all that follows it.
pub(super) struct Steady {
    source: Box<dyn Source>,
    /// Receive time of the last one that went on.
    before: Option<Ts>,
    /// What stands from a place on that is far from what is before it.
    waiting: VecDeque<(Id, Event)>,
    batch: Events,
    ended: bool,
}

impl Steady {
    pub(super) fn new(source: Box<dyn Source>) -> Steady {
        Steady { source, before: None, waiting: VecDeque::new(), batch: Vec::new(), ended: false }
    }

    /// Whether one is no stray, whatever comes behind it: it is not far from what is before it.
    fn goes_on(&mut self, event: &Event) -> bool {
        let goes_on = self.before.is_none_or(|before| !is_far(event, before, event.ts_recv));
        if goes_on {
            self.before = Some(event.ts_recv);
        }
        goes_on
    }

    /// How many wait that were received at the same instant, and the instant behind them once it is known.
    fn group(&mut self) -> Result<(usize, Option<Ts>)> {
        loop {
            let first = self.waiting.front().map(|(_, event)| event.ts_recv);
            let n = self.waiting.iter().take_while(|(_, event)| Some(event.ts_recv) == first).count();
            let behind = self.waiting.get(n).map(|(_, event)| event.ts_recv);
            if behind.is_some() || STRAYS_MAX < n || self.ended {
                return Ok((n, behind));
            }
            self.ended = !self.source.next(&mut self.batch)?;
            self.waiting.extend(self.batch.drain(..));
        }
    }
}

impl Source for Steady {
    fn next(&mut self, out: &mut Events) -> Result<bool> {
        if self.waiting.is_empty() && !self.ended {
            let start = out.len();
            self.ended = !self.source.next(out)?;
            if let Some(far) = out[start..].iter().position(|(_, event)| !self.goes_on(event)) {
                self.waiting.extend(out.drain(start + far..));
            }
            if start < out.len() || self.waiting.is_empty() {
                return Ok(start < out.len() || !self.ended);
            }
        }
        let (n, behind) = self.group()?;
        let Some((_, first)) = self.waiting.front() else { return Ok(false) };
        match (self.before, behind) {
            (Some(before), Some(behind)) if is_stray(before, first, behind) => {
                let detail = "its receive time is far from what stands before and behind it, which is of one time";
                out.extend(self.waiting.drain(..n).map(|(instrument, event)| {
                    let raw = format!("ts_event {} ts_recv {} {:?}", event.ts_event, event.ts_recv, event.body);
                    (instrument, quarantined("clock", detail.into(), raw.as_bytes(), before))
                }));
            }
            _ => {
                self.before = Some(first.ts_recv);
                out.extend(self.waiting.drain(..n));
            }
        }
        Ok(true)
    }

    fn control(&self) -> u64 {
        self.source.control()
    }
}

/// Whether two instants are too far from each other for this event.
fn is_far(event: &Event, one: Ts, other: Ts) -> bool {
    // A recording says when it received; a history is only as old as its trades, which may be few.
    let far = if event.ts_recv == event.ts_event { DAY } else { 10 * MINUTE };
    far.unsigned_abs() < one.abs_diff(other)
}

/// Whether one stands far from what is before and behind it, and these are near each other.
fn is_stray(before: Ts, event: &Event, behind: Ts) -> bool {
    let is_far = |one: Ts, other: Ts| is_far(event, one, other);
    is_far(before, event.ts_recv) && is_far(behind, event.ts_recv) && !is_far(before, behind)
}
