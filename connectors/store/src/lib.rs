//! Where rows are kept: Parquet files or QuestDB behind one trait, and digests of what tables say.

pub mod digest;
mod news;
pub mod parquet;
pub mod questdb;

pub use parquet::{Store, StoreError};
