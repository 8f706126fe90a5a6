//! Rows from the queue into a store, and word back of how far it holds them.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::Ordering::Relaxed,
        mpsc::{Receiver as Outputs, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow};
use prism_log::Log;
use prism_schemas::{
    Topic, Ts, Versions,
    store::{RowStore, StoreError},
};
use prism_status::Status;

use crate::{
    merge::Mark,
    outlet::Output,
    publish::Live,
    queue::{Kept, Receiver, Taken},
    runs::Run,
    stored::StoredBarsOut,
};

/// Between two looks at the queue.
const STEP: Duration = Duration::from_millis(50);
/// Between two looks whether the graph takes more stored bars.
const PATIENCE: Duration = Duration::from_millis(1);
/// Between two looks at how the store is.
const LOOK: Duration = Duration::from_secs(1);
/// Rows that wait for the next flush at most.
const WAITING_MAX: usize = 50_000;

/// Rows handed to the store before it is flushed at the latest: until then they are in memory, too.
const UNFLUSHED_MAX: usize = 200_000;

/// By partition, the offset before which everything is computed and kept.
pub(crate) type Offsets = Arc<Mutex<BTreeMap<(Topic, u32), u64>>>;

/// Keeps rows, and notes how far.
pub(crate) struct Keeper {
    pub(crate) store: Box<dyn RowStore>,
    pub(crate) log: Arc<dyn Log>,
    /// The run's row so far; rows known before its frontier are kept already.
    pub(crate) run: Run,
    pub(crate) live: Arc<dyn Live>,
    pub(crate) status: Arc<Status>,
    /// Told to others.
    pub(crate) offsets: Offsets,
    /// Rows that wait for the next flush.
    pub(crate) waiting: Vec<Versions>,
    /// Rows handed to the store since the last flush.
    pub(crate) unflushed: usize,
    /// The newest mark handed over whose rows are not known to be kept.
    pub(crate) newest: Option<Mark>,
    /// Rows of derived tables that begin before this are not this run's to write.
    pub(crate) since: Ts,
}

impl Keeper {
    /// Leaves the rows that are not in the store already and do not stay there as they are.
    fn unkept(&self) -> impl Fn(&Versions) -> Option<Versions> + use<> {
        let (already, since) = (self.run.frontier as i64 / 1_000, self.since);
        move |rows| {
            let begins = rows.times(rows.table().designated).filter(|_| rows.table().derived && Ts::MIN < since);
            let is_kept = |at: usize| {
                rows.known_at().get(at).is_some_and(|known| *known < already)
                    || begins.is_some_and(|begins| begins[at] < since.div_euclid(1_000))
            };
            Some(rows.filter(|at| !is_kept(at))).filter(|rows| !rows.is_empty())
        }
    }

    /// Hands the stored bars to the graph, before anything is kept: what comes out meanwhile waits in memory.
    pub(crate) fn restore(&mut self, bars: StoredBarsOut, queue: &Receiver) -> Result<()> {
        let unkept = self.unkept();
        let Keeper { store, waiting, newest, .. } = self;
        bars.send(&**store, || {
            if let Taken::Some(kept) = queue.take(PATIENCE) {
                take_in(kept, &unkept, waiting, newest);
            }
        })
    }

    /// Keeps until the queue is over, flushing at least `every` so long.
    pub(crate) fn run(mut self, queue: &Receiver, every: Duration) -> Result<()> {
        #[expect(clippy::disallowed_methods, reason = "how often rows are stored changes no row")]
        let now = Instant::now;
        let unkept = self.unkept();
        let (mut flushed, mut looked) = (now(), now());
        loop {
            let taken = queue.take(STEP.min(every));
            let is_over = matches!(taken, Taken::Over);
            match taken {
                Taken::Some(kept) => take_in(kept, &unkept, &mut self.waiting, &mut self.newest),
                Taken::Nothing | Taken::Over => {}
            }
            if WAITING_MAX <= self.waiting.iter().map(Versions::len).sum() {
                self.write()?;
            }
            if is_over || every <= flushed.elapsed() || UNFLUSHED_MAX <= self.unflushed {
                self.flush()?;
                flushed = now();
            }
            if LOOK <= looked.elapsed() {
                self.look();
                looked = now();
            }
            if is_over {
                // One step: it leaves a directory with one file a day, and waits for no server.
                if let Err(error) = self.store.finish() {
                    tracing::warn!(%error, "the store could not be put in order");
                }
                return Ok(());
            }
        }
    }

