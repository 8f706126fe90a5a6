//! What rests in a book at the end of a base interval: its liquidity by price, and its walls.

use std::sync::Arc;

use prism_schemas::{OrderBook, Ts, decimal::POW10};

use super::{
    heat::Heat,
    over::Top,
    walls::{Wall, walls},
};
use crate::operator::shared;

/// What rests in a book at hand.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Resting {
    pub heat: Heat,
    /// Bids before asks, each by rising price.
    pub walls: Box<[Wall]>,
    /// The median size of a level near mid, of bids and asks, where there are enough.
    pub usual: [Option<i64>; 2],
    /// Twice mid.
    pub sum: i128,
    /// Of prices and sizes.
    pub decimals: (u32, u32),
}

impl Resting {
    /// At `end`, if the book is at hand; `before` is of the base end before.
    pub(super) fn new(book: &OrderBook, top: Option<&Top>, before: Option<&Resting>, end: Ts) -> Option<Arc<Resting>> {
        let ((bid, _), (ask, _)) = top?.levels();
        let (sum, decimals, sides) = (i128::from(bid) + i128::from(ask), book.decimals(), book.sure());
        let scaled = |wall: &Wall| {
            let from = before?.decimals;
            let power = |from: u32, to: u32| Some(POW10[to.checked_sub(from)? as usize]);
            wall.still()?.scaled(power(from.0, decimals.0)?, power(from.1, decimals.1)?)
        };
        let stood = |is_ask| {
            let all = before.into_iter().flat_map(|before| &before.walls);
            all.filter(move |wall| wall.is_ask == is_ask).filter_map(scaled)
        };
        let of = [false, true].map(|is_ask| walls(&sides[usize::from(is_ask)], sum, end, stood(is_ask)));
        let usual = of.each_ref().map(|side| side.usual);
        let walls = of.into_iter().flat_map(|side| side.walls).collect();
        Some(Arc::new(Resting { heat: Heat::new(sides, sum, decimals), walls, usual, sum, decimals }))
    }

    /// The same at the end of an interval in which nothing happened.
    pub(super) fn still(self: &Arc<Resting>) -> Arc<Resting> {
        Arc::new(Resting { walls: self.walls.iter().filter_map(Wall::still).collect(), ..Resting::clone(self) })
    }

    /// Bytes it takes where it is shared.
    pub(super) fn bytes(&self) -> usize {
        shared::<Resting>() + self.heat.bytes() + size_of_val(&*self.walls)
    }
}
