//! One side of a book.

use super::{Half, Level};
use crate::decimal::POW10;

/// One in so many levels of a cut snapshot must still be there, from the best on: beyond the last one it had, levels that
/// did not change since are unknown.
const REACH: usize = 4;

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
#[derive(Clone, Debug, Default)]
pub(super) struct Side {
    pub(super) levels: Vec<Level>,
    /// Whether a lower price is better.
    is_ask: bool,
    reach: Reach,
    /// Levels of the snapshot, where the price must keep away from the last of them.
    cut: Option<usize>,
    /// As many levels as the venue tells at most, where it tells the best ones.
    most: Option<usize>,
}

impl Side {
    pub(super) fn new(is_ask: bool) -> Side {
        Side { is_ask, ..Side::default() }
    }

    pub(super) fn clear(&mut self) {
        let mut levels = std::mem::take(&mut self.levels);
        levels.clear();
        *self = Side { levels, ..Side::new(self.is_ask) };
    }

    /// Takes in what a snapshot says of the depth: it was asked for, or the venue goes on telling so many levels.
    pub(super) fn begin(&mut self, depth: Option<u32>, is_asked_for: bool) {
        let (n, depth) = (self.levels.len(), depth.map(|depth| depth as usize));
        if is_asked_for {
            let last = self.levels.first().filter(|_| depth.is_none_or(|depth| depth <= n));
            self.reach = last.map_or(Reach::Whole, |(price, _)| Reach::To(*price));
            self.cut = depth.filter(|depth| *depth <= n).map(|_| n);
        } else {
            self.most = Some(depth.unwrap_or(0));
        }
    }

    /// An update is in.
    pub(super) fn settle(&mut self) {
        if self.most.is_some_and(|most| most <= self.levels.len()) {
            self.reach = Reach::Held;
        }
    }

    /// Sets the levels of an update.
    pub(super) fn set_all(&mut self, half: &Half<'_>, is_snapshot: bool, decimals: (u32, u32)) -> Option<()> {
        let price_unit = *POW10.get((decimals.0 - half.price_decimals) as usize)?;
        let size_unit = *POW10.get((decimals.1 - half.size_decimals) as usize)?;
        let mut set = |(price, size): (&i64, &i64)| {
            self.set(price.checked_mul(price_unit)?, size.checked_mul(size_unit)?);
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

    fn set(&mut self, price: i64, size: i64) {
        let is_ask = self.is_ask;
        let found = self.levels.binary_search_by(|(have, _)| if is_ask { price.cmp(have) } else { have.cmp(&price) });
        match (found, size) {
            (Ok(at), 0) => drop(self.levels.remove(at)),
            (Ok(at), size) => self.levels[at].1 = size,
            (Err(_), 0) => {}
            (Err(at), size) => self.levels.insert(at, (price, size)),
        }
    }

    pub(super) fn best(&self) -> Option<Level> {
        self.levels.last().copied()
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

    /// The levels that are surely the venue's, the best last, and whether there are no others.
    pub(super) fn sure(&self) -> (&[Level], bool) {
        let first = self.levels.partition_point(|(price, _)| !self.has(*price));
        (&self.levels[first..], self.reach == Reach::Whole)
    }

    /// Whether too few of the best levels are surely all there are.
    pub(super) fn is_at_edge(&self) -> bool {
        let (Some(n), Reach::To(last)) = (self.cut, self.reach) else { return false };
        let at = self.levels.len().checked_sub(n.div_ceil(REACH));
        at.and_then(|at| self.levels.get(at)).is_none_or(|(price, _)| match self.is_ask {
            true => last < *price,
            false => *price < last,
        })
    }

    pub(super) fn truncate(&mut self, depth: usize) {
        let surplus = self.levels.len().saturating_sub(depth);
        self.levels.drain(..surplus);
    }

    pub(super) fn scale(&mut self, price: i64, size: i64) -> Option<()> {
        for level in &mut self.levels {
            *level = (level.0.checked_mul(price)?, level.1.checked_mul(size)?);
        }
        if let Reach::To(last) = &mut self.reach {
            *last = last.checked_mul(price)?;
        }
        Some(())
    }
}
