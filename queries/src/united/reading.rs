//! One pass over a partition: stored rows first, then the rows in memory of which the store had no newer version.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use datafusion::common::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;

use super::Scan;
use super::overlay::Overlay;
use crate::stored::{Means, Reader, adapt, truth};
use crate::ticket::Ticket;

/// The state of a pass.
pub(super) struct Reading {
    scan: Arc<Scan>,
    means: Means,
    ticket: Arc<Ticket>,
    pieces: Range<usize>,
    n_live: usize,
    reader: Option<Reader>,
    overlay: Option<Overlay>,
}

impl Reading {
    pub(super) fn stream(scan: Arc<Scan>, pieces: Range<usize>, context: &TaskContext) -> SendableRecordBatchStream {
        let output = scan.output.clone();
        let reading = Reading::new(scan, pieces, context);
        let batches = futures::stream::try_unfold(reading, |reading| async {
            let mut reading = reading?;
            Ok(reading.advance().await?.map(|batch| (batch, Ok(reading))))
        });
        Box::pin(RecordBatchStreamAdapter::new(output, batches))
    }

    fn new(scan: Arc<Scan>, pieces: Range<usize>, context: &TaskContext) -> Result<Reading> {
        let ticket = Ticket::of(context.session_config())?;
        let means = Means {
            batch_rows: context.session_config().batch_size(),
            pool: context.memory_pool().clone(),
            deadline: ticket.deadline(),
        };
        let n_live = if pieces.end == scan.pieces.len() { 0 } else { scan.live.len() };
        Ok(Reading { scan, means, ticket, pieces, n_live, reader: None, overlay: None })
    }

    async fn advance(&mut self) -> Result<Option<RecordBatch>> {
        if self.scan.overlay && self.overlay.is_none() {
            self.overlay = Some(Overlay::new(self.scan.table, &self.scan.live)?);
        }
        loop {
            // Files that hold nothing wanted must not keep the thread.
            self.ticket.check()?;
            tokio::task::coop::consume_budget().await;
            if let Some(reader) = &mut self.reader {
                if let Some(mut batch) = reader.next(&self.scan.want.schema)? {
                    if let Some(overlay) = &mut self.overlay {
                        batch = overlay.stored(self.scan.table, &batch)?;
                    }
                    return self.finish(batch).map(Some);
                }
                self.reader = None;
            }
            let Some(at) = self.pieces.next() else { break };
            self.reader = Reader::open(&self.scan.pieces[at], &self.scan.want, &self.means).await?;
        }
        let Some(batch) = self.scan.live.get(self.n_live) else { return Ok(None) };
        let mut batch = adapt(batch, &self.scan.want.schema)?;
        if let Some(overlay) = &self.overlay {
            batch = filter_record_batch(&batch, &overlay.remaining(self.n_live))?;
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
