//! One instrument's closes, their returns and what the benchmark's are beside them.

use std::collections::VecDeque;

use prism_schemas::Ts;

use super::regression::{Regression, regress};
use crate::{
    operator::{find, first_from},
    settings::Empty,
    types::Diff,
};

/// A bar: its start, end and regression.
type Regressed = (Ts, Ts, Regression);

/// A bar's close, its return and its benchmark's, NaN where there is none; and the regression that stands downstream.
#[derive(Clone, Copy, Debug)]
struct Row {
    start: Ts,
    end: Ts,
    price: f64,
    own: f64,
    benchmark: f64,
    out: Option<Regression>,
}

impl Row {
    fn pair(&self) -> Option<(f64, f64)> {
        (!self.own.is_nan() && !self.benchmark.is_nan()).then_some((self.benchmark, self.own))
    }
}

/// Closes in order of time.
#[derive(Debug, Default)]
pub(super) struct Series {
    rows: VecDeque<Row>,
    /// The newest pairs before the rows.
    pairs: VecDeque<(f64, f64)>,
    /// End and price of the newest close before the rows.
    last: Option<(Ts, f64)>,
    /// Start of the newest row that was forgotten.
    forgotten: Option<Ts>,
    /// Rows that are taken back and may be replaced at once.
    removed: Vec<Row>,
    /// The last pairs, while they are regressed.
    window: Vec<(f64, f64)>,
}

impl Series {
    /// Forgets what ended before `cutoff`, but the last pairs.
    pub(super) fn trim(&mut self, cutoff: Ts, n_pairs: usize) {
        while let Some(front) = self.rows.front().filter(|row| row.end < cutoff) {
            if !front.price.is_nan() {
                self.last = Some((front.end, front.price));
            }
            self.pairs.extend(front.pair());
            if n_pairs < self.pairs.len() {
                self.pairs.pop_front();
            }
            self.forgotten = Some(front.start);
            self.rows.pop_front();
        }
    }

    /// Learns or unlearns a close; false if it has no place.
    pub(super) fn apply(&mut self, start: Ts, end: Ts, price: f64, diff: Diff) -> bool {
        match (find(&self.rows, &start, |row| row.start), diff) {
            (Ok(at), ..=-1) => self.removed.extend(self.rows.remove(at)),
            (Err(at), 1..) if self.forgotten.is_none_or(|newest| newest < start) => {
                let old = self.removed.iter().position(|row| row.start == start);
                let out = old.and_then(|old| self.removed.swap_remove(old).out);
                self.rows.insert(at, Row { start, end, price, own: f64::NAN, benchmark: f64::NAN, out });
            }
            _ => return false,
        }
        true
    }

    /// Makes returns again from a start on.
    pub(super) fn refresh(&mut self, from: Ts, empty: Empty) {
        let first = first_from(&self.rows, &from, |row| row.start);
        let before = self.rows.iter().take(first).rev().find(|row| !row.price.is_nan());
        let mut last = before.map(|row| (row.end, row.price)).or(self.last);
        for row in self.rows.range_mut(first..) {
            row.own = match last {
                // Where empty bars are left out, the close before stands for them.
                Some((end, price)) if end == row.start || empty == Empty::Omit => libm::log(row.price / price),
                _ => f64::NAN,
            };
            if !row.price.is_nan() {
                last = Some((row.end, row.price));
            }
        }
    }

    /// What was taken back stays so: nothing of it stands downstream.
    pub(super) fn settle(&mut self) {
        self.removed.clear();
    }

    fn own(&self, start: Ts) -> f64 {
        find(&self.rows, &start, |row| row.start).map_or(f64::NAN, |at| self.rows[at].own)
    }

    /// Makes regressions again from a start on and hands over what changed, before and after.
    pub(super) fn run(
        &mut self,
        from: Ts,
        benchmark: &Series,
        n_pairs: usize,
        mut changed: impl FnMut(Option<Regressed>, Option<Regressed>),
    ) {
        for row in self.removed.drain(..) {
            changed(row.out.map(|out| (row.start, row.end, out)), None);
        }
        for at in first_from(&self.rows, &from, |row| row.start)..self.rows.len() {
            self.rows[at].benchmark = benchmark.own(self.rows[at].start);
            let out = self.rows[at].pair().and_then(|_| self.regress(at, n_pairs));
            let row = &mut self.rows[at];
            let old = std::mem::replace(&mut row.out, out);
            changed(old.map(|out| (row.start, row.end, out)), out.map(|out| (row.start, row.end, out)));
        }
    }

    /// Regresses over the last pairs up to a row, always from them alone.
    fn regress(&mut self, at: usize, n_pairs: usize) -> Option<Regression> {
        let pairs = self.rows.range(..=at).rev().filter_map(Row::pair);
        self.window.clear();
        self.window.extend(pairs.chain(self.pairs.iter().rev().copied()).take(n_pairs));
        if self.window.len() < n_pairs {
            return None;
        }
        self.window.reverse();
        regress(self.window.iter())
    }
}
