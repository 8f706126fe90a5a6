//! Signals: crossings of the confluence score, with hysteresis and cooldown.

use std::{collections::VecDeque, sync::Arc};

use prism_schemas::Ts;
use timely::dataflow::channels::pact::Pipeline;

use crate::{
    operator::{Kept, Recent, Watch, in_order_of, room},
    score::rows::{Confluence, Score},
    settings::{Settings, SignalSettings},
    types::{Diff, Rows},
};

/// Which way a signal points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Direction {
    Bullish,
    Bearish,
}

impl Direction {
    /// BULLISH or BEARISH.
    pub fn name(self) -> &'static str {
        match self {
            Direction::Bullish => "BULLISH",
            Direction::Bearish => "BEARISH",
        }
    }
}

/// Where a signal stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// The score is still beyond its threshold, less hysteresis.
    Active,
    /// The score came back, at the bar that ends here.
    Closed(Ts),
    /// The opposite signal was raised, at the bar that ends here.
    Superseded(Ts),
}

/// A crossing with its current state.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Signal {
    /// Dense number of the instrument.
    pub instrument: u32,
    /// Start of the crossing's base bar.
    pub start: Ts,
    /// End of the crossing's base bar.
    pub end: Ts,
    /// Which way it points.
    pub direction: Direction,
    /// Where it stands.
    pub status: Status,
    /// Confluence at the crossing.
    pub score: f64,
    /// Reliability at the crossing.
    pub reliability: f64,
    /// Close of the crossing's bar.
    pub price: f64,
}

/// What the crossings so far leave behind.
#[derive(Clone, Copy, Debug, Default)]
struct State {
    /// Start of the active signal's bar.
    active: Option<(Direction, Ts)>,
    /// End of the bar that raised the last signal of each direction.
    last_end: [Option<Ts>; 2],
}

#[derive(Clone, Copy)]
struct Entry {
    start: Ts,
    end: Ts,
    score: f64,
    reliability: f64,
    price: f64,
    /// State before this row.
    before: State,
}

impl Kept for Entry {
    fn key(&self) -> Ts {
        self.start
    }

    fn end(&self) -> Ts {
        self.end
    }
}

#[derive(Default)]
struct Instrument {
    entries: Recent<Entry>,
    /// State before the first entry.
    forgotten: State,
    /// In order; each ends before the next begins.
    signals: VecDeque<Signal>,
    /// Bytes it kept when that was told.
    bytes_told: usize,
}

/// Signals of every instrument. Keeps the scores of the horizon and the signals that still can change.
pub fn signals<'s>(scores: Rows<'s, Score>, settings: &Settings, watch: &Watch) -> Rows<'s, Signal> {
    let (watch, mut gauge) = (watch.clone(), watch.gauge("signals"));
    let rules = settings.signals.clone();
    let keep = settings.keep();
    let mut instruments: Vec<Instrument> = Vec::new();
    let mut touched: Vec<(usize, Ts)> = Vec::new();
    let pick = |score| match score {
        Score::Confluence(confluence) => Some(confluence),
        Score::Role(_) => None,
    };
    in_order_of(scores, "signals", Pipeline, pick, move |time, batch: &mut Vec<(Arc<Confluence>, Diff)>, emit| {
        batch.sort_by_key(|(row, diff)| (row.bar().instrument, *diff));
        touched.clear();
        for (row, diff) in batch.drain(..) {
            let at = row.bar().instrument as usize;
            if instruments.len() <= at {
                instruments.resize_with(at + 1, Instrument::default);
            }
            let start = row.bar().start;
            if instruments[at].entries.apply(start, diff, |_| Entry::of(&row)).is_none() {
                watch.tell("signals", row.bar().instrument, start, diff, time);
                continue;
            }
            match touched.last_mut() {
                Some((last, first)) if *last == at => *first = (*first).min(start),
                _ => touched.push((at, start)),
            }
        }
        for (at, first) in touched.drain(..) {
            let instrument = &mut instruments[at];
            instrument.entries.removed().for_each(drop);
            let old = instrument.reopen(first);
            let n_kept = instrument.signals.len();
            if let Some(open) = old.first().filter(|signal| signal.start < first) {
                instrument.signals.push_back(Signal { status: Status::Active, ..*open });
            }
            instrument.rerun(at as u32, first, &rules);
            let new = || instrument.signals.range(n_kept..);
            for signal in &old {
                emit.replace(Some(*signal), new().find(|new| new.start == signal.start).copied());
            }
            for signal in new().filter(|new| !old.iter().any(|old| old.start == new.start)) {
                emit.insert(*signal);
            }
            instrument.trim(time as Ts - keep, &rules);
            let bytes = instrument.entries.bytes() + room(&instrument.signals);
            gauge.tell(&mut instrument.bytes_told, bytes);
        }
    })
}

