//! What the tests share: a seeded market, replays in and out of process, places of data and programs, HTTP.

mod market;
mod program;
mod replay;

pub(crate) use market::*;
pub(crate) use program::*;
pub(crate) use replay::*;
