//! How far a book can be trusted, and why it cannot.

/// How far a book can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing was received yet.
    Unsynced,
    /// Deltas wait for a snapshot.
    Syncing,
    /// Equal to the venue's.
    Live,
    /// Updates are missing or contradict: it must not feed a score until the next snapshot.
    Suspect,
}

/// What an update did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// The book is that of the update.
    Changed,
    /// It was older than the book.
    Old,
    /// It waits for a snapshot.
    Waiting,
}

/// Why a book became suspect. In every case the caller has this instrument alone synchronised anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// Updates are missing.
    #[error("update {got} does not follow {after}")]
    Gap {
        /// The last update applied.
        after: u64,
        /// The update that came.
        got: u64,
    },
    /// The snapshot is older than the deltas that wait for it: ask again.
    #[error("the snapshot at {snapshot} ends before the first delta, {first}")]
    TooOld {
        /// The snapshot's update.
        snapshot: u64,
        /// The first update that waits.
        first: u64,
    },
    /// The best bid is not below the best ask.
    #[error("the book is crossed")]
    Crossed,
    /// The price moved to where the snapshot was cut.
    #[error("the price is near the last level that the snapshot had")]
    Edge,
    /// It is not the venue's book.
    #[error("checksum {ours} is not the venue's {theirs}")]
    Checksum {
        /// Of the book as it is here.
        ours: u32,
        /// As it came.
        theirs: u32,
    },
    /// A number does not fit 64 bits at the instrument's decimals or cannot be one of a book, or a field the rules need is
    /// missing.
    #[error("the update has no update id, or a price or size that cannot be or does not fit")]
    Unfit,
    /// The venue's rules are not known to this version: its books cannot be checked.
    #[error("how this venue numbers its updates is not known")]
    Unknown,
}
