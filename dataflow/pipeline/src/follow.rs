//! Rows that another process keeps, into memory and to subscribers as soon as they can be read.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    thread,
    time::Duration,
};

use anyhow::Result;
use prism_schemas::{
    Table,
    store::{RowReader, StoreResult},
};
use prism_status::Status;
use tokio_util::sync::CancellationToken;

use crate::{Clock, Live, Subscribers};

/// Between two looks at the store.
const LOOK: Duration = Duration::from_millis(500);

/// A store that is followed, and who is told.
pub struct Follower {
    /// The store.
    pub reader: Box<dyn RowReader>,
    /// Tables whose rows are wanted.
    pub tables: Vec<&'static Table>,
    /// Brings what is stored already into memory.
    pub restore: Box<dyn FnOnce() -> Result<usize> + Send>,
    /// Rows in memory.
    pub live: Arc<dyn Live>,
    /// Who follows news.
    pub subscribers: Subscribers,
    /// Readiness and metrics.
    pub status: Arc<Status>,
    /// The time.
    pub clock: Clock,
}

impl Follower {
    /// Follows until told to stop. A store that does not answer is told, and asked again.
    pub fn run(mut self, stop: &CancellationToken) -> Result<()> {
        // From here on everything is news; what was there before is restored afterwards, so that nothing falls between.
        while let Err(error) = self.reader.news(&self.tables) {
            self.away(&error.to_string());
            if wait(stop) {
                return Ok(());
            }
        }
        let restore = std::mem::replace(&mut self.restore, Box::new(|| Ok(0)));
        let n_rows = restore()?;
        tracing::info!(n_rows, "stored rows are in memory");
        self.status.release("starting");
        loop {
            match self.look() {
                Ok(()) => self.status.release("store"),
                Err(error) => self.away(&error.to_string()),
            }
            self.status.check((self.clock)());
            if wait(stop) {
                return Ok(());
            }
        }
    }

    fn away(&self, why: &str) {
        self.status.store_failures.fetch_add(1, Relaxed);
        self.status.hold("store", why);
    }

    fn look(&mut self) -> StoreResult<()> {
        let rows = self.reader.news(&self.tables)?;
        if !rows.is_empty() {
            self.live.apply(&rows);
            self.status.rows.fetch_add(rows.len() as u64, Relaxed);
            (self.subscribers)(Arc::new(rows));
        }
        match self.reader.frontier()? {
            Some(frontier) => {
                self.live.stored_up_to(frontier);
                self.status.frontier_ts.store(frontier, Relaxed);
                self.status.stored_ts.store(frontier, Relaxed);
                self.status.release("empty");
            }
            None => {
                let why = format!("{} holds no live run yet: start prism compute or run", self.reader.address());
                self.status.hold("empty", &why);
            }
        }
        Ok(())
    }
}

/// Waits for the next look; true if it is time to end.
fn wait(stop: &CancellationToken) -> bool {
    thread::sleep(LOOK);
    stop.is_cancelled()
}
