//! Every operator of a plan, watched: it stops when nobody waits for the statement any more, lets other statements on
//! its thread after each batch, gives batches no larger than the session's, and counts what DataFusion holds uncounted.
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
use datafusion::physical_plan::joins::{CrossJoinExec, HashJoinExec, NestedLoopJoinExec};
use datafusion::physical_plan::metrics::MetricsSet;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec};
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PhysicalExpr, PlanProperties, ReplaceChildrenOptions,
    replace_children_if_necessary,
};
use futures::{Stream, StreamExt};

use crate::ticket::Ticket;

/// Most rows times expressions of windows that are computed at once, at the end of their input.
const WINDOW_CELLS_MAX: usize = 5_000_000;

/// What a batch, and a column of it, take beside the bytes of their rows.
const BATCH_BYTES: usize = 256;
const COLUMN_BYTES: usize = 384;

/// An operator, watched.
#[derive(Debug)]
struct Watched {
    inner: Arc<dyn ExecutionPlan>,
    /// What the operator above holds of it, and does not count.
    held: Option<Held>,
}

/// What an operator holds of its input without counting it.
#[derive(Clone, Copy, Debug)]
enum Held {
    /// A window: all rows, of which it takes so many at most.
    Rows { rows_max: Option<usize> },
    /// A sort, or a join's one side: each batch has its own weight beside its rows.
    Batches,
}

impl Held {
    /// What an operator holds of its input with this number.
    fn by(node: &Arc<dyn ExecutionPlan>, input: usize) -> Option<Held> {
        if let Some(window) = node.downcast_ref::<WindowAggExec>() {
            return Some(Held::Rows { rows_max: Some(WINDOW_CELLS_MAX / window.window_expr().len().max(1)) });
        }
        if node.is::<BoundedWindowAggExec>() {
            return Some(Held::Rows { rows_max: None });
        }
        let is_join = node.is::<HashJoinExec>() || node.is::<NestedLoopJoinExec>() || node.is::<CrossJoinExec>();
        (node.is::<SortExec>() || (is_join && input == 0)).then_some(Held::Batches)
    }
}

/// A plan with each of its operators watched.
pub(crate) fn watch(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let watched = |inner: Arc<dyn ExecutionPlan>, held: Option<Held>| -> Arc<dyn ExecutionPlan> {
        Arc::new(Watched { inner, held })
    };
    let wrap = |node: Arc<dyn ExecutionPlan>| -> Result<Arc<dyn ExecutionPlan>> {
        let held: Vec<_> = (0..node.children().len()).map(|input| Held::by(&node, input)).collect();
        if held.iter().all(Option::is_none) {
            return Ok(watched(node, None));
        }
        let children = node.children().into_iter().zip(held).map(|(child, held)| match held {
            Some(_) => watched(child.clone(), held),
            None => child.clone(),
        });
        let children = children.collect();
        Ok(watched(replace_children_if_necessary(node, children)?, None))
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
        let holding = self
            .held
            .map(|held| Holding { held, memory: MemoryConsumer::new("batches").register(context.memory_pool()) });
        let inner = self.inner.execute(partition, context)?;
        Ok(make_cooperative(Box::pin(WatchedStream { inner, ticket, batch_rows, rest: None, holding })))
    }
}

/// What is held so far.
struct Holding {
    held: Held,
    memory: MemoryReservation,
}

impl Holding {
    fn take(&mut self, batch: &RecordBatch) -> Result<()> {
        let bytes = match &mut self.held {
            Held::Batches => BATCH_BYTES + COLUMN_BYTES * batch.num_columns(),
            Held::Rows { rows_max } => {
                if let Some(rows_left) = rows_max {
                    let Some(left) = rows_left.checked_sub(batch.num_rows()) else {
                        return Err(DataFusionError::ResourcesExhausted(format!(
                            "a window to its last row over more than {WINDOW_CELLS_MAX} rows times expressions"
                        )));
                    };
                    *rows_left = left;
                }
                // The rows as they come, and once more as one batch.
                let bytes = batch.columns().iter().map(|column| column.to_data().get_slice_memory_size());
                2 * bytes.sum::<std::result::Result<usize, _>>()?
            }
        };
        self.memory.try_grow(bytes)
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
