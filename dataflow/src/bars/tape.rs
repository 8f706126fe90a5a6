//! One instrument's bars on every timeframe: open intervals, recent closed ones, and what corrects them.

use std::collections::VecDeque;

use prism_schemas::{Timeframe, Ts};

use super::{
    dedup::Dedup,
    fold::{Fold, Part, Scale},
    streams::Streams,
};
use crate::{
    bar::{Bar, EventId, Quality, Source},
    event::{Kline, Trade},
    operator::{find, first_from},
    settings::{Empty, Settings, TimeSettings},
};

/// One interval of a timeframe.
#[derive(Debug)]
struct Slot {
    start: Ts,
    end: Ts,
    /// When it closes.
    close: Ts,
    fold: Option<Fold>,
    kline: Option<Kline>,
    /// Version 0 is due or out.
    closed: bool,
    /// The bar as it stands downstream.
    bar: Option<Bar>,
}

impl Slot {
    fn new(start: Ts, end: Ts, close: Ts) -> Slot {
        Slot { start, end, close, fold: None, kline: None, closed: false, bar: None }
    }
}

/// The bars of one timeframe. Keeps the intervals that end inside the horizon and the open ones.
#[derive(Debug)]
struct Series {
    timeframe: Timeframe,
    slots: VecDeque<Slot>,
    /// Start of the interval that holds the earliest trade.
    first_start: Option<Ts>,
    /// Close of the newest forgotten bar with a price.
    forgotten_close: Option<f64>,
    /// End of the newest forgotten bar.
    forgotten_to: Option<Ts>,
    /// Start of the first slot to be made again.
    dirty: Option<Ts>,
}

impl Series {
    /// The slot of the interval that starts at `start`, made if absent.
    fn slot(&mut self, start: Ts, time: &TimeSettings) -> usize {
        find(&self.slots, &start, |slot| slot.start).unwrap_or_else(|at| self.insert(at, start, time))
    }

    fn insert(&mut self, at: usize, start: Ts, time: &TimeSettings) -> usize {
        let end = self.timeframe.end(start);
        self.slots.insert(at, Slot::new(start, end, time.close(end)));
        at
    }

    fn touch(&mut self, start: Ts) {
        self.dirty = Some(self.dirty.map_or(start, |have| have.min(start)));
    }
}

/// What a trade is to its instrument's bars.
pub(super) enum Place {
    /// In time: folded.
    Folded,
    /// Known after its finest bar closed: to be applied in order.
    Late,
}

/// One instrument's state.
#[derive(Debug)]
pub(super) struct Tape {
    instrument: u32,
    scale: Scale,
    /// Contract size and when it became known.
    contract: Option<(u64, (i64, u32))>,
    streams: Streams,
    /// The newest event time used, apart from what the finest intervals hold.
    used_to: Ts,
    pub(super) dedup: Dedup,
    /// Connected from and to (inclusive), in event time.
    connected: Vec<(Ts, Ts)>,
    series: Vec<Series>,
}

impl Tape {
    pub(super) fn new(instrument: u32, settings: &Settings) -> Tape {
        let series = |timeframe: &Timeframe| Series {
            timeframe: *timeframe,
            slots: VecDeque::new(),
            first_start: None,
            forgotten_close: None,
            forgotten_to: None,
            dirty: None,
        };
        Tape {
            instrument,
            scale: Scale::default(),
            contract: None,
            streams: Streams::default(),
            used_to: Ts::MIN,
            dedup: Dedup::default(),
            connected: Vec::new(),
            series: settings.timeframes.maintained.iter().map(series).collect(),
        }
    }

    /// Declares the contract size; the first declaration holds.
    pub(super) fn declare(&mut self, known: u64, contract: (i64, u32)) {
        if self.contract.is_none() {
            self.contract = Some((known, contract));
        }
    }

