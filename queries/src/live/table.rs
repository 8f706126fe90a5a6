//! One table's rows in memory, as their writer has them: where the newest version of each row stands.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::TimestampMicrosecondType;
use arrow::error::ArrowError;
use prism_schemas::{Table, Ts};

use super::sight::{Segment, Sight, View, series_key};

/// Segments of fewer rows than this are merged with others.
const SMALL: usize = 4_096;
/// Bytes of a series' name, with its entry among all names.
const NAME: usize = 120;
/// Small segments that wait for a merge at most.
const SMALL_MAX: usize = 16;

/// One table: who writes waits for who else does; who reads waits for nobody.
#[derive(Debug)]
pub(super) struct LiveTable {
    rows: Mutex<Rows>,
    seen: ArcSwap<Sight>,
}

impl LiveTable {
    pub(super) fn new(table: &'static Table) -> LiveTable {
        let rows = Rows::new(table);
        LiveTable { seen: ArcSwap::from_pointee(rows.sight()), rows: Mutex::new(rows) }
    }

    /// Takes versions in any order.
    pub(super) fn apply(&self, rows: &RecordBatch) {
        self.change(|all| all.apply(rows));
    }

    /// Drops rows known before `before`, and those of `past.0` and earlier that are known before `past.1`, except the newest
    /// of a series (of signals: those still active).
    pub(super) fn forget(&self, before: Ts, past: (Ts, Ts)) {
        self.change(|all| all.forget(before, past));
    }

    /// The rows after the last change.
    pub(super) fn seen(&self) -> Arc<Sight> {
        self.seen.load_full()
    }

    /// Bytes of the rows, and about what it takes to find them.
    pub(super) fn bytes(&self) -> usize {
        let seen = self.seen();
        seen.bytes() + seen.len() * size_of::<Place>() + seen.n_series * (size_of::<Series>() + NAME)
    }

    fn change(&self, change: impl FnOnce(&mut Rows) -> bool) {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        if change(&mut rows) {
            self.seen.store(Arc::new(rows.sight()));
        }
    }
}

#[derive(Debug)]
struct Rows {
    table: &'static Table,
    ts: usize,
    known_at: Option<usize>,
    revision: Option<usize>,
    retracted: Option<usize>,
    status: Option<usize>,
    /// By number, which rises.
    segments: BTreeMap<u64, View>,
    next_segment: u64,
    numbers: HashMap<Arc<str>, u32>,
    series: Vec<Series>,
    /// Numbers of series without rows: of signals and refusals each is one of its own.
    free: Vec<u32>,
}

/// Rows of one key without `ts`, in order of `ts`, in microseconds.
#[derive(Debug)]
struct Series {
    name: Arc<str>,
    places: VecDeque<Place>,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    ts: i64,
    segment: u64,
    row: usize,
}

impl Series {
    fn find(&self, ts: i64) -> Result<usize, usize> {
        match self.places.back() {
            Some(last) if last.ts < ts => Err(self.places.len()),
            _ => self.places.binary_search_by_key(&ts, |place| place.ts),
        }
    }
}

impl Rows {
    fn new(table: &'static Table) -> Rows {
        Rows {
            table,
            ts: table.position(table.designated).unwrap_or(0),
            known_at: table.position("known_at"),
            revision: table.position("revision"),
            retracted: table.position("retracted"),
            status: (table.name == "signals").then(|| table.position("status")).flatten(),
            segments: BTreeMap::new(),
            next_segment: 0,
            numbers: HashMap::new(),
            series: Vec::new(),
            free: Vec::new(),
        }
    }

    fn sight(&self) -> Sight {
        Sight::new(self.table, self.segments.values().cloned().collect(), self.series.len())
    }

    /// Takes versions in any order; gives whether there were some.
    fn apply(&mut self, rows: &RecordBatch) -> bool {
        let keys = series_key(self.table, rows);
        let mut key = String::new();
        let series: Vec<u32> = (0..rows.num_rows())
            .map(|row| {
                key.clear();
                keys.iter().for_each(|cells| cells.push_key(row, &mut key));
                self.number(&key)
            })
            .collect();
        let is_news = !series.is_empty();
        if is_news {
            self.add(rows.clone(), series);
        }
        is_news
    }

