//! `prism.<table>`: stored rows united with the rows in memory that are not stored yet.

use std::collections::{BTreeSet, HashMap};
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::compute::{SortOptions, filter_record_batch};
use arrow::datatypes::{Int64Type, SchemaRef, TimestampMicrosecondType};
use arrow::row::{RowConverter, SortField};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DFSchema, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{LexOrdering, PhysicalSortExpr};
use datafusion::physical_plan::SortOrderPushdownResult;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PhysicalExpr, PlanProperties, ReplaceChildrenOptions,
};
use parquet::arrow::arrow_reader::ParquetRecordBatchReader;
use prism_schemas::{Table, Ts};

use crate::live::LiveRows;
use crate::questdb::{Pushed, condition};
use crate::range::ts_range;
use crate::stored::{self, Piece, Store, Want, adapt, broken, truth};

/// A table of `prism`.
#[derive(Debug)]
pub(crate) struct United {
    table: &'static Table,
    schema: SchemaRef,
    store: Option<Store>,
    live: Arc<LiveRows>,
}

impl United {
    pub(crate) fn new(table: &'static Table, store: Option<Store>, live: Arc<LiveRows>) -> United {
        United { table, schema: table.schema(), store, live }
    }

    fn columns(&self, names: &BTreeSet<&str>) -> Result<SchemaRef> {
        let positions: Vec<usize> = names.iter().filter_map(|name| self.table.position(name)).collect();
        let mut positions = positions;
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
            let fresh: BooleanArray =
                micros.iter().map(|at| Some(at.is_none_or(|at| stored.div_euclid(1_000) <= at))).collect();
            let batch = filter_record_batch(&batch, &fresh)?;
            if batch.num_rows() > 0 {
                unstored.push(batch);
            }
        }
        Ok(unstored)
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
        let mut names: BTreeSet<&str> = output.fields().iter().map(|field| field.name().as_str()).collect();
        names.insert("retracted");
        if overlay {
            names.extend(self.table.key.iter().copied().chain(["known_at", "revision"]));
        }
        let named = |filter: &Expr| -> Vec<String> {
            filter.column_refs().into_iter().map(|column| column.name.clone()).collect()
        };
        let (mut key_filters, mut key_names, mut filter_names) = (Vec::new(), BTreeSet::new(), Vec::new());
        for filter in filters {
            let columns = named(filter);
            if !columns.is_empty() && columns.iter().all(|name| self.table.key.contains(&name.as_str())) {
                key_filters.push(filter.clone());
                key_names.extend(self.table.key.iter().copied().filter(|key| columns.iter().any(|name| name == key)));
            }
            filter_names.extend(columns);
        }
        names.extend(filter_names.iter().map(String::as_str));
        let schema = self.columns(&names)?;
        let key_schema = self.columns(&key_names)?;
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
        let want = Want { key_filter, key_schema, schema, range, designated: self.table.designated, pushed };
        let threads = state.config().target_partitions();
        let scan = Scan { table: self.table, pieces: Vec::new(), live, overlay, filter, output, want, threads };
        let is_exact = is_exact && scan.live.is_empty();
        Ok(Arc::new(UnitedExec::new(scan, self.store.clone(), is_exact, None, limit)?))
    }
}

/// Some of a scan's pieces; the last partition also has the rows in memory.
#[derive(Debug)]
struct Partition {
    scan: Arc<Scan>,
    pieces: Range<usize>,
}

impl PartitionStream for Partition {
    fn schema(&self) -> &SchemaRef {
        &self.scan.output
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let reading = Reading::new(self.scan.clone(), self.pieces.clone());
        Box::pin(RecordBatchStreamAdapter::new(self.scan.output.clone(), futures::stream::iter(reading)))
    }
}

/// What of the filters QuestDB can decide, and whether that is all of them.
fn push(filters: &[Expr], table: &Table) -> (Vec<String>, bool) {
    let found: Vec<Option<(String, bool)>> = filters.iter().map(|filter| condition(filter, table)).collect();
    let is_exact = found.iter().all(|found| found.as_ref().is_some_and(|(_, exact)| *exact));
    (found.into_iter().flatten().map(|(condition, _)| condition).collect(), is_exact)
}

/// Pieces in a plan, short.
fn shown(pieces: &[Piece]) -> String {
    match pieces {
        [] => String::new(),
        [one] => format!(", stored: {one}"),
        [first, rest @ ..] => format!(", stored: {first} and {} more", rest.len()),
    }
}

