//! One side of a book.

use super::{Half, Level};
use crate::decimal::POW10;

/// One in so many levels of a cut snapshot must still be there, from the best on: beyond the last one it had, levels that
/// did not change since are unknown.
const REACH: usize = 4;

/// Slots on either side of a new level's place among which an empty one is looked for.
const NEAR: usize = 16;

/// Which levels of a side are surely the venue's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Reach {
    /// All, and there are no others.
    #[default]
    Whole,
    /// Up to this price: the snapshot had no more.
    To(i64),
    /// Those there are: the venue tells so many.
    Held,
}

/// Levels of one side in order, the best last: changes are mostly near the best, so little moves.
///
/// A level that goes leaves an empty slot of size 0, which the next one near it takes: as prices move, as many come as go,
/// and nearly nothing is moved. The best slot is never empty.
#[derive(Clone, Debug, Default)]
pub(super) struct Side {
    slots: Vec<Level>,
    /// Levels there are.
    n: usize,
    /// Whether a lower price is better.
    is_ask: bool,
    reach: Reach,
    /// Levels up to where the snapshot was cut that must be left, and how many are.
    cut: Option<(usize, usize)>,
    /// As many levels as the venue tells at most, where it tells the best ones.
    most: Option<usize>,
}

/// Levels that are surely the venue's.
#[derive(Clone, Copy, Debug)]
pub struct Sure<'a> {
    slots: &'a [Level],
    /// Whether the side has no others.
    pub is_whole: bool,
    /// Whether a lower price is better.
    pub is_ask: bool,
    reach: Reach,
}

impl Sure<'_> {
    /// The levels, the best first.
    pub fn levels(&self) -> impl DoubleEndedIterator<Item = Level> {
        self.slots.iter().rev().copied().filter(is_level)
    }

    /// Whether a level at this price would be among them.
    pub fn reaches(&self, price: i64) -> bool {
        let to = match self.reach {
            Reach::Whole => return true,
            Reach::To(last) => Some(last),
            Reach::Held => self.levels().next_back().map(|(last, _)| last),
        };
        to.is_some_and(|to| if self.is_ask { price <= to } else { to <= price })
    }

    /// The size at a price, 0 where there is none.
    pub fn size_at(&self, price: i64) -> i64 {
        let order = |have: i64| if self.is_ask { price.cmp(&have) } else { have.cmp(&price) };
        self.slots.binary_search_by(|(have, _)| order(*have)).map_or(0, |at| self.slots[at].1)
    }
}

fn is_level((_, size): &Level) -> bool {
    *size != 0
}

impl Side {
    pub(super) fn bytes(&self) -> usize {
        self.slots.capacity() * size_of::<Level>()
    }

    pub(super) fn new(is_ask: bool) -> Side {
        Side { is_ask, ..Side::default() }
    }

    pub(super) fn clear(&mut self) {
        let mut slots = std::mem::take(&mut self.slots);
        slots.clear();
        *self = Side { slots, ..Side::new(self.is_ask) };
    }

    /// Takes in what a snapshot says of the depth: it was asked for, or the venue goes on telling so many levels.
    pub(super) fn begin(&mut self, depth: Option<u32>, is_asked_for: bool) {
        let (n, depth) = (self.n, depth.map(|depth| depth as usize));
        if is_asked_for {
            let last = self.levels().next_back().filter(|_| depth.is_none_or(|depth| depth <= n));
            self.reach = last.map_or(Reach::Whole, |(price, _)| Reach::To(price));
            self.cut = depth.filter(|depth| 0 < n && *depth <= n).map(|_| (n.div_ceil(REACH), n));
        } else {
            self.most = Some(depth.unwrap_or(0));
        }
    }

    /// An update is in.
    pub(super) fn settle(&mut self) {
        if self.most.is_some_and(|most| most <= self.n) {
            self.reach = Reach::Held;
        }
        if 2 * self.n + 4 * NEAR < self.slots.len() {
            self.slots.retain(is_level);
        }
    }

    /// Sets the levels of an update.
    pub(super) fn set_all(&mut self, half: &Half<'_>, is_snapshot: bool, decimals: (u32, u32)) -> Option<()> {
        if half.prices.len() != half.sizes.len() {
            return None;
        }
        let price_unit = *POW10.get((decimals.0 - half.price_decimals) as usize)?;
        let size_unit = *POW10.get((decimals.1 - half.size_decimals) as usize)?;
        // Updates are told in order, or nearly: the next level is near the one before.
        let mut near = self.slots.len();
        let mut set = |(price, size): (&i64, &i64)| {
            let (price, size) = (price.checked_mul(price_unit)?, size.checked_mul(size_unit)?);
            near = (0 < price && 0 <= size).then(|| self.set(price, size, near))?;
            Some(())
        };
        let mut pairs = half.prices.iter().zip(half.sizes);
        match is_snapshot {
            // The best come first: set from the back, each goes to the end.
            true => pairs.rev().try_for_each(&mut set),
            // Of a price that is named twice the last holds.
            false => pairs.try_for_each(&mut set),
        }
    }

    /// Sets a level; gives its place, which is looked for from `near` on.
    fn set(&mut self, price: i64, size: i64, near: usize) -> usize {
        let at = self.seek(price, near);
        let had = match self.slots.get_mut(at).filter(|(have, _)| *have == price) {
            Some((_, have)) => std::mem::replace(have, size) != 0,
            None if size == 0 => return at,
            None => {
                self.insert(at, (price, size));
                false
            }
        };
        if had != (size != 0) {
            self.count(price, size != 0);
        }
        if size == 0 && at + 1 == self.slots.len() {
            let n = self.slots.iter().rposition(is_level).map_or(0, |last| last + 1);
            self.slots.truncate(n);
        }
        at.min(self.slots.len())
    }

