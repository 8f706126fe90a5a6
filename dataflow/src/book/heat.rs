//! A book at an instant in buckets of price, and where its liquidity clusters.

use prism_schemas::{
    book::{Level, Sure},
    decimal::POW10,
};

/// A bucket is at least so many parts of a million of mid.
const HEIGHT: i128 = 500;
/// Buckets reach up to one in so many of mid on either side.
const WITHIN: i128 = 100;
/// Known buckets that tell where a side clusters, at least.
const FEW: usize = 4;

/// Levels of a bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Bucket {
    /// Their size.
    pub size: f64,
    /// Their number.
    pub n: u32,
}

/// Both sides of a book in buckets of price.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Heat {
    /// The bucket of mid, and the height of each, in units of so many decimals.
    mid: i64,
    height: i64,
    decimals: u32,
    /// Known ones of bids and asks, that of mid first.
    pub sides: [Box<[Bucket]>; 2],
    /// Where each side clusters most: mean price and share of the side.
    pub clusters: [Option<(f64, f64)>; 2],
}

/// The height of buckets, and powers of ten that prices are to be multiplied by, so that it is whole; `sum` is twice mid.
fn height(sum: i128) -> (i128, u32) {
    // Of mid: 2 x 10^6 / HEIGHT of the sum.
    let least = 2_000_000 / HEIGHT;
    let more = (0..=4).find(|more| least <= sum * 10i128.pow(*more)).unwrap_or(4);
    let sum = sum * 10i128.pow(more);
    let heights = (0..).flat_map(|tens| [1, 2, 5].map(|of| of * 10i128.pow(tens)));
    let height = heights.take(60).find(|height| sum <= least * height);
    (height.unwrap_or(i128::MAX), more)
}

