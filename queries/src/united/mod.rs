//! `prism.<table>`: stored rows united with the rows in memory that are not stored yet.

mod exec;
mod overlay;
mod reading;

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{SchemaRef, TimestampMicrosecondType};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::{ExecutionPlan, PhysicalExpr};
use prism_schemas::{Table, Ts};

use self::exec::UnitedExec;
use crate::condition::push;
use crate::live::LiveRows;
use crate::questdb::Pushed;
use crate::range::ts_range;
use crate::stored::{Found, Piece, Store, Want};
use crate::ticket::Ticket;

/// A table of `prism`.
#[derive(Debug)]
pub(crate) struct United {
    table: &'static Table,
    schema: SchemaRef,
    store: Option<Store>,
    live: Arc<LiveRows>,
}

/// One scan, planned: what is stored and the rows in memory as they were then.
#[derive(Clone, Debug)]
struct Scan {
    table: &'static Table,
    /// What is stored; nothing if there is no store.
    found: Option<Found>,
    /// What to read of it.
    pieces: Vec<Piece>,
    live: Vec<RecordBatch>,
    /// Rows in memory may replace stored ones.
    overlay: bool,
    filter: Option<Arc<dyn PhysicalExpr>>,
    output: SchemaRef,
    want: Want,
    /// What is asked of the store is exactly what is wanted.
    is_exact: bool,
    /// Partitions at most.
    threads: usize,
}

/// Which columns a scan reads, and which filters speak of keys alone.
struct Columns<'a> {
    names: BTreeSet<&'a str>,
    key_names: BTreeSet<&'a str>,
    key_filters: Vec<Expr>,
}

impl United {
    pub(crate) fn new(table: &'static Table, store: Option<Store>, live: Arc<LiveRows>) -> United {
        United { table, schema: table.schema(), store, live }
    }

    /// These columns in the table's order.
    fn columns(&self, names: &BTreeSet<&str>) -> Result<SchemaRef> {
        let mut positions: Vec<usize> = names.iter().filter_map(|name| self.table.position(name)).collect();
        positions.sort_unstable();
        Ok(Arc::new(self.schema.project(&positions)?))
    }

    /// Rows in memory that may not be in the store. Taken before the files are listed: what leaves here is there.
    fn unstored(&self, range: &RangeInclusive<Ts>) -> Result<Vec<RecordBatch>> {
        let stored = self.live.stored().filter(|_| self.store.is_some());
        let batches = self.live.batches(self.table, range)?;
        let (Some(stored), Some(known_at)) = (stored, self.table.position("known_at")) else { return Ok(batches) };
        let mut unstored = Vec::new();
        for batch in batches {
            let micros = batch.column(known_at).as_primitive::<TimestampMicrosecondType>();
            // A microsecond that is stored in part may hold a row that is not.
            let fresh: BooleanArray =
                micros.iter().map(|at| Some(at.is_none_or(|at| stored.div_euclid(1_000) <= at))).collect();
            let batch = filter_record_batch(&batch, &fresh)?;
            if batch.num_rows() > 0 {
                unstored.push(batch);
            }
        }
        Ok(unstored)
    }

    fn wanted<'a>(&self, output: &'a SchemaRef, filters: &'a [Expr], overlay: bool) -> Columns<'a> {
        let mut names: BTreeSet<&str> = output.fields().iter().map(|field| field.name().as_str()).collect();
        names.insert("retracted");
        if overlay {
            names.extend(self.table.key.iter().copied().chain(["known_at", "revision"]));
        }
        let (mut key_filters, mut key_names) = (Vec::new(), BTreeSet::new());
        for filter in filters {
            let columns: Vec<&str> = filter.column_refs().into_iter().map(|column| column.name.as_str()).collect();
            if !columns.is_empty() && columns.iter().all(|name| self.table.key.contains(name)) {
                key_filters.push(filter.clone());
                key_names.extend(&columns);
            }
            names.extend(columns);
        }
        Columns { names, key_names, key_filters }
    }
}

#[async_trait]
impl TableProvider for United {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Exact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let range = ts_range(filters, self.table.designated);
        let live = self.unstored(&range)?;
        let output = match projection {
            Some(positions) => Arc::new(self.schema.project(positions)?),
            None => self.schema.clone(),
        };
        let overlay = !live.is_empty() && self.store.is_some();
        let Columns { names, key_names, key_filters } = self.wanted(&output, filters, overlay);
        let (schema, key_schema) = (self.columns(&names)?, self.columns(&key_names)?);
        let physical = |filters: Vec<Expr>, schema: &SchemaRef| -> Result<Option<Arc<dyn PhysicalExpr>>> {
            let Some(filter) = conjunction(filters) else { return Ok(None) };
            let schema = DFSchema::try_from(schema.as_ref().clone())?;
            state.create_physical_expr(filter, &schema).map(Some)
        };
        // Where rows in memory may replace stored ones, only keys can decide which stored rows are needed.
        let (mut conditions, is_exact) = push(if overlay { &key_filters } else { filters }, self.table);
        if !overlay {
            conditions.extend(self.table.position("retracted").map(|_| "retracted = false".into()));
        }
        let pushed = Pushed { conditions, descending: false, limit: None };
        let filter = physical(filters.to_vec(), &schema)?;
        let key_filter = physical(key_filters, &key_schema)?;
        let found = match &self.store {
            Some(store) => Some(store.find(self.table, &range, Ticket::of(state.config())?.deadline()).await?),
            None => None,
        };
        let scan = Scan {
            table: self.table,
            found,
            pieces: Vec::new(),
            is_exact: is_exact && live.is_empty(),
            live,
            overlay,
            filter,
            output,
            want: Want { key_filter, key_schema, schema, range, designated: self.table.designated, pushed },
            threads: state.config().target_partitions(),
        };
        Ok(Arc::new(UnitedExec::new(scan, None, limit)?))
    }
}
