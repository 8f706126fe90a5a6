//! One instrument's closes, their returns and what the benchmark's are beside them.

use std::collections::VecDeque;

use prism_schemas::Ts;

use super::moments::{Moments, Pair, Regression, Return};
use crate::{
    operator::{Kept, Recent, room},
    settings::Empty,
    types::Diff,
};

/// A bar: its start, end and regression.
type Regressed = (Ts, Ts, Regression);

/// A bar's close (NaN of a gap bar), its return and its benchmark's; and the regression that stands downstream.
#[derive(Clone, Copy, Debug)]
struct Row {
    start: Ts,
    end: Ts,
    price: f64,
    own: Return,
    benchmark: Return,
    out: Option<Regression>,
}

impl Kept for Row {
    fn key(&self) -> Ts {
        self.start
    }

    fn end(&self) -> Ts {
        self.end
    }
}

impl Row {
    fn pair(&self) -> Option<Pair> {
        Return::pair(self.benchmark, self.own)
    }
}

/// Closes in order of time.
#[derive(Debug, Default)]
pub(super) struct Series {
    rows: Recent<Row>,
    /// The newest pairs before the rows.
    pairs: VecDeque<Pair>,
    /// End and price of the newest close before the rows.
    last: Option<(Ts, f64)>,
    window: Window,
    /// Bytes it kept when that was told.
    pub(super) bytes_told: usize,
}

/// The last pairs up to a row, and their moments.
#[derive(Debug, Default)]
struct Window {
    pairs: VecDeque<Pair>,
    moments: Moments,
    /// Place of the row after the last that is in; none if that is not known.
    next: Option<usize>,
}

impl Window {
    fn push(&mut self, pair: Pair, n_pairs: usize) {
        self.pairs.push_back(pair);
        self.moments.add(pair);
        if n_pairs < self.pairs.len()
            && let Some(oldest) = self.pairs.pop_front()
        {
            self.moments.remove(oldest);
        }
    }
}

impl Series {
    /// Forgets what ended before `cutoff`, but the last pairs.
    pub(super) fn trim(&mut self, cutoff: Ts, n_pairs: usize) {
        while let Some(front) = self.rows.forget(cutoff, false) {
            if !front.price.is_nan() {
                self.last = Some((front.end, front.price));
            }
            self.pairs.extend(front.pair());
            if n_pairs < self.pairs.len() {
                self.pairs.pop_front();
            }
            self.window.next = self.window.next.and_then(|next| next.checked_sub(1));
        }
    }

    /// Bytes it keeps.
    pub(super) fn bytes(&self) -> usize {
        self.rows.bytes() + room(&self.pairs) + room(&self.window.pairs)
    }

    /// Learns or unlearns a close; false if it has no place.
    pub(super) fn apply(&mut self, start: Ts, end: Ts, price: f64, diff: Diff) -> bool {
        let (own, benchmark) = (Return::NONE, Return::NONE);
        let make = |old: Option<Row>| Row { start, end, price, own, benchmark, out: old.and_then(|old| old.out) };
        let place = self.rows.apply(start, diff, make);
        // A row that is not in the window yet does not count there, whatever becomes of it before.
        self.window.next = self.window.next.filter(|next| place.is_none_or(|at| *next <= at));
        place.is_some()
    }

    /// Makes returns again from a start on.
    pub(super) fn refresh(&mut self, from: Ts, empty: Empty) {
        let first = self.rows.first_from(from);
        let before = self.rows.iter().take(first).rev().find(|row| !row.price.is_nan());
        let mut last = before.map(|row| (row.end, row.price)).or(self.last);
        for row in self.rows.from_mut(first) {
            row.own = match last {
                // Where empty bars are left out, the close before stands for them.
                Some((end, price)) if end == row.start || empty == Empty::Omit => Return::of(price, row.price),
                _ => Return::NONE,
            };
            if !row.price.is_nan() {
                last = Some((row.end, row.price));
            }
        }
    }

    /// What was taken back stays so: nothing of it stands downstream.
    pub(super) fn settle(&mut self) {
        self.rows.removed().for_each(drop);
    }

    fn own(&self, start: Ts) -> Return {
        self.rows.find(start).map_or(Return::NONE, |at| self.rows[at].own)
    }

    /// Makes regressions again from a start on and hands over what changed, before and after.
    pub(super) fn run(
        &mut self,
        from: Ts,
        benchmark: &Series,
        n_pairs: usize,
        mut changed: impl FnMut(Option<Regressed>, Option<Regressed>),
    ) {
        self.rows.removed().for_each(|row| changed(row.out.map(|out| (row.start, row.end, out)), None));
        let first = self.rows.first_from(from);
        if self.window.next != Some(first) {
            self.rewind(first, n_pairs);
        }
        for row in self.rows.from_mut(first) {
            row.benchmark = benchmark.own(row.start);
            let out = row.pair().and_then(|pair| {
                self.window.push(pair, n_pairs);
                if self.window.pairs.len() < n_pairs { None } else { self.window.moments.regress() }
            });
            let old = std::mem::replace(&mut row.out, out);
            changed(old.map(|out| (row.start, row.end, out)), out.map(|out| (row.start, row.end, out)));
        }
        self.window.next = Some(self.rows.len());
    }

    /// Fills the window with the last pairs before a row.
    fn rewind(&mut self, first: usize, n_pairs: usize) {
        let Series { rows, pairs, window, .. } = self;
        (window.moments, window.next) = (Moments::default(), None);
        window.pairs.clear();
        let newest_first = rows.range(..first).rev().filter_map(Row::pair).chain(pairs.iter().rev().copied());
        for pair in newest_first.take(n_pairs) {
            window.pairs.push_front(pair);
            window.moments.add(pair);
        }
    }
}
