//! After a restart: the newest stored rows back into memory, so that `live` and the page are not empty.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::Schema;
use datafusion::common::DFSchema;
use datafusion::execution::memory_pool::UnboundedMemoryPool;
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::physical_expr::create_physical_expr;
use datafusion::prelude::{Expr, col, lit};
use prism_schemas::table::TABLES;
use prism_schemas::time::DAY;
use prism_schemas::{Table, Timeframe, Ts, Versions};
use tokio::time::Instant;

use crate::catalogue::Catalogue;
use crate::condition::push;
use crate::error::Error;
use crate::live::LIVE_VIEWS;
use crate::questdb::Pushed;
use crate::stored::{Means, Reader, Store, Want};

/// Days read of everything.
const DAYS: i64 = 2;
/// Days read of the timeframes of [`LONG`]: the newest closed one may have begun two of its lengths ago.
const DAYS_LONG: i64 = 63;
/// Timeframes longer than a day.
const LONG: [Timeframe; 2] = [Timeframe::W1, Timeframe::Month];
/// Rows taken between two sweeps of memory.
const SWEEP_ROWS: usize = 100_000;
/// Rows of a batch.
const BATCH_ROWS: usize = 8_192;
/// A server answers each question within this time.
const PATIENCE: Duration = Duration::from_secs(60);

impl Catalogue {
    /// Reads the newest stored days into memory, and of the timeframes longer than a day the newest weeks; returns the
    /// number of rows read. To be called before the first row is applied; it blocks, and may be called from anywhere.
    pub fn restore(&self) -> Result<usize, Error> {
        self.read_newest(DAYS_LONG)
    }

    /// As [`Catalogue::restore`], of the newest days alone: for who reads again what another process stores.
    pub fn refresh(&self) -> Result<usize, Error> {
        self.read_newest(DAYS)
    }

    fn read_newest(&self, days_long: i64) -> Result<usize, Error> {
        let Some(store) = &self.store else { return Ok(0) };
        let restore = || {
            let internal = |error: std::io::Error| Error::Internal(error.to_string());
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(internal)?;
            runtime.block_on(self.read_days(store, days_long))
        };
        // A thread of its own, since one that runs tasks must not wait for another.
        let restored = std::thread::scope(|scope| scope.spawn(restore).join());
        restored.unwrap_or_else(|_| Err(Error::Internal("restoring rows panicked".into())))
    }

    async fn read_days(&self, store: &Store, days_long: i64) -> Result<usize, Error> {
        let mut n_rows = 0;
        for table in TABLES.iter().filter(|table| LIVE_VIEWS.contains(&table.name)) {
            let Some(newest) = store.newest_day(table, Instant::now() + PATIENCE).await? else { continue };
            let recent = newest.saturating_sub((DAYS - 1) * DAY);
            if DAYS < days_long && table.key.contains(&"timeframe") {
                let long = newest.saturating_sub(days_long * DAY)..=recent.saturating_sub(1);
                let names = LONG.iter().map(|timeframe| lit(timeframe.name())).collect();
                n_rows += self.read(store, table, long, Some(col("timeframe").in_list(names, false))).await?;
            }
            n_rows += self.read(store, table, recent..=Ts::MAX, None).await?;
        }
        self.sweep();
        Ok(n_rows)
    }

    /// Reads the rows of a stretch of time for which `filter`, over key columns, holds.
    async fn read(
        &self,
        store: &Store,
        table: &'static Table,
        range: RangeInclusive<Ts>,
        filter: Option<Expr>,
    ) -> Result<usize, Error> {
        let schema = table.schema();
        let names = filter.iter().flat_map(Expr::column_refs).filter_map(|column| table.position(&column.name));
        let key_schema = Arc::new(schema.project(&names.collect::<Vec<_>>())?);
        let key_filter = match &filter {
            Some(filter) => {
                let columns = DFSchema::try_from(Schema::clone(&key_schema))?;
                Some(create_physical_expr(
                    filter,
                    &columns,
                    &ExecutionProps::new(),
                    &PhysicalPlanningContext::default(),
                )?)
            }
            None => None,
        };
        let (conditions, _) = push(filter.as_slice(), table);
        let pushed = Pushed { conditions, ..Pushed::default() };
        let found = store.find(table, &range, Instant::now() + PATIENCE).await?;
        let want = Want { schema, range, key_filter, key_schema, designated: table.designated, pushed };
        let (mut n_rows, mut since_sweep) = (0, 0);
        for piece in found.pieces(table, &want) {
            let pool = Arc::new(UnboundedMemoryPool::default());
            let means = Means { batch_rows: BATCH_ROWS, pool, deadline: Instant::now() + PATIENCE };
            let Some(mut reader) = Reader::open(&piece, &want, &means).await? else { continue };
            while let Some(batch) = reader.next(&want.schema)? {
                let rows = Versions::new(table, batch)?;
                self.live.apply(std::slice::from_ref(&rows));
                n_rows += rows.len();
                since_sweep += rows.len();
                if SWEEP_ROWS < since_sweep {
                    self.sweep();
                    since_sweep = 0;
                }
            }
        }
        Ok(n_rows)
    }

    fn sweep(&self) {
        if let Some(newest) = self.live.newest() {
            self.live.stored_through(newest);
        }
    }
}