    /// The number of a series.
    fn number(&mut self, name: &str) -> u32 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let name = Arc::<str>::from(name);
        let number = self.free.pop().unwrap_or(self.series.len() as u32);
        self.numbers.insert(name.clone(), number);
        let series = Series { name, places: VecDeque::new() };
        match self.series.get_mut(number as usize) {
            Some(free) => *free = series,
            None => self.series.push(series),
        }
        number
    }

    /// Adds rows, of which the newest versions of their keys stand.
    fn add(&mut self, rows: RecordBatch, series: Vec<u32>) {
        let number = self.next_segment;
        self.next_segment += 1;
        let (n_rows, of) = (rows.num_rows(), series.clone());
        self.segments.insert(number, View::new(Segment::new(rows, series, self.ts)));
        for (row, series) in (0..n_rows).zip(of) {
            let place = Place { ts: self.int(number, Some(self.ts), row), segment: number, row };
            let series = series as usize;
            let fallen = match self.series[series].find(place.ts) {
                Err(at) => {
                    self.series[series].places.insert(at, place);
                    continue;
                }
                Ok(at) => {
                    let old = self.series[series].places[at];
                    if self.age(place) < self.age(old) {
                        place
                    } else {
                        std::mem::replace(&mut self.series[series].places[at], place)
                    }
                }
            };
            if let Some(segment) = self.segments.get_mut(&fallen.segment) {
                segment.fell(fallen.row);
            }
        }
        self.merge();
    }

    fn int(&self, number: u64, column: Option<usize>, row: usize) -> i64 {
        self.segments.get(&number).map_or(0, |view| view.segment.int(column, row))
    }

    /// When a version became known, and its revision.
    fn age(&self, place: Place) -> (i64, i64) {
        (self.int(place.segment, self.known_at, place.row), self.int(place.segment, self.revision, place.row))
    }

    /// Puts small segments together, once there are many.
    fn merge(&mut self) {
        let small = self.segments.iter().filter(|(_, view)| view.n_standing() < SMALL);
        let numbers: Vec<u64> = small.map(|(number, _)| *number).collect();
        if SMALL_MAX < numbers.len() {
            self.rewrite(&numbers);
        }
    }

    /// Makes one segment of the standing rows of these.
    fn rewrite(&mut self, numbers: &[u64]) {
        let taken: Vec<View> = numbers.iter().filter_map(|number| self.segments.remove(number)).collect();
        let parts: Result<Vec<RecordBatch>, ArrowError> = taken.iter().map(View::standing).collect();
        let merged = parts.and_then(|parts| concat_batches(&self.table.schema(), &parts));
        let series = taken.iter().flat_map(|view| {
            let of = view.segment.series.iter().enumerate();
            of.filter(|(row, _)| view.stands(*row)).map(|(_, series)| *series)
        });
        // Batches of one schema can be put together; if not, rows of before stay readable as they are.
        let (Ok(rows), series) = (merged, series.collect::<Vec<u32>>()) else {
            self.segments.extend(numbers.iter().copied().zip(taken));
            return;
        };
        if rows.num_rows() == 0 {
            return;
        }
        let number = self.next_segment;
        self.next_segment += 1;
        let segment = Segment::new(rows, series, self.ts);
        for (row, series) in segment.series.iter().enumerate() {
            let ts = segment.int(Some(self.ts), row);
            let series = &mut self.series[*series as usize];
            if let Ok(at) = series.find(ts) {
                series.places[at] = Place { ts, segment: number, row };
            }
        }
        self.segments.insert(number, View::new(segment));
    }

    fn is_retracted(&self, place: Place) -> bool {
        self.segments.get(&place.segment).is_none_or(|view| view.segment.is_true(self.retracted, place.row))
    }

    /// The newest row of a series that is not retracted.
    fn newest(&self, series: &Series) -> Option<Place> {
        series.places.iter().rev().copied().find(|place| !self.is_retracted(*place))
    }

    /// As [`LiveTable::forget`]; gives whether rows left or moved.
    fn forget(&mut self, before: Ts, past: (Ts, Ts)) -> bool {
        let Some(known_at) = self.known_at else { return false };
        let [before, ts_past, past] = [before, past.0, past.1].map(|ts| ts.div_euclid(1_000));
        let mut gone: Vec<(u64, usize)> = Vec::new();
        for (number, view) in &self.segments {
            let segment = &view.segment;
            let known = segment.rows.column(known_at).as_primitive::<TimestampMicrosecondType>();
            let times = segment.rows.column(self.ts).as_primitive::<TimestampMicrosecondType>();
            let is_past = |row: usize| times.value(row) <= ts_past && known.value(row) < past;
            let is_old = |row: usize| known.is_valid(row) && (known.value(row) < before || is_past(row));
            let old = |row: &usize| view.stands(*row) && is_old(*row);
            gone.extend((0..segment.series.len()).filter(old).map(|row| (*number, row)));
        }
        gone.retain(|(number, row)| !self.is_kept(*number, *row));
        for (number, row) in &gone {
            let Some(view) = self.segments.get_mut(number) else { continue };
            let ts = view.segment.int(Some(self.ts), *row);
            let number = view.segment.series[*row];
            let series = &mut self.series[number as usize];
            if let Ok(at) = series.find(ts) {
                series.places.remove(at);
                // A history that came at once leaves no room behind.
                if 4 * series.places.len() + 64 < series.places.capacity() {
                    series.places.shrink_to(2 * series.places.len());
                }
            }
            if series.places.is_empty() && self.numbers.remove(&series.name).is_some() {
                self.free.push(number);
            }
            view.fell(*row);
        }
        // What is mostly gone gives its memory back.
        let sparse = self.segments.iter().filter(|(_, view)| 2 * view.n_standing() < view.segment.series.len());
        let numbers: Vec<u64> = sparse.map(|(number, _)| *number).collect();
        if !numbers.is_empty() {
            self.rewrite(&numbers);
        }
        !(gone.is_empty() && numbers.is_empty())
    }

    fn is_kept(&self, number: u64, row: usize) -> bool {
        let Some(view) = self.segments.get(&number) else { return false };
        let segment = &view.segment;
        match self.status {
            Some(status) => {
                segment.rows.column(status).as_string::<i32>().value(row) == "active"
                    && !segment.is_true(self.retracted, row)
            }
            None if !super::LIVE_VIEWS.contains(&self.table.name) => false,
            None => {
                let newest = self.newest(&self.series[segment.series[row] as usize]);
                newest.is_some_and(|newest| (newest.segment, newest.row) == (number, row))
            }
        }
    }
}

#[cfg(test)]
mod tests;
