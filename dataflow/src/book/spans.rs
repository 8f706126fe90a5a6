//! Bars of one role with the book over them, made again when either changes.

use std::{collections::VecDeque, sync::Arc};

use prism_schemas::{Timeframe, Ts};

use super::{
    depth::{Depth, Sums},
    over::Over,
    rows::BookFeatures,
    sample::Inverse,
};
use crate::{
    bar::Bar,
    interval::Interval,
    operator::{find, room, shared},
};

/// A bar and how it stands downstream.
#[derive(Debug)]
struct Placed {
    start: Ts,
    end: Ts,
    bar: Option<Arc<Bar>>,
    out: Option<Interval>,
}

/// The bars of a role that end within the horizon.
#[derive(Debug)]
pub(super) struct Spans {
    timeframe: Timeframe,
    placed: VecDeque<Placed>,
    sums: Sums,
    /// Starts of those to be made again.
    touched: Vec<Ts>,
}

impl Spans {
    pub(super) fn new(timeframe: Timeframe) -> Spans {
        Spans { timeframe, placed: VecDeque::new(), sums: Sums::default(), touched: Vec::new() }
    }

    /// A bar came, or went. False if it is not kept: what has no book over it goes on as it is.
    pub(super) fn place(&mut self, bar: &Arc<Bar>, is_there: bool, is_kept: bool) -> bool {
        let at = match find(&self.placed, &bar.start, |placed| placed.start) {
            Ok(at) => at,
            Err(at) if is_there && is_kept => {
                self.placed.insert(at, Placed { start: bar.start, end: bar.end, bar: None, out: None });
                at
            }
            Err(_) => return false,
        };
        self.placed[at].bar = is_there.then(|| bar.clone());
        self.touched.push(bar.start);
        true
    }

    /// The row of a base interval changed; `first` is the book over it if it is known for the first time and sound.
    pub(super) fn turned(&mut self, (row_start, row_end): (Ts, Ts), first: Option<&Over>) {
        let start = self.timeframe.start(row_end - 1);
        let end = self.timeframe.end(start);
        // Of roles that are no multiple of the base, some base intervals are within no bar.
        let first = first.filter(|_| start <= row_start);
        first.into_iter().for_each(|over| self.sums.add(start, end, over));
        if first.is_some() || row_end == end {
            self.touched.push(start);
        }
    }

    /// Makes what changed again; `row` finds the row of the base interval that ends then.
    pub(super) fn settle<'a>(
        &mut self,
        inverse: Option<Inverse>,
        row: impl Fn(Ts) -> Option<&'a BookFeatures>,
        mut changed: impl FnMut(Option<Interval>, Option<Interval>),
    ) {
        self.touched.sort_unstable();
        self.touched.dedup();
        for start in self.touched.drain(..) {
            let Ok(at) = find(&self.placed, &start, |placed| placed.start) else { continue };
            let placed = &mut self.placed[at];
            let out = placed.bar.clone().map(|bar| {
                let row = row(placed.end).filter(|row| row.is_sound());
                let depth =
                    row.map(|row| Arc::new(Depth::new(row.at_end(), inverse, self.sums.get(start), placed.end)));
                Interval { bar, depth }
            });
            if out != placed.out {
                changed(std::mem::replace(&mut placed.out, out.clone()), out);
            }
        }
    }

    /// A bar that is open, with the book over it until now: `ahead` are its base intervals that did not close yet, oldest
    /// first, and `closed` finds the row of one that did by its end.
    pub(super) fn peek<'a>(
        &self,
        bar: &Arc<Bar>,
        inverse: Option<Inverse>,
        ahead: &'a [(BookFeatures, Over)],
        last_closed: Option<&'a BookFeatures>,
    ) -> Interval {
        let within = |row: &BookFeatures| bar.start <= row.start && row.end <= bar.end;
        let ahead = || ahead.iter().filter(|(row, _)| within(row));
        let newest = ahead().next_back().map(|(row, _)| row).or(last_closed.filter(|row| within(row)));
        let depth = newest.filter(|row| row.is_sound()).map(|newest| {
            let mut sum = self.sums.get(bar.start).copied();
            for (_, over) in ahead().filter(|(row, _)| row.is_sound()) {
                sum.get_or_insert_with(|| Over::new(bar.start, bar.end, bar.end, over.decimals)).merge(over);
            }
            Arc::new(Depth::new(newest.at_end(), inverse, sum.as_ref(), newest.end))
        });
        Interval { bar: bar.clone(), depth }
    }

    /// Bars that ended before `cutoff` stay as they are.
    pub(super) fn forget(&mut self, cutoff: Ts) {
        while self.placed.front().is_some_and(|placed| placed.end < cutoff) {
            self.placed.pop_front();
        }
        self.sums.forget(cutoff);
    }

    /// Bytes it keeps beside itself.
    pub(super) fn bytes(&self) -> usize {
        room(&self.placed) + self.placed.len() * shared::<Depth>() + self.sums.bytes()
    }
}
