//! Runs a state machine over the rows of each series in order, and again from any row that is corrected.

use std::{cell::RefCell, collections::VecDeque, iter::Peekable, rc::Rc, vec::Drain};

use prism_schemas::Ts;

use crate::{
    operator::{BadState, Kept, Recent, Watch, in_order, room},
    types::{Diff, Rows, Time},
};

/// Rows between two state snapshots: a correction replays at most this many before its own.
const SNAPSHOT_EVERY: usize = 32;
/// At least so many, where few rows are kept: a snapshot weighs as much as a dozen of them.
const SNAPSHOT_EVERY_MIN: usize = 4;
/// Snapshots at which a machine is measured: with the last of them the longest window is full.
const MEASURED: usize = 64;

/// A row of a series.
pub trait Item: Clone + PartialEq + 'static {
    /// Dense number of its instrument.
    fn instrument(&self) -> u32;
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
    /// What it makes of a row, with the row.
    type Out: Clone + PartialEq + 'static;
    /// Takes the next row.
    fn next(&mut self, row: &Self::In) -> Self::Out;
    /// The row of an outcome.
    fn row(out: &Self::Out) -> &Self::In;
    /// What it would make of the next rows, all of it or at least what is read behind it; it stays where it is.
    fn peek(&self, rows: &[Self::In], _all: bool) -> Vec<Self::Out> {
        let mut ahead = self.clone();
        rows.iter().map(|row| ahead.next(row)).collect()
    }
    /// Bytes that an outcome holds beside itself.
    fn held(_out: &Self::Out) -> usize {
        0
    }
    /// Appends its state.
    fn save(&self, to: &mut Vec<u8>);
    /// Takes its state from where it was saved; the same rows make the same of it from there on.
    fn load(&mut self, from: &mut &[u8]) -> Result<(), BadState>;
}

/// New rows, by series and start.
type Fresh<'a, M> = Peekable<Drain<'a, <M as Machine>::In>>;

/// A row's place; the row itself is in its outcome, or among the new ones.
struct Entry<O> {
    start: Ts,
    end: Ts,
    /// As it stands downstream.
    out: Option<O>,
}

impl<O> Kept for Entry<O> {
    fn key(&self) -> Ts {
        self.start
    }

    fn end(&self) -> Ts {
        self.end
    }
}

/// One series: recent rows with their outcomes, and the machine's state before some of them.
struct Series<M: Machine> {
    entries: Recent<Entry<M::Out>>,
    snapshots: VecDeque<(usize, M)>,
    /// Rows between two of them.
    every: usize,
    machine: M,
    /// Entries the machine has taken; all later ones are new.
    taken: usize,
    /// Bytes of the machine when it was last measured: at its first snapshots, while it fills.
    machine_bytes: usize,
    n_measured: usize,
    /// Bytes it kept when that was told.
    bytes_told: usize,
}

impl<M: Machine> Series<M> {
    /// Of rows of about this length, kept so long: two snapshots or three are among them, and few rows are kept for one's sake.
    fn new(machine: M, length: i64, keep: i64) -> Series<M> {
        let n_kept = usize::try_from(keep / length.max(1)).unwrap_or(0);
        Series {
            machine_bytes: 0,
            n_measured: 0,
            entries: Recent::default(),
            snapshots: VecDeque::new(),
            every: (n_kept / 2).clamp(SNAPSHOT_EVERY_MIN, SNAPSHOT_EVERY),
            machine,
            taken: 0,
            bytes_told: 0,
        }
    }

