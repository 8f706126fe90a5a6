//! Large orders that rest in a book: since when they stand, and what became of them.

use prism_schemas::{
    Ts,
    book::{Level, Sure},
};

/// A level counts within one in so many of mid.
const WITHIN: i128 = 100;
/// Levels of a side that tell what is usual, at least.
const FEW: usize = 10;
/// A wall is so many times as large as usual.
const LARGE: i128 = 5;
/// The largest of a side that become walls at once.
const AT_ONCE: usize = 5;
/// Walls of a side that stand at once.
const MOST: usize = 16;

/// A large level, at the end of a base interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Wall {
    pub is_ask: bool,
    pub price: i64,
    pub size: i64,
    /// Its largest size since it stands, at ends of intervals.
    pub largest: i64,
    /// The end from which it stands.
    pub since: Ts,
    /// Its size at the end before, unless it is new.
    pub before: Option<i64>,
    /// It ended here.
    pub is_over: bool,
}

impl Wall {
    /// The size that went since the end before.
    pub(crate) fn lost(&self) -> Option<i64> {
        self.before.map(|before| (before - self.size).max(0))
    }

    /// The same if nothing happens until the next end; none if it ended.
    pub(super) fn still(&self) -> Option<Wall> {
        (!self.is_over).then_some(Wall { before: Some(self.size), ..*self })
    }

    /// In finer units, where it fits.
    pub(super) fn scaled(&self, price: i64, size: i64) -> Option<Wall> {
        let sizes = [self.size, self.largest].map(|own| own.checked_mul(size));
        let (price, [Some(size), Some(largest)]) = (self.price.checked_mul(price)?, sizes) else { return None };
        Some(Wall { price, size, largest, ..*self })
    }
}

/// What a side of a book says of walls at an end.
pub(super) struct Side {
    /// Those that stand and those that ended, by rising price.
    pub walls: Vec<Wall>,
    /// The median size of a level near mid, where there are enough.
    pub usual: Option<i64>,
}

/// The walls of a side, of which `stood` did at the end before; `sum` is twice mid.
pub(super) fn walls(sure: &Sure<'_>, sum: i128, end: Ts, stood: impl Iterator<Item = Wall>) -> Side {
    let is_ask = sure.is_ask;
    let within = |price: i64| {
        let price = 2 * WITHIN * i128::from(price);
        if is_ask { price <= (WITHIN + 1) * sum } else { (WITHIN - 1) * sum <= price }
    };
    let near: Vec<Level> = sure.levels().take_while(|(price, _)| within(*price)).collect();
    let usual = (FEW <= near.len()).then(|| {
        let mut sizes: Vec<i64> = near.iter().map(|(_, size)| *size).collect();
        let middle = (sizes.len() - 1) / 2;
        *sizes.select_nth_unstable(middle).1
    });
    let mut walls: Vec<Wall> = stood.filter(|wall| sure.reaches(wall.price)).map(|wall| now(&wall, sure)).collect();
    if let Some(usual) = usual {
        let mut large: Vec<Level> =
            near.into_iter().filter(|(_, size)| LARGE * i128::from(usual) <= i128::from(*size)).collect();
        // The nearer of equal ones stay in front.
        large.sort_by_key(|(_, size)| std::cmp::Reverse(*size));
        for (price, size) in large.into_iter().take(AT_ONCE) {
            let n = walls.iter().filter(|wall| !wall.is_over).count();
            if n < MOST && !walls.iter().any(|wall| wall.price == price && !wall.is_over) {
                walls.push(Wall { is_ask, price, size, largest: size, since: end, before: None, is_over: false });
            }
        }
    }
    // What ended at a price stays before what is new there.
    walls.sort_by_key(|wall| wall.price);
    Side { walls, usual }
}

/// A wall that stood at the end before.
fn now(wall: &Wall, sure: &Sure<'_>) -> Wall {
    let size = sure.size_at(wall.price);
    let largest = wall.largest.max(size);
    Wall { size, largest, before: Some(wall.size), is_over: i128::from(size) * 2 < i128::from(largest), ..*wall }
}
