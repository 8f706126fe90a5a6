//! Rows from the graph into memory, to subscribers and on to the store.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::Duration,
};

use prism_dataflow::{forming::Audience, types::Time};
use prism_schemas::{Cell, Table, Ts, Version, Versions, table};
use prism_status::{Stage, Status};

use crate::{
    Clock,
    feeds::Feeds,
    merge::Mark,
    outlet::Output,
    queue::{Kept, Sender},
};

/// Between two looks at how far results are behind the clock.
const LOOK: Duration = Duration::from_millis(500);

/// Rows in memory, which readers see.
pub trait Live: Send + Sync {
    /// Takes rows.
    fn apply(&self, rows: &[Versions]);

    /// Every row known before `frontier` can be read from the store, so that old ones may leave memory.
    fn stored_up_to(&self, frontier: Ts);

    /// Every row known before `frontier` is safe on disk but cannot be read from the store yet: old ones may leave memory
    /// too, so that a store that is away does not fill it.
    fn spooled_up_to(&self, frontier: Ts);
}

/// Hands rows to whoever follows them live.
pub type Subscribers = Box<dyn Fn(&[Versions]) + Send>;

/// Lets what forms through once all that was in the log at the start is computed: before, it is of the past.
pub(crate) struct Gate {
    audience: Arc<dyn Audience>,
    is_open: AtomicBool,
    status: Arc<Status>,
    clock: Clock,
}

impl Gate {
    pub(crate) fn new(audience: Arc<dyn Audience>, status: Arc<Status>, clock: Clock) -> Arc<Gate> {
        Arc::new(Gate { audience, is_open: AtomicBool::new(false), status, clock })
    }
}

impl Audience for Gate {
    fn wants(&self, table: Option<&Table>) -> bool {
        self.is_open.load(Relaxed) && self.audience.wants(table)
    }

    fn wants_symbol(&self, symbol: &str) -> bool {
        self.audience.wants_symbol(symbol)
    }

    fn form(&self, rows: Versions) {
        let now = (self.clock)();
        rows.known_at().iter().for_each(|micros| self.status.latency(Stage::Graph, 1_000 * micros, now));
        self.audience.form(rows);
    }

    fn asked(&self) -> u64 {
        self.audience.asked()
    }

    fn formed(&self, worker: usize, workers: usize, asked: u64) {
        self.audience.formed(worker, workers, asked);
    }
}

/// Takes what comes out of the graph.
pub(crate) struct Publisher {
    pub(crate) live: Arc<dyn Live>,
    pub(crate) subscribers: Subscribers,
    pub(crate) status: Arc<Status>,
    pub(crate) clock: Clock,
    pub(crate) kept: Sender,
    /// What was known before this is no news. `None`: nothing is until all that was in the log at the start is computed.
    pub(crate) news_from: Option<Time>,
    /// Opened when all that was in the log at the start is computed.
    pub(crate) gate: Option<Arc<Gate>>,
}

impl Publisher {
    /// Publishes until the graph has ended.
    pub(crate) fn run(mut self, outputs: &Receiver<Output>) {
        let mut feeds = Feeds::default();
        let mut is_starting = true;
        loop {
            match outputs.recv_timeout(LOOK) {
                Ok(Output::Rows(rows)) => self.rows(Arc::new(rows), &mut feeds),
                Ok(Output::Mark(mark)) => {
                    if std::mem::take(&mut is_starting) {
                        self.status.release("starting");
                    }
                    self.mark(mark, &feeds);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.status.check((self.clock)());
        }
    }

    fn rows(&self, rows: Arc<Vec<Versions>>, feeds: &mut Feeds) {
        let status = &self.status;
        let count = |is_counted: &dyn Fn(&Table) -> bool| -> u64 {
            rows.iter().filter(|rows| is_counted(rows.table())).map(|rows| rows.len() as u64).sum()
        };
        status.rows.fetch_add(count(&|_| true), Relaxed);
        status.quarantined.fetch_add(count(&|of| *of == table::QUARANTINE), Relaxed);
        status.late.fetch_add(count(&|of| *of == table::LATE_EVENTS), Relaxed);
        // Rows first: who is told of a feed by readiness finds the row that says so.
        self.live.apply(&rows);
        feeds.take(&rows, status, self.news_from.map(|from| from as Ts));
        self.tell(&rows);
        self.kept.put(Kept::Rows(rows));
    }

    /// Tells subscribers what is news.
    fn tell(&self, rows: &[Versions]) {
        let Some(from) = self.news_from else { return };
        let news = known_from(rows, from as Ts);
        (self.subscribers)(&news);
        if let Some(newest) = news.iter().filter_map(Versions::newest).max() {
            self.status.latency(Stage::Publish, newest, (self.clock)());
        }
    }

    fn mark(&mut self, mark: Mark, feeds: &Feeds) {
        self.status.frontier_ts.fetch_max(mark.frontier as i64, Relaxed);
        if mark.caught_up {
            self.status.release("catching up");
            feeds.tell(&self.status);
            self.news_from = self.news_from.or(Some(mark.frontier));
            self.gate.iter().for_each(|gate| gate.is_open.store(true, Relaxed));
        }
        self.status.gauge("prism_store_queue_rows", &[], self.kept.rows() as f64);
        self.kept.put(Kept::Mark(mark));
    }
}

/// The rows that became known at or after `from`.
pub(crate) fn known_from(rows: &[Versions], from: Ts) -> Vec<Versions> {
    let news = rows.iter().map(|rows| rows.known_within(from..Ts::MAX));
    news.filter(|rows| !rows.is_empty()).collect()
}

/// When a row became known.
pub(crate) fn known_at(row: &Version) -> Option<Ts> {
    match row.get("known_at") {
        Some(Cell::Ts(known)) => Some(*known),
        _ => None,
    }
}