    /// Hands what waits to the store. The store is never ahead of the log: a machine that dies must find in its log what
    /// its rows were computed from.
    fn write(&mut self) -> Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        self.log.sync()?;
        self.unflushed += self.waiting.iter().map(Versions::len).sum::<usize>();
        self.store.write(std::mem::take(&mut self.waiting)).map_err(told)
    }

    /// Writes what waits; once it is kept, notes how far in `runs` and in the log.
    pub(crate) fn flush(&mut self) -> Result<()> {
        self.write()?;
        self.unflushed = 0;
        if !self.store.flush().map_err(told)? {
            if let Some(newest) = &self.newest {
                self.live.spooled_up_to(newest.frontier as i64);
            }
            return Ok(());
        }
        if let Some(mark) = self.newest.take()
            && !self.note(&mark)?
        {
            self.newest = Some(mark);
        }
        self.tell_readable();
        Ok(())
    }

    /// Notes that all before the mark is kept; false if the store went away meanwhile, or old rows are still to be
    /// withdrawn.
    fn note(&mut self, mark: &Mark) -> Result<bool> {
        if self.run.frontier < mark.frontier {
            if self.run.is_changed && !self.withdraw(mark)? {
                return Ok(false);
            }
            self.log.sync()?;
            self.run.advance(mark);
            self.store.write(Versions::of(&[self.run.row()])?).map_err(told)?;
            if !self.store.flush().map_err(told)? {
                return Ok(false);
            }
        }
        self.store.mark(mark.frontier as i64);
        for ((topic, partition), offset) in &mark.offsets {
            self.log.commit(*topic, *partition, *offset)?;
        }
        self.offsets.lock().unwrap_or_else(PoisonError::into_inner).extend(mark.offsets.clone());
        Ok(true)
    }

    /// After a change of settings, and once all of the log is computed with them: withdraws what only the old ones made.
    fn withdraw(&mut self, mark: &Mark) -> Result<bool> {
        if !mark.caught_up {
            return Ok(false);
        }
        let live = self.live.clone();
        let mut see = |rows: &[Versions]| {
            live.apply(rows);
        };
        let withdrawn =
            self.store.withdraw(&self.run.config_hash, self.since, mark.frontier as i64, &mut see).map_err(told)?;
        let Some(n_rows) = withdrawn else { return Ok(false) };
        if 0 < n_rows {
            tracing::info!(n_rows, "rows of the settings before were withdrawn");
        }
        self.run.is_changed = false;
        Ok(true)
    }

    /// Lets rows leave memory that can be read from the store.
    fn tell_readable(&mut self) {
        match self.store.readable() {
            Ok(Some(frontier)) if self.status.stored_ts.load(Relaxed) < frontier => {
                self.live.stored_up_to(frontier);
                self.status.stored_ts.store(frontier, Relaxed);
            }
            Ok(_) => {}
            // Asked again after the next flush; how the store is is told apart.
            Err(error) => tracing::debug!(%error, "what the store shows is unknown"),
        }
    }

    /// Exposes how the store is.
    fn look(&mut self) {
        self.tell_readable();
        let health = self.store.health();
        let status = &self.status;
        status.gauge("prism_spool_bytes", &[], health.spooled_bytes as f64);
        match health.away {
            Some(why) => {
                status.store_failures.fetch_add(1, Relaxed);
                let address = self.store.address();
                status.hold("store", &format!("{address} does not answer or take rows: {why}"));
            }
            None => status.release("store"),
        }
        match health.suspended.is_empty() {
            true => status.release("suspended"),
            false => {
                status.hold("suspended", &format!("QuestDB does not apply rows to {}", health.suspended.join(", ")))
            }
        }
        for (table, lag) in &health.wal_lag {
            status.gauge("prism_wal_lag_transactions", &[("table", table)], *lag as f64);
        }
    }
}

/// Takes in what came out of the queue.
fn take_in(
    kept: Kept,
    unkept: &impl Fn(&Versions) -> Option<Versions>,
    waiting: &mut Vec<Versions>,
    newest: &mut Option<Mark>,
) {
    match kept {
        Kept::Rows(rows) => waiting.extend(rows.iter().filter_map(unkept)),
        Kept::Mark(mark) => match newest {
            Some(newest) => newest.merge(mark),
            newest => *newest = Some(mark),
        },
    }
}

/// Writes what comes out of a pass to a store, until the outlet is gone; `patience`: how long rows wait for more of a
/// request, if not until it is full.
pub fn keep(
    mut store: Box<dyn RowStore>,
    outputs: &Outputs<Output>,
    patience: Option<Duration>,
) -> Result<Box<dyn RowStore>> {
    #[expect(clippy::disallowed_methods, reason = "when rows are sent changes no row")]
    let now = Instant::now;
    let mut due: Option<Instant> = None;
    loop {
        let left = due.map(|due| due.saturating_duration_since(now()));
        let output = match left {
            Some(Duration::ZERO) => Err(RecvTimeoutError::Timeout),
            Some(left) => outputs.recv_timeout(left),
            None => outputs.recv().map_err(RecvTimeoutError::from),
        };
        match output {
            Ok(Output::Rows(rows)) => {
                store.write(rows).map_err(told)?;
                due = due.or_else(|| Some(now() + patience?));
            }
            Ok(Output::Mark(_)) => {}
            Err(RecvTimeoutError::Timeout) => {
                let is_sent = store.flush().map_err(told)?;
                due = patience.filter(|_| !is_sent).map(|patience| now() + patience);
            }
            Err(RecvTimeoutError::Disconnected) => return Ok(store),
        }
    }
}

/// Waits until all rows of a store can be read.
pub fn finish(store: &mut dyn RowStore) -> Result<()> {
    while !store.finish().map_err(told)? {
        thread::sleep(STEP);
    }
    Ok(())
}

/// A store's failure as an error that is told.
pub fn told(error: StoreError) -> anyhow::Error {
    anyhow!(error)
}