/// A scan that says in plans what it reads, and takes order and limit from them.
#[derive(Debug)]
struct UnitedExec {
    scan: Arc<Scan>,
    store: Option<Store>,
    /// What is asked of the store is exactly what is wanted.
    is_exact: bool,
    inner: StreamingTableExec,
    shown: String,
}

impl UnitedExec {
    /// Stored rows come in the order of their designated timestamp, or in its reverse.
    fn new(
        mut scan: Scan,
        store: Option<Store>,
        is_exact: bool,
        order: Option<&PhysicalSortExpr>,
        fetch: Option<usize>,
    ) -> Result<UnitedExec> {
        let ascending = SortOptions { descending: false, nulls_first: false };
        let options = order.map_or(ascending, |order| order.options);
        scan.want.pushed.descending = options.descending;
        scan.want.pushed.limit = fetch.filter(|_| is_exact);
        scan.pieces = match &store {
            Some(store) => store.pieces(scan.table, &scan.want)?,
            None => Vec::new(),
        };
        let by_time = scan.output.index_of(scan.table.designated).ok().filter(|_| scan.live.is_empty());
        let ordering = by_time.and_then(|at| {
            LexOrdering::new([PhysicalSortExpr::new(Arc::new(Column::new(scan.table.designated, at)), options)])
        });
        let scan = Arc::new(scan);
        // Rows in memory are compared with all stored ones; a few rows are had sooner from one piece after the other.
        let n_pieces = scan.pieces.len();
        let n = if scan.overlay || fetch.is_some() { 1 } else { scan.threads.clamp(1, n_pieces.max(1)) };
        let at_once = if n == 1 { String::new() } else { format!(", {n} at once") };
        let shown = format!("{}: {} in memory{}{at_once}", scan.table.name, scan.live.len(), shown(&scan.pieces));
        let partitions = (0..n).map(|at| -> Arc<dyn PartitionStream> {
            let pieces = at * n_pieces / n..(at + 1) * n_pieces / n;
            Arc::new(Partition { scan: scan.clone(), pieces })
        });
        let inner =
            StreamingTableExec::try_new(scan.output.clone(), partitions.collect(), None, ordering, false, fetch)?;
        Ok(UnitedExec { scan, store, is_exact, inner, shown })
    }

    fn again(&self, order: Option<&PhysicalSortExpr>, fetch: Option<usize>) -> Result<UnitedExec> {
        UnitedExec::new(self.scan.as_ref().clone(), self.store.clone(), self.is_exact, order, fetch)
    }

    fn order(&self) -> Option<PhysicalSortExpr> {
        Some(self.inner.properties().output_ordering()?.first().clone())
    }
}

impl DisplayAs for UnitedExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "UnitedExec: {}", self.shown)
    }
}

impl ExecutionPlan for UnitedExec {
    fn name(&self) -> &'static str {
        "UnitedExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.inner.properties()
    }

    fn fetch(&self) -> Option<usize> {
        self.inner.fetch()
    }

    fn with_fetch(&self, limit: Option<usize>) -> Option<Arc<dyn ExecutionPlan>> {
        Some(Arc::new(self.again(self.order().as_ref(), limit).ok()?))
    }

    fn try_pushdown_sort(&self, order: &[PhysicalSortExpr]) -> Result<SortOrderPushdownResult<Arc<dyn ExecutionPlan>>> {
        let is_time = |expr: &PhysicalSortExpr| {
            (expr.expr.as_ref() as &dyn std::any::Any)
                .downcast_ref::<Column>()
                .is_some_and(|column| column.name() == self.scan.table.designated)
        };
        match (order, &self.store) {
            ([one], Some(Store::QuestDb(_))) if is_time(one) && self.scan.live.is_empty() => {
                Ok(SortOrderPushdownResult::Exact { inner: Arc::new(self.again(Some(one), self.fetch())?) })
            }
            _ => Ok(SortOrderPushdownResult::Unsupported),
        }
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn replace_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        self.inner.execute(partition, context)
    }
}

/// One scan, planned: pieces and rows in memory as they were then.
#[derive(Clone, Debug)]
struct Scan {
    table: &'static Table,
    pieces: Vec<Piece>,
    live: Vec<RecordBatch>,
    overlay: bool,
    filter: Option<Arc<dyn PhysicalExpr>>,
    output: SchemaRef,
    want: Want,
    /// Partitions at most.
    threads: usize,
}

