//! Rows on their way from the graph to the thread that takes them: in order, many at once, never too many.

use std::sync::{
    Arc, Mutex, PoisonError,
    mpsc::{Receiver, SyncSender, sync_channel},
};

use prism_schemas::Versions;

use crate::merge::Mark;

/// Rows handed over at once, unless a mark comes first.
const ROWS_AT_ONCE: usize = 5_000;
/// Times rows may be handed over before some are taken; then the graph waits.
const AHEAD: usize = 10;

/// What comes out.
pub enum Output {
    /// Rows, those of a key in the order they became known.
    Rows(Vec<Versions>),
    /// All rows known before it are out.
    Mark(Mark),
}

/// What is not handed over yet.
#[derive(Default)]
struct Waiting {
    rows: Vec<Versions>,
    n_rows: usize,
}

/// Where all workers put their rows.
pub struct Outlet {
    waiting: Mutex<Waiting>,
    n_at_once: usize,
    taker: SyncSender<Output>,
}

impl Outlet {
    /// The outlet, and where its rows come out.
    pub fn new() -> (Arc<Outlet>, Receiver<Output>) {
        Outlet::of(ROWS_AT_ONCE)
    }

    /// One that keeps no row back.
    pub fn at_once() -> (Arc<Outlet>, Receiver<Output>) {
        Outlet::of(1)
    }

    fn of(n_at_once: usize) -> (Arc<Outlet>, Receiver<Output>) {
        let (taker, outputs) = sync_channel(AHEAD);
        (Arc::new(Outlet { waiting: Mutex::default(), n_at_once, taker }), outputs)
    }

    /// Takes rows.
    pub fn put(&self, rows: Versions) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.n_rows += rows.len();
        waiting.rows.push(rows);
        if self.n_at_once <= waiting.n_rows {
            self.hand_over(&mut waiting);
        }
    }

    /// Takes a mark, after all rows it speaks of.
    pub fn mark(&self, mark: Mark) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        self.hand_over(&mut waiting);
        let _ = self.taker.send(Output::Mark(mark));
    }

    fn hand_over(&self, waiting: &mut Waiting) {
        let Waiting { rows, .. } = std::mem::take(waiting);
        if !rows.is_empty() {
            // The taker ends early only with an error, which its thread reports.
            let _ = self.taker.send(Output::Rows(rows));
        }
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        let mut waiting = std::mem::take(self.waiting.get_mut().unwrap_or_else(PoisonError::into_inner));
        self.hand_over(&mut waiting);
    }
}
