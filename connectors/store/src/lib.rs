//! Where rows are kept: Parquet files or QuestDB behind one interface, and digests of what tables say.

pub mod digest;
pub mod keeper;
pub mod parquet;
pub mod questdb;

pub use parquet::{Store, StoreError};
