//! Support and resistance: prices near which swings came together.

use serde::{Deserialize, Serialize};

/// Levels that are kept.
const KEPT: usize = 24;

/// Swings near one price.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Level {
    /// The sum of their prices.
    sum: f64,
    /// Their number.
    pub n_swings: u32,
    /// Of their bars.
    pub volume: f64,
    /// The number of the last one's bar.
    pub last: u64,
}

impl Level {
    /// Their mean.
    pub fn price(&self) -> f64 {
        self.sum / f64::from(self.n_swings)
    }
}

/// Those of a series.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Levels(Vec<Level>);

impl Levels {
    /// All of them, in the order in which they were made.
    pub fn all(&self) -> &[Level] {
        &self.0
    }

    /// A swing at the bar of this number joins the level next to it, or begins one.
    pub(super) fn join(&mut self, price: f64, volume: f64, bar: u64, unit: f64) {
        let distance = |level: &Level| (level.price() - price).abs();
        let nearer =
            |a: &&mut Level, b: &&mut Level| distance(a).total_cmp(&distance(b)).then(a.price().total_cmp(&b.price()));
        match self.0.iter_mut().min_by(nearer).filter(|level| distance(level) <= unit / 2.0) {
            Some(level) => {
                level.sum += price;
                level.n_swings += 1;
                level.volume += volume;
                level.last = bar;
            }
            None => {
                if self.0.len() == KEPT {
                    let oldest = |a: &(usize, &Level), b: &(usize, &Level)| {
                        a.1.last.cmp(&b.1.last).then(a.1.price().total_cmp(&b.1.price()))
                    };
                    let at = self.0.iter().enumerate().min_by(oldest).map(|(at, _)| at);
                    at.into_iter().for_each(|at| _ = self.0.remove(at));
                }
                self.0.push(Level { sum: price, n_swings: 1, volume, last: bar });
            }
        }
    }
}
