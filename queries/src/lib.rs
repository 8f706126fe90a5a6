//! SQL over live and stored rows.
//!
//! ```
//! # use std::sync::Arc;
//! # use prism_queries::{Engine, LiveRows, Options, Parameters};
//! let live = Arc::new(LiveRows::new(6 * 3_600_000_000_000));
//! let engine = Engine::new(Options::default(), live.clone()).unwrap();
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
//! # runtime.block_on(async {
//! let answer = engine.query("SELECT COUNT(*) AS n FROM bars", &Parameters::new()).await.unwrap();
//! assert_eq!(answer.csv().unwrap(), "n\n0\n");
//! # });
//! ```
//!
//! `live` holds rows in memory, `stored` reads Parquet files, `united` is both as one table, `view` the newest rows,
//! `catalogue` names them, `guard` lets only reading statements pass, `engine` runs them within limits, `named` lists
//! the SQL behind the endpoints, `output` shapes answers.
//!
//! Invariant: nothing here writes, and no statement can reach outside of the catalogue.

mod aggregates;
mod catalogue;
mod condition;
mod engine;
mod error;
mod functions;
mod guard;
mod job;
mod joins;
pub mod live;
pub mod named;
mod output;
mod pack;
mod params;
mod questdb;
mod range;
mod restore;
mod session;
mod stored;
#[cfg(test)]
mod tests;
mod ticket;
mod united;
mod view;
mod watched;
mod weigh;

pub use catalogue::Catalogue;
pub use engine::{Engine, Options, STACK_BYTES};
pub use error::Error;
pub use guard::{SQL_BYTES_MAX, SQL_OPERATORS_MAX};
pub use live::LiveRows;
pub use named::{NAMED, Named};
pub use output::{OutputColumn, QueryResult};
pub use params::{Parameters, Type};
pub use stored::Place;
