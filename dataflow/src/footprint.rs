//! Where in a bar's range takers bought and sold: levels of price, as tables tell them.

use serde::{Deserialize, Serialize};

use crate::operator::shared;

/// Levels with trades that a bar has at most.
pub const LEVELS: usize = 32;
/// Levels next to each other that make a stack.
const STACKED: usize = 3;

/// The height of levels: 10^k, or 5 x 10^k. Each is a multiple of all below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Height(i8);

impl Height {
    /// 10^-decimals, the least that tells such prices apart.
    pub fn unit(decimals: u32) -> Height {
        Height(-2 * decimals as i8)
    }

    /// The next one, and how many times this one it is.
    pub fn next(self) -> (Height, i64) {
        (Height(self.0 + 1), if self.0.rem_euclid(2) == 0 { 5 } else { 2 })
    }

    /// Decimals it is written with.
    pub fn decimals(self) -> u32 {
        u32::from(self.0.div_euclid(2).min(0).unsigned_abs())
    }

    /// How many units of these decimals it is.
    fn units(self) -> i128 {
        let tens = self.0.div_euclid(2).max(0).unsigned_abs().into();
        10i128.pow(tens) * if self.0.rem_euclid(2) == 0 { 1 } else { 5 }
    }

    /// The number of the level that holds a price of so many decimals.
    pub fn level(self, price: i64, decimals: u32) -> i128 {
        let (own, units) = (self.decimals(), self.units());
        let (up, down) = (own.saturating_sub(decimals), decimals.saturating_sub(own));
        let (up, down) = (10i128.pow(up), units * 10i128.pow(down));
        // Much faster, and nearly always.
        if let (Ok(up), Ok(down)) = (i64::try_from(up), i64::try_from(down))
            && let Some(price) = price.checked_mul(up)
        {
            return (price / down).into();
        }
        i128::from(price) * up / down
    }

    /// The price at which a level begins, or so many halves of one further up.
    pub fn price(self, level: i128, halves: u8) -> f64 {
        let halves = (2 * level + i128::from(halves)) * self.units();
        halves as f64 / (2 * 10i128.pow(self.decimals())) as f64
    }
}

/// Trades at a level.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Level {
    /// How many heights it is above 0: a price of nineteen digits, and the eighteen decimals of another, fit.
    pub number: i128,
    /// Trades that takers bought, and sold.
    pub n: [u32; 2],
    /// Their sizes (base).
    pub volume: [f64; 2],
    /// Whether that side outweighs the other at the next level against it: buys below, sells above.
    pub is_imbalanced: [bool; 2],
}

/// Levels next to each other, all imbalanced to one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stack {
    /// The lowest, by place.
    pub first: u8,
    /// How many.
    pub n: u8,
}

/// The trades of a bar by level.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Footprint {
    /// Of each level.
    pub height: Height,
    /// Those with trades, lowest first.
    pub levels: Box<[Level]>,
    /// The place of the one with the largest size.
    pub poc: u8,
    /// That size (base).
    pub poc_volume: f64,
    /// The longest stacks of buys and of sells.
    pub stacks: [Option<Stack>; 2],
}

impl Footprint {
    /// Of levels with trades.
    pub(crate) fn new(height: Height, levels: Box<[Level]>, (poc, poc_volume): (usize, f64)) -> Footprint {
        let stacks = [stack(&levels, 0), stack(&levels, 1)];
        Footprint { height, levels, poc: poc as u8, poc_volume, stacks }
    }

    /// The middle of the level with the largest size.
    pub fn poc(&self) -> f64 {
        self.height.price(self.levels[usize::from(self.poc)].number, 1)
    }

    /// The size that takers of a side (0 bought, 1 sold) took at the level that holds a price, and where that ends.
    pub fn at(&self, price: i64, decimals: u32, side: usize) -> (f64, f64) {
        let number = self.height.level(price, decimals);
        let at = self.levels.binary_search_by_key(&number, |level| level.number);
        (at.map_or(0.0, |at| self.levels[at].volume[side]), self.height.price(number, 2))
    }

    /// Bytes it takes.
    pub(crate) fn bytes(&self) -> usize {
        shared::<Footprint>() + size_of_val(&*self.levels)
    }
}

/// The longest stack of a side: of equal ones the highest of buys, the lowest of sells.
fn stack(levels: &[Level], side: usize) -> Option<Stack> {
    let (mut longest, mut from) = (None::<Stack>, 0);
    for at in 0..levels.len() {
        if !levels[at].is_imbalanced[side] {
            from = at + 1;
            continue;
        }
        if from < at && levels[at].number.abs_diff(levels[at - 1].number) != 1 {
            from = at;
        }
        let n = at + 1 - from;
        let is_longer = longest.is_none_or(|have| usize::from(have.n) < n + usize::from(side == 0));
        if STACKED <= n && is_longer {
            longest = Some(Stack { first: from as u8, n: n as u8 });
        }
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heights_rise_by_fives_and_twos() {
        let mut height = Height::unit(2);
        let prices: Vec<f64> = std::iter::from_fn(|| {
            let own = height.price(1, 0);
            height = height.next().0;
            Some(own)
        })
        .take(8)
        .collect();
        assert_eq!(prices, [0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 50.0]);
        // 123.45 in units of 0.5 and of 50.
        assert_eq!((Height(-1).level(12_345, 2), Height(3).level(12_345, 2)), (246, 2));
        assert_eq!((Height(-1).price(246, 0), Height(-1).price(246, 1), Height(3).price(2, 2)), (123.0, 123.25, 150.0));
        // Prices with fewer decimals than the height, and the largest there are.
        assert_eq!((Height(-3).level(7, 0), Height(0).level(i64::MAX, 0)), (140, i64::MAX.into()));
    }

    #[test]
    fn the_longest_stack_counts() {
        let levels = |marks: &[(i128, bool, bool)]| -> Vec<Level> {
            let level = |(number, buy, sell): &(i128, bool, bool)| Level {
                number: *number,
                n: [1; 2],
                volume: [1.0; 2],
                is_imbalanced: [*buy, *sell],
            };
            marks.iter().map(level).collect()
        };
        let stacks = |marks: &[(i128, bool, bool)]| {
            let levels = levels(marks);
            [0, 1].map(|side| stack(&levels, side).map(|stack| (stack.first, stack.n)))
        };
        let both = |numbers: &[i128]| -> Vec<_> { numbers.iter().map(|number| (*number, true, true)).collect() };
        assert_eq!(stacks(&both(&[1, 2])), [None; 2]);
        assert_eq!(stacks(&both(&[1, 2, 3, 4])), [Some((0, 4)); 2]);
        // A level without trades parts two stacks of the same length.
        assert_eq!(stacks(&both(&[1, 2, 3, 5, 6, 7])), [Some((3, 3)), Some((0, 3))]);
        let marks = [(1, true, false), (2, true, true), (3, true, true), (4, false, true), (5, true, false)];
        assert_eq!(stacks(&marks), [Some((0, 3)), Some((1, 3))]);
    }
}
