//! The bars of one timeframe: open intervals, and closed ones that may still be corrected.

use std::{collections::VecDeque, sync::Arc};

use prism_schemas::{Timeframe, Ts};

use super::{
    flow::FlowFold,
    fold::{Fold, Part, Scale},
    interval::Instrument,
    klines::Klines,
};
use crate::{
    bar::{Bar, Quality, Source},
    event::{Kline, Trade},
    flow::SLOTS,
    operator::{find, first_from, room, shared},
    positions::Positions,
    settings::TimeSettings,
};

/// The newest intervals that are looked at for what one weighs.
const ROWS_SEEN: usize = 8;

/// One interval of a timeframe.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) start: Ts,
    pub(super) end: Ts,
    /// When it closes.
    pub(super) close: Ts,
    pub(super) fold: Option<Fold>,
    /// What takers bought and sold, where that is read of it, or while it is open and a longer one's is.
    pub(super) flow: Option<Box<FlowFold>>,
    /// The venue's own bar, or what its own shorter bars make together.
    pub(super) kline: Option<Box<Kline>>,
    /// The venue told that bar itself.
    pub(super) is_told: bool,
    /// The venue's shorter bars of the interval so far.
    rolled: Option<Box<Rolled>>,
    /// Version 0 is due or out.
    pub(super) closed: bool,
    /// The bar as it stands downstream.
    pub(super) bar: Option<Arc<Bar>>,
    /// It came from the store and stays as it is.
    pub(super) is_stored: bool,
}

impl Slot {
    /// Of which nothing is known.
    pub(super) fn new(start: Ts, end: Ts, close: Ts) -> Slot {
        Slot {
            start,
            end,
            close,
            fold: None,
            flow: None,
            kline: None,
            is_told: false,
            rolled: None,
            closed: false,
            bar: None,
            is_stored: false,
        }
    }

    /// Folds a trade of the interval.
    pub(super) fn add(&mut self, trade: &Trade, part: Part) {
        match &mut self.fold {
            Some(fold) => fold.add(trade, part),
            None => self.fold = Some(Fold::of(trade, part)),
        }
    }

    /// Takes a trade of the interval into what takers bought and sold.
    pub(super) fn flow(&mut self, trade: &Trade, part: &Part, scale: &Scale) {
        let slot = SLOTS as i64 * (trade.ts_event - self.start) / (self.end - self.start);
        let flow = self.flow.get_or_insert_default();
        flow.add(slot as usize, trade.buy, part, scale);
        flow.prints.add(trade, part);
    }

    /// Takes in what takers bought and sold in the part of it from `start` to `end`, but for what does not form.
    pub(super) fn merge_flow(&mut self, flow: &FlowFold, start: Ts, end: Ts) -> &mut FlowFold {
        let (at, n) = ((start - self.start) / (end - start), (self.end - self.start) / (end - start));
        let own = self.flow.get_or_insert_default();
        own.merge(flow, at as usize, n as usize);
        own
    }

    /// Takes in trades that are folded already.
    pub(super) fn merge(&mut self, trades: &Fold) {
        match &mut self.fold {
            Some(fold) => fold.merge(trades),
            fold => *fold = Some(*trades),
        }
    }

    /// The close of its bar, if that has a price.
    fn price(&self) -> Option<f64> {
        self.bar.as_ref().filter(|bar| bar.quality != Quality::Gap).map(|bar| bar.close)
    }
}

/// What the venue's bars of a shorter timeframe make together.
#[derive(Debug)]
struct Rolled {
    n: i64,
    /// Starts of the first and the last of them.
    span: (Ts, Ts),
    kline: Kline,
}

impl Rolled {
    fn add(&mut self, part: &Kline) {
        let whole = &mut self.kline;
        if part.start < self.span.0 {
            (self.span.0, whole.open) = (part.start, part.open);
        }
        if self.span.1 < part.start {
            (self.span.1, whole.close) = (part.start, part.close);
        }
        (whole.high, whole.low) = (whole.high.max(part.high), whole.low.min(part.low));
        whole.volume += part.volume;
        whole.turnover = whole.turnover.zip(part.turnover).map(|(whole, part)| whole + part);
        self.n += 1;
    }
}