/// One pass over a partition: stored rows first, then those rows in memory of which the store had no newer version.
struct Reading {
    scan: Arc<Scan>,
    pieces: Range<usize>,
    /// The one being read.
    piece: usize,
    n_live: usize,
    reader: Option<ParquetRecordBatchReader>,
    overlay: Option<Overlay>,
    failed: bool,
}

/// Where a row in memory is (batch, row), and how new (known_at, revision).
type Place = (usize, usize, (i64, i64));

/// The keys in memory.
struct Overlay {
    keys: RowConverter,
    rows: HashMap<Box<[u8]>, Place>,
    superseded: Vec<Vec<bool>>,
}

impl Reading {
    fn new(scan: Arc<Scan>, pieces: Range<usize>) -> Reading {
        let n_live = if pieces.end == scan.pieces.len() { 0 } else { scan.live.len() };
        Reading { scan, pieces, piece: 0, n_live, reader: None, overlay: None, failed: false }
    }

    fn advance(&mut self) -> Result<Option<RecordBatch>> {
        if self.scan.overlay && self.overlay.is_none() {
            self.overlay = Some(Overlay::new(&self.scan)?);
        }
        loop {
            if let Some(reader) = &mut self.reader {
                if let Some(batch) = reader.next() {
                    let piece = &self.scan.pieces[self.piece];
                    let batch = batch.map_err(|error| broken(piece, error))?;
                    let mut batch = adapt(&batch, &self.scan.want.schema)?;
                    if let Some(overlay) = &mut self.overlay {
                        batch = overlay.stored(&self.scan, &batch)?;
                    }
                    return self.finish(batch).map(Some);
                }
                self.reader = None;
            }
            let Some(at) = self.pieces.next() else { break };
            self.piece = at;
            let piece = &self.scan.pieces[at];
            self.reader = stored::open(piece, &self.scan.want).map_err(|error| broken(piece, error))?;
        }
        let Some(batch) = self.scan.live.get(self.n_live) else { return Ok(None) };
        let mut batch = adapt(batch, &self.scan.want.schema)?;
        if let Some(overlay) = &self.overlay {
            let keep: BooleanArray = overlay.superseded[self.n_live].iter().map(|gone| Some(!gone)).collect();
            batch = filter_record_batch(&batch, &keep)?;
        }
        self.n_live += 1;
        self.finish(batch).map(Some)
    }

    /// Hides retracted rows, applies the filters, keeps the columns asked for.
    fn finish(&self, mut batch: RecordBatch) -> Result<RecordBatch> {
        if let Some(retracted) = batch.column_by_name("retracted") {
            let keep: BooleanArray = retracted.as_boolean().iter().map(|gone| Some(gone != Some(true))).collect();
            batch = filter_record_batch(&batch, &keep)?;
        }
        if let Some(filter) = &self.scan.filter {
            let keep = truth(&filter.evaluate(&batch)?.into_array(batch.num_rows())?);
            batch = filter_record_batch(&batch, &keep)?;
        }
        Ok(adapt(&batch, &self.scan.output)?)
    }
}

impl Iterator for Reading {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Result<RecordBatch>> {
        if self.failed {
            return None;
        }
        let next = self.advance().transpose();
        self.failed = matches!(next, Some(Err(_)));
        next
    }
}

impl Overlay {
    fn new(scan: &Scan) -> Result<Overlay> {
        let schema = scan.table.schema();
        let fields = scan.table.key_positions().map(|at| SortField::new(schema.field(at).data_type().clone()));
        let mut overlay =
            Overlay { keys: RowConverter::new(fields.collect())?, rows: HashMap::new(), superseded: Vec::new() };
        for (at, batch) in scan.live.iter().enumerate() {
            let keys = overlay.keys(scan.table, batch)?;
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
    fn stored(&mut self, scan: &Scan, batch: &RecordBatch) -> Result<RecordBatch> {
        let keys = self.keys(scan.table, batch)?;
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
}

/// (known_at, revision) of a batch's rows; a table without them has no order, and memory wins.
struct Ages<'a> {
    known_at: Option<&'a arrow::array::PrimitiveArray<TimestampMicrosecondType>>,
    revision: Option<&'a arrow::array::PrimitiveArray<Int64Type>>,
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
