//! Rows that another process keeps, into memory and to subscribers as soon as they can be read.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    thread,
    time::Duration,
};

use anyhow::Result;
use prism_schemas::{
    Table, Versions,
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
    pub restore: Box<dyn FnMut() -> Result<usize> + Send>,
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
            if self.away(&error.to_string(), stop) {
                return Ok(());
            }
        }
        let n_rows = loop {
            match (self.restore)() {
                Ok(n_rows) => break n_rows,
                Err(error) if self.away(&format!("{error:#}"), stop) => return Ok(()),
                Err(_) => {}
            }
        };
        tracing::info!(n_rows, "stored rows are in memory");
        self.status.release("starting");
        loop {
            let is_over = match self.look() {
                Ok(()) => {
                    self.status.release("store");
                    wait(stop)
                }
                Err(error) => self.away(&error.to_string(), stop),
            };
            self.status.check((self.clock)());
            if is_over {
                return Ok(());
            }
        }
    }

    /// Tells that the store does not answer, and waits for the next look; true if it is time to end.
    fn away(&self, why: &str, stop: &CancellationToken) -> bool {
        self.status.store_failures.fetch_add(1, Relaxed);
        self.status.hold("store", why);
        wait(stop)
    }

    fn look(&mut self) -> StoreResult<()> {
        let rows = self.reader.news(&self.tables)?;
        if !rows.is_empty() {
            self.status.rows.fetch_add(rows.len() as u64, Relaxed);
            let rows = Versions::of(&rows)?;
            self.live.apply(&rows);
            (self.subscribers)(&rows);
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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use prism_schemas::{Ts, Version, store::RowReader};

    use super::*;

    /// A store without rows.
    struct Empty;

    impl RowReader for Empty {
        fn address(&self) -> String {
            "empty".into()
        }

        fn news(&mut self, _: &[&'static Table]) -> StoreResult<Vec<Version>> {
            Ok(Vec::new())
        }

        fn frontier(&mut self) -> StoreResult<Option<Ts>> {
            Ok(Some(1))
        }
    }

    struct Nothing;

    impl Live for Nothing {
        fn apply(&self, _: &[Versions]) {}

        fn stored_up_to(&self, _: Ts) {}

        fn spooled_up_to(&self, _: Ts) {}
    }

    #[test]
    fn a_store_that_goes_away_while_rows_are_restored_is_told_and_asked_again() {
        let (status, told) = (Arc::new(Status::new()), Arc::new(Mutex::new(Vec::new())));
        let stop = CancellationToken::new();
        let restore = {
            let (status, told, stop) = (status.clone(), told.clone(), stop.clone());
            move || {
                let mut told = told.lock().unwrap();
                told.push(status.reasons().get("store").cloned());
                if told.len() == 1 {
                    anyhow::bail!("nobody answers");
                }
                stop.cancel();
                Ok(0)
            }
        };
        let follower = Follower {
            reader: Box::new(Empty),
            tables: Vec::new(),
            restore: Box::new(restore),
            live: Arc::new(Nothing),
            subscribers: Box::new(|_| {}),
            status: status.clone(),
            clock: Arc::new(|| 1),
        };
        follower.run(&stop).unwrap();
        assert_eq!(*told.lock().unwrap(), [None, Some("nobody answers".to_string())]);
        assert!(!status.reasons().contains_key("store"));
    }
}