/// The bars of one timeframe. Keeps the intervals that end inside the horizon and the open ones.
#[derive(Debug)]
pub(super) struct Series {
    pub(super) timeframe: Timeframe,
    pub(super) slots: VecDeque<Slot>,
    /// Start of the interval that holds the earliest trade.
    pub(super) first_start: Option<Ts>,
    pub(super) klines: Klines,
    /// Close of the newest forgotten bar with a price.
    forgotten_close: Option<f64>,
    /// End of the newest forgotten bar.
    pub(super) forgotten_to: Option<Ts>,
    /// Start of the first slot to be made again.
    dirty: Option<Ts>,
}

impl Series {
    /// Of which nothing happened.
    pub(super) fn new(timeframe: Timeframe) -> Series {
        Series {
            timeframe,
            slots: VecDeque::new(),
            first_start: None,
            klines: Klines::new(),
            forgotten_close: None,
            forgotten_to: None,
            dirty: None,
        }
    }

    /// Bytes it keeps, its bars included.
    pub(super) fn bytes(&self) -> usize {
        let flow = |slot: &Slot| Some(slot.flow.as_ref()?.bytes() + slot.bar.as_ref()?.flow.as_ref()?.bytes());
        let flow = self.slots.iter().rev().take(ROWS_SEEN).find_map(flow).unwrap_or(0);
        let positions = self.slots.iter().rev().take(ROWS_SEEN).find_map(|slot| slot.bar.as_ref()?.positions.as_ref());
        let positions = positions.map_or(0, |_| Positions::bytes());
        size_of::<Series>() + room(&self.slots) + self.slots.len() * (shared::<Bar>() + flow + positions)
    }

    /// The slot of the interval that starts at `start`, made if absent.
    pub(super) fn slot(&mut self, start: Ts, time: &TimeSettings) -> &mut Slot {
        let at = find(&self.slots, &start, |slot| slot.start).unwrap_or_else(|at| {
            let end = self.timeframe.end(start);
            self.slots.insert(at, Slot::new(start, end, time.close(end)));
            at
        });
        &mut self.slots[at]
    }

    /// The slot of the interval that starts at `start`, if it is there.
    pub(super) fn find(&self, start: Ts) -> Option<&Slot> {
        find(&self.slots, &start, |slot| slot.start).ok().map(|at| &self.slots[at])
    }

    /// Close of the newest closed bar with a price.
    pub(super) fn last_close(&self) -> Option<f64> {
        self.slots.iter().rev().filter(|slot| slot.closed).find_map(Slot::price).or(self.forgotten_close)
    }

    /// Whether an interval that starts then has a bar, whatever is known of it.
    pub(super) fn is_begun(&self, start: Ts) -> bool {
        self.first_start.into_iter().chain(self.klines.first).min().is_some_and(|first| first < start)
    }

    /// The bar that starts at `start`, and those that depend on it, are to be made again.
    pub(super) fn touch(&mut self, start: Ts) {
        self.dirty = Some(self.dirty.map_or(start, |have| have.min(start)));
    }

    /// Closed bars that end after `ts` are to be made again.
    pub(super) fn touch_after(&mut self, ts: Ts) {
        let first = first_from(&self.slots, &(ts + 1), |slot| slot.end);
        if let Some(start) = self.slots.range(first..).find(|slot| slot.closed).map(|slot| slot.start) {
            self.touch(start);
        }
    }

    /// Takes the venue's bar. Whether it is the first of its interval. If that is over, those after it that closed by `now`
    /// without one come to be, where `is_made` says so.
    pub(super) fn put(
        &mut self,
        kline: Kline,
        now: Ts,
        time: &TimeSettings,
        is_made: impl Fn(Ts, Ts, &Klines) -> bool,
    ) -> bool {
        self.klines.note(kline.start, self.timeframe.end(kline.start));
        let slot = self.slot(kline.start, time);
        let is_first = slot.kline.replace(Box::new(kline)).is_none();
        if slot.close <= now {
            slot.closed = true;
            self.touch(kline.start);
            for (start, end) in closed_after(self.timeframe, kline.start, now, time) {
                if self.find(start).is_some_and(|slot| slot.kline.is_some() || slot.fold.is_some())
                    || !is_made(start, end, &self.klines)
                {
                    break;
                }
                self.slot(start, time).closed = true;
            }
        }
        is_first
    }

    /// Notes what the venue says itself of an interval.
    pub(super) fn tell(&mut self, kline: Kline, time: &TimeSettings) {
        let slot = self.slot(kline.start, time);
        (slot.kline, slot.is_told) = (Some(Box::new(kline)), true);
    }

