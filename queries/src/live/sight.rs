//! One table's rows as readers see them: as they stood after some change, whatever the writer does meanwhile.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::buffer::BooleanBuffer;
use arrow::compute::{filter_record_batch, interleave_record_batch};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use arrow::error::ArrowError;
use prism_schemas::{Cells, Table, Ts, Version, each_row};

/// Rows that came together or were merged. They stay; what a newer version replaces falls.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) rows: RecordBatch,
    /// The series of each row.
    pub(super) series: Vec<u32>,
    /// How many had fallen before each row did; all bits while it stands. So a number of fallen rows says which they are.
    fell: Vec<AtomicU32>,
    /// First and last `ts`, in microseconds.
    span: (i64, i64),
}

impl Segment {
    pub(super) fn new(rows: RecordBatch, series: Vec<u32>, ts: usize) -> Segment {
        let times = rows.column(ts).as_primitive::<TimestampMicrosecondType>().values();
        let span = times.iter().fold((i64::MAX, i64::MIN), |(first, last), ts| (first.min(*ts), last.max(*ts)));
        let fell = (0..rows.num_rows()).map(|_| AtomicU32::new(u32::MAX)).collect();
        Segment { rows, series, fell, span }
    }

    pub(super) fn int(&self, column: Option<usize>, row: usize) -> i64 {
        let Some(column) = column.map(|at| self.rows.column(at)).filter(|column| column.is_valid(row)) else {
            return 0;
        };
        match column.as_primitive_opt::<TimestampMicrosecondType>() {
            Some(times) => times.value(row),
            None => column.as_primitive_opt::<Int64Type>().map_or(0, |numbers| numbers.value(row)),
        }
    }

    pub(super) fn is_true(&self, column: Option<usize>, row: usize) -> bool {
        column.map(|at| self.rows.column(at).as_boolean()).is_some_and(|flags| flags.is_valid(row) && flags.value(row))
    }
}

/// A segment after so many of its rows fell.
#[derive(Clone, Debug)]
pub(super) struct View {
    pub(super) segment: Arc<Segment>,
    n_fallen: u32,
    made: Arc<Made>,
}

/// What was made of a view by who read it.
#[derive(Debug, Default)]
struct Made {
    /// The standing rows.
    batch: OnceLock<RecordBatch>,
    /// The newest standing row of each series that is not retracted: series, `ts`, row.
    newest: OnceLock<Vec<(u32, i64, usize)>>,
}

impl Made {
    fn is_nothing(&self) -> bool {
        self.batch.get().is_none() && self.newest.get().is_none()
    }
}

/// Bytes of a batch's own rows: it may be a part of a larger one.
fn bytes_of(batch: &RecordBatch) -> usize {
    batch.columns().iter().map(|column| column.to_data().get_slice_memory_size().unwrap_or(0)).sum()
}

impl View {
    pub(super) fn new(segment: Segment) -> View {
        View { segment: Arc::new(segment), n_fallen: 0, made: Arc::default() }
    }

    fn bytes(&self) -> usize {
        let read = self.made.batch.get().map_or(0, bytes_of);
        let newest = self.made.newest.get().map_or(0, |newest| newest.capacity() * size_of::<(u32, i64, usize)>());
        bytes_of(&self.segment.rows) + 8 * self.segment.series.len() + read + newest
    }

    pub(super) fn n_standing(&self) -> usize {
        self.segment.fell.len() - self.n_fallen as usize
    }

    /// Whether no newer version of a row came, nor that it left memory.
    pub(super) fn stands(&self, row: usize) -> bool {
        self.n_fallen <= self.segment.fell[row].load(Relaxed)
    }

    /// A row falls; views of before see it as it was, since it has a number that they have not reached.
    pub(super) fn fell(&mut self, row: usize) {
        if self.stands(row) {
            self.segment.fell[row].store(self.n_fallen, Relaxed);
            self.n_fallen += 1;
            // What others share was made of more rows, or may be.
            if !Arc::get_mut(&mut self.made).is_some_and(|made| made.is_nothing()) {
                self.made = Arc::default();
            }
        }
    }

    pub(super) fn standing(&self) -> Result<RecordBatch, ArrowError> {
        if self.n_fallen == 0 {
            return Ok(self.segment.rows.clone());
        }
        if let Some(batch) = self.made.batch.get() {
            return Ok(batch.clone());
        }
        let stands = BooleanBuffer::collect_bool(self.segment.fell.len(), |row| self.stands(row));
        let batch = filter_record_batch(&self.segment.rows, &BooleanArray::from(stands))?;
        Ok(self.made.batch.get_or_init(|| batch).clone())
    }

