//! What was killed how often, over many runs.

use std::{collections::BTreeMap, fmt};

/// In the order in which they are told.
const PARTS: [&str; 6] = ["run", "ingest", "compute", "serve", "kafka", "questdb"];

/// Kills that were counted.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    by_part: BTreeMap<&'static str, u64>,
    /// Moments at which two were killed.
    pub(super) pairs: u64,
    /// Moments at which the disk was full.
    pub(super) full_disk: u64,
    /// Moments around which the clock stepped.
    pub(super) clock: u64,
}

impl Tally {
    pub(super) fn killed(&mut self, part: &'static str) {
        *self.by_part.entry(part).or_default() += 1;
    }

    fn of(&self, part: &str) -> u64 {
        self.by_part.get(part).copied().unwrap_or(0)
    }

    pub(super) fn add(&mut self, other: &Tally) {
        for (part, n) in &other.by_part {
            *self.by_part.entry(part).or_default() += n;
        }
        self.pairs += other.pairs;
        self.full_disk += other.full_disk;
        self.clock += other.clock;
    }

    /// The smallest of all counts.
    pub(super) fn least(&self) -> u64 {
        let others = [self.pairs, self.full_disk, self.clock];
        PARTS.iter().map(|part| self.of(part)).chain(others).min().unwrap_or(0)
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = PARTS.map(|part| format!("{part} {}", self.of(part)));
        let Tally { pairs, full_disk, clock, .. } = self;
        write!(out, "killed: {}; two at once {pairs}; full disk {full_disk}; clock {clock}", parts.join(", "))
    }
}
