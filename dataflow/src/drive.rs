//! Feeds records into the graph and moves its frontier.

use timely::{dataflow::operators::probe::Handle as Probe, worker::Worker};

use crate::{admit::Record, assemble::Inputs, types::Time};

/// Epochs of input that may be in flight before the reader waits for the graph.
const STRIDES_AHEAD: Time = 2;

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
    n_pending: usize,
    frontier: Time,
}

impl Driver {
    /// Drives `inputs` at this pace.
    pub fn new(inputs: Inputs, probe: Probe<Time>, pace: Pace) -> Driver {
        Driver { inputs, probe, pace, n_pending: 0, frontier: 0 }
    }

    /// Hands over a record. Records must come in the order of their knowledge times.
    pub fn send(&mut self, worker: &mut Worker, record: Record) {
        self.reach(worker, record.known());
        match record {
            Record::Trade(trade) => self.inputs.trades.send(trade),
            Record::Control(control) => self.inputs.controls.send(*control),
        }
        self.n_pending += 1;
        if self.n_pending == self.pace.batch {
            self.inputs.trades.flush();
            self.inputs.controls.flush();
            worker.step();
            self.n_pending = 0;
        }
    }

    /// Nothing known before `known` will follow: moves the frontier if a stride is complete, and waits if the graph is behind.
    pub fn reach(&mut self, worker: &mut Worker, known: Time) {
        let span = self.pace.epoch * self.pace.stride;
        if self.frontier + span <= known {
            self.advance(known - known % self.pace.epoch);
            worker.step();
            let behind = self.frontier.saturating_sub(span * STRIDES_AHEAD);
            while self.probe.less_than(&behind) {
                worker.step();
            }
        }
    }

    /// Moves the frontier to `to` at once.
    pub fn advance(&mut self, to: Time) {
        if self.frontier < to {
            self.inputs.trades.advance_to(to);
            self.inputs.controls.advance_to(to);
            self.frontier = to;
            self.n_pending = 0;
        }
    }

    /// Runs until everything before the frontier is out.
    pub fn drain(&mut self, worker: &mut Worker) {
        while self.probe.less_than(&self.frontier) {
            worker.step_or_park(None);
        }
    }

    /// Whether everything known before `time` is out.
    pub fn is_done(&self, time: Time) -> bool {
        !self.probe.less_than(&time)
    }
}
