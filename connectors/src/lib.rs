//! Every edge to the outside: venue decoders, the event log, imports, the synthetic market, the embedded store.
//!
//! Nothing here computes a market quantity, and nothing here reads a clock: times come with the data or from the caller.
//!
//! - [`exchange`]: one file of pure functions per venue, frames to events
//! - [`log`]: topics of events in order; segment files and Kafka behind one interface
//! - [`import`]: recordings and histories into the log
//! - [`venue`]: live connections to venues; [`emulator`]: a venue on this machine, with faults
//! - [`synthetic`]: a seeded market that speaks a venue's frames
//! - [`questdb`]: rows into QuestDB, acknowledged and in order
//! - [`store`]: tables as Parquet files; [`keeper`]: these or QuestDB; [`digest`]: what derived tables say, in one line each

pub mod digest;
pub mod emulator;
pub mod exchange;
pub mod import;
pub mod keeper;
pub mod log;
pub mod questdb;
pub mod store;
pub mod synthetic;
pub mod venue;
