//! Where events come from but live venues: recordings and histories, and a seeded synthetic market.

pub mod import;
pub mod synthetic;
