//! A synthetic order book in whole ticks and lots: the top at the price, then a coarser grid of levels.

use std::collections::{BTreeMap, BTreeSet};

use prism_schemas::random::Random;

use super::crowd::Crowd;

const LEVELS: usize = 25;

/// Levels of one side, changed or new; size 0 removes.
pub(super) type Changes = Vec<(i64, i64)>;

#[derive(Clone, Debug, Default)]
struct Side {
    levels: BTreeMap<i64, i64>,
    /// Prices at which takers took since the last change was told.
    taken: BTreeSet<i64>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct SyntheticBook {
    bids: Side,
    asks: Side,
}

/// The distance of two levels: about 1.2 basis points, in ticks.
pub(super) fn grid(price: f64) -> i64 {
    let bid = price.floor() as i64;
    ((price * 0.000_12) as i64).clamp(1, (bid / (LEVELS as i64 + 1)).max(1))
}

impl SyntheticBook {
    pub(super) fn best_bid(&self) -> (i64, i64) {
        self.bids.levels.last_key_value().map_or((0, 0), |(price, size)| (*price, *size))
    }

    pub(super) fn best_ask(&self) -> (i64, i64) {
        self.asks.levels.first_key_value().map_or((0, 0), |(price, size)| (*price, *size))
    }

    /// Moves the book around a price and returns what changed, best levels first.
    /// `lots` is the usual size of a level; a push of 1 doubles one side and halves the other.
    pub(super) fn step(
        &mut self,
        price: f64,
        lots: f64,
        push: f64,
        crowd: &Crowd,
        random: &mut Random,
    ) -> (Changes, Changes) {
        let bid = (price.floor() as i64).max(LEVELS as i64 + 1);
        let ask = bid + 1;
        let grid = grid(price.max(bid as f64));
        let below =
            std::iter::once(bid).chain((1..=LEVELS as i64).map(|n| (bid - 1).div_euclid(grid) * grid - (n - 1) * grid));
        let above = std::iter::once(ask).chain((1..=LEVELS as i64).map(|n| (ask.div_euclid(grid) + n) * grid));
        let bids: Vec<i64> = below.filter(|price| 0 < *price).collect();
        let asks: Vec<i64> = above.collect();
        let strength = libm::exp2(push);
        let resting = |is_ask: bool| -> BTreeMap<i64, i64> {
            crowd.levels(is_ask).filter(|(price, _)| if is_ask { ask <= *price } else { *price <= bid }).collect()
        };
        let bid_changes = self.bids.step(&bids, &resting(false), lots * strength, random);
        let ask_changes = self.asks.step(&asks, &resting(true), lots / strength, random);
        (bid_changes, ask_changes)
    }

    /// Takes at most so much of the best level of a side: at which price, and how much; none of an empty side.
    pub(super) fn take(&mut self, is_ask: bool, lots: i64, crowd: &mut Crowd) -> Option<(i64, i64)> {
        let side = if is_ask { &mut self.asks } else { &mut self.bids };
        let best = if is_ask { side.levels.first_key_value() } else { side.levels.last_key_value() };
        let (price, size) = best.map(|(price, size)| (*price, *size))?;
        let lots = lots.min(size);
        // The last level of a side stays: the venue's takers are never alone.
        let left = crowd.take(is_ask, price, lots).unwrap_or(size - lots);
        match left {
            0 if 1 < side.levels.len() => _ = side.levels.remove(&price),
            left => _ = side.levels.insert(price, left.max(1)),
        }
        side.taken.insert(price);
        Some((price, lots))
    }
}

impl Side {
    fn step(&mut self, wanted: &[i64], resting: &BTreeMap<i64, i64>, lots: f64, random: &mut Random) -> Changes {
        let mut changes = Changes::new();
        for (depth, price) in wanted.iter().enumerate() {
            let fresh = random.uniform();
            let size = lots * (1.0 + 0.3 * depth as f64) * (0.4 + 1.2 * random.uniform());
            if resting.contains_key(price) || self.levels.contains_key(price) && 0.12 < fresh {
                continue;
            }
            let size = (size as i64).max(1);
            self.levels.insert(*price, size);
            self.taken.remove(price);
            changes.push((*price, size));
        }
        for (price, size) in resting {
            if self.levels.insert(*price, *size) != Some(*size) {
                changes.push((*price, *size));
            }
        }
        let gone: Vec<i64> = self
            .levels
            .keys()
            .filter(|price| !wanted.contains(price) && !resting.contains_key(price))
            .copied()
            .collect();
        for price in gone {
            self.levels.remove(&price);
            self.taken.insert(price);
        }
        // What takers left of a level, and levels that are gone.
        let told: BTreeSet<i64> = changes.iter().map(|(price, _)| *price).collect();
        let taken = std::mem::take(&mut self.taken).into_iter().filter(|price| !told.contains(price));
        changes.extend(taken.map(|price| (price, self.levels.get(&price).copied().unwrap_or(0))));
        changes
    }
}
