//! What the process tells about itself: readiness and counters, set by the wiring, read by health and metrics.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{PoisonError, RwLock};

/// Readiness and counters.
#[derive(Debug)]
pub struct Status {
    reasons: RwLock<BTreeMap<String, String>>,
    /// Whether time is simulated, so that a page does not measure ages by its own clock.
    pub simulated: AtomicBool,
    /// Events read.
    pub events: AtomicU64,
    /// Versions of rows computed.
    pub rows: AtomicU64,
    /// Events and frames quarantined.
    pub quarantined: AtomicU64,
    /// Trades too late to correct anything.
    pub late: AtomicU64,
    /// Reconnections of feeds.
    pub reconnects: AtomicU64,
    /// Failures to store rows.
    pub store_failures: AtomicU64,
    /// Everything known before this is computed, UNIX ns; 0 if nothing is.
    pub frontier_ts: AtomicI64,
    /// Everything known before this is stored, UNIX ns; 0 if nothing is.
    pub stored_ts: AtomicI64,
    /// Further gauges, by name and labels.
    gauges: RwLock<BTreeMap<(&'static str, String), f64>>,
    /// Time from receiving an event to having computed what follows from it, ms.
    pub lag_ms: AtomicI64,
}

impl Default for Status {
    fn default() -> Status {
        Status::new()
    }
}

impl Status {
    /// Not ready because it is starting; [`Status::release`] "starting" when that is over.
    pub fn new() -> Status {
        Status {
            reasons: RwLock::new(BTreeMap::from([("starting".into(), "the process is starting".into())])),
            simulated: AtomicBool::new(false),
            events: AtomicU64::new(0),
            rows: AtomicU64::new(0),
            quarantined: AtomicU64::new(0),
            late: AtomicU64::new(0),
            reconnects: AtomicU64::new(0),
            store_failures: AtomicU64::new(0),
            frontier_ts: AtomicI64::new(0),
            stored_ts: AtomicI64::new(0),
            lag_ms: AtomicI64::new(0),
            gauges: RwLock::default(),
        }
    }

    /// Sets a gauge; `labels` as in `table="bars"`, empty for none.
    pub fn gauge(&self, name: &'static str, labels: &str, value: f64) {
        self.gauges.write().unwrap_or_else(PoisonError::into_inner).insert((name, labels.into()), value);
    }

    /// Not ready until `name` is released.
    pub fn hold(&self, name: &str, reason: &str) {
        self.reasons.write().unwrap_or_else(PoisonError::into_inner).insert(name.into(), reason.into());
    }

    /// Takes a reason back.
    pub fn release(&self, name: &str) {
        self.reasons.write().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    /// Why it is not ready, by name; ready if empty.
    pub fn reasons(&self) -> BTreeMap<String, String> {
        self.reasons.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// As Prometheus text; `more` are further gauges (name, help, value).
    pub(crate) fn metrics(&self, more: &[(&str, &str, f64)]) -> String {
        let mut out = String::new();
        let mut add = |name: &str, help: &str, kind: &str, value: f64| {
            let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
        };
        for (name, help, counter) in [
            ("prism_events_total", "Events read.", &self.events),
            ("prism_rows_total", "Versions of rows computed.", &self.rows),
            ("prism_quarantined_total", "Events and frames quarantined.", &self.quarantined),
            ("prism_late_events_total", "Trades too late to correct anything.", &self.late),
            ("prism_reconnects_total", "Reconnections of feeds.", &self.reconnects),
            ("prism_store_failures_total", "Failures to store rows.", &self.store_failures),
        ] {
            add(name, help, "counter", counter.load(Relaxed) as f64);
        }
        for (name, help, ts) in [
            ("prism_frontier_seconds", "Everything known before this is computed, UNIX time.", &self.frontier_ts),
            ("prism_stored_seconds", "Everything known before this is stored, UNIX time.", &self.stored_ts),
        ] {
            add(name, help, "gauge", ts.load(Relaxed) as f64 / 1e9);
        }
        add(
            "prism_lag_seconds",
            "From receiving an event to its results.",
            "gauge",
            self.lag_ms.load(Relaxed) as f64 / 1e3,
        );
        add("prism_ready", "1 if ready.", "gauge", f64::from(u8::from(self.reasons().is_empty())));
        for (name, help, value) in more {
            add(name, help, "gauge", *value);
        }
        let mut last = "";
        for ((name, labels), value) in &*self.gauges.read().unwrap_or_else(PoisonError::into_inner) {
            if last != *name {
                let _ = writeln!(out, "# TYPE {name} gauge");
                last = name;
            }
            let labels = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
            let _ = writeln!(out, "{name}{labels} {value}");
        }
        out
    }
}