    /// Runs the machine again over the entries from the first changed one on, those of its `fresh` rows among them.
    fn run(
        &mut self,
        key: usize,
        first: usize,
        fresh: &mut Fresh<'_, M>,
        mut changed: impl FnMut(Option<M::Out>, M::Out),
    ) {
        let from = if first < self.taken { self.rewind(first) } else { self.taken };
        self.taken = self.entries.len();
        let mut is_measured = true;
        for (entry, at) in self.entries.from_mut(from).zip(from..) {
            let since = self.snapshots.back().map_or(self.every, |(taken_at, _)| at - taken_at);
            if self.every <= since {
                self.snapshots.push_back((at, self.machine.clone()));
                is_measured = false;
            }
            let out = match (fresh.next_if(|row| row.series() == key && row.start() == entry.start), &entry.out) {
                (Some(row), _) => self.machine.next(&row),
                (None, Some(out)) => self.machine.next(M::row(out)),
                // Cannot be: a row is new or in its outcome.
                (None, None) => continue,
            };
            if entry.out.as_ref() != Some(&out) {
                changed(entry.out.replace(out.clone()), out);
            }
        }
        if !is_measured {
            self.measure();
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

    fn measure(&mut self) {
        if self.n_measured < MEASURED {
            let mut state = Vec::new();
            self.machine.save(&mut state);
            (self.machine_bytes, self.n_measured) = (state.len(), self.n_measured + 1);
        }
    }

    /// Bytes it keeps.
    fn bytes(&self) -> usize {
        let of_row = self.entries.back().and_then(|entry| entry.out.as_ref()).map_or(0, M::held);
        let machines = (1 + self.snapshots.len()) * self.machine_bytes;
        self.entries.bytes() + room(&self.snapshots) + self.entries.len() * of_row + machines
    }

    /// Forgets entries that ended before `cutoff`, as far as a snapshot allows.
    fn trim(&mut self, cutoff: Ts) {
        while let Some((next, _)) = self.snapshots.get(1) {
            let next = *next;
            if cutoff <= self.entries[next - 1].end {
                return;
            }
            (0..next).for_each(|_| drop(self.entries.forget(cutoff, false)));
            self.taken -= next;
            self.snapshots.pop_front();
            for (taken_at, _) in &mut self.snapshots {
                *taken_at -= next;
            }
        }
    }
}

/// Makes the machine of a series that begins with a row.
type Begin<M> = Box<dyn Fn(&<M as Machine>::In) -> M>;

/// All series of a worker.
pub struct Scan<M: Machine> {
    all: Vec<Option<Series<M>>>,
    machine: Begin<M>,
    keep: i64,
}

impl<M: Machine> Scan<M> {
    /// The series of a row, made if absent.
    fn series(&mut self, row: &M::In) -> &mut Series<M> {
        let key = row.series();
        if self.all.len() <= key {
            self.all.resize_with(key + 1, || None);
        }
        let (make, keep) = (&self.machine, self.keep);
        self.all[key].get_or_insert_with(|| Series::new(make(row), row.end() - row.start(), keep))
    }

    /// What the machines would make of rows that follow those they have, by series and in order; as each tells it.
    pub fn peek(&self, rows: &[M::In], all: bool) -> Vec<M::Out> {
        let of_series = rows.chunk_by(|a, b| a.series() == b.series());
        let of =
            |rows: &[M::In]| match (rows.first(), rows.first().and_then(|row| self.all.get(row.series())?.as_ref())) {
                (_, Some(series)) => series.machine.peek(rows, all),
                (Some(first), None) => (self.machine)(first).peek(rows, all),
                (None, None) => Vec::new(),
            };
        of_series.flat_map(of).collect()
    }
}

/// Scans each series with a fresh `machine(row)`. Corrections older than `keep` before their knowledge time must not come:
/// those that have no place are `misplaced`.
///
/// Keeps, per series, the rows that end within `keep` before now, and a state for every 32 of them at most.
pub fn scan_by_key<'s, M: Machine>(
    rows: Rows<'s, M::In>,
    name: &str,
    keep: i64,
    watch: &Watch,
    machine: impl Fn(&M::In) -> M + 'static,
) -> (Rows<'s, M::Out>, Rc<RefCell<Scan<M>>>) {
    let scan = Rc::new(RefCell::new(Scan { all: Vec::new(), machine: Box::new(machine), keep }));
    let own = scan.clone();
    let mut touched: Vec<(usize, usize)> = Vec::new();
    let mut fresh: Vec<M::In> = Vec::new();
    let (operator, watch, mut gauge) = (name.to_string(), watch.clone(), watch.gauge(name));
    let out = in_order(rows, name, move |time: Time, batch: &mut Vec<(M::In, Diff)>, emit| {
        let scan = &mut *own.borrow_mut();
        // Retractions first, so that a replaced row is never there twice.
        batch.sort_by_key(|(row, diff)| (row.series(), *diff, row.start()));
        touched.clear();
        for (row, diff) in batch.drain(..) {
            let key = row.series();
            let series = scan.series(&row);
            let (start, end) = (row.start(), row.end());
            let make = |old: Option<Entry<M::Out>>| Entry { start, end, out: old.and_then(|old| old.out) };
            let Some(at) = series.entries.apply(start, diff, make) else {
                watch.tell(&operator, row.instrument(), start, diff, time);
                continue;
            };
            if 0 < diff {
                fresh.push(row);
            }
            match touched.last_mut() {
                Some((last, first)) if *last == key => *first = (*first).min(at),
                _ => touched.push((key, at)),
            }
        }
        // By series and start, as they are touched.
        let mut fresh = fresh.drain(..).peekable();
        for (key, first) in touched.drain(..) {
            let Some(series) = scan.all[key].as_mut() else { continue };
            series.entries.removed().for_each(|entry| emit.replace(entry.out, None));
            series.run(key, first, &mut fresh, |old, new| emit.replace(old, Some(new)));
            series.trim(time as Ts - keep);
            let bytes = series.bytes();
            gauge.tell(&mut series.bytes_told, bytes);
        }
    });
    (out, scan)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use differential_dataflow::AsCollection;
    use prism_schemas::time::MINUTE;
    use timely::dataflow::operators::{Input, Inspect};

    use super::*;
    use crate::{
        bar::Bar,
        interval::Interval,
        operator::{load, save},
    };

    /// Counts rows.
    #[derive(Clone)]
    struct Count(u64);

    impl Machine for Count {
        type In = Interval;
        type Out = (Interval, u64);

        fn next(&mut self, row: &Interval) -> (Interval, u64) {
            self.0 += 1;
            (row.clone(), self.0)
        }

        fn row(out: &(Interval, u64)) -> &Interval {
            &out.0
        }

        fn save(&self, to: &mut Vec<u8>) {
            save(&self.0, to);
        }

        fn load(&mut self, from: &mut &[u8]) -> Result<(), BadState> {
            load(&mut self.0, from)
        }
    }

    /// Minute and count of a row, and whether it was learnt.
    type Counted = ((Ts, u64), Diff);

    /// What comes out of these updates at minutes, and what had no place.
    fn run(updates: Vec<(i64, i64, Diff)>) -> (Vec<Counted>, Vec<String>) {
        let bar = |(minute, start, diff)| (minute, Bar::ohlcv(start * MINUTE, [1.0; 5]), diff);
        let (rows, told) = run_bars(updates.into_iter().map(bar).collect());
        (rows.into_iter().map(|(bar, n, diff)| ((bar.start / MINUTE, n), diff)).collect(), told)
    }

    /// The same of bars: those that came out, with their counts.
    fn run_bars(updates: Vec<(i64, Bar, Diff)>) -> (Vec<(Bar, u64, Diff)>, Vec<String>) {
        timely::execute_directly(move |worker| {
            let (out, told) = (Rc::new(RefCell::new(Vec::new())), Rc::new(RefCell::new(Vec::new())));
            let mut input = worker.dataflow::<Time, _, _>(|scope| {
                let (input, stream) = scope.new_input();
                let watch = Watch::default();
                let heard = told.clone();
                watch.listen(move |error, time| {
                    assert_eq!(error.rule, "misplaced_row");
                    heard.borrow_mut().push(format!("{} {}", time as i64 / MINUTE, error.id));
                });
                let rows: Rows<'_, Interval> = stream.as_collection();
                let (scanned, _) = scan_by_key(rows, "count", 10 * MINUTE, &watch, |_| Count(0));
                let out = out.clone();
                scanned
                    .inner
                    .inspect(move |((row, n), _, diff)| out.borrow_mut().push((Bar::clone(&row.bar), *n, *diff)));
                input
            });
            for (minute, bar, diff) in updates {
                let time = (minute * MINUTE) as Time;
                input.advance_to(time);
                input.send((Arc::new(bar).into(), time, diff));
            }
            drop(input);
            while worker.step() {}
            (out.take(), told.take())
        })
    }

    #[test]
    fn a_series_that_runs_again_takes_no_row_of_another() {
        let bar = |instrument, start, close: f64| Bar { instrument, ..Bar::ohlcv(start * MINUTE, [close; 5]) };
        let closes = |start| [0, 1].map(|instrument| (start + 1, bar(instrument, start, 1.0), 1));
        let mut updates: Vec<_> = (0..5).flat_map(closes).collect();
        // At once, a correction of one, and one of the other at a start that the first runs through again.
        for (instrument, start) in [(0, 1), (1, 3)] {
            updates.extend([(7, bar(instrument, start, 1.0), -1), (7, bar(instrument, start, 2.0), 1)]);
        }
        let (rows, told) = run_bars(updates);
        let row = |(bar, _, diff): &(Bar, u64, Diff)| (bar.instrument, bar.start / MINUTE, bar.close, *diff);
        let corrected: Vec<_> = rows[10..].iter().map(row).collect();
        assert_eq!(corrected, [(0, 1, 1.0, -1), (0, 1, 2.0, 1), (1, 3, 1.0, -1), (1, 3, 2.0, 1)]);
        assert!(told.is_empty(), "{told:?}");
    }

    #[test]
    fn what_has_no_place_is_told_and_changes_nothing() {
        let once = |updates: &[(i64, i64, Diff)]| run(updates.to_vec());
        let (rows, told) = once(&[(1, 0, 1), (2, 0, 1), (3, 1, -1), (4, 1, 1)]);
        assert_eq!(rows, [((0, 1), 1), ((1, 2), 1)]);
        assert_eq!(told, ["2 count 0 +1", &format!("3 count {MINUTE} -1")]);
        // The oldest row that is kept may be replaced: the one before it ended before all that can be corrected.
        let mut updates: Vec<(i64, i64, Diff)> = (0..=32).map(|at| (at * 20 + 1, at * 20, 1)).collect();
        updates.extend([(642, 640, -1), (642, 640, 1), (661, 660, 1)]);
        let (rows, told) = once(&updates);
        assert_eq!((rows.last(), told), (Some(&((660, 34), 1)), Vec::new()));
        // A hundred minutes on, the first rows are forgotten: nothing is counted from them again.
        let mut updates: Vec<(i64, i64, Diff)> = (0..100).map(|at| (at + 1, at, 1)).collect();
        updates.extend([(101, 3, -1), (101, 3, 1), (102, 100, 1)]);
        let (rows, told) = once(&updates);
        assert_eq!(rows.len(), 101);
        assert_eq!(rows.last(), Some(&((100, 101), 1)));
        assert_eq!(
            told,
            [3 * MINUTE; 2]
                .iter()
                .zip(["-1", "+1"])
                .map(|(at, diff)| format!("101 count {at} {diff}"))
                .collect::<Vec<_>>()
        );
    }
}
