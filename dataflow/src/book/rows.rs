//! Base bars with the book over them: a row each, made again when the bar or what is said of the book changes.

use std::{collections::VecDeque, sync::Arc};

use prism_schemas::{Timeframe, Ts, book::Rules};

use super::{
    lane::{Frozen, Grid, Lane, Late},
    over::Over,
    resting::Resting,
    sample::{Inverse, N_AT_END},
    spans::Spans,
    updates::BookUpdates,
    watched::Watched,
};
use crate::{
    bar::{Bar, Number, Quality},
    interval::Interval,
    operator::{find, room},
    types::Time,
    values::Values,
};

/// Times of trouble that are kept; the two oldest that are over become one.
const PERIODS_MAX: usize = 256;
/// Base intervals at most that did not close yet, beside those that wait for their grace.
const AHEAD_MAX: i64 = 64;

/// The book over a base bar.
#[derive(Clone, Debug, PartialEq)]
pub struct BookFeatures {
    /// Dense number of the instrument.
    pub instrument: u32,
    /// Start of the bar.
    pub start: Ts,
    /// Its end.
    pub end: Ts,
    /// Events that changed the book.
    pub n_updates: u64,
    /// How far it can be trusted.
    pub quality: Quality,
    /// Numbers at the end, then those over the interval.
    sample: Values,
    over: [u64; 5],
    /// What rests at the end.
    pub(crate) resting: Option<Arc<Resting>>,
    /// Of each of its walls, how much of what it lost was taken at most, where that is known.
    pub(crate) taken: Box<[Number]>,
}

impl BookFeatures {
    /// A number, by its place in the table.
    pub fn number(&self, at: usize) -> Option<f64> {
        let over = || self.over.get(at.checked_sub(N_AT_END)?).map(|bits| f64::from_bits(*bits));
        self.sample.get(at).or_else(over)
    }

    /// Whether components may read it.
    pub(super) fn is_sound(&self) -> bool {
        matches!(self.quality, Quality::Ok | Quality::Partial)
    }

    /// The numbers at the end.
    pub(super) fn at_end(&self) -> Values {
        self.sample.clone()
    }

    fn of(instrument: u32, frozen: &Frozen, bar: &Watched, inverse: Option<Inverse>, is_suspect: bool) -> BookFeatures {
        let (over, watched) = (&frozen.over, bar.quality);
        let quality = if watched == Quality::Gap || over.live == 0 {
            Quality::Gap
        } else if watched == Quality::Suspect || over.is_suspect || is_suspect {
            Quality::Suspect
        } else if watched == Quality::Partial || over.live < over.end - over.start {
            Quality::Partial
        } else {
            Quality::Ok
        };
        let is_gap = quality == Quality::Gap;
        let resting = frozen.resting.clone().filter(|_| !is_gap);
        let [numbers @ .., share] = over.numbers();
        let [flow, spread, mid, imbalance] = if is_gap { [f64::NAN; 4] } else { numbers };
        BookFeatures {
            instrument,
            start: over.start,
            end: over.end,
            n_updates: over.n_updates,
            quality,
            sample: if is_gap { Values::default() } else { frozen.sample.clone() },
            over: [flow, spread, mid, imbalance, share].map(f64::to_bits),
            taken: resting.as_ref().map_or_else(Box::default, |resting| bar.taken(resting, inverse)),
            resting,
        }
    }
}

/// A time in which the book was suspect.
#[derive(Clone, Copy, Debug)]
struct Period {
    from: Ts,
    to: Ts,
    /// When a feed's state said so, if it is not over: until a snapshot that becomes known later.
    said: Option<Time>,
}

/// A base bar with its row.
#[derive(Debug)]
struct Entry {
    start: Ts,
    end: Ts,
    bar: Option<Watched>,
    row: Option<BookFeatures>,
    /// It had a row once.
    is_known: bool,
}

/// One instrument: its book and its rows.
#[derive(Debug)]
pub(super) struct Rows {
    instrument: u32,
    /// Quote value of an inverse contract.
    pub(super) contract: Inverse,
    is_inverse: bool,
    /// Events that wait until it is known which contract size was declared before them.
    pub(super) n_waiting: usize,
    /// From the first event on.
    lane: Option<Lane>,
    periods: VecDeque<Period>,
    entries: VecDeque<Entry>,
    /// Starts of bars whose rows are to be made again.
    touched: Vec<Ts>,
    /// Bars of each role, the base first.
    roles: Vec<Spans>,
}

impl Rows {
    /// Bytes it keeps.
    pub(super) fn bytes(&self) -> usize {
        let lane = self.lane.as_ref().map_or(0, Lane::bytes);
        let roles: usize = self.roles.iter().map(Spans::bytes).sum();
        size_of::<Rows>() + room(&self.entries) + room(&self.periods) + lane + roles
    }

