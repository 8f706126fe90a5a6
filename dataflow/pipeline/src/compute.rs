//! The graph over a log that grows, on one worker or several.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::AcqRel, Ordering::Acquire, Ordering::Relaxed, Ordering::Release},
    },
    thread,
    time::Duration,
};

use anyhow::{Result, anyhow};
use prism_dataflow::{
    admit::Record,
    assemble::{Plan, assemble},
    drive::{Driver, Pace},
    tables::{Sink, tables},
    types::Time,
};
use prism_log::Log;
use prism_schemas::time::SECOND;
use prism_status::{Stage, Status};
use timely::worker::Worker;
use tokio_util::sync::CancellationToken;

use crate::{
    Clock,
    cut::Cut,
    merge::{Mark, Merge},
    outlet::Outlet,
    publish::known_from,
    stored::StoredBars,
    tasks::named,
};

/// Between two looks at a log at its end.
const STEP: Duration = Duration::from_millis(50);
/// Records a worker hands to the graph between two marks at most.
const RECORDS_AT_ONCE: usize = 50_000;
/// A log may be this far ahead of this machine's clock, in nanoseconds, before it is told.
const AHEAD: i64 = 10 * SECOND;

/// What the graph follows and what it tells.
pub(crate) struct Following {
    pub(crate) log: Arc<dyn Log>,
    pub(crate) plan: Plan,
    pub(crate) outlet: Arc<Outlet>,
    pub(crate) status: Arc<Status>,
    pub(crate) clock: Clock,
    pub(crate) stop: CancellationToken,
    /// Where the run goes on, if the log has lost its beginning.
    pub(crate) cut: Option<Cut>,
    /// The bars of before, for one of the workers.
    pub(crate) stored: Mutex<Option<StoredBars>>,
}

impl Following {
    /// Takes the rows that are wanted.
    fn sink(&self) -> Sink {
        let outlet = self.outlet.clone();
        match self.cut.as_ref().map_or(0, |cut| cut.floor) as i64 {
            0 => Arc::new(move |rows| outlet.put(rows)),
            floor => Arc::new(move |rows| known_from(&[rows], floor).into_iter().for_each(|rows| outlet.put(rows))),
        }
    }

    /// Hands the graph the stored bars known by `until`; false if it is time to end.
    fn restore(&self, bars: &mut Option<StoredBars>, until: Time, mut send: impl FnMut(Record)) -> bool {
        let Some(bars) = bars else { return true };
        while !self.stop.is_cancelled() {
            match bars.take(until) {
                Ok(Some(bar)) => send(Record::Control(Box::new(bar))),
                Ok(None) => return true,
                // Whoever reads the store says why.
                Err(_) => return false,
            }
        }
        false
    }
}

/// What the workers know of each other.
struct Workers {
    of: Following,
    /// By worker, messages that were in the log at the start and are not read yet.
    behind: Vec<AtomicU64>,
    /// The newest knowledge time.
    newest: AtomicU64,
    /// Knowledge time of the first record.
    first: AtomicU64,
    /// Events read.
    events: AtomicU64,
}

/// Follows the log until told to stop. Each worker reads its share of the partitions.
pub(crate) fn compute(of: Following, workers: usize) -> Result<()> {
    let all = Workers {
        of,
        behind: (0..workers).map(|_| AtomicU64::new(u64::MAX)).collect(),
        newest: AtomicU64::new(0),
        first: AtomicU64::new(Time::MAX),
        events: AtomicU64::new(0),
    };
    let guards = timely::execute(timely::Config::process(workers), move |worker| {
        let outcome = named(&format!("compute {}", worker.index()), || all.follow(worker));
        if outcome.is_err() {
            all.of.stop.cancel();
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
        let Following { log, plan, outlet, clock, stop, cut, .. } = &self.of;
        let sink = self.of.sink();
        let mut stored = self.of.stored.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (inputs, probe) = worker.dataflow(|scope| assemble(scope, plan, |outputs| tables(outputs, plan, &sink)));
        let pace = Pace { epoch: plan.settings.time.epoch as Time, stride: 600, batch: 0 };
        let mut driver = Driver::new(inputs, probe, pace);
        let mut merge = Merge::open(&**log, plan, (worker.index(), worker.peers()), true, cut.as_ref())?;
        let (mut marked, mut n_events) = ((0, false), 0);
        // Woken by what is appended in this process.
        let me = Arc::new(thread::current());
        log.wake(&me);
        loop {
            let is_last = stop.is_cancelled();
            merge.poll();
            let (mut n_records, now) = (0, clock());
            while n_records < RECORDS_AT_ONCE
                && !stop.is_cancelled()
                && let Some(record) = merge.next(&sink)?
            {
                if !self.of.restore(&mut stored, record.known(), |bar| driver.send(worker, bar)) {
                    return Ok(());
                }
                // What was in the log before is no measure.
                if let (true, Some(received)) = (marked.1, record.received()) {
                    self.of.status.latency(Stage::Log, received, now);
                }
                driver.send(worker, record);
                n_records += 1;
            }
            let newest = merge.newest().unwrap_or(0);
            let newest = self.newest.fetch_max(newest, AcqRel).max(newest);
            merge.stand_in(&**log, newest, clock().max(0) as Time)?;
            self.first.fetch_min(merge.first.unwrap_or(Time::MAX), Relaxed);
            self.events.fetch_add(merge.events - n_events, Relaxed);
            n_events = merge.events;
            let caught_up = self.tell(worker.index(), merge.behind(), newest);
            if !self.of.restore(&mut stored, merge.frontier(), |bar| driver.send(worker, bar)) {
                return Ok(());
            }
            driver.advance(merge.frontier());
            let frontier = driver.reached(worker);
            if marked < (frontier, caught_up) {
                marked = (frontier, caught_up);
                let first = Some(self.first.load(Relaxed)).filter(|first| *first < Time::MAX);
                let events = self.events.load(Relaxed);
                for (operator, bytes) in plan.sizes.each() {
                    self.of.status.gauge("prism_state_bytes", &[("operator", operator)], bytes as f64);
                }
                outlet.mark(Mark { frontier, offsets: merge.done(frontier), first, events, caught_up });
            }
            if is_last {
                return Ok(());
            }
            worker.step_or_park(Some(if n_records == 0 { STEP } else { Duration::ZERO }));
        }
    }

    /// Tells how far reading is; true once all workers have read what was in the log at the start.
    fn tell(&self, index: usize, behind: u64, newest: Time) -> bool {
        let status = &self.of.status;
        status.events.store(self.events.load(Relaxed), Relaxed);
        self.behind[index].store(behind, Release);
        let all = self.behind.iter().map(|behind| behind.load(Acquire)).fold(0, u64::saturating_add);
        if 0 < all && all < u64::MAX {
            status.hold("catching up", &format!("{all} messages of the log are not read yet"));
        }
        let ahead = newest as i64 - (self.of.clock)();
        if AHEAD < ahead {
            let seconds = ahead / SECOND;
            status
                .hold("clock", &format!("the log is {seconds} s ahead of this machine's clock: set the clocks right"));
        } else {
            status.release("clock");
        }
        all == 0
    }
}
