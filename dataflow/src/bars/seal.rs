//! Where a complete log ends.

use std::sync::{Arc, OnceLock};

use prism_schemas::Ts;

/// The event time of the last trade of a sealed log: bars that start later are not made. Shared by the workers of a process.
#[derive(Clone, Debug, Default)]
pub struct Seal(Arc<OnceLock<Ts>>);

impl Seal {
    /// Declares that the log is complete; the first declaration holds.
    pub fn set(&self, last: Ts) {
        self.0.get_or_init(|| last);
    }

    pub(super) fn get(&self) -> Option<Ts> {
        self.0.get().copied()
    }
}