    pub(super) fn new(instrument: u32, roles: &[Timeframe]) -> Rows {
        Rows {
            instrument,
            contract: None,
            is_inverse: false,
            n_waiting: 0,
            lane: None,
            periods: VecDeque::new(),
            entries: VecDeque::new(),
            touched: Vec::new(),
            roles: roles.iter().copied().map(Spans::new).collect(),
        }
    }

    fn inverse(&self) -> Option<Inverse> {
        self.is_inverse.then_some(self.contract)
    }

    /// Whether events must wait until all is known that was known by their time.
    pub(super) fn must_wait(&self, updates: &BookUpdates) -> bool {
        0 < self.n_waiting || updates.is_inverse && self.contract.is_none()
    }

    /// Takes events, one of them or all, and tells which came too late for intervals, and when.
    pub(super) fn take(
        &mut self,
        updates: &BookUpdates,
        one: Option<usize>,
        grid: &Grid,
        mut late: impl FnMut(Time, Late),
    ) {
        self.is_inverse = updates.is_inverse;
        let inverse = self.inverse();
        let rules: Rules = updates.rules;
        let lane = self.lane.get_or_insert_with(|| Lane::new(rules));
        let (first, n) = one.map_or((0, usize::MAX), |one| (one, 1));
        for (head, update) in updates.each().skip(first).take(n) {
            if let Some(intervals) = lane.take(head, update, grid, inverse) {
                late(head.known, intervals);
            }
        }
    }

    /// The book was suspect then.
    pub(super) fn suspect(&mut self, (from, to): Late, known: Time, horizon: i64) {
        self.add(Period { from, to, said: None });
        self.touch(from, known, horizon);
    }

    /// A feed's state says that the book is suspect from then on, or is not any more.
    pub(super) fn tell(&mut self, from: Ts, is_suspect: bool, known: Time, horizon: i64) {
        self.mend(known);
        let open = self.periods.iter_mut().find(|period| period.said.is_some());
        match (open, is_suspect) {
            (Some(open), true) => open.from = open.from.min(from),
            (Some(open), false) => (open.to, open.said) = (from.max(open.from), None),
            (None, true) => self.add(Period { from, to: Ts::MAX, said: Some(known) }),
            (None, false) => return,
        }
        self.touch(from, known, horizon);
    }

    fn add(&mut self, period: Period) {
        let is_over = |period: &Period| period.said.is_none();
        let touches = |other: &&mut Period| is_over(other) && other.from <= period.to && period.from <= other.to;
        if is_over(&period)
            && let Some(other) = self.periods.iter_mut().find(touches)
        {
            (other.from, other.to) = (other.from.min(period.from), other.to.max(period.to));
            return;
        }
        let mut over = (0..self.periods.len()).filter(|at| is_over(&self.periods[*at]));
        if self.periods.len() == PERIODS_MAX
            && let (Some(oldest), Some(next)) = (over.next(), over.next())
        {
            let Period { from, to, .. } = self.periods[oldest];
            let next = &mut self.periods[next];
            (next.from, next.to) = (next.from.min(from), next.to.max(to));
            self.periods.remove(oldest);
        }
        self.periods.push_back(period);
    }

    /// Ends what a snapshot has mended that is known by `now`.
    fn mend(&mut self, now: Time) {
        let Some(lane) = &self.lane else { return };
        for period in &mut self.periods {
            if let Some(at) = period.said.and_then(|said| lane.mended(said, now)) {
                (period.to, period.said) = (at.max(period.from), None);
            }
        }
    }

    /// Rows that end after `from` and within the horizon are to be made again.
    fn touch(&mut self, from: Ts, known: Time, horizon: i64) {
        let concerned = self.entries.iter().rev().take_while(|entry| from < entry.end);
        let correctable = concerned.take_while(|entry| known as Ts - entry.end <= horizon);
        self.touched.extend(correctable.map(|entry| entry.start));
    }

    /// A bar of a role came or went. False if it is not kept: what has no book over it goes on as it is.
    pub(super) fn place(&mut self, bar: &Arc<Bar>, role: usize, is_there: bool, known: Ts, grid: &Grid) -> bool {
        // Whether an older one is still there must not depend on how often that is looked at.
        self.roles[role].forget(known - grid.keep);
        // A bar that closed before the first event has no row, and without books nothing is kept.
        let is_kept = self.lane.is_some() && known - bar.end <= grid.time.horizon;
        if role == 0 && is_kept {
            self.watch(bar, is_there);
        }
        self.roles[role].place(bar, is_there, is_kept)
    }

    fn watch(&mut self, bar: &Bar, is_there: bool) {
        let at = find(&self.entries, &bar.start, |entry| entry.start).unwrap_or_else(|at| {
            let Bar { start, end, .. } = *bar;
            self.entries.insert(at, Entry { start, end, bar: None, row: None, is_known: false });
            at
        });
        self.entries[at].bar = is_there.then(|| bar.into());
        self.touched.push(bar.start);
    }

