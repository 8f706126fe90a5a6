//! QuestDB as the place where rows land: tables made and checked, rows sent and acknowledged in order.

mod connection;
mod encode;
mod reader;
mod scan;
mod sink;
mod spool;
mod store;
mod tables;
#[cfg(test)]
mod tests;

pub use reader::Reader;
pub use sink::{Sink, SinkOptions};
pub use tables::Target;

use std::path::PathBuf;
use std::time::Duration;

use prism_questdb::{Error, WalTable};
use prism_schemas::QuestDbAddress;

/// A statement, and a part of a scan, may take this long.
const STATEMENT: Duration = Duration::from_secs(60);
/// A look at how the server is may take this long.
const LOOK: Duration = Duration::from_secs(3);

/// What can go wrong with QuestDB.
#[derive(Debug, thiserror::Error)]
pub enum QuestDbError {
    /// The server gave no answer, or not the one that is needed: its kind says what to do.
    #[error("{}", told(.0))]
    Server(Error),
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
    /// The same on another machine.
    #[error(
        "another process writes the run {run_id} to {address}: rows come though this one sent none; stop it, or choose another --store"
    )]
    Written {
        /// The server.
        address: String,
        /// The run.
        run_id: String,
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

impl From<Error> for QuestDbError {
    fn from(error: Error) -> QuestDbError {
        QuestDbError::Server(error)
    }
}

impl QuestDbError {
    /// Why a suspended table needs a person.
    fn suspended(address: &QuestDbAddress, table: &WalTable) -> QuestDbError {
        let WalTable { name, error, .. } = table;
        QuestDbError::Conflict {
            address: address.to_string(),
            table: name.clone(),
            detail: format!("it is suspended ({error}): repair the cause, then ALTER TABLE {name} RESUME WAL"),
        }
    }
}

/// With the setting to correct.
fn told(error: &Error) -> String {
    match error {
        Error::Away { address, detail } => format!("{address} does not answer (--store, PRISM_STORE): {detail}"),
        Error::Login { address } => {
            format!("{address} refuses the login: set user and password in --store questdb://USER:PASSWORD@HOST:PORT")
        }
        other => other.to_string(),
    }
}
