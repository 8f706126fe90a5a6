//! The best levels of a book as they were told on a connection, and what has to be told of how they are now.

use std::collections::{BTreeMap, BTreeSet};

use prism_schemas::Decimal;

use super::venue::{Known, Level};

/// What was told of one book.
pub(super) struct View {
    depth: usize,
    /// Whether levels that are worse than so many are told to be gone: if not, who is told cuts them off himself.
    is_told_out: bool,
    sides: [Vec<Level>; 2],
}

impl View {
    pub(super) fn new(depth: usize, is_told_out: bool) -> View {
        View { depth, is_told_out, sides: [Vec::new(), Vec::new()] }
    }

    /// The levels as they were told last, bids and asks, the best first.
    pub(super) fn sides(&self) -> &[Vec<Level>; 2] {
        &self.sides
    }

    /// What is to be told of a book, bids and asks: levels that are gone, with size 0, then new and changed ones.
    pub(super) fn changes(&mut self, known: &Known) -> [Vec<Level>; 2] {
        let now = known.levels(self.depth);
        let changes = [0, 1].map(|side| self.changes_of(side, &now[side]));
        self.sides = now;
        changes
    }

    fn changes_of(&self, side: usize, now: &[Level]) -> Vec<Level> {
        let key = |price: &Decimal| (price.mantissa, price.decimals);
        let told: BTreeMap<_, _> = self.sides[side].iter().map(|(price, size)| (key(price), *size)).collect();
        let here: BTreeSet<_> = now.iter().map(|(price, _)| key(price)).collect();
        // Worse than the worst of a side that is full.
        let edge = now.last().filter(|_| now.len() == self.depth).map(|(price, _)| price.to_f64());
        let is_out = |price: &Decimal| {
            edge.is_some_and(|edge| if side == 0 { price.to_f64() < edge } else { edge < price.to_f64() })
        };
        let gone = self.sides[side].iter().filter(|(price, _)| !here.contains(&key(price)));
        let gone = gone.filter(|(price, _)| self.is_told_out || !is_out(price));
        let gone = gone.map(|(price, _)| (*price, Decimal::default()));
        let changed = now.iter().filter(|(price, size)| told.get(&key(price)) != Some(size));
        gone.chain(changed.copied()).collect()
    }
}
