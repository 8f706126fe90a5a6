//! The graph over a log that grows, on one worker or several.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::AcqRel, Ordering::Acquire, Ordering::Relaxed, Ordering::Release},
    },
    time::Duration,
};

use anyhow::{Result, anyhow};
use prism_api::Status;
use prism_dataflow::{
    assemble::{Plan, assemble},
    drive::{Driver, Pace},
    tables::{Sink, tables},
    types::Time,
};
use prism_log::Log;
use timely::{dataflow::operators::probe::Handle as Probe, worker::Worker};

use crate::{
    feed::{Feed, Mark},
    live::Stop,
    outlet::Outlet,
};

/// Between two looks at a log at its end.
const STEP: Duration = Duration::from_millis(50);
/// Records a worker hands to the graph between two marks at most.
const RECORDS_AT_ONCE: usize = 50_000;

/// What the workers know of each other.
struct Workers {
    log: Arc<dyn Log>,
    plan: Plan,
    outlet: Arc<Outlet>,
    status: Arc<Status>,
    stop: Stop,
    /// By worker, the time before which it has handed everything over.
    frontiers: Vec<AtomicU64>,
    /// The newest knowledge time.
    newest: AtomicU64,
    /// Knowledge time of the first record.
    first: AtomicU64,
    /// Events read.
    events: AtomicU64,
}

/// Follows the log until told to stop. Each worker reads its share of the partitions.
pub(crate) fn compute(
    log: Arc<dyn Log>,
    plan: Plan,
    workers: usize,
    outlet: Arc<Outlet>,
    status: Arc<Status>,
    stop: Stop,
) -> Result<()> {
    let all = Workers {
        log,
        plan,
        outlet,
        status,
        stop,
        frontiers: (0..workers).map(|_| AtomicU64::new(0)).collect(),
        newest: AtomicU64::new(0),
        first: AtomicU64::new(Time::MAX),
        events: AtomicU64::new(0),
    };
    let guards = timely::execute(timely::Config::process(workers), move |worker| {
        let outcome = all.follow(worker);
        if outcome.is_err() {
            all.stop.now.cancel();
        }
        outcome
    });
    for outcome in guards.map_err(|error| anyhow!(error))?.join() {
        outcome.map_err(|error| anyhow!(error))??;
    }
    Ok(())
}

impl Workers {
    /// One worker's part.
    fn follow(&self, worker: &mut Worker) -> Result<()> {
        let outlet = self.outlet.clone();
        let sink: Sink = Arc::new(move |row| outlet.put(row));
        let probe = Probe::new();
        let inputs = worker.dataflow(|scope| {
            let (inputs, outputs) = assemble(scope, &self.plan);
            tables(outputs, &self.plan, &probe, &sink);
            inputs
        });
        let pace = Pace { epoch: self.plan.settings.time.epoch as Time, stride: 600, batch: 0 };
        let mut driver = Driver::new(inputs, probe, pace);
        let mut feed = Feed::open(&*self.log, &self.plan, worker.index(), worker.peers())?;
        let (mut marked, mut n_events) = (0, 0);
        loop {
            let is_last = self.stop.now.is_cancelled();
            feed.poll();
            let mut n_records = 0;
            while n_records < RECORDS_AT_ONCE
                && let Some(record) = feed.next(true, &sink)?
            {
                driver.send(worker, record);
                n_records += 1;
            }
            let newest = feed.newest().unwrap_or(0);
            feed.stand_in(&*self.log, self.newest.fetch_max(newest, AcqRel).max(newest))?;
            self.first.fetch_min(feed.first.unwrap_or(Time::MAX), Relaxed);
            self.events.fetch_add(feed.events - n_events, Relaxed);
            n_events = feed.events;
            self.status.events.store(self.events.load(Relaxed), Relaxed);
            let frontier = self.reach(worker, &mut driver, feed.frontier());
            if marked < frontier {
                marked = frontier;
                let first = Some(self.first.load(Relaxed)).filter(|first| *first < Time::MAX);
                let events = self.events.load(Relaxed);
                self.outlet.mark(Mark { frontier, offsets: feed.done(frontier), first, events });
                self.status.frontier_ts.fetch_max(frontier as i64, Relaxed);
            }
            if is_last {
                return Ok(());
            }
            if n_records == 0 {
                worker.step_or_park(Some(STEP));
            }
        }
    }

    /// This worker has handed over everything before `own`. Gives the time before which all workers have, once all rows
    /// known before it are out.
    fn reach(&self, worker: &mut Worker, driver: &mut Driver, own: Time) -> Time {
        driver.advance(own);
        self.frontiers[worker.index()].store(own, Release);
        let frontier = self.frontiers.iter().map(|frontier| frontier.load(Acquire)).min().unwrap_or(own);
        driver.drain_until(worker, frontier);
        frontier
    }
}
