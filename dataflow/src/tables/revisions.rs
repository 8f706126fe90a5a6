//! How many versions a row had before.

use std::collections::BTreeMap;

use prism_schemas::Ts;

use crate::types::Time;

/// A row among those of its table: instrument, start, and what tells it from others of both.
pub(crate) type Key = (u32, Ts, u32);

/// What is known of a key beyond its current row.
struct Past {
    revision: i64,
    /// Time of the last version.
    known: Time,
    /// Its row can change however old it is.
    is_open: bool,
}

/// How many versions the keys of a table had before, of those that had more than one.
///
/// Keeps what can still change: open rows, and those whose last version is known for less than `keep`. When it sweeps
/// makes no difference.
pub(crate) struct Revisions {
    past: BTreeMap<Key, Past>,
    keep: Time,
    next_sweep: Time,
}

impl Revisions {
    /// Of a table whose closed rows can change for `keep` after their last version.
    pub(crate) fn new(keep: Time) -> Revisions {
        Revisions { past: BTreeMap::new(), keep, next_sweep: 0 }
    }

    fn stands(past: &Past, keep: Time, time: Time) -> bool {
        past.is_open || time < past.known.saturating_add(keep)
    }

    /// The revision of a version known at `time`: the first of its key, or one that follows others.
    pub(crate) fn next(&mut self, key: Key, time: Time, is_new: bool, is_open: bool) -> i64 {
        let earlier = self.past.get(&key).filter(|past| Revisions::stands(past, self.keep, time));
        let revision = match earlier {
            Some(past) => past.revision + 1,
            None if is_new => return 0,
            None => 1,
        };
        self.past.insert(key, Past { revision, known: time, is_open });
        revision
    }

    /// Forgets what no longer stands, now and then.
    pub(crate) fn sweep(&mut self, time: Time) {
        if self.next_sweep <= time {
            self.past.retain(|_, past| Revisions::stands(past, self.keep, time));
            self.next_sweep = time.saturating_add(self.keep);
        }
    }
}

#[cfg(test)]
mod tests {
    use prism_schemas::time::HOUR;

    use super::*;

    #[test]
    fn revisions_do_not_depend_on_when_others_are_swept() {
        let hour = HOUR as Time;
        let key = |symbol: &str| (u32::from(symbol == "A"), 0, 0);
        for sweeps in [vec![], vec![4 * hour], vec![hour, 5 * hour, 6 * hour, 7 * hour]] {
            let mut revisions = Revisions::new(4 * hour);
            let mut sweeps = sweeps.into_iter().peekable();
            let mut next = |symbol: &str, time: Time, is_new: bool, is_open: bool| {
                while let Some(sweep) = sweeps.next_if(|sweep| *sweep <= time) {
                    revisions.next_sweep = 0;
                    revisions.sweep(sweep);
                }
                revisions.next(key(symbol), time, is_new, is_open)
            };
            assert_eq!(next("A", 0, true, true), 0);
            assert_eq!(next("A", hour, false, true), 1);
            assert_eq!(next("B", hour, false, false), 1);
            // Open rows count on however long nothing happened to them; others begin again.
            assert_eq!(next("B", 5 * hour, false, false), 1);
            assert_eq!(next("A", 9 * hour, false, false), 2);
            assert_eq!(next("A", 10 * hour, false, false), 3);
        }
    }
}
