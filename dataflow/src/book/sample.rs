//! The numbers of a book at an instant.

use prism_schemas::{
    OrderBook,
    book::{Level, Sure},
    decimal::POW10,
};

use super::{heat::slope, over::Top, resting::Resting};
use crate::values::Values;

/// Levels of a side that depths are summed over.
const LEVELS: [usize; 3] = [5, 10, 25];
/// Levels of both sides that are compared.
const IMBALANCES: [usize; 4] = [1, 5, 10, 25];
/// Distances from mid that depths are summed to, in basis points.
const DISTANCES: [i64; 4] = [10, 50, 100, 200];
/// Values in quote that are bought and sold at once.
const VALUES: [f64; 4] = [1e3, 1e4, 1e5, 1e6];

/// Best levels of a side that count by their distance from mid, and the one at which a level counts half, in basis points.
const WEIGHTED: (usize, f64) = (25, 10.0);

/// Numbers of the book at the end of an interval.
pub(super) const N_AT_END: usize = 9 + 2 * (LEVELS.len() + DISTANCES.len() + VALUES.len()) + IMBALANCES.len() + 6;

/// A side of the book.
struct Side<'a> {
    sure: Sure<'a>,
    is_ask: bool,
}

/// Of inverse contracts, whose sizes are contracts: the quote value of one, once it is declared.
pub(super) type Inverse = Option<f64>;

/// How levels are to be read.
struct Units {
    price: f64,
    size: f64,
    inverse: Option<Inverse>,
}

impl Side<'_> {
    /// The size of the best `n` levels.
    fn of_levels(&self, n: usize) -> Option<i128> {
        let (n_there, size) =
            self.sure.levels().take(n).fold((0, 0), |(n, sum), (_, size)| (n + 1, sum + i128::from(size)));
        (self.sure.is_whole || n_there == n).then_some(size)
    }

    /// The size of the best levels, each counting the less the further it is from mid; `sum` is twice mid.
    fn weighted(&self, sum: i128) -> Option<f64> {
        let (n, half) = WEIGHTED;
        self.of_levels(n)?;
        let counts = |(price, size): Level| {
            let distance = 10_000.0 * (2 * i128::from(price) - sum).abs() as f64 / sum as f64;
            size as f64 / (1.0 + distance / half)
        };
        Some(self.sure.levels().take(n).map(counts).sum())
    }

    /// The size up to a distance from mid; `sum` is twice mid.
    fn within(&self, distance: i64, sum: i128) -> Option<i128> {
        let bound = sum * i128::from(if self.is_ask { 10_000 + distance } else { 10_000 - distance });
        let is_within = |level: &Level| match self.is_ask {
            true => 20_000 * i128::from(level.0) <= bound,
            false => bound <= 20_000 * i128::from(level.0),
        };
        let size = self.sure.levels().take_while(is_within).map(|(_, size)| i128::from(size)).sum();
        let last = self.sure.levels().next_back()?;
        let is_reached = !is_within(&last) || 20_000 * i128::from(last.0) == bound;
        (self.sure.is_whole || is_reached).then_some(size)
    }

    /// What taking `value` at once costs against mid, in basis points; `sum` is twice mid.
    fn slippage(&self, value: f64, sum: i128, units: &Units) -> Option<f64> {
        let (mut left, mut taken, mut off) = (value, 0.0, 0.0);
        for (price, size) in self.sure.levels() {
            let (p, s) = (price as f64 / units.price, size as f64 / units.size);
            let (worth, base) = match units.inverse {
                None => (p * s, s),
                Some(contract) => (s * contract?, s * contract? / p),
            };
            let base = if left < worth { base * (left / worth) } else { base };
            // From mid, exactly: the difference of means would lose it.
            let from_mid = (2 * i128::from(price) - sum).abs() as f64;
            off += base * from_mid;
            taken += base;
            left -= worth;
            if left <= 0.0 {
                return Some(10_000.0 * (off / taken) / sum as f64);
            }
        }
        None
    }
}

/// The numbers of `book_features` at the end of an interval, in the order of the table; none without a `top`. Those that no
/// component reads only where it is known what rests.
pub(super) fn sample(
    book: &OrderBook,
    top: Option<&Top>,
    inverse: Option<Inverse>,
    resting: Option<&Resting>,
) -> Values {
    let Some(top) = top else { return Values::default() };
    let (price_decimals, size_decimals) = book.decimals();
    let [price, size] = [price_decimals, size_decimals].map(|decimals| POW10[decimals as usize] as f64);
    let units = Units { price, size, inverse };
    let [bids, asks] = book.sure();
    let sides = [(bids, false), (asks, true)].map(|(sure, is_ask)| Side { sure, is_ask });
    let ((bid, bid_size), (ask, ask_size)) = top.levels();
    let sum = i128::from(bid) + i128::from(ask);
    let mid = sum as f64 / 2.0;
    let spread = (ask - bid) as f64;
    let [b, bq, a, aq] = [bid as f64 / price, bid_size as f64 / size, ask as f64 / price, ask_size as f64 / size];
    let mut numbers = vec![
        b,
        bq,
        a,
        aq,
        mid / price,
        spread / price,
        10_000.0 * spread / mid,
        // From the bid on, for the digits.
        (bid as f64 + spread * (bq / (bq + aq))) / price,
    ];
    let in_base = |units: Option<i128>| units.map_or(f64::NAN, |units| units as f64 / size);
    for side in &sides {
        numbers.extend(LEVELS.map(|n| in_base(side.of_levels(n))));
    }
    for side in &sides {
        numbers.extend(DISTANCES.map(|distance| in_base(side.within(distance, sum))));
    }
    let [bids, asks] = &sides;
    numbers.extend(IMBALANCES.map(|n| match (bids.of_levels(n), asks.of_levels(n)) {
        (Some(b), Some(a)) => (b - a) as f64 / (b + a) as f64,
        _ => f64::NAN,
    }));
    let weighted = bids.weighted(sum).zip(asks.weighted(sum));
    numbers.push(weighted.map_or(f64::NAN, |(b, a)| (b - a) / (b + a)));
    for side in [asks, bids] {
        numbers.extend(VALUES.map(|value| side.slippage(value, sum, &units).unwrap_or(f64::NAN)));
    }
    if let Some(resting) = resting {
        let (n, _) = WEIGHTED;
        numbers.extend(sides.each_ref().map(|side| match side.of_levels(n) {
            Some(_) => slope(side.sure.levels().take(n), sum, size_decimals),
            None => f64::NAN,
        }));
        for cluster in resting.heat.clusters {
            numbers.extend(cluster.map_or([f64::NAN; 2], |(price, share)| [price, share]));
        }
    }
    Values::new(&numbers)
}
