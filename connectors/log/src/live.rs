//! Writes live events as they come, and says through heartbeats how far time has come where nothing else says it.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::time::Duration;

use prism_schemas::event::Quarantined;
use prism_schemas::event::event::Body;
use prism_schemas::time::{MILLISECOND, SECOND};
use prism_schemas::{Event, InstrumentId, Market, Topic, Ts};

use super::restate::Said;
use super::{Log, LogError, LogWriter, Step};

/// A log may be so far ahead of the clock when writing begins: its newest events and those that come next are as one.
const AHEAD: i64 = 2 * SECOND;

/// Shorter epochs get no more heartbeats, which would fill the log.
const INTERVAL_MIN: i64 = 10 * MILLISECOND;

/// A session vouches for what is in partitions of these: that nothing is missing, as far as nobody says that it is.
const VOUCHED: [Topic; 2] = [Topic::Trades, Topic::Status];

/// How often time is told.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// In each interval of so many nanoseconds a partition without an event gets a heartbeat, at the interval's beginning: the
    /// graph takes an epoch's events once every partition is in it.
    pub interval: i64,
    /// One of trades or states gets one at least this often, whatever else is written there: its session lives.
    pub alive: i64,
    /// Simulated seconds in a second: where time jumps from one look to the next, the process lived in between.
    pub speed: i64,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace { interval: 100 * MILLISECOND, alive: 500 * MILLISECOND, speed: 1 }
    }
}

impl Pace {
    /// For a graph whose epochs are so many nanoseconds.
    pub fn of(epoch: i64) -> Pace {
        Pace { interval: epoch.max(INTERVAL_MIN), ..Pace::default() }
    }

    /// As fast as simulated time runs.
    pub fn at(speed: f64) -> Pace {
        let speed = speed.ceil().clamp(1.0, 1e6) as i64;
        Pace { interval: Pace::default().interval * speed, speed, ..Pace::default() }
    }

    /// The interval of a time; an end belongs to what it ends, as of epochs.
    const fn index(self, ts: Ts) -> i64 {
        ts.saturating_sub(1).div_euclid(self.interval)
    }
}

/// The text that names one life of a process: no other has it.
pub fn session(now: Ts) -> String {
    let chance = RandomState::new().build_hasher().finish() as u32;
    format!("{:x}-{:x}-{chance:08x}", now / MILLISECOND, std::process::id())
}

/// Writes live events to a log. Its caller decides when: `take` what has come, `flush` when nothing more waits.
pub struct LiveWriter {
    writer: LogWriter,
    /// Topics whose silence would hold the readers' time.
    topics: Vec<Topic>,
    pace: Pace,
    now: Ts,
    newest: Ts,
    is_waiting: bool,
    /// What is said again now and then, so that a log without its beginning still says it.
    said: Said,
}

impl LiveWriter {
    /// A writer to `log` whose readers read `topics`, in a session of its own.
    pub fn new(log: Arc<dyn Log>, topics: &[Topic], pace: Pace, session: String) -> LiveWriter {
        let writer = LogWriter::new(log).in_session(session);
        LiveWriter {
            writer,
            topics: topics.to_vec(),
            pace,
            now: 0,
            newest: 0,
            is_waiting: false,
            said: Said::default(),
        }
    }

    /// Refuses a log whose newest record is ahead of the time now: everything that comes would be dated too late, and
    /// bars closed before their trades are known.
    pub fn check(&self, now: Ts) -> Result<(), LogError> {
        match self.writer.log().newest()? {
            Some(newest) if AHEAD < newest - now => Err(LogError::Ahead { newest, now }),
            _ => Ok(()),
        }
    }

    /// Takes events that have come.
    pub fn take(&mut self, events: impl IntoIterator<Item = (InstrumentId, Event)>) -> Result<(), LogError> {
        for (instrument, event) in events {
            self.newest = self.newest.max(event.ts_recv);
            self.add(&instrument, event)?;
        }
        Ok(())
    }

    fn add(&mut self, instrument: &InstrumentId, event: Event) -> Result<(), LogError> {
        self.is_waiting = true;
        let correction = self.said.hear(instrument, &event);
        self.writer.push(instrument, event)?;
        correction.into_iter().try_for_each(|event| self.writer.push(instrument, event))
    }

    /// Receive time of the newest event taken.
    pub fn newest(&self) -> Ts {
        self.newest
    }

    /// How long after `now` the next interval begins, in which silent partitions get a heartbeat; not in simulated time.
    pub fn next(&self, now: Ts) -> Duration {
        let left = self.pace.interval - now.rem_euclid(self.pace.interval) + 1;
        Duration::from_nanos((left / self.pace.speed).unsigned_abs())
    }

    /// Whether anything taken is not visible yet.
    pub fn is_waiting(&self) -> bool {
        self.is_waiting
    }

    /// Takes in that the wall clock stepped: an event of the log, so that whoever looks at results can see it.
    pub fn stepped(&mut self, step: &Step) -> Result<(), LogError> {
        let seconds = |nanos: i64| nanos as f64 / SECOND as f64;
        let (by, ahead) = (seconds(step.by), seconds(step.ahead));
        let detail =
            format!("the wall clock stepped by {by:+.3} s and is {ahead:+.3} s ahead of the log's time, which goes on");
        tracing::warn!(by, ahead, "the wall clock stepped; the log's time follows it slowly");
        let raw = detail.clone().into_bytes();
        let body = Body::Quarantined(Quarantined { rule: "clock".into(), detail, raw });
        let event = Event { ts_event: step.at, ts_recv: step.at, seq: None, index: 0, body: Some(body) };
        self.add(&InstrumentId::new("prism", Market::Spot, ""), event)
    }

    /// Says that the session lives, where it was not said for a while.
    pub fn live(&mut self, now: Ts) -> Result<(), LogError> {
        self.now = self.now.max(now);
        for (instrument, event) in self.said.again(self.now) {
            self.is_waiting = true;
            self.writer.push(&instrument, event)?;
        }
        for topic in self.topics.iter().filter(|topic| VOUCHED.contains(topic)) {
            for partition in 0..self.writer.log().partitions(*topic) {
                let [_, last] = self.writer.reached(*topic, partition);
                let passed = self.now - last;
                if passed < self.pace.alive {
                    continue;
                }
                // Simulated time jumps at each look: it was lived through as well.
                if 1 < self.pace.speed && passed < self.pace.speed * 2 * SECOND {
                    for n in 1..passed / self.pace.alive {
                        self.writer.heartbeat(*topic, partition, last + n * self.pace.alive, "")?;
                    }
                }
                self.writer.heartbeat(*topic, partition, self.now, "")?;
            }
        }
        Ok(())
    }

    /// Makes everything taken visible, and promises in silent partitions that nothing received before `now` follows: by
    /// then all must have been taken.
    pub fn flush(&mut self, now: Ts) -> Result<(), LogError> {
        self.live(now)?;
        for topic in &self.topics {
            for partition in 0..self.writer.log().partitions(*topic) {
                let [reached, _] = self.writer.reached(*topic, partition);
                if self.pace.index(reached) < self.pace.index(self.now) {
                    self.writer.heartbeat(*topic, partition, self.now, "")?;
                }
            }
        }
        self.is_waiting = false;
        self.writer.flush()
    }

    /// Ends the session: everything is visible and survives a crash of the machine.
    pub fn end(&mut self, now: Ts) -> Result<(), LogError> {
        self.flush(now)?;
        self.writer.sync()
    }
}
