//! Values over event time, learnt in any order.

use prism_schemas::Ts;

/// Values, and the times from which each holds.
#[derive(Clone, Debug)]
pub(super) struct Timeline<V> {
    /// Rising by time, each once.
    values: Vec<(Ts, V)>,
}

impl<V: Copy> Timeline<V> {
    /// Of which nothing is known.
    pub(super) const fn new() -> Timeline<V> {
        Timeline { values: Vec::new() }
    }

    /// Learns a value; `join` makes one of two of the same time, and must commute for the order of learning not to show.
    pub(super) fn learn(&mut self, ts: Ts, value: V, join: impl Fn(V, V) -> V) {
        match self.values.binary_search_by_key(&ts, |(at, _)| *at) {
            Ok(at) => self.values[at].1 = join(self.values[at].1, value),
            Err(at) => self.values.insert(at, (ts, value)),
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    /// Values of times up to and including `ts`, newest first.
    pub(super) fn until(&self, ts: Ts) -> impl Iterator<Item = (Ts, V)> {
        self.values[..self.first_after(ts)].iter().rev().copied()
    }

    /// Values of times after `from` and before `to`, oldest first.
    pub(super) fn between(&self, from: Ts, to: Ts) -> impl Iterator<Item = (Ts, V)> {
        self.values[self.first_after(from)..].iter().copied().take_while(move |(at, _)| *at < to)
    }

    fn first_after(&self, ts: Ts) -> usize {
        self.values.partition_point(|(at, _)| *at <= ts)
    }

    /// Forgets values of times before `ts`.
    pub(super) fn forget(&mut self, ts: Ts) {
        let n = self.values.partition_point(|(at, _)| *at < ts);
        self.values.drain(..n);
    }

    /// Forgets the oldest value if there are more than `most`; whether there were.
    pub(super) fn bound(&mut self, most: usize) -> bool {
        let is_full = most < self.values.len();
        if is_full {
            self.values.remove(0);
        }
        is_full
    }
}