    /// The trade's exact contribution, widening the scale if it has more decimals; a rule if it cannot be used.
    #[inline(always)]
    pub(super) fn part(&mut self, trade: &Trade) -> Result<Part, &'static str> {
        if !self.scale.fits(trade) {
            self.widen(trade)?;
        }
        self.scale.part(trade).ok_or("out_of_range")
    }

    #[cold]
    fn widen(&mut self, trade: &Trade) -> Result<(), &'static str> {
        let contract = match self.contract {
            _ if !trade.inverse => None,
            Some((known, contract)) if known <= trade.known => Some(contract),
            _ => return Err("unknown_contract_size"),
        };
        let scale = self.scale.with(trade, contract).ok_or("out_of_range")?;
        // What cannot be used leaves nothing behind.
        scale.part(trade).ok_or("out_of_range")?;
        for slot in self.series.iter_mut().flat_map(|series| series.slots.iter_mut()) {
            if let Some(fold) = &mut slot.fold {
                fold.rescale(&self.scale, &scale);
            }
        }
        self.scale = scale;
        Ok(())
    }

    /// Whether the trade's stream feeds the bars at its event time; one that `bars.streams` wants more takes over from its
    /// first trade on that is newer than all that were used and not past the horizon. A rule if it does not.
    #[inline(always)]
    pub(super) fn own(&mut self, settings: &Settings, trade: &Trade) -> Result<(), &'static str> {
        if self.streams.is_current(trade) { Ok(()) } else { self.own_or_take_over(settings, trade) }
    }

    #[inline(never)]
    fn own_or_take_over(&mut self, settings: &Settings, trade: &Trade) -> Result<(), &'static str> {
        if self.streams.owns(trade) {
            return Ok(());
        }
        // Before the rest: what the finest series has forgotten is past the horizon, and so makes no difference.
        if is_past_horizon(settings, trade) {
            return Err("late");
        }
        let held = self.series[0].slots.iter().rev().find_map(|slot| slot.fold.as_ref());
        let used_to = held.map_or(self.used_to, |fold| fold.last_event().max(self.used_to));
        if trade.ts_event <= used_to || !self.streams.is_wanted_more(trade) {
            return Err("second_stream");
        }
        self.streams.take_over(trade.stream, used_to);
        Ok(())
    }

    /// Notes a trade that is used and not folded yet.
    pub(super) fn note(&mut self, trade: &Trade) {
        self.used_to = self.used_to.max(trade.ts_event);
    }

    /// Folds a trade that is known by the close of its finest bar.
    #[inline(always)]
    pub(super) fn fold(&mut self, settings: &Settings, trade: &Trade, part: Part) -> Place {
        let known = trade.known as Ts;
        // The newest interval, without a division: the fast path.
        if let Some(slot) = self.series[0].slots.back_mut()
            && slot.start <= trade.ts_event
            && trade.ts_event < slot.end
            && known <= slot.close
            && let Some(fold) = &mut slot.fold
        {
            fold.add(trade, part);
            return Place::Folded;
        }
        self.fold_anywhere(settings, trade, part)
    }

    #[inline(never)]
    fn fold_anywhere(&mut self, settings: &Settings, trade: &Trade, part: Part) -> Place {
        let finest = &mut self.series[0];
        let known = trade.known as Ts;
        let start = finest.timeframe.start(trade.ts_event);
        if settings.time.close(finest.timeframe.end(start)) < known {
            return Place::Late;
        }
        let at = finest.slot(start, &settings.time);
        let slot = &mut finest.slots[at];
        match &mut slot.fold {
            Some(fold) => fold.add(trade, part),
            None => slot.fold = Some(Fold::of(trade, part)),
        }
        Place::Folded
    }

    /// Folds a late trade into every interval that contains it and marks the closed ones to be made again.
    pub(super) fn correct(&mut self, settings: &Settings, trade: &Trade, part: Part) {
        for series in &mut self.series {
            let start = series.timeframe.start(trade.ts_event);
            let at = series.slot(start, &settings.time);
            let slot = &mut series.slots[at];
            match &mut slot.fold {
                Some(fold) => fold.add(trade, part),
                None => slot.fold = Some(Fold::of(trade, part)),
            }
            if slot.close < trade.known as Ts {
                slot.closed = true;
                series.touch(start);
            }
            Self::first_trade(series, start, settings, trade.known as Ts);
        }
    }

    /// Notes that an interval holds a trade; if it is the earliest, later intervals without one come to be.
    fn first_trade(series: &mut Series, start: Ts, settings: &Settings, now: Ts) {
        let Some(first) = series.first_start else {
            series.first_start = Some(start);
            return;
        };
        if start < first {
            series.first_start = Some(start);
            series.touch(start);
            let mut next = series.timeframe.end(start);
            while next < first && settings.bars.empty == Empty::Flat {
                let at = series.slot(next, &settings.time);
                let slot = &mut series.slots[at];
                slot.closed |= slot.close < now;
                next = series.timeframe.end(next);
            }
        }
    }

    /// Takes the venue's own bar; a rule and a sentence if trades made that bar with other numbers, or it came too late.
    pub(super) fn kline(
        &mut self,
        settings: &Settings,
        timeframe: Timeframe,
        kline: Kline,
        now: Ts,
    ) -> Result<(), (&'static str, String)> {
        if kline.high < kline.low {
            return Err(("high_below_low", format!("high {} is below low {}", kline.high, kline.low)));
        }
        let Some(series) = self.series.iter_mut().find(|series| series.timeframe == timeframe) else {
            return Ok(());
        };
        let end = timeframe.end(kline.start);
        if series.first_start.is_some_and(|first| first < end) {
            let found = find(&series.slots, &kline.start, |slot| slot.start).ok();
            return match found.and_then(|at| series.slots[at].bar) {
                Some(bar) => compare(&bar, &kline),
                None => Ok(()),
            };
        }
        if series.forgotten_to.is_some_and(|to| kline.start < to) {
            return Err(("kline_too_late", "a later bar is already past the horizon".into()));
        }
        let at = series.slot(kline.start, &settings.time);
        let slot = &mut series.slots[at];
        slot.kline = Some(kline);
        if slot.close <= now {
            slot.closed = true;
            series.touch(kline.start);
        }
        Ok(())
    }

    /// The feed delivers, or stopped delivering, from this event time on.
    pub(super) fn feed(&mut self, ts: Ts, delivers: bool) {
        match (self.connected.last_mut(), delivers) {
            (Some((_, to)), false) if *to == Ts::MAX => *to = ts,
            (Some((_, to)), true) if *to == Ts::MAX => return,
            (_, true) => self.connected.push((ts, Ts::MAX)),
            (_, false) => return,
        }
        for series in &mut self.series {
            if let Some(slot) = series.slots.iter().find(|slot| ts < slot.end && slot.closed) {
                let start = slot.start;
                series.touch(start);
            }
        }
    }

    fn covered(connected: &[(Ts, Ts)], start: Ts, end: Ts) -> bool {
        connected.iter().rev().any(|(from, to)| *from <= start && end <= to.saturating_add(1))
    }

    /// Whether the feed ended so long before `start` that the series waits for the next trade.
    fn is_paused(&self, settings: &Settings, start: Ts) -> bool {
        match self.connected.last() {
            Some((_, to)) => to.saturating_add(settings.bars.gap_max) < start,
            None => false,
        }
    }

    /// Whether time passing can make a bar, open or empty.
    pub(super) fn is_alive(&self, settings: &Settings, ts: Ts) -> bool {
        let open = self.series.iter().any(|series| series.slots.back().is_some_and(|slot| !slot.closed));
        let traded = self.series[0].first_start.is_some();
        open || (traded && settings.bars.empty == Empty::Flat && !self.is_paused(settings, ts))
    }

    /// Closes the intervals that end at `end`; empty ones are made unless the log is `sealed` before them.
    pub(super) fn close(&mut self, settings: &Settings, end: Ts, sealed: bool) {
        let paused = |tape: &Tape, start| sealed || tape.is_paused(settings, start);
        let finest_start = end - self.series[0].timeframe.length();
        if let Some(fold) = self.close_series(settings, 0, finest_start, paused(self, finest_start)) {
            for series in &mut self.series[1..] {
                let start = series.timeframe.start(finest_start);
                let at = series.slot(start, &settings.time);
                match &mut series.slots[at].fold {
                    Some(have) => have.merge(&fold),
                    have => *have = Some(fold),
                }
                Self::first_trade(series, start, settings, end);
            }
        }
        for at in 1..self.series.len() {
            let timeframe = self.series[at].timeframe;
            let start = timeframe.start(finest_start);
            if timeframe.end(start) == end {
                self.close_series(settings, at, start, paused(self, start));
            }
        }
    }

    fn close_series(&mut self, settings: &Settings, at: usize, start: Ts, paused: bool) -> Option<Fold> {
        let series = &mut self.series[at];
        let place = match find(&series.slots, &start, |slot| slot.start) {
            Ok(place) => place,
            Err(_) => {
                let traded = series.first_start.is_some_and(|first| first < start);
                if !traded || paused || settings.bars.empty == Empty::Omit {
                    return None;
                }
                series.slot(start, &settings.time)
            }
        };
        if series.slots[place].fold.is_some() && at == 0 {
            Self::first_trade(series, start, settings, start);
        }
        let slot = &mut series.slots[place];
        slot.closed = true;
        let fold = slot.fold;
        series.touch(start);
        fold
    }

    /// Makes marked bars again, and those that depend on them, and hands over what changed; forgets what is past `cutoff`.
    pub(super) fn render(
        &mut self,
        settings: &Settings,
        cutoff: Ts,
        mut changed: impl FnMut(Option<Bar>, Option<Bar>),
    ) {
        for series in &mut self.series {
            let Some(dirty) = series.dirty.take() else { continue };
            let from = first_from(&series.slots, &dirty, |slot| slot.start);
            let mut last_close = match from {
                0 => series.forgotten_close,
                _ => last_close(series.slots.iter().take(from).rev()).or(series.forgotten_close),
            };
            for slot in series.slots.range_mut(from..) {
                if !slot.closed {
                    break;
                }
                let interval = Interval {
                    instrument: self.instrument,
                    timeframe: series.timeframe,
                    connected: Self::covered(&self.connected, slot.start, slot.end),
                    first_start: series.first_start,
                    last_close,
                    jump: settings.bars.jump,
                };
                let bar = interval.bar(slot, &self.scale);
                if slot.bar != bar {
                    changed(std::mem::replace(&mut slot.bar, bar), bar);
                }
                if let Some(bar) = bar.filter(|bar| bar.quality != Quality::Gap) {
                    last_close = Some(bar.close);
                }
            }
            while let Some(front) = series.slots.front()
                && front.closed
                && front.end < cutoff
            {
                if let Some(close) = last_close_of(front) {
                    series.forgotten_close = Some(close);
                }
                series.forgotten_to = Some(front.end);
                series.slots.pop_front();
            }
        }
    }
}