    fn is_suspect(&self, start: Ts, end: Ts) -> bool {
        self.periods.iter().any(|period| period.from < end && start < period.to)
    }

    /// Makes rows again where anything changed, and then bars with the book over them; all that is known then was taken.
    pub(super) fn settle(
        &mut self,
        now: Time,
        mut changed: impl FnMut(Option<BookFeatures>, Option<BookFeatures>),
        mut turned: impl FnMut(Option<Interval>, Option<Interval>),
    ) {
        self.mend(now);
        let inverse = self.inverse();
        self.touched.sort_unstable();
        self.touched.dedup();
        for start in std::mem::take(&mut self.touched) {
            let Ok(at) = find(&self.entries, &start, |entry| entry.start) else { continue };
            let end = self.entries[at].end;
            let is_suspect = self.is_suspect(start, end);
            let bar = self.entries[at].bar.clone();
            let frozen = bar.zip(self.lane.as_mut().and_then(|lane| lane.over(start, end, inverse)));
            let row =
                frozen.as_ref().map(|(bar, over)| BookFeatures::of(self.instrument, over, bar, inverse, is_suspect));
            let entry = &mut self.entries[at];
            if row == entry.row {
                continue;
            }
            let is_first = row.is_some() && !std::mem::replace(&mut entry.is_known, true);
            let is_counted = is_first && row.as_ref().is_some_and(BookFeatures::is_sound);
            let first = frozen.as_ref().filter(|_| is_counted).map(|(_, frozen)| &frozen.over);
            self.roles.iter_mut().for_each(|role| role.turned((start, end), first));
            changed(std::mem::replace(&mut entry.row, row.clone()), row);
        }
        let row = |end: Ts| {
            let at = find(&self.entries, &end, |entry| entry.end).ok()?;
            self.entries[at].row.as_ref()
        };
        self.roles.iter_mut().for_each(|role| role.settle(inverse, row, &mut turned));
    }

    /// A bar of a role that is open, with the book over it if nothing more comes.
    pub(super) fn peek(&self, bar: &Arc<Bar>, role: usize, ahead: &[(BookFeatures, Over)]) -> Interval {
        self.roles[role].peek(bar, self.inverse(), ahead, self.entries.back().and_then(|entry| entry.row.as_ref()))
    }

    /// The book over the base intervals after the last that closed, up to that of its newest event or of the newest open
    /// bar, as they are if nothing more comes.
    pub(super) fn ahead(&self, bars: &[Arc<Bar>], grid: &Grid) -> Vec<(BookFeatures, Over)> {
        let Some((lane, newest)) = self.lane.as_ref().and_then(|lane| Some((lane, lane.newest()?))) else {
            return Vec::new();
        };
        let base = grid.base;
        let open = || bars.iter().filter(|bar| bar.timeframe == base);
        let last = open().map(|bar| bar.start).max().map_or(newest, |last| last.max(newest));
        let first = self.entries.back().map(|entry| entry.end).or(open().map(|bar| bar.start).min()).unwrap_or(newest);
        let first = first.max(base.start(last - grid.time.grace - AHEAD_MAX * base.length()));
        let starts = std::iter::successors(Some(first), |start| Some(base.end(*start)));
        let row = |start: Ts| {
            let end = base.end(start);
            let bar = open().find(|bar| bar.start == start).map(|bar| Watched::from(&**bar));
            // One without trades has a bar, or none.
            let bar = bar.or(grid.is_flat.then_some(Watched { quality: Quality::Ok, flow: None }))?;
            let frozen = lane.peek(start, end, self.inverse())?;
            let row = BookFeatures::of(self.instrument, &frozen, &bar, self.inverse(), self.is_suspect(start, end));
            Some((row, frozen.over))
        };
        starts.take_while(|start| *start <= last).filter_map(row).collect()
    }

    /// Nothing known before `reached` will come; rows that ended before `cutoff` stay as they are.
    pub(super) fn forget(&mut self, reached: Time, cutoff: Ts) {
        self.mend(reached.saturating_sub(1));
        while self.entries.front().is_some_and(|entry| entry.end < cutoff) {
            self.entries.pop_front();
        }
        self.periods.retain(|period| cutoff <= period.to);
        self.roles.iter_mut().for_each(|role| role.forget(cutoff));
        if let Some(lane) = &mut self.lane {
            lane.forget(reached, cutoff);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_books_nothing_is_kept_of_bars() {
        let grid = Grid::new(&crate::refusals::settings());
        let mut rows = Rows::new(0, &[Timeframe::M1]);
        for start in 0..1_000 {
            let bar = Arc::new(Bar { start, end: start + 1, ..Bar::ohlcv(start, [1.0; 5]) });
            assert!(!rows.place(&bar, 0, true, start, &grid));
            rows.settle(start as Time, |_, row| panic!("{row:?}"), |_, interval| panic!("{interval:?}"));
        }
        assert_eq!((rows.entries.len(), rows.touched.len()), (0, 0));
    }
}
