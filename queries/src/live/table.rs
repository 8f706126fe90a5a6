//! One table's rows in memory: record batches as they came, and where the newest version of each row stands in them.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::RangeInclusive;
use std::sync::{Arc, OnceLock};

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::compute::{concat_batches, filter_record_batch, interleave_record_batch};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use arrow::error::ArrowError;
use prism_schemas::{Cells, Table, Ts, Version, each_row};

/// Segments of fewer rows than this are merged with others.
const SMALL: usize = 4_096;
/// Small segments that wait for a merge at most.
const SMALL_MAX: usize = 16;

#[derive(Debug)]
pub(super) struct LiveTable {
    table: &'static Table,
    ts: usize,
    known_at: Option<usize>,
    revision: Option<usize>,
    retracted: Option<usize>,
    status: Option<usize>,
    series_key: Vec<usize>,
    /// By number, which rises.
    segments: BTreeMap<u64, Segment>,
    next_segment: u64,
    names: HashMap<Arc<str>, u32>,
    series: Vec<Series>,
    /// Numbers of series without rows: of signals and refusals each is one of its own.
    free: Vec<u32>,
    latest: OnceLock<RecordBatch>,
}

/// Rows that came together or were merged.
#[derive(Debug)]
struct Segment {
    rows: RecordBatch,
    /// The series of each row.
    series: Vec<u32>,
    /// Whether each row is the newest version.
    stands: Vec<bool>,
    n_standing: usize,
    /// First and last `ts`, in microseconds.
    span: (i64, i64),
    /// The standing rows, for who reads.
    batch: OnceLock<RecordBatch>,
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

impl Segment {
    fn new(rows: RecordBatch, series: Vec<u32>, ts: usize) -> Segment {
        let times = rows.column(ts).as_primitive::<TimestampMicrosecondType>().values();
        let span = times.iter().fold((i64::MAX, i64::MIN), |(first, last), ts| (first.min(*ts), last.max(*ts)));
        let n_standing = rows.num_rows();
        Segment { stands: vec![true; n_standing], rows, series, n_standing, span, batch: OnceLock::new() }
    }

    /// A newer version of this row came, or it leaves memory.
    fn fell(&mut self, row: usize) {
        self.n_standing -= usize::from(std::mem::take(&mut self.stands[row]));
        self.batch = OnceLock::new();
    }

    fn standing(&self) -> Result<RecordBatch, ArrowError> {
        if self.n_standing == self.stands.len() {
            return Ok(self.rows.clone());
        }
        if let Some(batch) = self.batch.get() {
            return Ok(batch.clone());
        }
        let batch = filter_record_batch(&self.rows, &BooleanArray::from(self.stands.clone()))?;
        Ok(self.batch.get_or_init(|| batch).clone())
    }

    fn int(&self, column: Option<usize>, row: usize) -> i64 {
        let Some(column) = column.map(|at| self.rows.column(at)).filter(|column| column.is_valid(row)) else {
            return 0;
        };
        match column.as_primitive_opt::<TimestampMicrosecondType>() {
            Some(times) => times.value(row),
            None => column.as_primitive_opt::<Int64Type>().map_or(0, |numbers| numbers.value(row)),
        }
    }

    fn is_true(&self, column: Option<usize>, row: usize) -> bool {
        column.map(|at| self.rows.column(at).as_boolean()).is_some_and(|flags| flags.is_valid(row) && flags.value(row))
    }
}

impl LiveTable {
    pub(super) fn new(table: &'static Table) -> LiveTable {
        let ts = table.position(table.designated).unwrap_or(0);
        LiveTable {
            table,
            ts,
            known_at: table.position("known_at"),
            revision: table.position("revision"),
            retracted: table.position("retracted"),
            status: (table.name == "signals").then(|| table.position("status")).flatten(),
            series_key: table.key_positions().filter(|position| *position != ts).collect(),
            segments: BTreeMap::new(),
            next_segment: 0,
            names: HashMap::new(),
            series: Vec::new(),
            free: Vec::new(),
            latest: OnceLock::new(),
        }
    }

    /// Takes versions in any order.
    pub(super) fn apply(&mut self, rows: &RecordBatch) {
        let keys: Vec<Cells<'_>> =
            self.series_key.iter().map(|at| Cells::of(self.table.columns[*at].kind, rows.column(*at))).collect();
        let mut key = String::new();
        let series: Vec<u32> = (0..rows.num_rows())
            .map(|row| {
                key.clear();
                keys.iter().for_each(|cells| cells.push_key(row, &mut key));
                self.number(&key)
            })
            .collect();
        if !series.is_empty() {
            self.add(rows.clone(), series);
        }
    }

    /// The number of a series.
    fn number(&mut self, name: &str) -> u32 {
        if let Some(number) = self.names.get(name) {
            return *number;
        }
        let name = Arc::<str>::from(name);
        let number = self.free.pop().unwrap_or(self.series.len() as u32);
        self.names.insert(name.clone(), number);
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
        self.segments.insert(number, Segment::new(rows, series, self.ts));
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
        self.latest = OnceLock::new();
        self.merge();
    }

    fn int(&self, number: u64, column: Option<usize>, row: usize) -> i64 {
        self.segments.get(&number).map_or(0, |segment| segment.int(column, row))
    }

    /// When a version became known, and its revision.
    fn age(&self, place: Place) -> (i64, i64) {
        (self.int(place.segment, self.known_at, place.row), self.int(place.segment, self.revision, place.row))
    }

