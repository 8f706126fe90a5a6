//! Scores: components, dimensions and the profiles that weigh them.

pub mod component;
pub mod confluence;
pub mod flows;
pub mod naked;
pub mod orderbook;
pub mod orderflow;
pub mod pricestructure;
pub mod profile;
pub mod rows;
pub mod sentiment;
pub mod stakes;
pub mod technical;
pub mod volume;
pub mod w1;
mod window;
