//! What a running process tells about itself: whether it is ready, and its metrics.
//!
//! A [`Status`] is shared by everything that runs: the pipeline and the connections write it, the API reads it. Times
//! are UNIX nanoseconds and are passed in; nothing here reads a clock.
//!
//! ```
//! let status = prism_status::Status::new();
//! status.release("starting");
//! status.hold("store", "the store is away");
//! assert_eq!(status.reasons()["store"], "the store is away");
//! status.gauge("prism_feeds", &[("state", "connected")], 20.0);
//! assert!(status.metrics(0).contains("prism_feeds{state=\"connected\"} 20.0"));
//! ```

mod memory;
mod metrics;
mod readiness;

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64};

use crate::metrics::Families;
pub use crate::metrics::Stage;
use crate::readiness::Readiness;

/// Readiness and metrics of a process.
#[derive(Debug)]
pub struct Status {
    readiness: Readiness,
    families: Families,
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
    /// Failures to store rows.
    pub store_failures: AtomicU64,
    /// Everything known before this is computed, UNIX ns; 0 if nothing is.
    pub frontier_ts: AtomicI64,
    /// Everything known before this is stored, UNIX ns; 0 if nothing is.
    pub stored_ts: AtomicI64,
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
            readiness: Readiness::starting(),
            families: Families::default(),
            simulated: AtomicBool::new(false),
            events: AtomicU64::new(0),
            rows: AtomicU64::new(0),
            quarantined: AtomicU64::new(0),
            late: AtomicU64::new(0),
            store_failures: AtomicU64::new(0),
            frontier_ts: AtomicI64::new(0),
            stored_ts: AtomicI64::new(0),
        }
    }
}
