//! One instrument's book on its way through base intervals.

use std::{collections::VecDeque, sync::Arc};

use prism_schemas::{
    OrderBook, Timeframe, Ts,
    book::{Applied, Rules, State, Trouble, Update},
    decimal::POW10,
};

use super::{
    over::{Over, Top},
    resting::Resting,
    sample::{Inverse, sample},
    updates::Head,
};
use crate::{
    operator::room,
    settings::{Empty, Settings, TimeSettings},
    types::Time,
    values::Values,
};

/// Intervals by which events may be ahead of the frontier.
const AHEAD_MAX: i64 = 4_096;

/// An interval in which there were events, as the book stood at its end.
#[derive(Clone, Debug)]
pub(super) struct Frozen {
    pub(super) over: Over,
    /// Numbers of the book at the end.
    pub(super) sample: Values,
    /// What rested in it then, if it was at hand and nothing more can come.
    pub(super) resting: Option<Arc<Resting>>,
    /// The best levels, if it was at hand.
    top: Option<Top>,
    /// Whether it was out of step after a break.
    is_broken: bool,
}

impl Frozen {
    /// The interval itself, or a later one in which nothing happened.
    fn at(&self, start: Ts, end: Ts) -> Frozen {
        if self.over.start == start {
            return self.clone();
        }
        let mut over = Over::new(start, end, end, self.over.decimals);
        over.last(end, self.top.as_ref(), self.is_broken);
        Frozen { over, resting: self.resting.as_ref().map(Resting::still), ..self.clone() }
    }
}

/// Intervals that closed before a delta told something of them.
pub(super) type Late = (Ts, Ts);

/// The grid of base intervals.
#[derive(Clone, Debug)]
pub(super) struct Grid {
    pub(super) base: Timeframe,
    pub(super) time: TimeSettings,
    /// How long rows may change.
    pub(super) keep: i64,
    /// Whether intervals without trades have bars.
    pub(super) is_flat: bool,
    /// Intervals that are kept at most, should no bars come that say how far time is.
    most: usize,
}

impl Grid {
    pub(super) fn new(settings: &Settings) -> Grid {
        let base = settings.timeframes.base();
        let most = settings.keep() / base.length() + AHEAD_MAX;
        Grid {
            base,
            time: settings.time.clone(),
            keep: settings.keep(),
            is_flat: settings.bars.empty == Empty::Flat,
            most: most as usize,
        }
    }

    /// The end of the newest interval that closed before `known`.
    fn closed(&self, known: Ts) -> Ts {
        let is_closed = |end: Ts| self.time.close(end) < known;
        let mut end = self.base.start(known - self.time.grace);
        while !is_closed(end) {
            end = self.base.start(end - 1);
        }
        while is_closed(self.base.end(end)) {
            end = self.base.end(end);
        }
        end
    }
}

/// One instrument's book.
#[derive(Debug)]
pub(super) struct Lane {
    book: OrderBook,
    /// The instant of the newest event.
    at: Ts,
    top: Option<Top>,
    /// A break, and no snapshot since.
    is_broken: bool,
    /// The interval of the newest event, unless it is over.
    open: Option<Over>,
    /// Intervals with events that are over.
    frozen: VecDeque<Frozen>,
    /// Snapshots that counted and became known ahead of the frontier: knowledge time and instant.
    snapshots: VecDeque<(Time, Ts)>,
}

impl Lane {
    /// Bytes it keeps beside itself.
    pub(super) fn bytes(&self) -> usize {
        let resting = self.frozen.back().and_then(|frozen| frozen.resting.as_ref()).map_or(0, |last| last.bytes());
        self.book.bytes() + room(&self.frozen) + self.frozen.len() * resting + room(&self.snapshots)
    }

    pub(super) fn new(rules: Rules) -> Lane {
        Lane {
            book: OrderBook::new(rules),
            at: Ts::MIN,
            top: None,
            is_broken: false,
            open: None,
            frozen: VecDeque::new(),
            snapshots: VecDeque::new(),
        }
    }

