//! What components read of an order book: how it stood at a bar's close, and was over the bar.

use std::collections::VecDeque;

use prism_schemas::{Ts, table::BOOK_COLUMNS};

use super::{
    over::Over,
    sample::{Inverse, N_AT_END},
};
use crate::{
    operator::{find, room},
    values::Values,
};

/// A number of a depth: a column of `book_features`.
#[derive(Clone, Copy, Debug)]
pub struct Feature(usize);

impl Feature {
    /// The column of this name; does not compile for one that a depth lacks.
    pub const fn named(name: &str) -> Feature {
        let (mut at, name) = (0, name.as_bytes());
        // All but `live_share`, which is last.
        while at + 1 < BOOK_COLUMNS.len() {
            let column = BOOK_COLUMNS[at].as_bytes();
            let mut n_equal = 0;
            while n_equal < column.len() && n_equal < name.len() && column[n_equal] == name[n_equal] {
                n_equal += 1;
            }
            if n_equal == column.len() && n_equal == name.len() {
                return Feature(at);
            }
            at += 1;
        }
        panic!("no such column")
    }
}

/// The book over a bar of a role.
#[derive(Clone, Debug, PartialEq)]
pub struct Depth {
    /// Numbers at the end.
    pub(super) sample: Values,
    /// Numbers over the bar, as bits.
    over: [u64; 4],
    /// Of inverse contracts.
    inverse: Option<Inverse>,
}

impl Depth {
    /// `sum` is of the base intervals in it that are sound, `until` the end of the newest of all.
    pub(super) fn new(sample: Values, inverse: Option<Inverse>, sum: Option<&Over>, until: Ts) -> Depth {
        let sum = sum.filter(|sum| until - sum.start <= 2 * sum.live);
        let over = sum.map_or([f64::NAN; 4], |sum| {
            let [over @ .., _] = sum.numbers();
            over
        });
        Depth { sample, over: over.map(f64::to_bits), inverse }
    }

    /// One of its numbers.
    pub fn get(&self, feature: Feature) -> Option<f64> {
        match feature.0.checked_sub(N_AT_END) {
            None => self.sample.get(feature.0),
            Some(over) => Some(f64::from_bits(self.over[over])).filter(|number| !number.is_nan()),
        }
    }

    /// What a size is worth in quote, at the mean of mid over the bar.
    pub fn value(&self, size: f64) -> Option<f64> {
        const MID: Feature = Feature::named("mid_mean");
        match self.inverse {
            Some(contract) => Some(size * contract?),
            None => Some(size * self.get(MID)?),
        }
    }

    /// A depth for tests, of all columns but the last.
    #[cfg(test)]
    pub(crate) fn of(numbers: &[f64]) -> Depth {
        let (sample, over) = numbers.split_at(N_AT_END);
        Depth { sample: Values::new(sample), over: std::array::from_fn(|at| over[at].to_bits()), inverse: None }
    }
}

/// Sums of one timeframe's intervals over their sound base intervals.
#[derive(Debug, Default)]
pub(super) struct Sums(VecDeque<Over>);

impl Sums {
    /// A base interval within the one from `start` to `end` is sound.
    pub(super) fn add(&mut self, start: Ts, end: Ts, part: &Over) {
        let at = find(&self.0, &start, |sum| sum.start).unwrap_or_else(|at| {
            self.0.insert(at, Over::new(start, end, end, part.decimals));
            at
        });
        self.0[at].merge(part);
    }

    /// The sum of the interval that starts at `start`.
    pub(super) fn get(&self, start: Ts) -> Option<&Over> {
        find(&self.0, &start, |sum| sum.start).ok().map(|at| &self.0[at])
    }

    /// No interval that ended before `cutoff` will be asked for.
    pub(super) fn forget(&mut self, cutoff: Ts) {
        while self.0.front().is_some_and(|sum| sum.end < cutoff) {
            self.0.pop_front();
        }
    }

    /// Bytes it keeps beside itself.
    pub(super) fn bytes(&self) -> usize {
        room(&self.0)
    }
}
