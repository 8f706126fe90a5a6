//! The exact fold of trades into a bar's footprint: by level of price and side. It commutes, whatever heights come between.

use super::fold::{Part, Scale};
use crate::{
    event::Trade,
    footprint::{Footprint, Height, LEVELS, Level},
};

/// A side's size outweighs the other's if it is so many times that.
const OUTWEIGHS: i128 = 3;

/// Trades at a level.
#[derive(Clone, Copy, Debug, PartialEq)]
struct At {
    number: i128,
    /// Bought and sold.
    n: [u32; 2],
    volume: [i128; 2],
}

impl At {
    fn merge(&mut self, other: &At) {
        for side in 0..2 {
            self.n[side] = self.n[side].saturating_add(other.n[side]);
            self.volume[side] = self.volume[side].saturating_add(other.volume[side]);
        }
    }

    fn size(&self) -> i128 {
        self.volume[0].saturating_add(self.volume[1])
    }
}

/// Trades of an interval by level, at the least height at which there are few enough.
///
/// A set of trades has no more levels than one that holds it, and each height is a multiple of all below it: so the height
/// only rises as trades come, never beyond that of all of them.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Prints {
    height: Height,
    /// The height never rose: it is the unit of its prices, and each level is one price.
    is_unit: bool,
    /// Lowest first.
    levels: Vec<At>,
}

impl Default for Prints {
    fn default() -> Prints {
        Prints { height: Height::unit(0), is_unit: true, levels: Vec::new() }
    }
}

impl Prints {
    /// One trade more.
    pub(super) fn add(&mut self, trade: &Trade, part: &Part) {
        let (price, decimals) = (trade.price, trade.shape.price_decimals().into());
        if self.is_unit && self.height.decimals() < decimals {
            self.refine(significant(price, decimals));
        }
        let (mut n, mut volume, side) = ([0; 2], [0; 2], usize::from(!trade.buy));
        (n[side], volume[side]) = (1, part.volume);
        self.put(&At { number: self.height.level(price, decimals), n, volume });
        self.coarsen();
    }

    /// All trades of a part of it.
    pub(super) fn merge(&mut self, part: &Prints) {
        let units = part.height.decimals().max(self.height.decimals());
        let mut part = part.clone();
        let all = [&mut *self, &mut part];
        let highest = all.iter().filter(|prints| !prints.is_unit).map(|prints| prints.height).max();
        for prints in all {
            prints.refine(units);
            // What is at that height already is made of levels of the other one from now on.
            prints.is_unit &= highest.is_none();
            highest.into_iter().for_each(|highest| prints.rise(highest));
        }
        part.levels.iter().for_each(|level| self.put(level));
        self.coarsen();
    }

    /// Levels of single prices get more decimals; there is room for those of any price.
    fn refine(&mut self, decimals: u32) {
        let Some(more) = decimals.checked_sub(self.height.decimals()).filter(|_| self.is_unit) else { return };
        self.height = Height::unit(decimals);
        let times = 10i128.pow(more);
        self.levels.iter_mut().for_each(|level| level.number *= times);
    }

    fn put(&mut self, level: &At) {
        match self.levels.binary_search_by_key(&level.number, |have| have.number) {
            Ok(at) => self.levels[at].merge(level),
            Err(at) => self.levels.insert(at, *level),
        }
    }

    /// Rises until there are few enough levels.
    fn coarsen(&mut self) {
        while LEVELS < self.levels.len() {
            self.rise(self.height.next().0);
        }
    }

    /// Rises to a height, unless it is there.
    fn rise(&mut self, to: Height) {
        while self.height < to {
            let (height, times) = self.height.next();
            (self.height, self.is_unit) = (height, false);
            self.levels.iter_mut().for_each(|level| level.number /= i128::from(times));
            self.levels.dedup_by(|next, level| {
                let is_same = next.number == level.number;
                if is_same {
                    level.merge(next);
                }
                is_same
            });
        }
    }

    /// Its sizes are so many times as many units.
    pub(super) fn rescale(&mut self, volume: i128) {
        let all = self.levels.iter_mut().flat_map(|level| &mut level.volume);
        all.for_each(|own| *own = own.saturating_mul(volume));
    }

    /// As tables tell it; none without a trade.
    pub(super) fn read(&self, scale: &Scale) -> Option<Footprint> {
        let size: i128 = self.levels.iter().map(At::size).fold(0, i128::saturating_add);
        let least = |volume: i128| size <= volume.saturating_mul(2 * self.levels.len() as i128);
        let outweighs = |at: usize, side: usize| {
            let own = self.levels[at];
            // Buys are held against sells one level below, sells against buys one above.
            let next = if side == 0 { at.checked_sub(1) } else { Some(at + 1) };
            let Some(next) = next.and_then(|next| self.levels.get(next)) else { return false };
            let other = if next.number.abs_diff(own.number) == 1 { next.volume[1 - side] } else { 0 };
            0 < own.volume[side] && other.saturating_mul(OUTWEIGHS) <= own.volume[side] && least(own.volume[side])
        };
        let level = |(at, of): (usize, &At)| Level {
            number: of.number,
            n: of.n,
            volume: of.volume.map(|volume| scale.volume(volume)),
            is_imbalanced: [outweighs(at, 0), outweighs(at, 1)],
        };
        let levels = self.levels.iter().enumerate().map(level).collect();
        // Of equal ones the lowest.
        let (poc, most) = self.levels.iter().map(At::size).enumerate().rev().max_by_key(|(_, size)| *size)?;
        Some(Footprint::new(self.height, levels, (poc, scale.volume(most))))
    }

    /// Bytes it takes beside itself.
    pub(super) fn bytes(&self) -> usize {
        self.levels.capacity() * size_of::<At>()
    }
}

/// Decimals of a price without zeros at the end.
fn significant(mut price: i64, mut decimals: u32) -> u32 {
    while 0 < decimals && price % 10 == 0 {
        (price, decimals) = (price / 10, decimals - 1);
    }
    decimals
}