impl Entry {
    fn of(row: &Confluence) -> Entry {
        let (bar, before) = (row.bar(), State::default());
        Entry {
            start: bar.start,
            end: bar.end,
            score: row.score,
            reliability: row.reliability(),
            price: bar.close,
            before,
        }
    }
}

/// What a row does to the state: the signal it ends, with its new status, and the direction it raises.
fn step(state: &mut State, entry: &Entry, rules: &SignalSettings) -> (Option<(Ts, Status)>, Option<Direction>) {
    let back = match state.active {
        Some((Direction::Bullish, _)) => entry.score < rules.bullish - rules.hysteresis,
        Some((Direction::Bearish, _)) => rules.bearish + rules.hysteresis < entry.score,
        None => false,
    };
    let ended = if back { state.active.take() } else { None };
    let raised = match state.active {
        None if rules.bullish <= entry.score => Some(Direction::Bullish),
        None if entry.score <= rules.bearish => Some(Direction::Bearish),
        _ => None,
    };
    let raised = raised.filter(|direction| {
        let last = state.last_end[*direction as usize];
        last.is_none_or(|last| rules.cooldown <= entry.end - last)
    });
    if let Some(direction) = raised {
        state.active = Some((direction, entry.start));
        state.last_end[direction as usize] = Some(entry.end);
    }
    let status = if raised.is_some() { Status::Superseded(entry.end) } else { Status::Closed(entry.end) };
    (ended.map(|(_, start)| (start, status)), raised)
}

impl Instrument {
    /// Takes out, oldest first, the signals that rows from `first` on may raise or end.
    fn reopen(&mut self, first: Ts) -> Vec<Signal> {
        let stands =
            |signal: &Signal| matches!(signal.status, Status::Closed(end) | Status::Superseded(end) if end <= first);
        let n_standing =
            self.signals.iter().rposition(|signal| signal.start < first && stands(signal)).map_or(0, |at| at + 1);
        self.signals.drain(n_standing..).collect()
    }

    /// Raises and ends signals again from the row that starts at `first` on.
    fn rerun(&mut self, number: u32, first: Ts, rules: &SignalSettings) {
        let from = self.entries.first_from(first);
        let mut state = match from.checked_sub(1) {
            Some(before) => {
                let mut state = self.entries[before].before;
                step(&mut state, &self.entries[before], rules);
                state
            }
            None => self.forgotten,
        };
        for entry in self.entries.from_mut(from) {
            entry.before = state;
            let (ended, raised) = step(&mut state, entry, rules);
            if let Some((start, status)) = ended
                && let Some(signal) = self.signals.iter_mut().rev().find(|signal| signal.start == start)
            {
                signal.status = status;
            }
            if let Some(direction) = raised {
                let Entry { start, end, score, reliability, price, .. } = *entry;
                let status = Status::Active;
                let signal = Signal { instrument: number, start, end, direction, status, score, reliability, price };
                self.signals.push_back(signal);
            }
        }
    }

    /// Forgets rows before the newest that ended before `cutoff`, as scoring does: that one may still be revised. And
    /// signals that ended before them.
    fn trim(&mut self, cutoff: Ts, rules: &SignalSettings) {
        while let Some(front) = self.entries.forget(cutoff, true) {
            self.forgotten = front.before;
            step(&mut self.forgotten, &front, rules);
        }
        while let Some(Status::Closed(end) | Status::Superseded(end)) = self.signals.front().map(|signal| signal.status)
            && end < cutoff
        {
            self.signals.pop_front();
        }
    }
}
