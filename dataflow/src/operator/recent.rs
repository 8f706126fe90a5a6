//! Looks entries up from the newest: rows mostly belong to the recent end of a series.

use std::collections::VecDeque;

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
