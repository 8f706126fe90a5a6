//! The recent rows of a series, by time: the one keeper of what can still be corrected.

use std::{collections::VecDeque, ops::Deref};

use prism_schemas::Ts;

use crate::types::Diff;

/// A row that is kept.
pub trait Kept {
    /// Its place in the series, unique within it.
    fn key(&self) -> Ts;
    /// The instant it ends, by which it is kept.
    fn end(&self) -> Ts;
}

/// Rows in the order of their keys. What is older than the newest that was forgotten has no place.
#[derive(Debug)]
pub struct Recent<V> {
    rows: VecDeque<V>,
    /// Taken out, and perhaps replaced at once.
    removed: Vec<V>,
    forgotten: Option<Ts>,
}

impl<V> Default for Recent<V> {
    fn default() -> Recent<V> {
        Recent { rows: VecDeque::new(), removed: Vec::new(), forgotten: None }
    }
}

impl<V> Deref for Recent<V> {
    type Target = VecDeque<V>;

    fn deref(&self) -> &VecDeque<V> {
        &self.rows
    }
}

impl<V: Kept> Recent<V> {
    /// Learns or unlearns the row of a key, and says where; `None` if it has no place. It is made of the one it replaces, if
    /// that was unlearnt just before.
    pub fn apply(&mut self, key: Ts, diff: Diff, make: impl FnOnce(Option<V>) -> V) -> Option<usize> {
        match (self.find(key), diff) {
            (Ok(at), ..=-1) => {
                self.removed.extend(self.rows.remove(at));
                Some(at)
            }
            (Err(at), 1..) if self.forgotten.is_none_or(|newest| newest < key) => {
                let old = self.removed.iter().position(|row| row.key() == key);
                let old = old.map(|old| self.removed.swap_remove(old));
                self.rows.insert(at, make(old));
                Some(at)
            }
            _ => None,
        }
    }

    /// Those that were unlearnt and not replaced, from now on no more.
    pub fn removed(&mut self) -> impl Iterator<Item = V> + '_ {
        self.removed.drain(..)
    }

    /// Where a key stands, or would.
    pub fn find(&self, key: Ts) -> Result<usize, usize> {
        find(&self.rows, &key, V::key)
    }

    /// The place of the first row at or after a key.
    pub fn first_from(&self, key: Ts) -> usize {
        first_from(&self.rows, &key, V::key)
    }

    /// The row at a place.
    pub fn at_mut(&mut self, at: usize) -> Option<&mut V> {
        self.rows.get_mut(at)
    }

    /// Rows from a place on.
    pub fn from_mut(&mut self, at: usize) -> impl Iterator<Item = &mut V> {
        self.rows.range_mut(at.min(self.rows.len())..)
    }

    /// Takes the newest rows out again, down to so many.
    pub fn truncate(&mut self, n: usize) {
        self.rows.truncate(n);
    }

    /// Forgets the oldest row if it ended before `cutoff`, and so did the one behind it where the newest such `stays`.
    pub fn forget(&mut self, cutoff: Ts, stays: bool) -> Option<V> {
        self.rows.get(usize::from(stays)).filter(|row| row.end() < cutoff)?;
        let row = self.rows.pop_front()?;
        self.forgotten = Some(row.key());
        Some(row)
    }

    /// Bytes they have room for.
    pub fn bytes(&self) -> usize {
        super::room(&self.rows)
    }
}

/// Entries looked at from the newest before the search halves.
const NEWEST: usize = 4;

/// Where `key` stands in `entries`, which rise by unique keys: its place, or the place it would take.
pub fn find<T, K: Ord>(entries: &VecDeque<T>, key: &K, key_of: impl Fn(&T) -> K) -> Result<usize, usize> {
    for at in (entries.len().saturating_sub(NEWEST)..entries.len()).rev() {
        match key_of(&entries[at]).cmp(key) {
            std::cmp::Ordering::Equal => return Ok(at),
            std::cmp::Ordering::Less => return Err(at + 1),
            std::cmp::Ordering::Greater => {}
        }
    }
    entries.binary_search_by_key(key, key_of)
}

/// The place of the first entry at or after `key`.
pub fn first_from<T, K: Ord>(entries: &VecDeque<T>, key: &K, key_of: impl Fn(&T) -> K) -> usize {
    find(entries, key, key_of).unwrap_or_else(|at| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_a_binary_search() {
        for n in 0..12 {
            let entries: VecDeque<i64> = (0..n).map(|i| 2 * i).collect();
            for key in -1..=2 * n {
                assert_eq!(find(&entries, &key, |entry| *entry), entries.binary_search(&key), "{key} of {n}");
                assert_eq!(first_from(&entries, &key, |entry| *entry), entries.partition_point(|entry| *entry < key));
            }
        }
    }
}
