//! Feeds records into the graph and moves its frontier.

use std::time::Duration;

use timely::{dataflow::operators::probe::Handle as Probe, worker::Worker};

use crate::{
    admit::Record,
    assemble::Inputs,
    event::{Control, Fact, Trade},
    types::Time,
};

/// Trades handed to the engine together, unless the pace says otherwise.
const TRADES_AT_ONCE: usize = 1_024;
/// Strides of input that may be in flight before the reader waits for the graph: as many as it has stages behind each other,
/// so that each look at it moves all of them.
const STRIDES_AHEAD: Time = 6;
/// Epochs of input that may be in flight however short a stride is.
const EPOCHS_AHEAD: Time = 64;

/// How long a worker waits before it looks again whether others moved.
const PATIENCE: Duration = Duration::from_micros(200);
/// Such looks before it goes on with its own share.
const WAITS: usize = 50;

/// How the frontier moves: nothing here changes results.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Nanoseconds of an epoch.
    pub epoch: Time,
    /// Epochs the frontier advances by at once.
    pub stride: Time,
    /// Records handed over together at most; 0 leaves it to the engine.
    pub batch: usize,
}

/// A worker's end of the graph.
pub struct Driver {
    inputs: Inputs,
    probe: Probe<Time>,
    pace: Pace,
    trades: Vec<Trade>,
    frontier: Time,
    /// Knowledge time by which a stride is complete.
    next: Time,
}

impl Driver {
    /// Drives `inputs` at this pace.
    pub fn new(inputs: Inputs, probe: Probe<Time>, pace: Pace) -> Driver {
        let batch = if pace.batch == 0 { TRADES_AT_ONCE } else { pace.batch };
        let trades = Vec::with_capacity(batch);
        Driver { inputs, probe, pace: Pace { batch, ..pace }, trades, frontier: 0, next: 0 }
    }

    /// Hands over a record. Records must come in the order of their knowledge times.
    pub fn send(&mut self, worker: &mut Worker, record: Record) {
        match record {
            Record::Trade(trade) => self.send_trade(worker, trade),
            Record::Books(updates) => {
                self.reach(worker, updates.known().unwrap_or_default());
                if let Some(books) = &mut self.inputs.books {
                    books.send(*updates);
                }
            }
            Record::Control(control) => {
                self.reach(worker, control.known);
                match control.fact {
                    Fact::Alive(_) | Fact::Begin => {
                        let copies =
                            (0..worker.peers() as u32).map(|instrument| Control { instrument, ..(*control).clone() });
                        copies.for_each(|control| self.inputs.controls.send(control));
                    }
                    _ => self.inputs.controls.send(*control),
                }
            }
        }
    }

    /// Hands over a trade.
    #[inline]
    pub fn send_trade(&mut self, worker: &mut Worker, trade: Trade) {
        self.reach(worker, trade.known);
        self.trades.push(trade);
        if self.trades.len() == self.pace.batch {
            self.flush();
        }
    }

    fn flush(&mut self) {
        if !self.trades.is_empty() {
            self.inputs.trades.send_batch(&mut self.trades);
            if self.trades.capacity() == 0 {
                self.trades = self.inputs.spare.take();
            }
            self.trades.reserve(self.pace.batch);
        }
    }

    /// Nothing known before `known` will follow: moves the frontier if a stride is complete, and waits if the graph is behind.
    #[inline]
    pub fn reach(&mut self, worker: &mut Worker, known: Time) {
        if self.next <= known {
            self.stride(worker, known);
        }
    }

    #[inline(never)]
    fn stride(&mut self, worker: &mut Worker, known: Time) {
        self.advance(known - known % self.pace.epoch);
        worker.step();
        let ahead = EPOCHS_AHEAD.max(self.pace.stride * STRIDES_AHEAD);
        let behind = self.frontier.saturating_sub(self.pace.epoch * ahead);
        while self.probe.less_than(&behind) {
            // Another worker may be the one that is behind.
            worker.step_or_park(Some(PATIENCE));
        }
    }

    /// Moves the frontier to `to` at once.
    pub fn advance(&mut self, to: Time) {
        self.flush();
        if self.frontier < to {
            self.inputs.trades.advance_to(to);
            self.inputs.books.iter_mut().for_each(|books| books.advance_to(to));
            self.inputs.controls.advance_to(to);
            self.frontier = to;
            self.next = to.saturating_add(self.pace.epoch * self.pace.stride);
        }
    }

    /// Hands over what it holds and lets go of the frontier: nothing more will come from this worker.
    pub fn close(mut self) {
        self.flush();
    }

    /// Runs until everything before the frontier is out; other workers have to reach it too.
    pub fn drain(&mut self, worker: &mut Worker) {
        while self.probe.less_than(&self.frontier) {
            worker.step_or_park(Some(PATIENCE));
        }
    }

    /// The time before which everything known is out, of all workers, after a wait for this one's own share of it.
    pub fn reached(&mut self, worker: &mut Worker) -> Time {
        for _ in 0..WAITS {
            if !self.probe.less_than(&self.frontier) {
                break;
            }
            worker.step_or_park(Some(PATIENCE));
        }
        self.probe.with_frontier(|frontier| frontier.first().copied()).unwrap_or(self.frontier)
    }
}