/// Whether a trade became known so long after its base bar that it changes nothing.
pub(super) fn is_past_horizon(settings: &Settings, trade: &Trade) -> bool {
    let base = settings.timeframes.base();
    settings.time.horizon < trade.known as Ts - base.end(base.start(trade.ts_event))
}

/// The difference between a bar made from whole-interval trades and the venue's own.
fn compare(bar: &Bar, kline: &Kline) -> Result<(), (&'static str, String)> {
    let pairs = [
        ("open", bar.open, kline.open),
        ("high", bar.high, kline.high),
        ("low", bar.low, kline.low),
        ("close", bar.close, kline.close),
        ("volume", bar.volume, kline.volume),
    ];
    let differ = |ours: f64, theirs: f64| 1e-9 * theirs.abs() < (ours - theirs).abs();
    let differences: Vec<String> = pairs
        .into_iter()
        .filter(|(_, ours, theirs)| bar.quality != Quality::Gap && differ(*ours, *theirs))
        .map(|(name, ours, theirs)| format!("{name} {ours} is {theirs} at the venue"))
        .collect();
    if differences.is_empty() { Ok(()) } else { Err(("kline_differs", differences.join(", "))) }
}

fn last_close_of(slot: &Slot) -> Option<f64> {
    slot.bar.filter(|bar| bar.quality != Quality::Gap).map(|bar| bar.close)
}

