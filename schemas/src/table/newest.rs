//! The newest row of each key.

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};

use super::Table;

impl Table {
    /// Sorts rows by designated timestamp and key, and keeps the last of each key. The batch may lack columns, but
    /// none of the key.
    pub fn newest_per_key(&self, batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let others = self.key.iter().filter(|name| **name != self.designated);
        let column = |name: &&str| {
            let missing = || ArrowError::SchemaError(format!("{}: the key column {name} is missing", self.name));
            batch.column_by_name(name).cloned().ok_or_else(missing)
        };
        let keys = [self.designated].iter().chain(others).map(column).collect::<Result<Vec<_>, _>>()?;
        let fields = keys.iter().map(|key| SortField::new(key.data_type().clone())).collect();
        let rows = RowConverter::new(fields)?.convert_columns(&keys)?;
        let mut order: Vec<u32> = (0..).take(rows.num_rows()).collect();
        // Stable, so that among equal keys the newest comes last.
        order.sort_by(|a, b| rows.row(*a as usize).cmp(&rows.row(*b as usize)));
        let mut newest: Vec<u32> = Vec::with_capacity(order.len());
        for at in order {
            match newest.last_mut() {
                Some(last) if rows.row(*last as usize) == rows.row(at as usize) => *last = at,
                _ => newest.push(at),
            }
        }
        take_record_batch(batch, &UInt32Array::from(newest))
    }
}