impl Heat {
    /// Of a book at hand; `sum` is twice mid.
    pub(super) fn new(sides: [Sure<'_>; 2], sum: i128, decimals: (u32, u32)) -> Heat {
        let (height, more) = height(sum);
        let up = 10i128.pow(more);
        let bucket = |price: i128| price * up / height;
        let mid = bucket(sum) / 2;
        // Of a sum whose bucket is odd, mid is in the lower half.
        let last = [sum * up * (WITHIN - 1), sum * up * (WITHIN + 1)].map(|price| price / (2 * WITHIN * height));
        let mut heat = Heat { mid: mid as i64, height: height as i64, decimals: decimals.0 + more, ..Heat::default() };
        for (at, sure) in sides.into_iter().enumerate() {
            let is_ask = at == 1;
            let n = (last[at] - mid).unsigned_abs() as usize + 1;
            // Buckets all of which is told.
            let n_known = sure.levels().next_back().filter(|_| !sure.is_whole).map_or(n, |(price, _)| {
                let price = i128::from(price) * up;
                let told = if is_ask { price / height - mid } else { mid - (price + height - 1) / height + 1 };
                n.min(usize::try_from(told).unwrap_or(0))
            });
            let mut sums = vec![(0i128, 0i128, 0u32); n_known];
            for (price, size) in sure.levels() {
                let off = (bucket(price.into()) - mid) * if is_ask { 1 } else { -1 };
                let Some((sizes, values, n)) = usize::try_from(off).ok().and_then(|off| sums.get_mut(off)) else {
                    break;
                };
                let value = i128::from(price).saturating_mul(size.into());
                (*sizes, *values, *n) = (*sizes + i128::from(size), values.saturating_add(value), *n + 1);
            }
            let [price_unit, size_unit] = [decimals.0, decimals.1].map(|decimals| POW10[decimals as usize] as f64);
            heat.clusters[at] = cluster(&sums).map(|(price, share)| (price / price_unit, share));
            heat.sides[at] = sums.iter().map(|(size, _, n)| Bucket { size: *size as f64 / size_unit, n: *n }).collect();
        }
        heat
    }

    /// Where a bucket begins and ends, by its place from mid.
    pub(crate) fn prices(&self, is_ask: bool, place: usize) -> (f64, f64) {
        let number = if is_ask { self.mid + place as i64 } else { self.mid - place as i64 };
        let unit = 10f64.powi(self.decimals as i32);
        let price = |number: i64| (i128::from(number) * i128::from(self.height)) as f64 / unit;
        (price(number), price(number + 1))
    }

    pub(super) fn bytes(&self) -> usize {
        self.sides.iter().map(|side| size_of_val(&**side)).sum()
    }
}

/// Mean price and share of the strongest cluster of buckets: sizes, and those x prices, the nearest to mid first.
fn cluster(sums: &[(i128, i128, u32)]) -> Option<(f64, f64)> {
    let all: i128 = sums.iter().map(|(size, ..)| size).sum();
    if sums.len() < FEW || all == 0 {
        return None;
    }
    let is_dense = |(size, ..): &(i128, i128, u32)| 3 * all <= 2 * size * sums.len() as i128;
    let runs = sums.chunk_by(|a, b| is_dense(a) == is_dense(b)).filter(|run| is_dense(&run[0]));
    let whole = |run: &[(i128, i128, u32)]| {
        run.iter().fold((0, 0i128), |(sizes, values), (size, value, _)| (sizes + size, values.saturating_add(*value)))
    };
    // Of equal ones the first.
    let strongest = runs.map(whole).reduce(|best, run| if best.0 < run.0 { run } else { best });
    strongest.map(|(size, value)| (value as f64 / size as f64, size as f64 / all as f64))
}

/// Size that comes with a basis point from mid: least squares through mid, of the levels given, best first; `sum` is twice mid.
pub(super) fn slope(levels: impl Iterator<Item = Level>, sum: i128, size_decimals: u32) -> f64 {
    let (mut all, mut over, mut under) = (0i128, 0.0, 0.0);
    for (price, size) in levels {
        all += i128::from(size);
        let distance = 10_000.0 * (2 * i128::from(price) - sum).abs() as f64 / sum as f64;
        over += all as f64 * distance;
        under += distance * distance;
    }
    over / under / POW10[size_decimals as usize] as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heights_are_five_basis_points_or_little_more() {
        // Twice mid, its height in units of the price, and the power of ten that makes it whole.
        for (sum, expected) in [
            (4_000, (1, 0)),
            (4_001, (2, 0)),
            (2 * 100_000, (50, 0)),
            (2 * 100_001, (100, 0)),
            (2 * 64_123, (50, 0)),
            (3_999, (10, 1)),
            (2, (5, 4)),
        ] {
            assert_eq!(height(sum), expected, "{sum}");
        }
    }

    #[test]
    fn the_strongest_cluster_counts_of_equal_ones_the_nearer() {
        let sums = |sizes: &[i128]| -> Vec<(i128, i128, u32)> {
            sizes.iter().zip(100..).map(|(size, price)| (*size, size * price, 1)).collect()
        };
        assert_eq!(cluster(&sums(&[1, 9, 1])), None, "too few");
        assert_eq!(cluster(&sums(&[0; 5])), None);
        assert_eq!(cluster(&sums(&[2, 2, 2, 2])), None, "none stands out");
        assert_eq!(cluster(&sums(&[1, 9, 1, 1, 9, 1])), Some((101.0, 9.0 / 22.0)));
        assert_eq!(cluster(&sums(&[1, 8, 1, 6, 6, 1, 1, 1])), Some((103.5, 12.0 / 25.0)));
        // Exactly 1.5 times the mean.
        assert_eq!(cluster(&sums(&[3, 1, 2, 2])), Some((100.0, 3.0 / 8.0)));
    }

    #[test]
    fn a_straight_side_has_its_slope() {
        // Ten of size at each basis point from a mid of 10,000.
        let levels = (1..=25).map(|n| (10_000 - n, 10));
        assert!((slope(levels, 20_000, 0) - 10.0).abs() < 1e-9);
    }
}