    /// Takes in the venue's bar of a shorter timeframe; gives its own, of the whole interval, with the last of them.
    pub(super) fn roll(&mut self, part: &Kline, length: i64, now: Ts, time: &TimeSettings) -> Option<Kline> {
        let start = self.timeframe.start(part.start);
        // What is forgotten stays as it is.
        if self.forgotten_to.is_some_and(|to| start < to) {
            return None;
        }
        let slot = self.slot(start, time);
        if slot.kline.is_some() {
            return None;
        }
        // One that is over already must not hold up those behind it, whether it is filled or not.
        slot.closed |= slot.close <= now;
        let first = || Box::new(Rolled { n: 1, span: (part.start, part.start), kline: Kline { start, ..*part } });
        match &mut slot.rolled {
            Some(rolled) => rolled.add(part),
            rolled => *rolled = Some(first()),
        }
        let whole = slot.rolled.take_if(|rolled| rolled.n * length == slot.end - slot.start);
        whole.map(|rolled| rolled.kline)
    }

    /// An interval holds a trade. If it is the earliest, those after it that closed by `now` without one come to be, where
    /// `is_made` says so for their start and end.
    pub(super) fn traded(
        &mut self,
        start: Ts,
        now: Ts,
        time: &TimeSettings,
        is_made: impl Fn(Ts, Ts, &Klines) -> bool,
    ) {
        let first = self.first_start;
        if first.is_some_and(|first| first <= start) {
            return;
        }
        self.first_start = Some(start);
        self.touch(start);
        let after = closed_after(self.timeframe, start, now, time);
        for (start, end) in after.take_while(|(start, _)| first.is_none_or(|first| *start < first)) {
            if is_made(start, end, &self.klines) {
                self.slot(start, time).closed = true;
            }
        }
    }

    /// Makes marked bars again, and those that depend on them, and hands over what changed; forgets what is past `cutoff`.
    /// Whether there were any.
    pub(super) fn render(
        &mut self,
        instrument: &Instrument<'_>,
        cutoff: Ts,
        changed: &mut impl FnMut(Option<Arc<Bar>>, Option<Arc<Bar>>, Option<&Kline>),
    ) -> bool {
        let Some(dirty) = self.dirty.take() else { return false };
        let from = first_from(&self.slots, &dirty, |slot| slot.start);
        let mut last_close = self.slots.iter().take(from).rev().find_map(Slot::price).or(self.forgotten_close);
        for slot in self.slots.range_mut(from..) {
            if !slot.closed {
                break;
            }
            if !slot.is_stored {
                let bar = instrument.bar(self.timeframe, slot, self.first_start, &self.klines, last_close);
                if slot.bar.as_deref() != bar.as_ref() {
                    let bar = bar.map(Arc::new);
                    let old = std::mem::replace(&mut slot.bar, bar.clone());
                    changed(old, bar, slot.kline.as_deref().filter(|_| slot.is_told));
                }
            }
            last_close = slot.price().or(last_close);
        }
        self.forget(cutoff);
        true
    }

    /// Takes in a bar that is stored already; forgets what is past `cutoff`.
    pub(super) fn store(&mut self, bar: Arc<Bar>, time: &TimeSettings, cutoff: Ts) {
        match bar.source {
            Source::Trades if bar.quality == Quality::Gap => {}
            Source::Trades => self.first_start = Some(self.first_start.map_or(bar.start, |first| first.min(bar.start))),
            Source::Venue => self.klines.note(bar.start, bar.end),
        }
        let slot = self.slot(bar.start, time);
        (slot.bar, slot.closed, slot.is_stored) = (Some(bar), true, true);
        self.forget(cutoff);
    }

    fn forget(&mut self, cutoff: Ts) {
        while let Some(front) = self.slots.front()
            && front.closed
            && front.end < cutoff
        {
            self.forgotten_close = front.price().or(self.forgotten_close);
            self.forgotten_to = Some(front.end);
            self.slots.pop_front();
        }
        // A history that came at once leaves no room behind.
        if 4 * self.slots.len() + 64 < self.slots.capacity() {
            self.slots.shrink_to(2 * self.slots.len());
        }
    }
}

/// Starts and ends of the intervals after one that closed before `now`.
fn closed_after(timeframe: Timeframe, start: Ts, now: Ts, time: &TimeSettings) -> impl Iterator<Item = (Ts, Ts)> {
    let next = move |start: &Ts| Some(timeframe.end(*start));
    let intervals = std::iter::successors(next(&start), next).map(move |start| (start, timeframe.end(start)));
    intervals.take_while(move |(_, end)| time.close(*end) < now)
}
