//! Every edge to the outside: venue decoders, the event log, imports, the synthetic market, the embedded store.
//!
//! Nothing here computes a market quantity, and nothing here reads a clock: times come with the data or from the caller.
//!
//! - [`exchange`]: one file of pure functions per venue, frames to events
//! - [`log`]: topics of events in order; segment files behind an interface
//! - [`import`]: recordings and histories into the log
//! - [`synthetic`]: a seeded market that speaks a venue's frames
//! - [`store`] and [`digest`]: tables as Parquet files, and a digest of what they say

pub mod digest;
pub mod exchange;
pub mod import;
pub mod log;
pub mod store;
pub mod synthetic;
