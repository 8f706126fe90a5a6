//! QuestDB as the place where rows land: tables made and checked, rows sent and acknowledged in order.

mod client;
mod connection;
mod encode;
mod reader;
mod sink;
mod spool;
mod store;
mod tables;
#[cfg(test)]
mod tests;

pub use client::{Client, WalTable};
pub use reader::Reader;
pub use sink::{Sink, SinkOptions};
pub use tables::Target;

use std::path::PathBuf;

/// What can go wrong with QuestDB.
#[derive(Debug, thiserror::Error)]
pub enum QuestDbError {
    /// Nobody answers, or the server cannot answer now: try again.
    #[error("{address} does not answer (--store, PRISM_STORE): {detail}")]
    Away {
        /// The server.
        address: String,
        /// What happened.
        detail: String,
    },
    /// The server refuses this login: correct user and password in the address.
    #[error("{address} refuses the login: set user and password in --store questdb://USER:PASSWORD@HOST:PORT")]
    Login {
        /// The server.
        address: String,
    },
    /// The server refuses what was asked: it says why.
    #[error("{address} refuses: {detail}")]
    Refused {
        /// The server.
        address: String,
        /// What the server said.
        detail: String,
    },
    /// A table is not what prism needs: change it back or rename it.
    #[error("table {table} at {address} does not fit: {detail}")]
    Conflict {
        /// The server.
        address: String,
        /// The table.
        table: String,
        /// What differs, and what to do.
        detail: String,
    },
    /// Somebody else writes the rows of this run to this server.
    #[error("{} (questdb.spool) is in use: another process writes this run: stop it, or choose another --run", path.display())]
    Locked {
        /// The spool's directory.
        path: PathBuf,
    },
    /// The spool's disk refused: free space or name another directory with `questdb.spool`.
    #[error("spool {} (questdb.spool): {source}", path.display())]
    Spool {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A row does not fit its table: a mistake of the program that made it.
    #[error("{0}")]
    Row(#[from] arrow::error::ArrowError),
}
