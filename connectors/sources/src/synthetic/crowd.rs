//! Orders with intent in a synthetic book: reserves that show little and absorb, walls that stand, walls that are pulled.

use prism_schemas::random::Random;

/// Seconds between two orders of a kind on a symbol, on average.
const EVERY: [f64; 3] = [150.0, 200.0, 120.0];
/// Seconds that one rests at most.
const RESTS: u64 = 400;
/// What an order is worth at least, in usual levels; up to twice as much.
const WORTH: [f64; 3] = [60.0, 28.0, 32.0];
/// A reserve shows so many usual levels.
const SHOWN: f64 = 2.0;
/// Steps of the grid from the best level to a wall, at least.
const AWAY: u64 = 3;

/// What an order is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It shows a little at the best price, again and again, until all of it is taken: an iceberg.
    Reserve,
    /// It is meant, and stays until it is taken.
    Wall,
    /// It is not, and goes when the price comes near: a spoof.
    Feint,
}

/// An order that rests.
#[derive(Clone, Copy, Debug)]
pub(super) struct Resting {
    pub(super) kind: Kind,
    pub(super) is_ask: bool,
    /// In ticks.
    pub(super) price: i64,
    /// What is left of it, in lots.
    pub(super) left: i64,
    /// What is to be seen of it.
    pub(super) shown: i64,
    /// Seconds until it is given up.
    rests: u64,
}

/// Those of a symbol, one of a kind at most.
#[derive(Clone, Debug)]
pub(super) struct Crowd {
    random: Random,
    orders: Vec<Resting>,
}

impl Crowd {
    pub(super) fn new(random: Random) -> Crowd {
        Crowd { random, orders: Vec::new() }
    }

    /// What rests on a side: prices and sizes.
    pub(super) fn levels(&self, is_ask: bool) -> impl Iterator<Item = (i64, i64)> + '_ {
        self.orders.iter().filter(move |order| order.is_ask == is_ask).map(|order| (order.price, order.shown))
    }

    /// A second passes with the best prices at `bid` and `ask`: some give up, some come. `lots` is a usual level, `grid` the
    /// distance of two.
    pub(super) fn second(&mut self, (bid, ask): (i64, i64), grid: i64, lots: f64) {
        self.orders.retain_mut(|order| {
            order.rests = order.rests.saturating_sub(1);
            let away = if order.is_ask { order.price - ask } else { bid - order.price };
            let is_near = away < 2 * grid;
            0 < order.rests && 0 < order.left && !(order.kind == Kind::Feint && is_near)
        });
        for (kind, (every, worth)) in
            [Kind::Reserve, Kind::Wall, Kind::Feint].into_iter().zip(EVERY.into_iter().zip(WORTH))
        {
            let (comes, is_ask) = (self.random.uniform() * every < 1.0, self.random.uniform() < 0.5);
            let (size, away) = (worth * lots * (1.0 + self.random.uniform()), AWAY + self.random.below(12));
            let rests = RESTS / 4 + self.random.below(3 * RESTS / 4);
            if !comes || self.orders.iter().any(|order| order.kind == kind) {
                continue;
            }
            let away = if kind == Kind::Reserve { 0 } else { grid * away as i64 };
            let price = if is_ask { ask + away } else { bid - away };
            let left = (size as i64).max(1);
            let shown = if kind == Kind::Reserve { ((SHOWN * lots) as i64).clamp(1, left) } else { left };
            if 0 < price {
                self.orders.push(Resting { kind, is_ask, price, left, shown, rests });
            }
        }
    }

    fn meant(&self) -> impl Iterator<Item = &Resting> {
        self.orders.iter().filter(|order| order.kind != Kind::Feint)
    }

    /// Where the best bid stands that wants to be at `bid`: no lower than bids that are meant, no higher than such asks.
    pub(super) fn holds(&self, bid: i64) -> i64 {
        self.meant().fold(bid, |bid, order| if order.is_ask { bid.min(order.price - 1) } else { bid.max(order.price) })
    }

    /// The side on which one rests at the best price that is meant: takers run against it.
    pub(super) fn is_pressed(&self, bid: i64, ask: i64) -> Option<bool> {
        let at_best = |order: &&Resting| order.price == if order.is_ask { ask } else { bid };
        self.meant().find(at_best).map(|order| order.is_ask)
    }

    /// Takers took so much at a price; what an order there shows from then on, if one rests there.
    pub(super) fn take(&mut self, is_ask: bool, price: i64, lots: i64) -> Option<i64> {
        let order = self.orders.iter_mut().find(|order| order.is_ask == is_ask && order.price == price)?;
        order.left = (order.left - lots).max(0);
        order.shown = order.shown.min(order.left);
        Some(order.shown)
    }
}
