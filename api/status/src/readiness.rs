//! Readiness: the reasons why a process is not ready, and the watch over how far its results are behind.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::Status;

/// The reason that the watch sets and takes back.
const FRONTIER: &str = "frontier";
const SECOND: i64 = 1_000_000_000;

#[derive(Debug)]
pub(crate) struct Readiness {
    reasons: RwLock<BTreeMap<String, String>>,
    /// Results may be this far behind, ns; 0 if nobody watches.
    limit: AtomicI64,
}

impl Readiness {
    pub(crate) fn starting() -> Readiness {
        let reasons = BTreeMap::from([("starting".to_string(), "the process is starting".to_string())]);
        Readiness { reasons: RwLock::new(reasons), limit: AtomicI64::new(0) }
    }

    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<String, String>> {
        self.reasons.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<String, String>> {
        self.reasons.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Status {
    /// Not ready, because of `why`, until `what` is released. A reason of the same name is replaced.
    pub fn hold(&self, what: &str, why: &str) {
        self.readiness.write().insert(what.into(), why.into());
    }

    /// Takes a reason back.
    pub fn release(&self, what: &str) {
        self.readiness.write().remove(what);
    }

    /// Why the process is not ready, by name; it is ready if there is no reason.
    pub fn reasons(&self) -> BTreeMap<String, String> {
        self.readiness.read().clone()
    }

    /// From now on [`Status::check`] holds the process back while its results are more than `limit` ns behind the clock.
    pub fn watch(&self, limit: i64) {
        self.readiness.limit.store(limit.max(0), Relaxed);
    }

    /// Compares the clock with how far everything is computed: holds "frontier" when that is too far behind, and releases
    /// it once it is less than half as far. Whoever asks for readiness calls it, so that a pipeline that has died is seen
    /// although it says nothing any more. Does nothing unless somebody watches.
    pub fn check(&self, now: i64) {
        let limit = self.readiness.limit.load(Relaxed);
        if limit == 0 {
            return;
        }
        let frontier = self.frontier_ts.load(Relaxed);
        let was_late = self.readiness.read().contains_key(FRONTIER);
        if is_late(was_late, frontier, now, limit) {
            let behind = now.saturating_sub(frontier) / SECOND;
            self.hold(FRONTIER, &format!("results are {behind} s behind the clock, more than {} s", limit / SECOND));
        } else if was_late {
            self.release(FRONTIER);
        }
    }
}

/// Late beyond the limit, and then until half of it. Before the first result there is nothing to compare.
fn is_late(was_late: bool, frontier: i64, now: i64, limit: i64) -> bool {
    let bound = if was_late { limit / 2 } else { limit };
    frontier != 0 && bound < now.saturating_sub(frontier)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_beyond_the_limit_and_until_half_of_it() {
        for (was_late, frontier, now, late) in [
            (false, 0, 1_000, false),
            (false, 100, 100, false),
            (false, 100, 110, false),
            (false, 100, 111, true),
            (true, 100, 111, true),
            (true, 105, 111, true),
            (true, 106, 111, false),
            (true, 0, 1_000, false),
            // A clock that is behind, and one that is beyond all bounds.
            (false, 100, 50, false),
            (true, 100, 50, false),
            (false, i64::MIN + 1, i64::MAX, true),
        ] {
            assert_eq!(is_late(was_late, frontier, now, 10), late, "{was_late} {frontier} {now}");
        }
    }

    #[test]
    fn a_pipeline_that_stands_still_is_not_ready() {
        let status = Status::new();
        status.release("starting");
        status.frontier_ts.store(100 * SECOND, Relaxed);
        status.check(1_000 * SECOND);
        assert!(status.reasons().is_empty(), "nobody watches");
        status.watch(30 * SECOND);
        status.check(131 * SECOND);
        assert_eq!(status.reasons()["frontier"], "results are 31 s behind the clock, more than 30 s");
        status.frontier_ts.store(120 * SECOND, Relaxed);
        status.check(131 * SECOND);
        assert!(status.reasons().is_empty());
    }

    #[test]
    fn reasons_are_held_and_released_by_name() {
        let status = Status::new();
        assert_eq!(status.reasons().into_keys().collect::<Vec<_>>(), ["starting"]);
        status.hold("store", "away");
        status.hold("store", "still away");
        status.release("starting");
        assert_eq!(status.reasons(), BTreeMap::from([("store".to_string(), "still away".to_string())]));
        status.release("store");
        status.release("store");
        assert!(status.reasons().is_empty());
    }
}
