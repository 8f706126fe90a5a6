//! State of machines as bytes: what a checkpoint holds, and how much memory a series takes.

use serde::{Serialize, de::DeserializeOwned};

/// What was saved is not a state of this machine.
#[derive(Debug, thiserror::Error)]
#[error("not a state of this machine: {0}")]
pub struct BadState(#[from] bincode::Error);

/// Appends a state.
pub fn save<S: Serialize>(state: &S, to: &mut Vec<u8>) {
    // Memory takes everything, and no state refuses to be written.
    if let Err(error) = bincode::serialize_into(to, state) {
        unreachable!("{error}");
    }
}

/// Takes a state from where it was saved; as it was if there is none.
pub fn load<S: DeserializeOwned>(state: &mut S, from: &mut &[u8]) -> Result<(), BadState> {
    *state = bincode::deserialize_from(from)?;
    Ok(())
}