    fn newest(&self, ts: usize, retracted: Option<usize>) -> &[(u32, i64, usize)] {
        if let Some(newest) = self.made.newest.get() {
            return newest;
        }
        let mut newest: HashMap<u32, (i64, usize)> = HashMap::new();
        let rows = (0..self.segment.fell.len()).filter(|row| self.stands(*row));
        for row in rows.filter(|row| !self.segment.is_true(retracted, *row)) {
            let found = (self.segment.int(Some(ts), row), row);
            newest.entry(self.segment.series[row]).and_modify(|best| *best = (*best).max(found)).or_insert(found);
        }
        let newest = newest.into_iter().map(|(series, (ts, row))| (series, ts, row)).collect();
        self.made.newest.get_or_init(|| newest)
    }
}

/// All rows after some change.
#[derive(Debug)]
pub(super) struct Sight {
    table: &'static Table,
    ts: usize,
    retracted: Option<usize>,
    views: Vec<View>,
    /// Numbers of series are below.
    pub(super) n_series: usize,
    latest: OnceLock<RecordBatch>,
}

impl Sight {
    pub(super) fn new(table: &'static Table, views: Vec<View>, n_series: usize) -> Sight {
        let (ts, retracted) = (table.position(table.designated).unwrap_or(0), table.position("retracted"));
        Sight { table, ts, retracted, views, n_series, latest: OnceLock::new() }
    }

    /// Bytes of the rows and of what was made of them to be read.
    pub(super) fn bytes(&self) -> usize {
        let latest = self.latest.get().map_or(0, bytes_of);
        self.views.iter().map(View::bytes).sum::<usize>() + latest
    }

    pub(super) fn len(&self) -> usize {
        self.views.iter().map(View::n_standing).sum()
    }

    /// All rows of segments that have some within the range.
    pub(super) fn batches(&self, range: &RangeInclusive<Ts>) -> Result<Vec<RecordBatch>, ArrowError> {
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let (first, last) = (range.start().div_euclid(1_000), range.end().div_euclid(1_000));
        let overlaps = |view: &&View| {
            let span = view.segment.span;
            span.0 <= last && first <= span.1 && 0 < view.n_standing()
        };
        self.views.iter().filter(overlaps).map(View::standing).collect()
    }

    /// As [`Sight::latest_batch`], one by one.
    pub(super) fn latest(&self) -> Result<Vec<Version>, ArrowError> {
        let mut rows = Vec::new();
        each_row(self.table, &self.latest_batch()?, |row| rows.push(row));
        Ok(rows)
    }

    /// The newest row of each series that is not retracted, in order of their keys.
    pub(super) fn latest_batch(&self) -> Result<RecordBatch, ArrowError> {
        if let Some(batch) = self.latest.get() {
            return Ok(batch.clone());
        }
        let mut newest: Vec<Option<(i64, usize, usize)>> = vec![None; self.n_series];
        for (at, view) in self.views.iter().enumerate() {
            for (series, ts, row) in view.newest(self.ts, self.retracted) {
                let best = &mut newest[*series as usize];
                *best = (*best).max(Some((*ts, at, *row)));
            }
        }
        let batches: Vec<&RecordBatch> = self.views.iter().map(|view| &view.segment.rows).collect();
        let keys: Vec<Vec<Cells<'_>>> = batches.iter().map(|rows| series_key(self.table, rows)).collect();
        let name = |(_, at, row): (i64, usize, usize)| {
            let mut name = String::new();
            keys[at].iter().for_each(|cells| cells.push_key(row, &mut name));
            (name, (at, row))
        };
        let mut places: Vec<(String, (usize, usize))> = newest.into_iter().flatten().map(name).collect();
        places.sort_unstable();
        let places: Vec<(usize, usize)> = places.into_iter().map(|(_, place)| place).collect();
        let batch = match places.is_empty() {
            true => RecordBatch::new_empty(self.table.schema()),
            false => interleave_record_batch(&batches, &places)?,
        };
        Ok(self.latest.get_or_init(|| batch).clone())
    }
}

/// The columns that say which series a row is of: the key without `ts`.
pub(super) fn series_key<'a>(table: &'static Table, rows: &'a RecordBatch) -> Vec<Cells<'a>> {
    let ts = table.position(table.designated).unwrap_or(0);
    let positions = table.key_positions().filter(|position| *position != ts);
    positions.map(|at| Cells::of(table.columns[at].kind, rows.column(at))).collect()
}
