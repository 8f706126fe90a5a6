//! After a restart: the newest stored rows back into memory, so that `live` and the page are not empty.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, Int64Type, TimestampMicrosecondType};
use prism_schemas::table::{Kind, TABLES};
use prism_schemas::time::DAY;
use prism_schemas::{Cell, Table, Ts, Version};

use crate::catalogue::Catalogue;
use crate::error::Error;
use crate::live::LIVE_VIEWS;
use crate::questdb::Pushed;
use crate::stored::{Want, adapt, broken, open};

/// Days read; longer than the longest role timeframe needs.
const DAYS: i64 = 2;
/// Rows taken between two sweeps of memory.
const SWEEP_ROWS: usize = 100_000;

impl Catalogue {
    /// Reads the newest stored days into memory and returns the number of rows read. To be called before the first
    /// row is applied; it blocks.
    pub fn restore(&self) -> Result<usize, Error> {
        let Some(store) = &self.store else { return Ok(0) };
        let mut n_rows = 0;
        for table in TABLES.iter().filter(|table| LIVE_VIEWS.contains(&table.name)) {
            let Some(newest) = store.newest_day(table)? else { continue };
            let range = newest.saturating_sub((DAYS - 1) * DAY)..=Ts::MAX;
            let schema = table.schema();
            let want = Want {
                key_schema: schema.clone(),
                schema,
                range,
                key_filter: None,
                designated: table.designated,
                pushed: Pushed::default(),
            };
            let mut since_sweep = 0;
            for piece in store.pieces(table, &want)? {
                let Some(reader) = open(&piece, &want)? else { continue };
                for batch in reader {
                    let batch = batch.and_then(|batch| adapt(&batch, &want.schema)).map_err(|e| broken(&piece, e))?;
                    let rows = versions(table, &batch);
                    self.live.apply(&rows);
                    n_rows += rows.len();
                    since_sweep += rows.len();
                    if SWEEP_ROWS < since_sweep {
                        self.sweep();
                        since_sweep = 0;
                    }
                }
            }
        }
        self.sweep();
        Ok(n_rows)
    }

    fn sweep(&self) {
        if let Some(newest) = self.live.newest() {
            self.live.stored_up_to(newest.saturating_add(1));
        }
    }
}

/// A batch of a table's columns as rows.
fn versions(table: &'static Table, batch: &RecordBatch) -> Vec<Version> {
    let cell = |at: usize, row: usize| -> Cell {
        let array = batch.column(at);
        if array.is_null(row) {
            return Cell::Null;
        }
        match table.columns[at].kind {
            Kind::Ts => Cell::Ts(array.as_primitive::<TimestampMicrosecondType>().value(row).saturating_mul(1_000)),
            Kind::Symbol | Kind::Text => Cell::text(array.as_string::<i32>().value(row)),
            Kind::F64 => Cell::from(array.as_primitive::<Float64Type>().value(row)),
            Kind::I64 => Cell::Int(array.as_primitive::<Int64Type>().value(row)),
            Kind::Bool => Cell::Bool(array.as_boolean().value(row)),
        }
    };
    let columns = 0..table.columns.len();
    (0..batch.num_rows())
        .map(|row| Version { table, cells: columns.clone().map(|at| cell(at, row)).collect() })
        .collect()
}
