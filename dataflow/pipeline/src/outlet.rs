//! Rows on their way from the graph to the thread that takes them: in order, many at once, never too many.

use std::sync::{
    Arc, Mutex, PoisonError,
    mpsc::{Receiver, SyncSender, sync_channel},
};

use prism_schemas::Version;

use crate::merge::Mark;

/// Rows handed over at once, unless a mark comes first.
const ROWS_AT_ONCE: usize = 5_000;
/// Times rows may be handed over before some are taken; then the graph waits.
const AHEAD: usize = 10;

/// What comes out.
pub enum Output {
    /// Rows, in the order they became known.
    Rows(Vec<Version>),
    /// All rows known before it are out.
    Mark(Mark),
}

/// Where all workers put their rows.
pub struct Outlet {
    waiting: Mutex<Vec<Version>>,
    taker: SyncSender<Output>,
}

impl Outlet {
    /// The outlet, and where its rows come out.
    pub fn new() -> (Arc<Outlet>, Receiver<Output>) {
        let (taker, outputs) = sync_channel(AHEAD);
        (Arc::new(Outlet { waiting: Mutex::default(), taker }), outputs)
    }

    /// Takes a row.
    pub fn put(&self, row: Version) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.push(row);
        if waiting.len() == ROWS_AT_ONCE {
            self.hand_over(&mut waiting);
        }
    }

    /// Takes a mark, after all rows it speaks of.
    pub fn mark(&self, mark: Mark) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        self.hand_over(&mut waiting);
        let _ = self.taker.send(Output::Mark(mark));
    }

    fn hand_over(&self, waiting: &mut Vec<Version>) {
        if !waiting.is_empty() {
            let rows = std::mem::replace(waiting, Vec::with_capacity(ROWS_AT_ONCE));
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
