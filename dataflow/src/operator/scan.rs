//! Runs a state machine over the rows of each series in order, and again from any row that is corrected.

use std::collections::VecDeque;

use prism_schemas::Ts;
use timely::dataflow::channels::pact::Pipeline;

use crate::{
    operator::{find, in_order_of},
    types::{Diff, Rows, Time},
};

/// Rows between two state snapshots: a correction replays at most this many before its own.
const SNAPSHOT_EVERY: usize = 32;

/// A row of a series.
pub trait Item: Clone + PartialEq + 'static {
    /// Dense number of its series.
    fn series(&self) -> usize;
    /// Its place in the series, unique within it.
    fn start(&self) -> Ts;
    /// The instant it ends, by which it is kept.
    fn end(&self) -> Ts;
}

/// What runs over a series: a pure function of the rows so far.
pub trait Machine: Clone + 'static {
    /// Rows it reads.
    type In: Item;
    /// Rows it makes, at most one a row.
    type Out: Clone + PartialEq + 'static;
    /// Takes the next row.
    fn next(&mut self, row: &Self::In) -> Option<Self::Out>;
}

struct Entry<M: Machine> {
    row: M::In,
    out: Option<M::Out>,
}

/// One series: recent rows with their outcomes, and the machine's state before every 32nd of them.
struct Series<M: Machine> {
    entries: VecDeque<Entry<M>>,
    snapshots: VecDeque<(usize, M)>,
    machine: M,
    /// Entries the machine has taken; all later ones are new.
    taken: usize,
    removed: Vec<(Ts, Option<M::Out>)>,
}

impl<M: Machine> Series<M> {
    fn new(machine: M) -> Series<M> {
        Series { entries: VecDeque::new(), snapshots: VecDeque::new(), machine, taken: 0, removed: Vec::new() }
    }

    /// Runs the machine again over the entries from the first changed one on.
    fn run(&mut self, first: usize, mut changed: impl FnMut(Option<M::Out>, Option<M::Out>)) {
        let from = if first < self.taken { self.rewind(first) } else { self.taken };
        self.taken = self.entries.len();
        for at in from..self.entries.len() {
            let since = self.snapshots.back().map_or(SNAPSHOT_EVERY, |(taken_at, _)| at - taken_at);
            if SNAPSHOT_EVERY <= since {
                self.snapshots.push_back((at, self.machine.clone()));
            }
            let entry = &mut self.entries[at];
            let out = self.machine.next(&entry.row);
            if entry.out != out {
                let old = std::mem::replace(&mut entry.out, out.clone());
                changed(old, out);
            }
        }
    }

    /// Puts the machine back to where it stood before some entry at or before `at`, and says which.
    fn rewind(&mut self, at: usize) -> usize {
        while 1 < self.snapshots.len() && self.snapshots.back().is_some_and(|(taken_at, _)| at < *taken_at) {
            self.snapshots.pop_back();
        }
        match self.snapshots.pop_back() {
            Some((taken_at, machine)) => {
                self.machine = machine;
                taken_at
            }
            None => 0,
        }
    }

    /// Forgets entries that ended before `cutoff`, as far as a snapshot allows.
    fn trim(&mut self, cutoff: Ts) {
        while let Some((next, _)) = self.snapshots.get(1) {
            let next = *next;
            if cutoff <= self.entries[next - 1].row.end() {
                return;
            }
            self.entries.drain(..next);
            self.taken -= next;
            self.snapshots.pop_front();
            for (taken_at, _) in &mut self.snapshots {
                *taken_at -= next;
            }
        }
    }
}

/// Scans each series with a fresh `machine(row)`. Corrections older than `keep` before their knowledge time must not come.
///
/// Keeps, per series, the rows that end within `keep` before now and a state for every 32 of them.
pub fn scan_by_key<'s, M: Machine>(
    rows: Rows<'s, M::In>,
    name: &str,
    keep: i64,
    machine: impl Fn(&M::In) -> M + 'static,
) -> Rows<'s, M::Out> {
    scan_by_key_of(rows, name, keep, |_| true, machine)
}

/// Like [`scan_by_key`], over the rows that `wanted` names.
pub fn scan_by_key_of<'s, M: Machine>(
    rows: Rows<'s, M::In>,
    name: &str,
    keep: i64,
    wanted: impl Fn(&M::In) -> bool + 'static,
    machine: impl Fn(&M::In) -> M + 'static,
) -> Rows<'s, M::Out> {
    let mut all: Vec<Option<Series<M>>> = Vec::new();
    let mut touched: Vec<(usize, usize)> = Vec::new();
    let pick = move |row| wanted(&row).then_some(row);
    in_order_of(rows, name, Pipeline, pick, move |time: Time, batch: &mut Vec<(M::In, Diff)>, emit| {
        // Retractions first, so that a replaced row is never there twice.
        batch.sort_by_key(|(row, diff)| (row.series(), *diff, row.start()));
        touched.clear();
        for (row, diff) in batch.drain(..) {
            let key = row.series();
            if all.len() <= key {
                all.resize_with(key + 1, || None);
            }
            let series = all[key].get_or_insert_with(|| Series::new(machine(&row)));
            let place = find(&series.entries, &row.start(), |entry| entry.row.start());
            let at = match (place, diff) {
                (Ok(at), ..=-1) => {
                    let entry = series.entries.remove(at);
                    series.removed.extend(entry.map(|entry| (entry.row.start(), entry.out)));
                    at
                }
                (Err(at), 1..) => {
                    let old = series.removed.iter().position(|(start, _)| *start == row.start());
                    let out = old.and_then(|old| series.removed.swap_remove(old).1);
                    series.entries.insert(at, Entry { row, out });
                    at
                }
                (place, _) => {
                    debug_assert!(
                        false,
                        "{diff:+} of a row that {} there",
                        if place.is_ok() { "is" } else { "is not" }
                    );
                    continue;
                }
            };
            match touched.last_mut() {
                Some((last, first)) if *last == key => *first = (*first).min(at),
                _ => touched.push((key, at)),
            }
        }
        for (key, first) in touched.drain(..) {
            let Some(series) = all[key].as_mut() else { continue };
            for (_, out) in std::mem::take(&mut series.removed) {
                emit.replace(out, None);
            }
            series.run(first, |old, new| emit.replace(old, new));
            series.trim(time as Ts - keep);
        }
    })
}
