//! What a statement carries while it runs: until when it may, and whether anybody still waits for its answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use datafusion::common::{DataFusionError, Result};
use datafusion::prelude::SessionConfig;
use tokio::time::Instant;

/// Shared by all parts of a running statement.
#[derive(Debug)]
pub(crate) struct Ticket {
    deadline: Instant,
    is_dropped: AtomicBool,
}

/// The statement's time is over, or nobody waits for it any more.
#[derive(Debug, thiserror::Error)]
#[error("the statement was stopped")]
pub(crate) struct Stopped;

impl Ticket {
    pub(crate) fn until(deadline: Instant) -> Arc<Ticket> {
        Arc::new(Ticket { deadline, is_dropped: AtomicBool::new(false) })
    }

    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Nobody waits any more: every part stops at its next step.
    pub(crate) fn drop_it(&self) {
        self.is_dropped.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.is_dropped.load(Ordering::Relaxed) || self.deadline <= Instant::now()
    }

    /// An error once it is over.
    pub(crate) fn check(&self) -> Result<()> {
        match self.is_over() {
            true => Err(DataFusionError::External(Box::new(Stopped))),
            false => Ok(()),
        }
    }

    /// The ticket of the statement that a session runs.
    pub(crate) fn of(config: &SessionConfig) -> Result<Arc<Ticket>> {
        config.get_extension().ok_or_else(|| DataFusionError::Internal("a statement without a ticket".into()))
    }
}
