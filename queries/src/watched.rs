//! Every operator of a plan, watched: it stops when nobody waits for the statement any more, lets other statements on
//! its thread after each batch, gives batches no larger than the session's, and counts what windows hold.
//!
//! DataFusion's operators yield where they read; one that makes many rows of few, as a join does, may compute for
//! minutes in between. A watched operator looks like the one within, so that plans read the same.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::coop::make_cooperative;
use datafusion::physical_plan::metrics::MetricsSet;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec};
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PhysicalExpr, PlanProperties, ReplaceChildrenOptions,
    replace_children_if_necessary,
};
use futures::{Stream, StreamExt};

use crate::ticket::Ticket;

/// Most rows times expressions of windows that are computed at once, at the end of their input.
const WINDOW_CELLS_MAX: usize = 5_000_000;

/// An operator, watched.
#[derive(Debug)]
struct Watched {
    inner: Arc<dyn ExecutionPlan>,
    /// Its rows are held by a window, which counts neither their bytes nor, if a number is given, their number.
    held: Option<Option<usize>>,
}

/// A plan with each of its operators watched.
pub(crate) fn watch(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let wrap = |node: Arc<dyn ExecutionPlan>| -> Result<Arc<dyn ExecutionPlan>> {
        let rows_max = match node.downcast_ref::<WindowAggExec>() {
            Some(window) => Some(Some(WINDOW_CELLS_MAX / window.window_expr().len().max(1))),
            None => node.is::<BoundedWindowAggExec>().then_some(None),
        };
        let Some(rows_max) = rows_max else { return Ok(Arc::new(Watched { inner: node, held: None })) };
        let held = |child: &Arc<dyn ExecutionPlan>| -> Arc<dyn ExecutionPlan> {
            Arc::new(Watched { inner: child.clone(), held: Some(rows_max) })
        };
        let children = node.children().into_iter().map(held).collect();
        Ok(Arc::new(Watched { inner: replace_children_if_necessary(node, children)?, held: None }))
    };
    plan.transform_up(|node| wrap(node).map(Transformed::yes)).data()
}

impl Watched {
    fn around(&self, inner: Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
        Arc::new(Watched { inner, held: self.held })
    }
}

impl DisplayAs for Watched {
    fn fmt_as(&self, format: DisplayFormatType, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.inner.fmt_as(format, f)
    }
}

impl ExecutionPlan for Watched {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn downcast_delegate(&self) -> Option<&dyn ExecutionPlan> {
        Some(self.inner.as_ref())
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.inner.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.inner.children()
    }

    fn apply_expressions(
        &self,
        see: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.inner.apply_expressions(see)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self.around(replace_children_if_necessary(self.inner.clone(), children)?))
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self.around(self.inner.clone().replace_children(children, options)?))
    }

    fn reset_state(self: Arc<Self>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self.around(self.inner.clone().reset_state()?))
    }

    fn with_new_state(&self, state: Arc<dyn std::any::Any + Send + Sync>) -> Option<Arc<dyn ExecutionPlan>> {
        Some(self.around(self.inner.with_new_state(state)?))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        self.inner.metrics()
    }

    fn fetch(&self) -> Option<usize> {
        self.inner.fetch()
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let ticket = Ticket::of(context.session_config())?;
        let batch_rows = context.session_config().batch_size().max(1);
        let holding = self.held.map(|rows_max| Holding {
            rows_left: rows_max,
            memory: MemoryConsumer::new("window").register(context.memory_pool()),
        });
        let inner = self.inner.execute(partition, context)?;
        Ok(make_cooperative(Box::pin(WatchedStream { inner, ticket, batch_rows, rest: None, holding })))
    }
}

/// What a window holds.
struct Holding {
    rows_left: Option<usize>,
    memory: MemoryReservation,
}

impl Holding {
    fn take(&mut self, batch: &RecordBatch) -> Result<()> {
        if let Some(rows_left) = &mut self.rows_left {
            let Some(left) = rows_left.checked_sub(batch.num_rows()) else {
                return Err(DataFusionError::ResourcesExhausted(format!(
                    "a window to its last row over more than {WINDOW_CELLS_MAX} rows times expressions"
                )));
            };
            *rows_left = left;
        }
        // The rows as they come, and once more as one batch.
        let bytes = batch.columns().iter().map(|column| column.to_data().get_slice_memory_size());
        self.memory.try_grow(2 * bytes.sum::<std::result::Result<usize, _>>()?)
    }
}

struct WatchedStream {
    inner: SendableRecordBatchStream,
    ticket: Arc<Ticket>,
    batch_rows: usize,
    /// What is left of a batch that was too large.
    rest: Option<RecordBatch>,
    holding: Option<Holding>,
}

impl WatchedStream {
    /// A batch as the session wants it; what is left of it comes next.
    fn part(&mut self, batch: RecordBatch) -> RecordBatch {
        if batch.num_rows() <= self.batch_rows {
            return batch;
        }
        self.rest = Some(batch.slice(self.batch_rows, batch.num_rows() - self.batch_rows));
        batch.slice(0, self.batch_rows)
    }
}

impl Stream for WatchedStream {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<RecordBatch>>> {
        if let Err(error) = self.ticket.check() {
            return Poll::Ready(Some(Err(error)));
        }
        if let Some(rest) = self.rest.take() {
            return Poll::Ready(Some(Ok(self.part(rest))));
        }
        let next = std::task::ready!(self.inner.poll_next_unpin(cx));
        Poll::Ready(match next {
            Some(Ok(batch)) => match self.holding.as_mut().map_or(Ok(()), |holding| holding.take(&batch)) {
                Ok(()) => Some(Ok(self.part(batch))),
                Err(error) => Some(Err(error)),
            },
            other => other,
        })
    }
}

impl RecordBatchStream for WatchedStream {
    fn schema(&self) -> SchemaRef {
        self.inner.schema()
    }
}
