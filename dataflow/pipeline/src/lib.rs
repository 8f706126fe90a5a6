//! The running graph: the partitions of a log merged into it, its rows published and kept, and how far.
//!
//! Nothing here opens anything: a log is a [`prism_log::Log`], a store a [`prism_schemas::store::RowStore`], memory a
//! [`Live`], and time comes from a [`Clock`], so that whatever dies, lies or floods can be tried with doubles.
//!
//! - [`Pipeline`]: follows a log that grows; [`pass`]: one pass over a log
//! - [`Follower`]: rows that another process keeps
//! - [`Tasks`]: threads that end together
//! - [`runs`]: how far a run is kept, and whether it can go on

mod compute;
mod cut;
mod feeds;
mod follow;
mod keep;
mod lag;
mod merge;
mod outlet;
pub mod pass;
mod passthrough;
mod publish;
mod queue;
pub mod runs;
mod stored;
mod tasks;
#[cfg(test)]
mod tests;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::Result;
use prism_dataflow::{assemble::Plan, forming::Audience};
use prism_log::Log;
use prism_schemas::{Ts, Versions, store::RowStore};
use prism_status::Status;

pub use cut::reach;
pub use follow::Follower;
pub use keep::{finish, keep, told};
pub use merge::{Mark, TOPICS};
pub use outlet::{Outlet, Output};
pub use publish::{Live, Subscribers};
pub use tasks::Tasks;

use crate::{
    compute::Following,
    cut::Cut,
    keep::Keeper,
    publish::{Gate, Publisher},
    queue::queue,
    stored::stored_bars,
};

/// A clock, in UNIX nanoseconds.
pub type Clock = Arc<dyn Fn() -> Ts + Send + Sync>;

/// Rows that wait for the store before the graph waits.
const ROWS_IN_FLIGHT: usize = 100_000;

/// A log that is followed, where its rows go, and who is told.
pub struct Pipeline {
    /// The log.
    pub log: Arc<dyn Log>,
    /// The graph.
    pub plan: Plan,
    /// Worker threads.
    pub workers: usize,
    /// Where rows are kept.
    pub store: Box<dyn RowStore>,
    /// Rows are flushed to the store at least this often.
    pub flush: Duration,
    /// Rows in memory.
    pub live: Arc<dyn Live>,
    /// Who follows news.
    pub subscribers: Subscribers,
    /// Readiness and metrics.
    pub status: Arc<Status>,
    /// The time, simulated if the log's is; no row depends on it.
    pub clock: Clock,
}

impl Pipeline {
    /// Starts the graph and what publishes and keeps its rows.
    ///
    /// Where the log has lost its beginning, bars of before come from the store, and a row of `quarantine` says so.
    pub fn start(self, tasks: &mut Tasks) -> Result<()> {
        let Pipeline { log, mut plan, workers, store, flush, live, subscribers, status, clock } = self;
        let (mut run, lost) = runs::find(&*store, &*log, &plan)?;
        let cut = if lost.is_empty() { None } else { Some(Cut::of(&*log, &*store, &plan, &run, &lost)?) };
        run.rebuilt_from = cut.as_ref().map(|cut| cut.from);
        status.hold("catching up", "the log is being read from its start");
        status.hold("feeds", "no feed is connected");
        let gate = plan.forming.take().map(|audience| Gate::new(audience, status.clone(), clock.clone()));
        plan.forming = gate.clone().map(|gate| gate as Arc<dyn Audience>);
        let (outlet, outputs) = Outlet::new();
        let (kept, to_keep) = queue(ROWS_IN_FLIGHT);
        let offsets = keep::Offsets::default();
        if let Some(cut) = &cut {
            tracing::warn!(run = run.run_id, "{}", cut.told(&run, &plan.settings));
            Versions::of(&[cut.row(&run, &plan.settings)])?.into_iter().for_each(|rows| outlet.put(rows));
        }
        let since = cut.as_ref().filter(|_| run.is_changed).map_or(Ts::MIN, |cut| cut.since);
        let (restore, stored) =
            cut.clone().filter(|_| !run.is_changed).map(|cut| stored_bars(cut, plan.clone(), run.frontier)).unzip();
        let following = Following {
            log: log.clone(),
            plan,
            outlet,
            status: status.clone(),
            clock: clock.clone(),
            stop: tasks.stop(),
            cut,
            stored: Mutex::new(stored),
        };
        tasks.spawn("compute", move || compute::compute(following, workers))?;
        // What a run that goes on has told before is no news; a new one has told nothing, and its past is no news either.
        let news_from = Some(run.frontier).filter(|frontier| 0 < *frontier);
        let (to, of) = (live.clone(), status.clone());
        let publisher = Publisher { live: to, subscribers, status: of, clock, kept, news_from, gate };
        tasks.spawn("publish", move || {
            publisher.run(&outputs);
            Ok(())
        })?;
        tasks.spawn("watch", {
            let (log, offsets, status, stop) = (log.clone(), offsets.clone(), status.clone(), tasks.stop());
            move || {
                lag::expose(&*log, &offsets, &status, &stop);
                Ok(())
            }
        })?;
        let (waiting, unflushed, newest) = (Vec::new(), 0, None);
        let mut keeper = Keeper { store, log, run, live, status, offsets, waiting, unflushed, newest, since };
        tasks.spawn("store", move || {
            restore.map_or(Ok(()), |bars| keeper.restore(bars, &to_keep))?;
            keeper.run(&to_keep, flush)
        })
    }
}
