//! A synthetic order book in whole ticks and lots: the top at the price, then a coarser grid of levels.

use std::collections::BTreeMap;

use prism_schemas::random::Random;

const LEVELS: usize = 25;

/// Levels of one side, changed or new; size 0 removes.
pub(super) type Changes = Vec<(i64, i64)>;

#[derive(Clone, Debug, Default)]
pub(super) struct SyntheticBook {
    bids: BTreeMap<i64, i64>,
    asks: BTreeMap<i64, i64>,
}

impl SyntheticBook {
    pub(super) fn best_bid(&self) -> (i64, i64) {
        self.bids.last_key_value().map_or((0, 0), |(price, size)| (*price, *size))
    }

    pub(super) fn best_ask(&self) -> (i64, i64) {
        self.asks.first_key_value().map_or((0, 0), |(price, size)| (*price, *size))
    }

    /// Moves the book around a price and returns what changed, best levels first.
    /// `lots` is the usual size of a level; a push of 1 doubles one side and halves the other.
    pub(super) fn step(&mut self, price: f64, lots: f64, push: f64, random: &mut Random) -> (Changes, Changes) {
        let bid = (price.floor() as i64).max(LEVELS as i64 + 1);
        let ask = bid + 1;
        // About 1.2 basis points, in ticks.
        let grid = ((price * 0.000_12) as i64).clamp(1, (bid / (LEVELS as i64 + 1)).max(1));
        let below =
            std::iter::once(bid).chain((1..=LEVELS as i64).map(|n| (bid - 1).div_euclid(grid) * grid - (n - 1) * grid));
        let above = std::iter::once(ask).chain((1..=LEVELS as i64).map(|n| (ask.div_euclid(grid) + n) * grid));
        let bids: Vec<i64> = below.filter(|price| 0 < *price).collect();
        let asks: Vec<i64> = above.collect();
        let strength = libm::exp2(push);
        let bid_changes = side(&mut self.bids, &bids, lots * strength, random);
        let ask_changes = side(&mut self.asks, &asks, lots / strength, random);
        (bid_changes, ask_changes)
    }
}

fn side(levels: &mut BTreeMap<i64, i64>, wanted: &[i64], lots: f64, random: &mut Random) -> Changes {
    let mut changes = Changes::new();
    for (depth, price) in wanted.iter().enumerate() {
        let fresh = random.uniform();
        if levels.contains_key(price) && 0.12 < fresh {
            continue;
        }
        let wall = if random.uniform() < 0.02 { 6.0 } else { 1.0 };
        let size = lots * wall * (1.0 + 0.3 * depth as f64) * (0.4 + 1.2 * random.uniform());
        let size = (size as i64).max(1);
        levels.insert(*price, size);
        changes.push((*price, size));
    }
    levels.retain(|price, _| {
        let keep = wanted.contains(price);
        if !keep {
            changes.push((*price, 0));
        }
        keep
    });
    changes
}