    /// Takes an event. Gives the intervals it came too late for.
    #[inline]
    pub(super) fn take(
        &mut self,
        head: &Head,
        update: Update<'_>,
        grid: &Grid,
        inverse: Option<Inverse>,
    ) -> Option<Late> {
        let is_ahead = grid.time.max_ahead < head.ts_event.saturating_sub(head.ts_recv);
        let ts = if is_ahead { head.ts_recv } else { head.ts_event };
        let known = head.known as Ts;
        let mut closed = Ts::MIN;
        match &self.open {
            Some(open) if known <= open.close && ts < open.end => self.at = self.at.max(ts),
            _ => {
                closed = grid.closed(known);
                self.at = self.at.max(ts).max(closed);
                self.turn(grid, inverse);
            }
        }
        let was_live = self.book.state() == State::Live;
        let applied = self.book.apply(update);
        let before = self.count();
        let open = self.open.as_mut()?;
        match applied {
            Ok(Applied::Changed) => {
                open.n_updates += 1;
                if let (Some(before), Some(after)) = (&before, &self.top) {
                    open.flowed(before, after);
                }
            }
            Ok(Applied::Old | Applied::Waiting) => return None,
            // Without a book, deltas that do not join a snapshot go on waiting.
            Err(Trouble::Gap { .. } | Trouble::TooOld { .. }) if !was_live => return None,
            Err(_) => {
                (self.is_broken, open.is_suspect) = (true, true);
                return None;
            }
        }
        if update.snapshot {
            self.is_broken = false;
            if grid.most < self.snapshots.len() {
                self.snapshots.pop_front();
            }
            self.snapshots.push_back((head.known, self.at));
            return None;
        }
        // Of an interval that is open nothing is late.
        let closed = if closed == Ts::MIN && ts < open.start { grid.closed(known) } else { closed };
        (was_live && ts < closed).then(|| (grid.base.start(ts), closed))
    }

    /// Counts the time until now by the best levels there were, and takes those there are; gives the former, in today's units.
    fn count(&mut self) -> Option<Top> {
        let open = self.open.as_mut()?;
        open.last(self.at, self.top.as_ref(), self.is_broken);
        let decimals = self.book.decimals();
        if decimals != open.decimals {
            let power = |from: u32, to: u32| Some(POW10[to.checked_sub(from)? as usize]);
            let units = power(open.decimals.0, decimals.0).zip(power(open.decimals.1, decimals.1));
            self.top = self.top.zip(units).and_then(|(top, (price, size))| top.scaled(price, size));
            open.rescale(decimals);
        }
        let before = self.top;
        self.top = match (self.book.sure_top(), before) {
            (Some(levels), Some(top)) if levels == top.levels() => before,
            (levels, _) => levels.map(Top::new),
        };
        before
    }

    /// The interval of `at` begins, unless it did.
    fn turn(&mut self, grid: &Grid, inverse: Option<Inverse>) {
        if self.open.is_some_and(|open| self.at < open.end) {
            return;
        }
        self.freeze(inverse);
        if grid.most < self.frozen.len() {
            self.frozen.pop_front();
        }
        let start = grid.base.start(self.at);
        let end = grid.base.end(start);
        self.open = Some(Over::new(start, end, grid.time.close(end), self.book.decimals()));
    }

    /// The open interval is over.
    fn freeze(&mut self, inverse: Option<Inverse>) {
        let Some(over) = self.open.take() else { return };
        let before = self.frozen.back().and_then(|frozen| frozen.resting.as_deref());
        let resting = Resting::new(&self.book, self.top.as_ref(), before, over.end);
        self.frozen.push_back(self.as_of_end(over, inverse, resting));
    }

    /// An interval as it is if nothing more comes.
    fn as_of_end(&self, mut over: Over, inverse: Option<Inverse>, resting: Option<Arc<Resting>>) -> Frozen {
        over.last(over.end, self.top.as_ref(), self.is_broken);
        let sample = sample(&self.book, self.top.as_ref(), inverse, resting.as_deref());
        Frozen { over, sample, resting, top: self.top, is_broken: self.is_broken }
    }

    /// The book over an interval that has closed; `None` before its first event.
    pub(super) fn over(&mut self, start: Ts, end: Ts, inverse: Option<Inverse>) -> Option<Frozen> {
        if self.open.is_some_and(|open| open.start <= start) {
            self.freeze(inverse);
        }
        self.peek(start, end, inverse)
    }

    /// The book over an interval if nothing more comes; `None` before its first event.
    pub(super) fn peek(&self, start: Ts, end: Ts, inverse: Option<Inverse>) -> Option<Frozen> {
        if let Some(open) = self.open.filter(|open| open.start <= start) {
            return Some(self.as_of_end(open, inverse, None).at(start, end));
        }
        let next = self.frozen.partition_point(|frozen| frozen.over.start <= start);
        Some(self.frozen[next.checked_sub(1)?].at(start, end))
    }

    /// Start of the interval of its newest event.
    pub(super) fn newest(&self) -> Option<Ts> {
        self.open.map(|open| open.start).or_else(|| Some(self.frozen.back()?.over.start))
    }

    /// The instant of the first snapshot that became known after `said`, if by `now`.
    pub(super) fn mended(&self, said: Time, now: Time) -> Option<Ts> {
        let first = self.snapshots.iter().find(|(known, _)| said < *known)?;
        (first.0 <= now).then_some(first.1)
    }

    /// Nothing known before `reached` will come, and no interval that ended before `cutoff` will be asked for.
    pub(super) fn forget(&mut self, reached: Time, cutoff: Ts) {
        while self.snapshots.front().is_some_and(|(known, _)| *known < reached) {
            self.snapshots.pop_front();
        }
        while self.frozen.get(1).is_some_and(|next| next.over.end < cutoff) {
            self.frozen.pop_front();
        }
    }
}
