//! Why QuestDB gave no answer: one variant for each thing a caller can do about it.

use prism_schemas::QuestDbAddress;

/// Why QuestDB gave no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Nobody answers there, or not in time: ask again later.
    #[error("{address} does not answer: {detail}")]
    Away {
        /// The server.
        address: String,
        /// What happened.
        detail: String,
    },
    /// User or password is wrong: an operator must correct the address.
    #[error("{address} refuses the login: set user and password in its address")]
    Login {
        /// The server.
        address: String,
    },
    /// The server does not do what the statement says: change the statement or the table.
    #[error("{address} refuses: {detail}")]
    Refused {
        /// The server.
        address: String,
        /// What it said, and about what.
        detail: String,
    },
    /// The answer has more bytes than the caller takes: ask for less.
    #[error("the answer of {address} is larger than {limit} bytes")]
    TooLarge {
        /// The server.
        address: String,
        /// The caller's limit.
        limit: usize,
    },
}

impl Error {
    /// Whether a table that the statement names is not there (yet).
    pub fn is_missing_table(&self) -> bool {
        matches!(self, Error::Refused { detail, .. } if detail.contains("does not exist"))
    }

    /// Whether the same question may be answered later.
    pub fn is_away(&self) -> bool {
        matches!(self, Error::Away { .. })
    }

    /// What happened, without where.
    pub fn detail(self) -> String {
        match self {
            Error::Away { detail, .. } | Error::Refused { detail, .. } => detail,
            other => other.to_string(),
        }
    }

    pub(crate) fn away(address: &QuestDbAddress, detail: impl Into<String>) -> Error {
        Error::Away { address: address.to_string(), detail: detail.into() }
    }

    pub(crate) fn late(address: &QuestDbAddress) -> Error {
        Error::away(address, "no answer in time")
    }

    pub(crate) fn too_large(address: &QuestDbAddress, limit: usize) -> Error {
        Error::TooLarge { address: address.to_string(), limit }
    }
}
