//! The plan of a scan: it says what it reads, and takes order and limit from the plan around it.

use std::ops::Range;
use std::sync::Arc;

use arrow::compute::SortOptions;
use arrow::datatypes::SchemaRef;
use datafusion::common::Result;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{LexOrdering, PhysicalSortExpr};
use datafusion::physical_plan::SortOrderPushdownResult;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PhysicalExpr, PlanProperties, ReplaceChildrenOptions,
};

use super::Scan;
use super::reading::Reading;
use crate::stored::{Found, Piece};

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

    fn execute(&self, context: Arc<TaskContext>) -> SendableRecordBatchStream {
        Reading::stream(self.scan.clone(), self.pieces.clone(), &context)
    }
}

/// Pieces in a plan, short.
fn shown(pieces: &[Piece]) -> String {
    match pieces {
        [] => String::new(),
        [one] => format!(", stored: {one}"),
        [first, rest @ ..] => format!(", stored: {first} and {} more", rest.len()),
    }
}

/// A scan as a plan.
#[derive(Debug)]
pub(super) struct UnitedExec {
    scan: Arc<Scan>,
    inner: StreamingTableExec,
    shown: String,
}

impl UnitedExec {
    /// Stored rows come in the order of their designated timestamp, or in its reverse.
    pub(super) fn new(mut scan: Scan, order: Option<&PhysicalSortExpr>, fetch: Option<usize>) -> Result<UnitedExec> {
        let ascending = SortOptions { descending: false, nulls_first: false };
        let options = order.map_or(ascending, |order| order.options);
        scan.want.pushed.descending = options.descending;
        scan.want.pushed.limit = fetch.filter(|_| scan.is_exact);
        scan.pieces = scan.found.as_ref().map_or(Vec::new(), |found| found.pieces(scan.table, &scan.want));
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
        Ok(UnitedExec { scan, inner, shown })
    }

    fn again(&self, order: Option<&PhysicalSortExpr>, fetch: Option<usize>) -> Result<UnitedExec> {
        UnitedExec::new(self.scan.as_ref().clone(), order, fetch)
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

    /// A limit around a limit: the smaller one holds.
    fn with_fetch(&self, limit: Option<usize>) -> Option<Arc<dyn ExecutionPlan>> {
        let fetch = self.fetch().into_iter().chain(limit).min();
        Some(Arc::new(self.again(self.order().as_ref(), fetch).ok()?))
    }

    /// Which rows a limit leaves depends on the order it was set in, so a scan with a limit takes no other order.
    fn try_pushdown_sort(&self, order: &[PhysicalSortExpr]) -> Result<SortOrderPushdownResult<Arc<dyn ExecutionPlan>>> {
        let is_time = |expr: &PhysicalSortExpr| {
            (expr.expr.as_ref() as &dyn std::any::Any)
                .downcast_ref::<Column>()
                .is_some_and(|column| column.name() == self.scan.table.designated)
        };
        match (order, &self.scan.found) {
            ([one], Some(Found::Stretches(..)))
                if is_time(one) && self.scan.live.is_empty() && self.fetch().is_none() =>
            {
                Ok(SortOrderPushdownResult::Exact { inner: Arc::new(self.again(Some(one), None)?) })
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
