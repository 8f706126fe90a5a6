//! What a file holds, as a number: equal exactly if the contents are.

use std::fmt::Display;

use twox_hash::XxHash3_128;

/// 128 bits of xxHash 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Digest(u128);

impl Display for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// Takes in what is read.
pub(super) struct Hasher(XxHash3_128);

impl Default for Hasher {
    fn default() -> Hasher {
        Hasher(XxHash3_128::with_seed(0))
    }
}

impl Hasher {
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
    }

    /// The digest of all so far.
    pub(super) fn digest(&self) -> Digest {
        Digest(self.0.finish_128())
    }
}
