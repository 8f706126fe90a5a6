//! What a reader of a table has given already.

use std::collections::BTreeSet;

use prism_schemas::{Cell, Ts, Version};

/// How far a table's versions were given, which are kept in the order they became known.
#[derive(Default)]
pub(crate) struct Given {
    /// The newest knowledge time.
    pub(crate) known: Ts,
    /// The keys given with it.
    keys: BTreeSet<String>,
}

impl Given {
    /// Up to a knowledge time, of which some may be given again.
    pub(crate) fn up_to(known: Ts) -> Given {
        Given { known, keys: BTreeSet::new() }
    }

    /// Leaves what was not given yet, in the order it became known.
    pub(crate) fn news(&mut self, rows: &mut Vec<Version>) {
        rows.sort_by_key(known_at);
        rows.retain(|row| {
            let known = known_at(row);
            if self.known < known {
                self.known = known;
                self.keys.clear();
            }
            known == self.known && self.keys.insert(row.key())
        });
    }
}

/// When a version became known.
pub(crate) fn known_at(row: &Version) -> Ts {
    match row.get("known_at") {
        Some(Cell::Ts(ts)) => *ts,
        _ => 0,
    }
}
