//! Metrics as OpenMetrics text: counters, gauges by label, and how long an event takes to reach subscribers.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{PoisonError, RwLock};

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::Status;
use crate::memory::Memory;

/// The media type of [`Status::metrics`].
pub(crate) const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Most label sets of a family; further ones are not taken.
const LABEL_SETS_MAX: usize = 4_096;
/// Upper bounds of the histograms of latency, s.
const LATENCY_SECONDS: [f64; 16] =
    [0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
/// What gauges mean, by name.
const GAUGES: [(&str, &str); 12] = [
    ("prism_feeds", "Feeds of instruments by state"),
    ("prism_live_rows", "Rows in memory"),
    ("prism_log_lag_messages", "Messages of a partition that are not computed and kept yet"),
    ("prism_requests_answered_ratio", "Share of a venue's requests that were answered"),
    ("prism_requests_closed", "1 while a venue is left alone after refusals"),
    ("prism_requests_left", "What is left of a venue's budget of requests"),
    ("prism_spool_bytes", "Rows that wait in files for the store, bytes"),
    ("prism_state_bytes", "What a part of the process keeps, bytes: all parts are prism_resident_bytes"),
    ("prism_store_queue_rows", "Rows that wait for the store in memory"),
    ("prism_streams", "Open WebSocket streams"),
    ("prism_wall_clock_ahead_seconds", "How far the wall clock was ahead of receive times after its last step"),
    ("prism_wal_lag_transactions", "Transactions of a table that the store has not applied yet"),
];

type Labels = Vec<(&'static str, String)>;

/// A stage on the way of an event from a venue's socket to a client's, by its name in metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// From an event's receive time until it is decoded and handed to the log's writer.
    Receive,
    /// From an event's receive time until it is read from the log.
    Log,
    /// From the receive time of the newest event in a forming row until that is handed over.
    Graph,
    /// From when a row of closed bars became known until it is handed to subscribers.
    Publish,
    /// From the receive time of the newest event in a forming row until it is written to a client's socket.
    Send,
}

impl Stage {
    const ALL: [(Stage, &str); 5] = [
        (Stage::Receive, "receive"),
        (Stage::Log, "log"),
        (Stage::Graph, "graph"),
        (Stage::Publish, "publish"),
        (Stage::Send, "send"),
    ];
}

/// What is counted by label, and the histograms.
#[derive(Debug)]
pub(crate) struct Families {
    gauges: RwLock<BTreeMap<&'static str, BTreeMap<Labels, f64>>>,
    reconnects: Family<Labels, Counter>,
    latency: Family<Labels, Histogram, fn() -> Histogram>,
    /// Of each stage, the one in the family.
    stages: [Histogram; Stage::ALL.len()],
}

impl Default for Families {
    fn default() -> Families {
        let make: fn() -> Histogram = || Histogram::new(LATENCY_SECONDS);
        let latency = Family::new_with_constructor(make);
        let stages = Stage::ALL.map(|(_, name)| latency.get_or_create(&owned(&[("stage", name)])).clone());
        Families { gauges: RwLock::default(), reconnects: Family::default(), latency, stages }
    }
}

fn owned(labels: &[(&'static str, &str)]) -> Labels {
    labels.iter().map(|(name, value)| (*name, (*value).to_string())).collect()
}

impl Status {
    /// Sets a gauge, such as `gauge("prism_feeds", &[("state", "stale")], 2.0)`. Values of labels may be any text.
    pub fn gauge(&self, name: &'static str, labels: &[(&'static str, &str)], value: f64) {
        let mut gauges = self.families.gauges.write().unwrap_or_else(PoisonError::into_inner);
        let family = gauges.entry(name).or_default();
        let labels = owned(labels);
        if family.len() < LABEL_SETS_MAX || family.contains_key(&labels) {
            family.insert(labels, value);
        }
    }

    /// Counts the feed of an instrument that is connected again after it was lost.
    pub fn reconnected(&self, venue: &str) {
        self.families.reconnects.get_or_create(&owned(&[("venue", venue)])).inc();
    }

    /// Notes how long it took up to the end of a stage; `since` and `now` in UNIX ns.
    pub fn latency(&self, stage: Stage, since: i64, now: i64) {
        self.families.stages[stage as usize].observe(now.saturating_sub(since).max(0) as f64 / 1e9);
    }

    /// The media type of [`Status::metrics`].
    pub const fn media_type() -> &'static str {
        MEDIA_TYPE
    }

    /// Everything as OpenMetrics text; `now` is the clock's UNIX ns, against which the lag is measured.
    pub fn metrics(&self, now: i64) -> String {
        let mut registry = Registry::default();
        for (name, help, counter) in [
            ("prism_events", "Events read", &self.events),
            ("prism_rows", "Versions of rows computed", &self.rows),
            ("prism_quarantined", "Events and frames quarantined", &self.quarantined),
            ("prism_late_events", "Trades too late to correct anything", &self.late),
            ("prism_store_failures", "Failures to store rows", &self.store_failures),
        ] {
            registry.register(name, help, ConstCounter::new(counter.load(Relaxed)));
        }
        registry.register(
            "prism_reconnects",
            "Feeds of instruments that were connected again, by venue",
            self.families.reconnects.clone(),
        );
        let frontier = self.frontier_ts.load(Relaxed);
        let mut gauge = |name: &str, help: &str, value: f64| registry.register(name, help, ConstGauge::new(value));
        gauge("prism_frontier_seconds", "Everything known before this is computed, UNIX time", frontier as f64 / 1e9);
        let stored = self.stored_ts.load(Relaxed) as f64 / 1e9;
        gauge("prism_stored_seconds", "Everything known before this is stored, UNIX time", stored);
        if frontier != 0 {
            let lag = now.saturating_sub(frontier).max(0) as f64 / 1e9;
            gauge("prism_lag_seconds", "How far results are behind the clock", lag);
        }
        gauge("prism_ready", "1 if ready", f64::from(u8::from(self.reasons().is_empty())));
        let memory = Memory::now();
        if let Some(memory) = memory {
            gauge("prism_resident_bytes", "Memory of the process", memory.resident as f64);
        }
        let help =
            "From an event's receive time to the end of a stage; publish: from when a row of closed bars became known";
        registry.register("prism_latency_seconds", help, self.families.latency.clone());
        for (name, values) in &*self.families.gauges.read().unwrap_or_else(PoisonError::into_inner) {
            let family = Family::<Labels, Gauge<f64, AtomicU64>>::default();
            for (labels, value) in values {
                family.get_or_create(labels).set(*value);
            }
            if let Some(memory) = memory.filter(|_| *name == "prism_state_bytes") {
                for (part, bytes) in memory.others(values.values().sum()) {
                    family.get_or_create(&owned(&[("operator", part)])).set(bytes);
                }
            }
            let help = GAUGES.iter().find(|(known, _)| known == name).map_or(*name, |(_, help)| help);
            registry.register(*name, help, family);
        }
        let mut text = String::new();
        // Writing to memory does not fail.
        let _ = encode(&mut text, &registry);
        text
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The value of a sample; none if it is absent.
    fn value(text: &str, sample: &str) -> Option<f64> {
        text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' ')?.parse().ok())
    }

    type Move = fn(&Status);

    #[test]
    fn every_metric_moves() {
        let moves: [(&str, Move); 14] = [
            ("prism_events_total", |status| {
                status.events.fetch_add(3, Relaxed);
            }),
            ("prism_rows_total", |status| {
                status.rows.fetch_add(3, Relaxed);
            }),
            ("prism_quarantined_total", |status| {
                status.quarantined.fetch_add(3, Relaxed);
            }),
            ("prism_late_events_total", |status| {
                status.late.fetch_add(3, Relaxed);
            }),
            ("prism_store_failures_total", |status| {
                status.store_failures.fetch_add(3, Relaxed);
            }),
            ("prism_reconnects_total{venue=\"bybit-linear\"}", |status| status.reconnected("bybit-linear")),
            ("prism_frontier_seconds", |status| status.frontier_ts.store(5_000_000_000, Relaxed)),
            ("prism_lag_seconds", |status| status.frontier_ts.store(4_000_000_000, Relaxed)),
            ("prism_stored_seconds", |status| status.stored_ts.store(4_000_000_000, Relaxed)),
            ("prism_ready", |status| status.release("starting")),
            ("prism_latency_seconds_count{stage=\"publish\"}", |status| status.latency(Stage::Publish, 0, 1)),
            ("prism_latency_seconds_sum{stage=\"send\"}", |status| status.latency(Stage::Send, 0, 1)),
            ("prism_spool_bytes", |status| status.gauge("prism_spool_bytes", &[], 9.0)),
            ("prism_feeds{state=\"stale\"}", |status| status.gauge("prism_feeds", &[("state", "stale")], 2.0)),
        ];
        for (sample, change) in moves {
            let status = Status::new();
            let before = value(&status.metrics(10_000_000_000), sample);
            change(&status);
            let after = value(&status.metrics(10_000_000_000), sample);
            assert!(after.is_some() && after != before, "{sample}: {before:?} {after:?}");
        }
    }

    #[test]
    fn lag_is_measured_against_the_clock() {
        let status = Status::new();
        assert_eq!(value(&status.metrics(9), "prism_lag_seconds"), None, "nothing is computed yet");
        status.frontier_ts.store(60_000_000_000, Relaxed);
        assert_eq!(value(&status.metrics(94_500_000_000), "prism_lag_seconds"), Some(34.5));
        assert_eq!(value(&status.metrics(0), "prism_lag_seconds"), Some(0.0));
    }

    #[test]
    fn durations_fall_into_their_buckets() {
        let status = Status::new();
        status.latency(Stage::Graph, 1_000_000_000, 1_004_000_000);
        status.latency(Stage::Graph, 1_000_000_000, 1_300_000_000);
        // A clock that went back is no negative duration.
        status.latency(Stage::Graph, 1_000_000_000, 0);
        status.latency(Stage::Log, 0, 1);
        let text = status.metrics(0);
        for (le, n) in [("0.001", 1.0), ("0.005", 2.0), ("0.25", 2.0), ("0.5", 3.0), ("+Inf", 3.0)] {
            let sample = format!("prism_latency_seconds_bucket{{le=\"{le}\",stage=\"graph\"}}");
            assert_eq!(value(&text, &sample), Some(n), "{le}: {text}");
        }
    }

    #[test]
    fn parts_of_memory_are_all_of_it() {
        if Memory::now().is_none() {
            return;
        }
        let status = Status::new();
        status.gauge("prism_state_bytes", &[("operator", "bars")], 4_096.0);
        for _ in 0..2 {
            let text = status.metrics(0);
            let parts = ["bars", "program", "rest"].map(|part| format!("prism_state_bytes{{operator=\"{part}\"}}"));
            let parts = parts.map(|sample| value(&text, &sample).unwrap());
            let resident = value(&text, "prism_resident_bytes").unwrap();
            assert!(1e6 < resident && 0.0 < parts[1] && 0.0 < parts[2], "{text}");
            assert_eq!((parts[0], parts.iter().sum::<f64>()), (4_096.0, resident), "{text}");
        }
    }

    #[test]
    fn labels_cannot_break_out() {
        let status = Status::new();
        status.gauge("prism_wal_lag_transactions", &[("table", "a\"} 1\nprism_ready 1\\")], 2.0);
        let text = status.metrics(0);
        assert!(text.contains("{table=\"a\\\"} 1\\nprism_ready 1\\\\\"} 2.0\n"), "{text}");
        assert_eq!(value(&text, "prism_ready"), Some(0.0));
    }

    #[test]
    fn label_sets_are_bounded() {
        let status = Status::new();
        for n in 0..LABEL_SETS_MAX + 10 {
            status.gauge("prism_feeds", &[("state", &n.to_string())], 1.0);
        }
        status.gauge("prism_feeds", &[("state", "0")], 7.0);
        let text = status.metrics(0);
        assert_eq!(text.lines().filter(|line| line.starts_with("prism_feeds{")).count(), LABEL_SETS_MAX);
        assert_eq!(value(&text, "prism_feeds{state=\"0\"}"), Some(7.0), "what is there still moves");
    }

    #[test]
    fn every_family_has_a_type_and_a_meaning_once() {
        let status = Status::new();
        status.frontier_ts.store(1, Relaxed);
        status.reconnected("bybit-linear");
        status.gauge("prism_feeds", &[("state", "stale")], 1.0);
        status.gauge("prism_feeds", &[("state", "connected")], 1.0);
        let text = status.metrics(2);
        assert!(text.ends_with("# EOF\n"), "{text}");
        let names = |kind: &str| -> Vec<&str> {
            text.lines().filter_map(|line| line.strip_prefix(kind)?.split(' ').next()).collect()
        };
        let (helped, typed) = (names("# HELP "), names("# TYPE "));
        assert_eq!(helped, typed);
        assert_eq!(typed.len(), typed.iter().collect::<BTreeSet<_>>().len());
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let sample = line.split(['{', ' ']).next().unwrap();
            let is_of = |family: &&str| {
                let suffix = sample.strip_prefix(*family);
                suffix.is_some_and(|suffix| ["", "_total", "_bucket", "_sum", "_count"].contains(&suffix))
            };
            assert!(typed.iter().any(is_of), "{line}");
        }
    }
}