    /// Puts small segments together, once there are many.
    fn merge(&mut self) {
        let small = |segment: &Segment| segment.n_standing < SMALL;
        let numbers: Vec<u64> =
            self.segments.iter().filter(|(_, segment)| small(segment)).map(|(number, _)| *number).collect();
        if SMALL_MAX < numbers.len() {
            self.rewrite(&numbers);
        }
    }

    /// Makes one segment of the standing rows of these.
    fn rewrite(&mut self, numbers: &[u64]) {
        let taken: Vec<Segment> = numbers.iter().filter_map(|number| self.segments.remove(number)).collect();
        let parts: Result<Vec<RecordBatch>, ArrowError> = taken.iter().map(Segment::standing).collect();
        let merged = parts.and_then(|parts| concat_batches(&self.table.schema(), &parts));
        let series = taken.iter().flat_map(|segment| {
            let stands = segment.series.iter().zip(&segment.stands);
            stands.filter(|(_, stands)| **stands).map(|(series, _)| *series)
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
        self.segments.insert(number, segment);
    }

    fn is_retracted(&self, place: Place) -> bool {
        self.segments.get(&place.segment).is_none_or(|segment| segment.is_true(self.retracted, place.row))
    }

    /// The newest row of a series that is not retracted.
    fn newest(&self, series: &Series) -> Option<Place> {
        series.places.iter().rev().copied().find(|place| !self.is_retracted(*place))
    }

    /// Drops rows known before `before`, and those of `past.0` and earlier that are known before `past.1`, except the newest
    /// of a series (of signals: those still active).
    pub(super) fn forget(&mut self, before: Ts, past: (Ts, Ts)) {
        let Some(known_at) = self.known_at else { return };
        let [before, ts_past, past] = [before, past.0, past.1].map(|ts| ts.div_euclid(1_000));
        let mut gone: Vec<(u64, usize)> = Vec::new();
        for (number, segment) in &self.segments {
            let known = segment.rows.column(known_at).as_primitive::<TimestampMicrosecondType>();
            let times = segment.rows.column(self.ts).as_primitive::<TimestampMicrosecondType>();
            let is_past = |row: usize| times.value(row) <= ts_past && known.value(row) < past;
            let is_old = |row: usize| known.is_valid(row) && (known.value(row) < before || is_past(row));
            let old = |row: &usize| segment.stands[*row] && is_old(*row);
            gone.extend((0..segment.stands.len()).filter(old).map(|row| (*number, row)));
        }
        gone.retain(|(number, row)| !self.is_kept(*number, *row));
        for (number, row) in &gone {
            let Some(segment) = self.segments.get_mut(number) else { continue };
            let ts = segment.int(Some(self.ts), *row);
            let number = segment.series[*row];
            let series = &mut self.series[number as usize];
            if let Ok(at) = series.find(ts) {
                series.places.remove(at);
                // A history that came at once leaves no room behind.
                if 4 * series.places.len() + 64 < series.places.capacity() {
                    series.places.shrink_to(2 * series.places.len());
                }
            }
            if series.places.is_empty() && self.names.remove(&series.name).is_some() {
                self.free.push(number);
            }
            segment.fell(*row);
        }
        if gone.is_empty() {
            return;
        }
        self.latest = OnceLock::new();
        // What is mostly gone gives its memory back.
        let sparse = |segment: &Segment| 2 * segment.n_standing < segment.stands.len();
        let numbers: Vec<u64> =
            self.segments.iter().filter(|(_, segment)| sparse(segment)).map(|(number, _)| *number).collect();
        if !numbers.is_empty() {
            self.rewrite(&numbers);
        }
    }

    fn is_kept(&self, number: u64, row: usize) -> bool {
        let Some(segment) = self.segments.get(&number) else { return false };
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

    pub(super) fn len(&self) -> usize {
        self.segments.values().map(|segment| segment.n_standing).sum()
    }

    pub(super) fn batches(&self, range: &RangeInclusive<Ts>) -> Result<Vec<RecordBatch>, ArrowError> {
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let (first, last) = (range.start().div_euclid(1_000), range.end().div_euclid(1_000));
        let overlaps = |segment: &&Segment| segment.span.0 <= last && first <= segment.span.1 && 0 < segment.n_standing;
        self.segments.values().filter(overlaps).map(Segment::standing).collect()
    }

    pub(super) fn latest(&self) -> Result<Vec<Version>, ArrowError> {
        let mut rows = Vec::new();
        each_row(self.table, &self.latest_batch()?, |row| rows.push(row));
        Ok(rows)
    }

    pub(super) fn latest_batch(&self) -> Result<RecordBatch, ArrowError> {
        if let Some(batch) = self.latest.get() {
            return Ok(batch.clone());
        }
        let mut places: Vec<(&str, Place)> =
            self.series.iter().filter_map(|series| Some((&*series.name, self.newest(series)?))).collect();
        places.sort_by_key(|(name, _)| *name);
        let numbers: HashMap<u64, usize> = self.segments.keys().enumerate().map(|(at, number)| (*number, at)).collect();
        let batches: Vec<&RecordBatch> = self.segments.values().map(|segment| &segment.rows).collect();
        let indices: Vec<(usize, usize)> =
            places.iter().map(|(_, place)| (numbers.get(&place.segment).copied().unwrap_or(0), place.row)).collect();
        let batch = match indices.is_empty() {
            true => RecordBatch::new_empty(self.table.schema()),
            false => interleave_record_batch(&batches, &indices)?,
        };
        Ok(self.latest.get_or_init(|| batch).clone())
    }
}

#[cfg(test)]
mod tests;
