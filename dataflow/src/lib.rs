//! The timely and differential graph from events to explained scores.
//!
//! No clock, no socket, no file: the same events give the same rows, bit for bit, whatever the number of workers,
//! the stride of the frontier or the batches of arrival. METHODS.md says what every number means.

pub mod admit;
pub mod analyse;
pub mod assemble;
pub mod bar;
pub mod bars;
pub mod book;
pub mod drive;
pub mod event;
pub mod flow;
pub mod footprint;
pub mod forming;
pub mod indicator;
pub mod interval;
pub mod operator;
pub mod positions;
pub mod registry;
pub mod relation;
pub mod score;
pub mod settings;
pub mod signals;
pub mod stored;
pub mod structure;
pub mod tables;
pub mod types;
pub mod values;

#[cfg(test)]
mod refusals;
