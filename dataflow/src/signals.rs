//! Signals: crossings of the confluence score, with hysteresis and cooldown.

#[cfg(test)]
mod tests;

use std::{collections::VecDeque, sync::Arc};

use prism_schemas::Ts;
use timely::dataflow::channels::pact::Pipeline;

use crate::{
    operator::{Kept, Recent, Watch, in_order_of, room},
    score::rows::{Confluence, Score},
    settings::{Settings, SignalSettings},
    structure::Setup,
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
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Status {
    /// The score is still beyond its threshold, less hysteresis.
    Active,
    /// The score came back.
    Closed(Moment),
    /// The opposite signal was raised.
    Superseded(Moment),
}

/// When something became of a signal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moment {
    /// End of the base bar.
    pub ts: Ts,
    /// Its close, or the price that it reached.
    pub price: f64,
    /// The confluence then.
    pub score: f64,
}

/// What a signal's price reached while it was active.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reached {
    /// The stop; nothing after it.
    pub stop: Option<Moment>,
    /// Each target.
    pub targets: [Option<Moment>; 2],
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
    /// Where a position in its direction would be given up and closed.
    pub setup: Option<Setup>,
    /// What of that was reached.
    pub reached: Reached,
}

impl Signal {
    /// The status' moment, if it ended.
    pub fn ended(&self) -> Option<Moment> {
        match self.status {
            Status::Active => None,
            Status::Closed(moment) | Status::Superseded(moment) => Some(moment),
        }
    }

    /// That which this row raises.
    fn raised(row: &Confluence, direction: Direction) -> Signal {
        let bar = row.bar();
        Signal {
            instrument: bar.instrument,
            start: bar.start,
            end: bar.end,
            direction,
            status: Status::Active,
            score: row.score,
            reliability: row.reliability(),
            price: bar.close,
            setup: row.analysed.structure().and_then(|structure| structure.setups[direction as usize]),
            reached: Reached::default(),
        }
    }

    /// A bar behind the crossing's reached its stop, or targets.
    fn reach(&mut self, row: &Confluence) {
        let Some(setup) = self.setup.filter(|_| self.reached.stop.is_none()) else { return };
        let bar = row.bar();
        let moment = |price| Moment { ts: bar.end, price, score: row.score };
        let (is_stopped, is_at): (bool, &dyn Fn(f64) -> bool) = match self.direction {
            Direction::Bullish => (bar.low <= setup.stop, &|target| target <= bar.high),
            Direction::Bearish => (setup.stop <= bar.high, &|target| bar.low <= target),
        };
        if is_stopped {
            self.reached.stop = Some(moment(setup.stop));
            return;
        }
        for (reached, target) in self.reached.targets.iter_mut().zip(setup.targets) {
            if is_at(target) {
                reached.get_or_insert(moment(target));
            }
        }
    }

    /// The same before bars that start at `first` or later.
    fn before(&self, first: Ts) -> Signal {
        let is_before = |moment: &Moment| moment.ts <= first;
        let Reached { stop, targets } = self.reached;
        let reached = Reached { stop: stop.filter(is_before), targets: targets.map(|target| target.filter(is_before)) };
        Signal { status: Status::Active, reached, ..*self }
    }
}

/// What the crossings so far leave behind.
#[derive(Clone, Copy, Debug, Default)]
struct State {
    /// Start of the active signal's bar.
    active: Option<(Direction, Ts)>,
    /// End of the bar that raised the last signal of each direction.
    last_end: [Option<Ts>; 2],
}

struct Entry {
    /// Scoring keeps it as long.
    row: Arc<Confluence>,
    /// State before this row.
    before: State,
}

impl Kept for Entry {
    fn key(&self) -> Ts {
        self.row.bar().start
    }

    fn end(&self) -> Ts {
        self.row.bar().end
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
            if instruments[at]
                .entries
                .apply(start, diff, |_| Entry { row: row.clone(), before: State::default() })
                .is_none()
            {
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
                instrument.signals.push_back(open.before(first));
            }
            instrument.rerun(first, &rules);
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

/// What a row does to the state: the new status of the signal it ends, and the direction it raises.
fn step(state: &mut State, row: &Confluence, rules: &SignalSettings) -> (Option<Status>, Option<Direction>) {
    let (bar, score) = (row.bar(), row.score);
    let back = match state.active {
        Some((Direction::Bullish, _)) => score < rules.bullish - rules.hysteresis,
        Some((Direction::Bearish, _)) => rules.bearish + rules.hysteresis < score,
        None => false,
    };
    let ended = if back { state.active.take() } else { None };
    let raised = match state.active {
        None if rules.bullish <= score => Some(Direction::Bullish),
        None if score <= rules.bearish => Some(Direction::Bearish),
        _ => None,
    };
    let raised = raised.filter(|direction| {
        let last = state.last_end[*direction as usize];
        last.is_none_or(|last| rules.cooldown <= bar.end - last)
    });
    if let Some(direction) = raised {
        state.active = Some((direction, bar.start));
        state.last_end[direction as usize] = Some(bar.end);
    }
    let moment = Moment { ts: bar.end, price: bar.close, score };
    let status = if raised.is_some() { Status::Superseded(moment) } else { Status::Closed(moment) };
    (ended.map(|_| status), raised)
}

impl Instrument {
    /// Takes out, oldest first, the signals that rows from `first` on may raise or end.
    fn reopen(&mut self, first: Ts) -> Vec<Signal> {
        let stands = |signal: &Signal| signal.ended().is_some_and(|ended| ended.ts <= first);
        let n_standing =
            self.signals.iter().rposition(|signal| signal.start < first && stands(signal)).map_or(0, |at| at + 1);
        self.signals.drain(n_standing..).collect()
    }

    /// Raises and ends signals again from the row that starts at `first` on.
    fn rerun(&mut self, first: Ts, rules: &SignalSettings) {
        let from = self.entries.first_from(first);
        let mut state = match from.checked_sub(1) {
            Some(before) => {
                let mut state = self.entries[before].before;
                step(&mut state, &self.entries[before].row, rules);
                state
            }
            None => self.forgotten,
        };
        for entry in self.entries.from_mut(from) {
            entry.before = state;
            let active = state.active.map(|(_, start)| start);
            let (ended, raised) = step(&mut state, &entry.row, rules);
            if let Some(signal) = self.signals.back_mut().filter(|signal| active == Some(signal.start)) {
                signal.reach(&entry.row);
                if let Some(status) = ended {
                    signal.status = status;
                }
            }
            if let Some(direction) = raised {
                self.signals.push_back(Signal::raised(&entry.row, direction));
            }
        }
    }

    /// Forgets rows before the newest that ended before `cutoff`, as scoring does: that one may still be revised. And
    /// signals that ended before them.
    fn trim(&mut self, cutoff: Ts, rules: &SignalSettings) {
        while let Some(front) = self.entries.forget(cutoff, true) {
            self.forgotten = front.before;
            step(&mut self.forgotten, &front.row, rules);
        }
        while self.signals.front().and_then(Signal::ended).is_some_and(|ended| ended.ts < cutoff) {
            self.signals.pop_front();
        }
    }
}
