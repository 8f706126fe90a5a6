//! Why a query gave no answer: one variant for each thing a caller can do about it.

use std::time::Duration;

use datafusion::common::DataFusionError;
use datafusion::sql::sqlparser::parser::ParserError;

use crate::live::NotFormed;
use crate::stored::Unreadable;

/// Why a query gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The statement is wrong: change it.
    #[error("{message}")]
    BadSql {
        /// What is wrong.
        message: String,
        /// Line of the place, from 1, where it is known.
        line: Option<u64>,
        /// Column of the place, from 1, where it is known.
        column: Option<u64>,
    },
    /// A parameter is missing, unknown or of another type: change it.
    #[error("parameter \"{name}\": {message}")]
    BadParameter {
        /// Its name without the dollar sign.
        name: String,
        /// What is wrong.
        message: String,
    },
    /// The statement is none of those that only read the catalogue.
    #[error("not allowed: {what}")]
    NotAllowed {
        /// What is refused.
        what: String,
    },
    /// It took too long and was cancelled: ask for less.
    #[error("cancelled after {} s", after.as_secs_f64())]
    Timeout {
        /// The limit.
        after: Duration,
    },
    /// As many statements as allowed are running: ask again.
    #[error("{limit} statements are running already, which is the limit")]
    Busy {
        /// The limit.
        limit: usize,
    },
    /// It needed more memory than all statements may use together: ask for less.
    #[error("out of memory: {message}")]
    OutOfMemory {
        /// Who asked for how much.
        message: String,
    },
    /// The store does not answer: ask again later.
    #[error("{0}")]
    StoreAway(String),
    /// What forms is not known yet: ask again later.
    #[error("{0}")]
    NotFormed(String),
    /// The store answers, but not with rows: an operator must repair what it says.
    #[error("{0}")]
    Store(String),
    /// Nothing the caller did.
    #[error("internal error: {0}")]
    Internal(String),
}

impl Error {
    pub(crate) fn not_allowed(what: impl Into<String>) -> Error {
        Error::NotAllowed { what: what.into() }
    }

    /// A wrong statement without a place.
    pub(crate) fn bad_sql(message: impl Into<String>) -> Error {
        let message = message.into();
        let (line, column) = position(&message);
        Error::BadSql { message, line, column }
    }
}

impl From<arrow::error::ArrowError> for Error {
    fn from(error: arrow::error::ArrowError) -> Error {
        Error::from(DataFusionError::from(error))
    }
}

impl From<DataFusionError> for Error {
    fn from(error: DataFusionError) -> Error {
        match error {
            DataFusionError::Context(_, inner) => Error::from(*inner),
            DataFusionError::Shared(inner) => from_root(&inner),
            DataFusionError::Collection(mut errors) if !errors.is_empty() => Error::from(errors.swap_remove(0)),
            DataFusionError::Diagnostic(diagnostic, inner) => {
                let place = diagnostic.span.map(|span| span.start);
                match Error::from(*inner) {
                    Error::BadSql { message, line, column } => Error::BadSql {
                        message,
                        line: place.map(|at| at.line).or(line),
                        column: place.map(|at| at.column).or(column),
                    },
                    other => other,
                }
            }
            other => from_root(&other),
        }
    }
}

fn from_root(error: &DataFusionError) -> Error {
    let message = error.strip_backtrace();
    let message = message.split_once("\n\nbacktrace").map_or(message.as_str(), |(head, _)| head).to_string();
    match error.find_root() {
        DataFusionError::SQL(parser, _) => match &**parser {
            ParserError::ParserError(text) | ParserError::TokenizerError(text) => Error::bad_sql(text.as_str()),
            ParserError::RecursionLimitExceeded => Error::bad_sql("nested too deeply"),
        },
        // Operators that would write to a disk if they were allowed to.
        DataFusionError::ResourcesExhausted(text) if text.contains("DiskManager") => {
            Error::OutOfMemory { message: "the statement has to keep more rows or groups than fit".into() }
        }
        DataFusionError::ResourcesExhausted(text) => Error::OutOfMemory { message: text.clone() },
        DataFusionError::Plan(text) | DataFusionError::Execution(text) | DataFusionError::NotImplemented(text) => {
            Error::bad_sql(text.as_str())
        }
        DataFusionError::ArrowError(arrow, _) => Error::bad_sql(arrow.to_string()),
        DataFusionError::SchemaError(schema, _) => Error::bad_sql(schema.to_string()),
        DataFusionError::Configuration(_) => Error::bad_sql(message),
        DataFusionError::External(error) => from_outside(error.as_ref()),
        _ => Error::Internal(message),
    }
}

fn from_outside(error: &(dyn std::error::Error + Send + Sync + 'static)) -> Error {
    if let Some(error) = error.downcast_ref::<prism_questdb::Error>() {
        return if error.is_away() { Error::StoreAway(error.to_string()) } else { Error::Store(error.to_string()) };
    }
    match error.downcast_ref::<NotFormed>() {
        Some(NotFormed::Nobody) => return Error::not_allowed(NotFormed::Nobody.to_string()),
        Some(NotFormed::NotYet) => return Error::NotFormed(NotFormed::NotYet.to_string()),
        None => {}
    }
    match error.downcast_ref::<Unreadable>() {
        Some(error) => Error::Store(error.to_string()),
        None => Error::Internal(error.to_string()),
    }
}

/// The place in a message of the parser: `... at Line: 1, Column: 8`.
fn position(message: &str) -> (Option<u64>, Option<u64>) {
    let number = |label: &str| {
        let rest = &message[message.rfind(label)? + label.len()..];
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        rest[..digits].parse().ok()
    };
    (number("Line: "), number("Column: "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read() {
        assert_eq!(position("Expected: x, found: y at Line: 3, Column: 14"), (Some(3), Some(14)));
        assert_eq!(position("no place"), (None, None));
    }
}
