//! How many bytes the operators' states take, for whoever watches them grow.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// The operators that keep a state.
pub const OPERATORS: [&str; 6] = ["bars", "books", "analyse", "confluence", "relations", "signals"];

/// Bytes kept by each of [`OPERATORS`], over all workers: what its containers have room for, and what the rows in them hold.
#[derive(Clone, Debug, Default)]
pub struct Sizes(Arc<[AtomicU64; OPERATORS.len()]>);

impl Sizes {
    /// Operators with their bytes.
    pub fn each(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        OPERATORS.into_iter().zip(self.0.iter().map(|bytes| bytes.load(Relaxed)))
    }

    /// What one operator of a worker adds.
    pub(super) fn gauge(&self, operator: &str) -> Gauge {
        let at = OPERATORS.iter().position(|have| *have == operator);
        Gauge { all: self.clone(), at, bytes: 0 }
    }
}

/// Bytes that one operator of a worker keeps.
#[derive(Debug)]
pub struct Gauge {
    all: Sizes,
    at: Option<usize>,
    bytes: u64,
}

impl Gauge {
    /// It keeps so many now.
    pub fn set(&mut self, bytes: usize) {
        let before = std::mem::replace(&mut self.bytes, bytes as u64);
        if let Some(at) = self.at {
            self.all.0[at].fetch_add(self.bytes.wrapping_sub(before), Relaxed);
        }
    }

    /// A part of it keeps `now` bytes, and kept `told`.
    pub fn tell(&mut self, told: &mut usize, now: usize) {
        self.set((self.bytes as usize + now).saturating_sub(std::mem::replace(told, now)));
    }
}

impl Drop for Gauge {
    fn drop(&mut self) {
        self.set(0);
    }
}

/// Bytes that a deque has room for.
pub fn room<T>(entries: &std::collections::VecDeque<T>) -> usize {
    entries.capacity() * size_of::<T>()
}

/// Bytes of a value that is shared, with its counts.
pub const fn shared<T>() -> usize {
    size_of::<T>() + 16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_add_up_and_take_back() {
        let sizes = Sizes::default();
        let (mut one, mut other) = (sizes.gauge("bars"), sizes.gauge("bars"));
        let bars = || sizes.each().next();
        one.set(10);
        other.set(5);
        assert_eq!(bars(), Some(("bars", 15)));
        let mut part = 4;
        one.tell(&mut part, 1);
        assert_eq!(bars(), Some(("bars", 12)));
        drop(one);
        assert_eq!(bars(), Some(("bars", 5)));
        sizes.gauge("count").set(7);
        assert_eq!(sizes.each().map(|(_, bytes)| bytes).sum::<u64>(), 5);
    }
}
