//! The keys of rows in memory, against which stored rows are held: of two versions the newer one shows.

use std::collections::HashMap;

use arrow::array::{Array, AsArray, BooleanArray, PrimitiveArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use arrow::row::{RowConverter, SortField};
use datafusion::common::Result;
use prism_schemas::Table;

/// Where a row in memory is (batch, row), and how new (known_at, revision).
type Position = (usize, usize, (i64, i64));

/// The keys in memory.
pub(super) struct Overlay {
    keys: RowConverter,
    rows: HashMap<Box<[u8]>, Position>,
    superseded: Vec<Vec<bool>>,
}

impl Overlay {
    pub(super) fn new(table: &Table, live: &[RecordBatch]) -> Result<Overlay> {
        let schema = table.schema();
        let fields = table.key_positions().map(|at| SortField::new(schema.field(at).data_type().clone()));
        let mut overlay =
            Overlay { keys: RowConverter::new(fields.collect())?, rows: HashMap::new(), superseded: Vec::new() };
        for (at, batch) in live.iter().enumerate() {
            let keys = overlay.keys(table, batch)?;
            let ages = Ages::of(batch);
            for (row, key) in keys.iter().enumerate() {
                overlay.rows.insert(key.as_ref().into(), (at, row, ages.age(row)));
            }
            overlay.superseded.push(vec![false; batch.num_rows()]);
        }
        Ok(overlay)
    }

    fn keys(&self, table: &Table, batch: &RecordBatch) -> Result<arrow::row::Rows> {
        let columns = table.key.iter().filter_map(|name| batch.column_by_name(name).cloned());
        Ok(self.keys.convert_columns(&columns.collect::<Vec<_>>())?)
    }

    /// The stored rows that no row in memory replaces; notes those that replace one in memory.
    pub(super) fn stored(&mut self, table: &Table, batch: &RecordBatch) -> Result<RecordBatch> {
        let keys = self.keys(table, batch)?;
        let ages = Ages::of(batch);
        let keep: BooleanArray = keys
            .iter()
            .enumerate()
            .map(|(row, key)| {
                let Some((at, live_row, live_age)) = self.rows.get(key.as_ref()) else { return Some(true) };
                let newer = *live_age < ages.age(row);
                if newer {
                    self.superseded[*at][*live_row] = true;
                }
                Some(newer)
            })
            .collect();
        Ok(filter_record_batch(batch, &keep)?)
    }

    /// Which rows of a batch in memory no stored row replaces.
    pub(super) fn remaining(&self, at: usize) -> BooleanArray {
        self.superseded[at].iter().map(|gone| Some(!gone)).collect()
    }
}

/// (known_at, revision) of a batch's rows; a table without them has no order, and memory wins.
struct Ages<'a> {
    known_at: Option<&'a PrimitiveArray<TimestampMicrosecondType>>,
    revision: Option<&'a PrimitiveArray<Int64Type>>,
}

impl Ages<'_> {
    fn of(batch: &RecordBatch) -> Ages<'_> {
        Ages {
            known_at: batch.column_by_name("known_at").and_then(|column| column.as_primitive_opt()),
            revision: batch.column_by_name("revision").and_then(|column| column.as_primitive_opt()),
        }
    }

    fn age(&self, row: usize) -> (i64, i64) {
        let known_at = self.known_at.filter(|column| column.is_valid(row)).map_or(0, |column| column.value(row));
        let revision = self.revision.filter(|column| column.is_valid(row)).map_or(0, |column| column.value(row));
        (known_at, revision)
    }
}
