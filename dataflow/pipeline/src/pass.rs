//! One pass over a log: from its start to its end, or to a time, as fast as it goes or at a pace.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow};
use prism_dataflow::{
    assemble::{Plan, assemble},
    drive::{Driver, Pace},
    tables::{Sink, tables},
    types::Time,
};
use prism_log::Log;
use timely::worker::Worker;

use crate::merge::{Mark, Merge};

/// The longest sleep of a pass at a pace.
const NAP: Duration = Duration::from_millis(50);

/// How a log is passed through the graph. Only `seal` and `to` change results.
#[derive(Clone)]
pub struct How {
    /// Worker threads.
    pub workers: u64,
    /// Epochs the frontier advances by at once.
    pub stride: u64,
    /// Records handed over together at most; 0 leaves it to the engine.
    pub batch: usize,
    /// Close every bar that has begun, as if the log were complete.
    pub seal: bool,
    /// Read nothing known at or after this.
    pub to: Option<Time>,
    /// Seconds of knowledge time per second.
    pub speed: Option<f64>,
    /// Set by whoever wants it to end early.
    pub cancelled: Arc<AtomicBool>,
    /// Told how many more messages were read.
    pub progress: Arc<dyn Fn(u64) + Send + Sync>,
}

/// Where the log begins and ends, over all workers.
#[derive(Clone, Copy)]
struct Ends {
    /// The first record's knowledge time.
    first: Option<Time>,
    /// The newest knowledge time.
    newest: Time,
    /// The largest event time of a trade or venue bar.
    last_event: i64,
    /// Everything known before this was handed over, where a worker stopped before its end.
    stopped: Option<Time>,
}

/// What a pass found.
pub struct Passed {
    /// How far it came.
    pub mark: Mark,
    /// Unfinished tails it stopped before, in words.
    pub torn: Vec<String>,
}

/// Runs the graph over the log.
pub fn pass(how: &How, plan: &Plan, log: &Arc<dyn Log>, sink: &Sink) -> Result<Passed> {
    let events = Arc::new(AtomicU64::new(0));
    let n_reading = Arc::new(AtomicU64::new(how.workers));
    let ends = Arc::new(Mutex::new(Ends { first: None, newest: 0, last_event: i64::MIN, stopped: None }));
    let (shared_plan, log, shared_sink, shared_how) = (plan.clone(), log.clone(), sink.clone(), how.clone());
    let pace = Pace { epoch: plan.settings.time.epoch as Time, stride: how.stride, batch: how.batch };
    let (shared_ends, shared_events) = (ends.clone(), events.clone());
    let workers = timely::Config::process(how.workers as usize);
    let guards = timely::execute(workers, move |worker| -> Result<Vec<String>, String> {
        let (plan, sink, how) = (&shared_plan, &shared_sink, &shared_how);
        let (inputs, probe) = worker.dataflow(|scope| assemble(scope, plan, |outputs| tables(outputs, plan, sink)));
        let mut driver = Driver::new(inputs, probe, pace);
        let opened = Merge::open(&*log, plan, (worker.index(), worker.peers()), false, None);
        let read = opened.map_err(|error| error.to_string()).and_then(|mut merge| {
            let stopped = read(how, worker, &mut driver, &mut merge, sink)?;
            shared_events.fetch_add(merge.events, Ordering::Relaxed);
            let mut ends = shared_ends.lock().unwrap_or_else(PoisonError::into_inner);
            ends.first = ends.first.into_iter().chain(merge.first).min();
            ends.newest = ends.newest.max(merge.newest().unwrap_or(0));
            ends.last_event = ends.last_event.max(merge.last_event());
            ends.stopped = ends.stopped.into_iter().chain(stopped).min();
            drop(ends);
            Ok(merge)
        });
        // The worker that ends last knows where the log ends; the others let go of the frontier by closing their inputs.
        if n_reading.fetch_sub(1, Ordering::AcqRel) == 1 {
            let Ends { newest, last_event, stopped, .. } = *shared_ends.lock().unwrap_or_else(PoisonError::into_inner);
            let mut end = newest;
            if how.seal && stopped.is_none() && i64::MIN < last_event {
                plan.sealed.set(last_event, newest);
                let ends = plan.settings.timeframes.maintained.iter().map(|tf| tf.end(tf.start(last_event)));
                end = ends.map(|end| plan.settings.time.close(end) as Time).fold(end, Time::max);
            }
            driver.advance(stopped.unwrap_or(end + pace.epoch));
            driver.drain(worker);
        }
        driver.close();
        read.map(|merge| merge.torn())
    });
    let mut torn = Vec::new();
    for result in guards.map_err(|error| anyhow!(error))?.join() {
        torn.extend(result.map_err(|error| anyhow!(error))?.map_err(|error| anyhow!(error))?);
    }
    let events = events.load(Ordering::Relaxed);
    let Ends { first, newest, stopped, .. } = *ends.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(Passed {
        mark: Mark { frontier: stopped.unwrap_or(newest), offsets: BTreeMap::new(), first, events, caught_up: true },
        torn,
    })
}

/// Hands a worker's partitions over; gives the time it stopped before, if that is not their end.
fn read(
    how: &How,
    worker: &mut Worker,
    driver: &mut Driver,
    merge: &mut Merge,
    sink: &Sink,
) -> Result<Option<Time>, String> {
    let mut n_shown = 0;
    let mut began: Option<(Instant, Time)> = None;
    while let Some(record) = merge.next(sink).map_err(|error| error.to_string())? {
        let known = record.known();
        if how.to.is_some_and(|to| to <= known) {
            return Ok(how.to);
        }
        if how.cancelled.load(Ordering::Relaxed) {
            return Ok(Some(known));
        }
        if let Some(speed) = how.speed {
            #[expect(clippy::disallowed_methods, reason = "the pace of a replay changes no row")]
            let now = Instant::now();
            let (start, first) = *began.get_or_insert((now, known));
            let due = start + Duration::from_secs_f64((known - first) as f64 / 1e9 / speed);
            if now < due {
                driver.advance(known);
                driver.drain(worker);
                nap_until(due, how);
            }
        }
        driver.send(worker, record);
        if n_shown + 1_024 <= merge.messages {
            (how.progress)(merge.messages - n_shown);
            n_shown = merge.messages;
        }
    }
    Ok(None)
}

fn nap_until(due: Instant, how: &How) {
    loop {
        #[expect(clippy::disallowed_methods, reason = "the pace of a replay changes no row")]
        let left = due.saturating_duration_since(Instant::now());
        if left.is_zero() || how.cancelled.load(Ordering::Relaxed) {
            return;
        }
        std::thread::sleep(left.min(NAP));
    }
}
