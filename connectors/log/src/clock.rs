//! Time that no step of the wall clock can move: a monotonic clock, set once by the wall clock and led after it slowly.

use std::sync::{Mutex, PoisonError};

use prism_schemas::Ts;
use prism_schemas::time::SECOND;

/// Nanoseconds by which a second may be longer or shorter, to follow the wall clock: as much as NTP allows itself. An
/// hour beside a wall clock that is wrong makes 1.8 s.
const SLEW: i64 = 500_000;
/// The wall clock has stepped if it moved by more than this against the monotonic one between two looks.
const STEP: i64 = SECOND;
/// Steps that are kept until they are told; of more the last are forgotten.
const STEPS_MAX: usize = 64;

/// A step of the wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The time, which did not take part in it.
    pub at: Ts,
    /// Nanoseconds the wall clock moved by, forwards or backwards.
    pub by: i64,
    /// Nanoseconds it is ahead of the time now.
    pub ahead: i64,
}

/// A clock for receive times. It never runs backwards, and what the wall clock does in a moment it does in hours.
pub struct SteadyClock {
    /// UNIX nanoseconds, by the system.
    wall: Box<dyn Fn() -> Ts + Send + Sync>,
    /// Nanoseconds since any moment; never steps.
    monotonic: Box<dyn Fn() -> i64 + Send + Sync>,
    state: Mutex<State>,
}

struct State {
    now: Ts,
    monotonic: i64,
    wall: Ts,
    steps: Vec<Step>,
}

impl SteadyClock {
    /// A clock that begins with the wall clock's time.
    pub fn new(
        wall: impl Fn() -> Ts + Send + Sync + 'static,
        monotonic: impl Fn() -> i64 + Send + Sync + 'static,
    ) -> SteadyClock {
        let state = State { now: wall(), monotonic: monotonic(), wall: wall(), steps: Vec::new() };
        SteadyClock { wall: Box::new(wall), monotonic: Box::new(monotonic), state: Mutex::new(state) }
    }

    /// The time now, in UNIX nanoseconds.
    pub fn now(&self) -> Ts {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (monotonic, wall) = ((self.monotonic)(), (self.wall)());
        let passed = (monotonic - state.monotonic).max(0);
        let by = (wall - state.wall) - passed;
        let slew = passed.saturating_mul(SLEW) / SECOND;
        let steady = state.now + passed;
        state.now = steady + (wall - steady).clamp(-slew, slew);
        state.monotonic = monotonic.max(state.monotonic);
        state.wall = wall;
        if STEP < by.abs() && state.steps.len() < STEPS_MAX {
            let step = Step { at: state.now, by, ahead: wall - state.now };
            state.steps.push(step);
        }
        state.now
    }

    /// The steps since the last call, each once.
    pub fn steps(&self) -> Vec<Step> {
        std::mem::take(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner).steps)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

    use prism_schemas::time::{HOUR, MILLISECOND, MINUTE};

    use super::*;

    /// A clock, the true time, and by how much the wall clock is off.
    fn clock(start: Ts) -> (SteadyClock, Arc<AtomicI64>, Arc<AtomicI64>) {
        let (time, off) = (Arc::new(AtomicI64::new(start)), Arc::new(AtomicI64::new(0)));
        let (a, b, c) = (time.clone(), off.clone(), time.clone());
        let clock = SteadyClock::new(move || a.load(Relaxed) + b.load(Relaxed), move || c.load(Relaxed) + 77);
        (clock, time, off)
    }

    #[test]
    fn an_hours_step_for_an_hour_moves_time_by_less_than_two_seconds() {
        for by in [HOUR, -HOUR] {
            let (clock, time, off) = clock(1_000 * HOUR);
            let mut last = clock.now();
            for minute in 0..180 {
                match minute {
                    60 => off.store(by, Relaxed),
                    120 => off.store(0, Relaxed),
                    _ => {}
                }
                for _ in 0..600 {
                    time.fetch_add(100 * MILLISECOND, Relaxed);
                    let now = clock.now();
                    // Never backwards, never faster or slower than the rate.
                    assert!((99 * MILLISECOND..=101 * MILLISECOND).contains(&(now - last)));
                    assert!((now - time.load(Relaxed)).abs() < 2 * SECOND);
                    last = now;
                }
            }
            let steps = clock.steps();
            assert_eq!(steps.iter().map(|step| step.by.signum()).collect::<Vec<_>>(), [by.signum(), -by.signum()]);
            assert!(steps.iter().all(|step| (step.by.abs() - HOUR).abs() < SECOND));
            assert!((steps[0].ahead.abs() - HOUR).abs() < SECOND && steps[1].ahead.abs() < 2 * SECOND);
            assert_eq!(clock.steps(), []);
        }
    }

    #[test]
    fn what_the_wall_clock_drifts_is_followed_and_told_to_nobody() {
        let (clock, time, off) = clock(HOUR);
        for _ in 0..600 {
            time.fetch_add(SECOND, Relaxed);
            off.fetch_add(SECOND / 10_000, Relaxed);
            clock.now();
        }
        assert!((clock.now() - time.load(Relaxed) - off.load(Relaxed)).abs() < MILLISECOND);
        assert_eq!(clock.steps(), []);
    }

    #[test]
    fn a_pause_of_the_process_is_no_step() {
        let (clock, time, _) = clock(HOUR);
        time.fetch_add(30 * MINUTE, Relaxed);
        assert_eq!((clock.now(), clock.steps()), (HOUR + 30 * MINUTE, Vec::new()));
    }
}
