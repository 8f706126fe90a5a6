//! Where a complete log ends.

use std::sync::{Arc, OnceLock};

use prism_schemas::Ts;

use crate::types::Time;

/// The end of a sealed log. Of the bars that close after its newest knowledge time, those that start after its last event are
/// not made: when it is declared does not show, if it is before the frontier passes that time. Shared by the workers of a
/// process.
#[derive(Clone, Debug, Default)]
pub struct Seal(Arc<OnceLock<(Ts, Time)>>);

impl Seal {
    /// Declares that the log is complete: the largest event time of a trade or venue bar, and the newest knowledge time. The
    /// first declaration holds.
    pub fn set(&self, last_event: Ts, newest: Time) {
        self.0.get_or_init(|| (last_event, newest));
    }

    /// The last event of a log that has ended before `now`.
    pub(super) fn last_event(&self, now: Time) -> Option<Ts> {
        self.0.get().filter(|(_, newest)| *newest < now).map(|(last_event, _)| *last_event)
    }
}