fn last_close<'a>(mut slots: impl Iterator<Item = &'a Slot>) -> Option<f64> {
    slots.find_map(last_close_of)
}

/// What a bar depends on besides its own trades.
struct Interval {
    instrument: u32,
    timeframe: Timeframe,
    connected: bool,
    first_start: Option<Ts>,
    last_close: Option<f64>,
    jump: f64,
}

impl Interval {
    /// The bar of a slot, `None` where there is none.
    fn bar(&self, slot: &Slot, scale: &Scale) -> Option<Bar> {
        let bar = |open, high, low, close, volume| Bar {
            instrument: self.instrument,
            timeframe: self.timeframe,
            start: slot.start,
            end: slot.end,
            open,
            high,
            low,
            close,
            volume,
            turnover: None,
            buy_volume: None,
            n_trades: None,
            n_buys: None,
            first_id: EventId::None,
            last_id: EventId::None,
            source: Source::Trades,
            quality: Quality::Ok,
        };
        if let Some(fold) = &slot.fold {
            let Fold { high, low, .. } = *fold;
            let jumps = self.last_close.is_some_and(|last| self.jump * last < high || low * self.jump < last);
            let quality = match (jumps, self.connected) {
                (true, _) => Quality::Suspect,
                (false, false) => Quality::Partial,
                (false, true) => Quality::Ok,
            };
            return Some(Bar {
                turnover: Some(scale.turnover(fold.turnover)),
                buy_volume: Some(scale.volume(fold.buy_volume)),
                n_trades: Some(fold.n_trades),
                n_buys: Some(fold.n_buys),
                first_id: fold.first_id,
                last_id: fold.last_id,
                quality,
                ..bar(fold.open, high, low, fold.close, scale.volume(fold.volume))
            });
        }
        match (self.first_start, &slot.kline) {
            (Some(first), _) if first < slot.start => {
                let close = self.last_close.filter(|_| self.connected);
                let flow = (Some(0.0), Some(0), Some(0));
                Some(match close {
                    Some(close) => {
                        let (turnover, n_trades, n_buys) = flow;
                        Bar { turnover, buy_volume: turnover, n_trades, n_buys, ..bar(close, close, close, close, 0.0) }
                    }
                    None => Bar { n_trades: Some(0), quality: Quality::Gap, ..bar(0.0, 0.0, 0.0, 0.0, 0.0) },
                })
            }
            (_, Some(kline)) => Some(Bar {
                turnover: kline.turnover,
                source: Source::Venue,
                ..bar(kline.open, kline.high, kline.low, kline.close, kline.volume)
            }),
            (_, None) => None,
        }
    }
}