    fn count(&mut self, price: i64, came: bool) {
        let change = |n: &mut usize| *n = if came { *n + 1 } else { *n - 1 };
        change(&mut self.n);
        let is_within = self.has(price);
        if let Some((_, left)) = self.cut.as_mut().filter(|_| is_within) {
            change(left);
        }
    }

    /// Puts a level to a place: into an empty slot near it, or between others.
    fn insert(&mut self, at: usize, level: Level) {
        let n = self.slots.len();
        let slots = &mut self.slots;
        for off in 0..NEAR {
            if at + off < n && slots[at + off].1 == 0 {
                slots.copy_within(at..at + off, at + 1);
                slots[at] = level;
                return;
            }
            if off < at && slots[at - 1 - off].1 == 0 {
                slots.copy_within(at - off..at, at - 1 - off);
                slots[at - 1] = level;
                return;
            }
        }
        slots.insert(at, level);
    }

    /// The first place whose price is not worse, by strides that double from `near` on.
    fn seek(&self, price: i64, near: usize) -> usize {
        // Rises with how good a price is.
        let rank = |price: i64| if self.is_ask { !price } else { price };
        let (slots, n, wanted) = (&self.slots, self.slots.len(), rank(price));
        let is_worse = |at: usize| rank(slots[at].0) < wanted;
        let (mut from, mut to, mut stride) = (near.min(n), near.min(n), 1);
        if to < n && is_worse(to) {
            from += 1;
            to = from;
            while to < n && is_worse(to) {
                from = to + 1;
                to = (from + stride).min(n);
                stride *= 2;
            }
        } else {
            while 0 < from && !is_worse(from - 1) {
                to = from - 1;
                from = to.saturating_sub(stride);
                stride *= 2;
            }
        }
        from + slots[from..to].partition_point(|(have, _)| rank(*have) < wanted)
    }

    pub(super) fn best(&self) -> Option<Level> {
        self.slots.last().copied()
    }

    /// Whether a level is surely the venue's.
    fn has(&self, price: i64) -> bool {
        match self.reach {
            Reach::To(last) if self.is_ask => price <= last,
            Reach::To(last) => last <= price,
            Reach::Whole | Reach::Held => true,
        }
    }

    /// The best level, if it is surely the venue's.
    pub(super) fn sure_best(&self) -> Option<Level> {
        self.best().filter(|(price, _)| self.has(*price))
    }

    pub(super) fn sure(&self) -> Sure<'_> {
        let first = self.slots.partition_point(|(price, _)| !self.has(*price));
        let (is_whole, is_ask, reach) = (self.reach == Reach::Whole, self.is_ask, self.reach);
        Sure { slots: &self.slots[first..], is_whole, is_ask, reach }
    }

    /// All levels, the best first.
    pub(super) fn levels(&self) -> impl DoubleEndedIterator<Item = Level> {
        self.slots.iter().rev().copied().filter(is_level)
    }

    /// Whether too few of the best levels are surely all there are.
    pub(super) fn is_at_edge(&self) -> bool {
        self.cut.is_some_and(|(least, left)| left < least)
    }

    /// Whether half of those that may go are gone.
    pub(super) fn is_near_edge(&self) -> bool {
        self.cut.is_some_and(|(least, left)| left <= 2 * least)
    }

    pub(super) fn truncate(&mut self, depth: usize) {
        while depth < self.n {
            let Some(worst) = self.slots.iter().position(is_level) else { return };
            self.count(self.slots[worst].0, false);
            self.slots.drain(..=worst);
        }
    }

    pub(super) fn scale(&mut self, price: i64, size: i64) -> Option<()> {
        for slot in &mut self.slots {
            *slot = (slot.0.checked_mul(price)?, slot.1.checked_mul(size)?);
        }
        if let Reach::To(last) = &mut self.reach {
            *last = last.checked_mul(price)?;
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::random::Random;

    #[test]
    fn equals_an_ordered_map_whatever_comes_and_goes() {
        let mut random = Random::new(5, "side");
        for is_ask in [false, true] {
            let (mut side, mut map) = (Side::new(is_ask), BTreeMap::new());
            let mut mid = 10_000i64;
            for _ in 0..3_000 {
                mid += random.below(41) as i64 - 20;
                let n = 1 + random.below(8);
                let mut pairs: Vec<(i64, i64)> =
                    (0..n).map(|_| (mid + random.below(400) as i64 - 200, random.below(3) as i64)).collect();
                if random.below(3) != 0 {
                    pairs.sort_by_key(|(price, _)| if is_ask { *price } else { -price });
                }
                let (prices, sizes): (Vec<i64>, Vec<i64>) = pairs.iter().copied().unzip();
                let half = Half { prices: &prices, sizes: &sizes, price_decimals: 0, size_decimals: 0 };
                side.set_all(&half, false, (0, 0)).unwrap();
                side.settle();
                for (price, size) in pairs {
                    if size == 0 {
                        map.remove(&price)
                    } else {
                        map.insert(price, size)
                    };
                }
                let expected: Vec<Level> = match is_ask {
                    true => map.clone().into_iter().collect(),
                    false => map.clone().into_iter().rev().collect(),
                };
                assert_eq!(side.levels().collect::<Vec<_>>(), expected);
                assert_eq!((side.best(), side.n), (expected.first().copied(), expected.len()));
                assert!(side.slots.len() <= 2 * side.n + 4 * NEAR);
                if random.below(50) == 0 {
                    side.truncate(30);
                    while 30 < map.len() {
                        if is_ask {
                            map.pop_last()
                        } else {
                            map.pop_first()
                        };
                    }
                }
            }
        }
    }
}
