//! What forms, for statements that ask: each is answered by the next round of the graph over all instruments.

use std::sync::atomic::{
    AtomicBool, AtomicU64, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use datafusion::common::{DataFusionError, Result};
use prism_schemas::{Table, Versions};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::table::LiveTable;

/// The tables that have a view of rows of open bars, `live.forming_<name>`.
pub const FORMING_VIEWS: [&str; 7] =
    ["bars", "order_flow", "book_features", "indicators", "component_scores", "dimension_scores", "confluence"];

/// How long a statement waits for its round: one over 1,000 instruments takes a tenth of that.
const PATIENCE: Duration = Duration::from_secs(2);

/// Why what forms is not told.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum NotFormed {
    /// Ask the process that has the graph.
    #[error("this process computes nothing, so that nothing forms here: ask the one of prism run, compute or demo")]
    Nobody,
    /// Ask again later.
    #[error("what forms is not known yet: the log is being read, or nothing comes from it")]
    NotYet,
}

/// Statements that wait for what forms.
#[derive(Debug, Default)]
pub struct Forming {
    is_served: AtomicBool,
    /// Rounds that were asked for.
    asked: AtomicU64,
    n_asks: AtomicUsize,
    asks: Mutex<Asks>,
}

#[derive(Debug, Default)]
struct Asks {
    waiting: Vec<Ask>,
    /// Up to which round each worker of the graph is.
    formed: Vec<u64>,
}

/// A statement that waits for rows of a table.
#[derive(Debug)]
struct Ask {
    /// The round that answers it.
    round: u64,
    table: &'static Table,
    rows: Vec<RecordBatch>,
    answer: Option<oneshot::Sender<()>>,
}

/// A statement's place among those that wait, as long as it does.
struct Asking<'f> {
    forming: &'f Forming,
    round: u64,
}

impl Asking<'_> {
    /// Waits no longer; gives what came of its table.
    fn end(&self) -> Vec<RecordBatch> {
        let mut asks = self.forming.asks();
        let Some(at) = asks.waiting.iter().position(|ask| ask.round == self.round) else { return Vec::new() };
        self.forming.n_asks.fetch_sub(1, Relaxed);
        asks.waiting.swap_remove(at).rows
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        drop(self.end());
    }
}

impl Forming {
    /// There is a graph in this process that forms rows.
    pub fn serve(&self) {
        self.is_served.store(true, Relaxed);
    }

    /// Asks for a round over all instruments that somebody follows.
    pub fn ask(&self) -> u64 {
        // Whoever sees it sees who asks, too.
        self.asked.fetch_add(1, Release) + 1
    }

    /// Rounds that were asked for: one made from now on is as good as all of them.
    pub fn asked(&self) -> u64 {
        self.asked.load(Acquire)
    }

    /// Whether a statement waits for rows of this table, or of any where none is named.
    pub fn wants(&self, table: Option<&Table>) -> bool {
        let is_asked = |table: &Table| self.asks().waiting.iter().any(|ask| *ask.table == *table);
        0 < self.n_asks.load(Relaxed) && table.is_none_or(is_asked)
    }

    /// Takes rows that form.
    pub fn form(&self, rows: &Versions) {
        if self.wants(None) {
            let mut asks = self.asks();
            let of_table = asks.waiting.iter_mut().filter(|ask| ask.table == rows.table());
            of_table.for_each(|ask| ask.rows.push(rows.rows().clone()));
        }
    }

    /// A worker of so many formed all its instruments since that many rounds had been asked for.
    pub fn formed(&self, worker: usize, workers: usize, asked: u64) {
        let mut asks = self.asks();
        let Asks { waiting, formed } = &mut *asks;
        formed.resize(workers, 0);
        formed[worker] = asked;
        let round = formed.iter().copied().min().unwrap_or(0);
        for ask in waiting.iter_mut().filter(|ask| ask.round <= round) {
            ask.answer.take().map(|answer| answer.send(()));
        }
    }

    /// The newest row of each key without ts that a round over all instruments makes of the bars that are open now.
    pub(crate) async fn latest(&self, table: &'static Table) -> Result<RecordBatch> {
        let outside = |error| DataFusionError::External(Box::new(error));
        if !self.is_served.load(Relaxed) {
            return Err(outside(NotFormed::Nobody));
        }
        let (answer, answered) = oneshot::channel();
        let asking = self.wait(table, answer);
        let Ok(Ok(())) = timeout(PATIENCE, answered).await else { return Err(outside(NotFormed::NotYet)) };
        let rows = LiveTable::new(table);
        rows.apply(&concat_batches(&table.schema(), &asking.end())?);
        Ok(rows.seen().latest_batch()?)
    }

    fn wait(&self, table: &'static Table, answer: oneshot::Sender<()>) -> Asking<'_> {
        let mut asks = self.asks();
        self.n_asks.fetch_add(1, Relaxed);
        let round = self.ask();
        asks.waiting.push(Ask { round, table, rows: Vec::new(), answer: Some(answer) });
        Asking { forming: self, round }
    }

    fn asks(&self) -> MutexGuard<'_, Asks> {
        self.asks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
