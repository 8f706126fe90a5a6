//! Order books rebuilt from snapshots and deltas, one state machine for every venue's numbering.
//!
//! Sources: Bybit <https://bybit-exchange.github.io/docs/v5/websocket/public/orderbook>, Binance spot
//! <https://developers.binance.com/docs/binance-spot-api-docs/web-socket-streams> and futures
//! <https://developers.binance.com/docs/derivatives> ("how to manage a local order book"), OKX
//! <https://www.okx.com/docs-v5/en/#order-book-trading-market-data-ws-order-book-channel>, Kraken
//! <https://docs.kraken.com/api/docs/guides/spot-ws-book-v1>.

mod checksum;

pub use checksum::Checksum;

use std::collections::VecDeque;

use crate::decimal::POW10;
use crate::event::{Book, Levels};
use crate::{InstrumentId, Market};

/// Deltas kept while a snapshot is under way; the oldest make room, and a snapshot they would have joined is then refused.
const WAITING_MAX: usize = 1_000;

/// Updates in a row that may be older than the book, once one has joined it and before: with more of them the venue numbers
/// anew, and what said so was lost.
const OLD_MAX: [u32; 2] = [3, 100];

/// One in so many levels of a cut snapshot must still be there, from the best on: beyond the last one it had, levels that
/// did not change since are unknown.
const REACH: usize = 4;

/// How a venue numbers its updates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbering {
    /// `update_id` rises by one; 1 begins anew. Snapshots come on the stream (Bybit).
    Rising,
    /// `first_update_id` follows the last `update_id`. Snapshots are asked for (Binance spot).
    Ranges,
    /// `previous_update_id` is the last `update_id`. Snapshots are asked for (Binance futures).
    Linked,
    /// None: a checksum tells. Snapshots come on the stream (OKX, Kraken).
    Absent,
    /// Not known here: no update is taken, as nothing could tell whether the book is the venue's.
    Unknown,
}

/// A venue's rules for one instrument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// How updates follow each other.
    pub numbering: Numbering,
    /// What updates carry to compare with.
    pub checksum: Option<Checksum>,
    /// Whether levels beyond the depth subscribed to must be dropped here.
    pub truncates: bool,
}

impl Rules {
    /// The rules of an instrument's venue and market.
    pub fn of(instrument: &InstrumentId) -> Rules {
        let (numbering, checksum) = match (&*instrument.exchange, instrument.market) {
            ("binance", Market::Spot) => (Numbering::Ranges, None),
            ("binance", _) => (Numbering::Linked, None),
            ("okx", _) => (Numbering::Absent, Some(Checksum::Okx)),
            ("kraken", _) => (Numbering::Absent, Some(Checksum::Kraken)),
            ("bybit", _) => (Numbering::Rising, None),
            _ => (Numbering::Unknown, None),
        };
        Rules { numbering, checksum, truncates: checksum == Some(Checksum::Kraken) }
    }
}

/// How far a book can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing was received yet.
    Unsynced,
    /// Deltas wait for a snapshot.
    Syncing,
    /// Equal to the venue's.
    Live,
    /// Updates are missing or contradict: it must not feed a score until the next snapshot.
    Suspect,
}

/// What an update did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// The book is that of the update.
    Changed,
    /// It was older than the book.
    Old,
    /// It waits for a snapshot.
    Waiting,
}

/// Why a book became suspect. In every case the caller has this instrument alone synchronised anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// Updates are missing.
    #[error("update {got} does not follow {after}")]
    Gap {
        /// The last update applied.
        after: u64,
        /// The update that came.
        got: u64,
    },
    /// The snapshot is older than the deltas that wait for it: ask again.
    #[error("the snapshot at {snapshot} ends before the first delta, {first}")]
    TooOld {
        /// The snapshot's update.
        snapshot: u64,
        /// The first update that waits.
        first: u64,
    },
    /// The best bid is not below the best ask.
    #[error("the book is crossed")]
    Crossed,
    /// The price moved to where the snapshot was cut.
    #[error("the price is near the last level that the snapshot had")]
    Edge,
    /// It is not the venue's book.
    #[error("checksum {ours} is not the venue's {theirs}")]
    Checksum {
        /// Of the book as it is here.
        ours: u32,
        /// As it came.
        theirs: u32,
    },
    /// A number does not fit 64 bits at the instrument's decimals, or a field the rules need is missing.
    #[error("the update has no update id, or a price or size that does not fit")]
    Unfit,
    /// The venue's rules are not known to this version: its books cannot be checked.
    #[error("how this venue numbers its updates is not known")]
    Unknown,
}

/// A price and a size, in units of the book's decimals.
pub type Level = (i64, i64);

/// Levels of one side in order, the best last: changes are mostly near the best, so little moves.
#[derive(Clone, Debug, Default)]
struct Side {
    levels: Vec<Level>,
    /// Whether a lower price is better.
    is_ask: bool,
    /// Where the snapshot was cut, if it was: its last price, and how many levels it had.
    edge: Option<(i64, usize)>,
}

impl Side {
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

    fn best(&self) -> Option<Level> {
        self.levels.last().copied()
    }

    /// Whether too few of the best levels are surely all there are.
    fn is_at_edge(&self) -> bool {
        self.edge.is_some_and(|(edge, n)| {
            let at = self.levels.len().checked_sub(n.div_ceil(REACH));
            at.and_then(|at| self.levels.get(at)).is_none_or(|(price, _)| match self.is_ask {
                true => edge < *price,
                false => *price < edge,
            })
        })
    }

    fn truncate(&mut self, depth: usize) {
        let surplus = self.levels.len().saturating_sub(depth);
        self.levels.drain(..surplus);
    }

    fn scale(&mut self, price: i64, size: i64) -> Option<()> {
        for level in &mut self.levels {
            *level = (level.0.checked_mul(price)?, level.1.checked_mul(size)?);
        }
        if let Some((edge, _)) = &mut self.edge {
            *edge = edge.checked_mul(price)?;
        }
        Some(())
    }
}

/// One instrument's book.
#[derive(Clone, Debug)]
pub struct OrderBook {
    rules: Rules,
    state: State,
    bids: Side,
    asks: Side,
    price_decimals: u32,
    size_decimals: u32,
    /// The last update applied.
    last: Option<u64>,
    /// Whether a delta has joined the snapshot: only the first may overlap it.
    joined: bool,
    /// Older updates in a row.
    n_old: u32,
    waiting: VecDeque<Book>,
}

impl OrderBook {
    /// An empty book under these rules.
    pub fn new(rules: Rules) -> OrderBook {
        OrderBook {
            rules,
            state: State::Unsynced,
            bids: Side::default(),
            asks: Side { is_ask: true, ..Side::default() },
            price_decimals: 0,
            size_decimals: 0,
            last: None,
            joined: false,
            n_old: 0,
            waiting: VecDeque::new(),
        }
    }

    /// How far it can be trusted.
    pub fn state(&self) -> State {
        self.state
    }

    /// The last update applied.
    pub fn last_update(&self) -> Option<u64> {
        self.last
    }

    /// The best bid and the best ask, if both sides have one and the book is live: no other has prices to go by.
    pub fn top(&self) -> Option<(Level, Level)> {
        if self.state == State::Live { self.bids.best().zip(self.asks.best()) } else { None }
    }

    /// Bids, the best first.
    pub fn bids(&self) -> impl ExactSizeIterator<Item = Level> + '_ {
        self.bids.levels.iter().rev().copied()
    }

    /// Asks, the best first.
    pub fn asks(&self) -> impl ExactSizeIterator<Item = Level> + '_ {
        self.asks.levels.iter().rev().copied()
    }

    /// Decimals of prices and of sizes: the most seen so far.
    pub fn decimals(&self) -> (u32, u32) {
        (self.price_decimals, self.size_decimals)
    }

    /// The connection was lost: what comes next does not follow.
    pub fn reset(&mut self) {
        *self = OrderBook::new(self.rules);
    }

    /// Takes an update. After `Trouble` the book is suspect until a snapshot comes.
    pub fn apply(&mut self, update: &Book) -> Result<Applied, Trouble> {
        let applied = self.take(update);
        if applied.is_err() {
            self.state = State::Suspect;
        }
        applied
    }

    fn take(&mut self, update: &Book) -> Result<Applied, Trouble> {
        if self.rules.numbering == Numbering::Unknown {
            return Err(Trouble::Unknown);
        }
        let is_asked_for = matches!(self.rules.numbering, Numbering::Ranges | Numbering::Linked);
        if update.snapshot {
            if is_asked_for && self.state == State::Live && update.update_id <= self.last {
                return Ok(Applied::Old);
            }
            self.replace(update)?;
            return if is_asked_for { self.join() } else { Ok(Applied::Changed) };
        }
        match (self.rules.numbering, self.state) {
            (Numbering::Rising | Numbering::Absent, State::Live) => {}
            // Their next snapshot comes by itself or by subscribing again, and nothing before it counts.
            (Numbering::Rising | Numbering::Absent, _) => return Ok(Applied::Waiting),
            (Numbering::Ranges | Numbering::Linked | Numbering::Unknown, State::Live) => {}
            (_, State::Unsynced | State::Syncing | State::Suspect) => {
                self.state = State::Syncing;
                if self.waiting.len() == WAITING_MAX {
                    self.waiting.pop_front();
                }
                self.waiting.push_back(update.clone());
                return Ok(Applied::Waiting);
            }
        }
        let mut followed = self.follow(update);
        self.n_old = if followed == Ok(Applied::Old) { self.n_old + 1 } else { 0 };
        if OLD_MAX[usize::from(!self.joined)] < self.n_old {
            followed = Err(Trouble::Gap { after: self.last.unwrap_or(0), got: update.update_id.unwrap_or(0) });
        }
        if followed.is_err() && is_asked_for {
            // It is the first that the next snapshot must be joined with.
            self.waiting = VecDeque::from([update.clone()]);
        }
        followed
    }

    /// A snapshot takes the place of all levels.
    fn replace(&mut self, snapshot: &Book) -> Result<(), Trouble> {
        for side in [&mut self.bids, &mut self.asks] {
            side.levels.clear();
            side.edge = None;
        }
        self.last = snapshot.update_id;
        (self.joined, self.n_old) = (false, 0);
        self.change(snapshot)?;
        if let Some(depth) = snapshot.depth
            && matches!(self.rules.numbering, Numbering::Ranges | Numbering::Linked)
        {
            for side in [&mut self.bids, &mut self.asks] {
                let n = side.levels.len();
                side.edge = side.levels.first().filter(|_| depth as usize <= n).map(|(price, _)| (*price, n));
            }
        }
        self.state = State::Live;
        Ok(())
    }

    /// Applies the deltas that waited for the snapshot and are not in it.
    fn join(&mut self) -> Result<Applied, Trouble> {
        let mut waiting = std::mem::take(&mut self.waiting);
        while let Some(update) = waiting.pop_front() {
            if let Err(trouble) = self.follow(&update) {
                waiting.push_front(update);
                self.waiting = waiting;
                return Err(match (trouble, self.joined) {
                    (Trouble::Gap { after, got }, false) => Trouble::TooOld { snapshot: after, first: got },
                    (trouble, _) => trouble,
                });
            }
        }
        Ok(Applied::Changed)
    }

    /// Applies a delta if it is the next one.
    fn follow(&mut self, update: &Book) -> Result<Applied, Trouble> {
        if self.rules.numbering == Numbering::Absent {
            self.change(update)?;
            return Ok(Applied::Changed);
        }
        let (Some(last), Some(id)) = (self.last, update.update_id) else { return Err(Trouble::Unfit) };
        let (begins, follows) = match self.rules.numbering {
            Numbering::Ranges => {
                let first = update.first_update_id.ok_or(Trouble::Unfit)?;
                (first, if self.joined { first == last + 1 } else { first <= last + 1 })
            }
            Numbering::Linked => {
                let previous = update.previous_update_id.ok_or(Trouble::Unfit)?;
                (previous, if self.joined { previous == last } else { previous <= last })
            }
            Numbering::Rising | Numbering::Absent | Numbering::Unknown => (id, id == last + 1),
        };
        // Old: already in the snapshot, or sent twice.
        if id <= last && !(self.rules.numbering == Numbering::Rising && id == 1) {
            return Ok(Applied::Old);
        }
        if !follows {
            return Err(Trouble::Gap { after: last, got: begins });
        }
        self.change(update)?;
        self.last = Some(id);
        self.joined = true;
        if self.bids.is_at_edge() || self.asks.is_at_edge() {
            return Err(Trouble::Edge);
        }
        Ok(Applied::Changed)
    }

    /// Sets levels, and looks whether the result can be.
    fn change(&mut self, update: &Book) -> Result<(), Trouble> {
        let sides = || [&update.bids, &update.asks].into_iter().flatten();
        let prices = sides().map(|levels| levels.price_decimals).fold(self.price_decimals, u32::max);
        let sizes = sides().map(|levels| levels.size_decimals).fold(self.size_decimals, u32::max);
        self.scale(prices, sizes).ok_or(Trouble::Unfit)?;
        for (side, levels) in [(&mut self.bids, &update.bids), (&mut self.asks, &update.asks)] {
            if let Some(levels) = levels {
                set(side, levels, update.snapshot, prices, sizes).ok_or(Trouble::Unfit)?;
            }
        }
        if self.rules.truncates
            && let Some(depth) = update.depth
        {
            self.bids.truncate(depth as usize);
            self.asks.truncate(depth as usize);
        }
        if self.bids.best().zip(self.asks.best()).is_some_and(|(bid, ask)| ask.0 <= bid.0) {
            return Err(Trouble::Crossed);
        }
        if let (Some(rule), Some(theirs)) = (self.rules.checksum, update.checksum) {
            let ours = rule.of(self);
            if ours != theirs {
                return Err(Trouble::Checksum { ours, theirs });
            }
        }
        Ok(())
    }

    /// Grows the decimals of all levels.
    fn scale(&mut self, prices: u32, sizes: u32) -> Option<()> {
        let power = |from: u32, to: u32| POW10.get((to - from) as usize).copied();
        let (price, size) = (power(self.price_decimals, prices)?, power(self.size_decimals, sizes)?);
        if price != 1 || size != 1 {
            self.bids.scale(price, size)?;
            self.asks.scale(price, size)?;
            (self.price_decimals, self.size_decimals) = (prices, sizes);
        }
        Some(())
    }
}

fn set(side: &mut Side, levels: &Levels, is_snapshot: bool, price_decimals: u32, size_decimals: u32) -> Option<()> {
    let price_unit = *POW10.get((price_decimals - levels.price_decimals) as usize)?;
    let size_unit = *POW10.get((size_decimals - levels.size_decimals) as usize)?;
    let mut set = |(price, size): (&i64, &i64)| {
        side.set(price.checked_mul(price_unit)?, size.checked_mul(size_unit)?);
        Some(())
    };
    let mut pairs = levels.prices.iter().zip(&levels.sizes);
    match is_snapshot {
        // The best come first: set from the back, each goes to the end.
        true => pairs.rev().try_for_each(&mut set),
        // Of a price that is named twice the last holds.
        false => pairs.try_for_each(&mut set),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn levels(pairs: &[(i64, i64)]) -> Option<Levels> {
        let (prices, sizes) = pairs.iter().copied().unzip();
        Some(Levels { prices, sizes, price_decimals: 1, size_decimals: 0 })
    }

    fn update(snapshot: bool, ids: (u64, u64), bids: &[(i64, i64)], asks: &[(i64, i64)]) -> Book {
        let (first, last) = ids;
        Book {
            snapshot,
            bids: levels(bids),
            asks: levels(asks),
            first_update_id: Some(first),
            update_id: Some(last),
            previous_update_id: first.checked_sub(1),
            ..Book::default()
        }
    }

    fn book(numbering: Numbering) -> OrderBook {
        OrderBook::new(Rules { numbering, checksum: None, truncates: false })
    }

    #[test]
    fn a_rising_book_gaps_alone_and_a_snapshot_mends_it() {
        let mut book = book(Numbering::Rising);
        assert_eq!(book.apply(&update(false, (5, 5), &[(99, 1)], &[])), Ok(Applied::Waiting));
        assert_eq!(book.apply(&update(true, (7, 7), &[(99, 1), (98, 2)], &[(101, 1)])), Ok(Applied::Changed));
        assert_eq!(book.apply(&update(false, (8, 8), &[(99, 0), (100, 4)], &[])), Ok(Applied::Changed));
        assert_eq!(book.top(), Some(((100, 4), (101, 1))));
        // Sent twice: nothing happens.
        assert_eq!(book.apply(&update(false, (8, 8), &[(100, 9)], &[])), Ok(Applied::Old));
        assert_eq!(book.apply(&update(false, (10, 10), &[], &[])), Err(Trouble::Gap { after: 8, got: 10 }));
        assert_eq!(book.state(), State::Suspect);
        assert_eq!(book.apply(&update(false, (11, 11), &[], &[])), Ok(Applied::Waiting));
        assert_eq!(book.state(), State::Suspect);
        // A restart of the venue begins again at 1.
        assert_eq!(book.apply(&update(true, (1, 1), &[(50, 1)], &[(51, 1)])), Ok(Applied::Changed));
        assert_eq!((book.state(), book.top()), (State::Live, Some(((50, 1), (51, 1)))));
        assert_eq!(book.apply(&update(false, (1, 1), &[], &[])), Err(Trouble::Gap { after: 1, got: 1 }));
    }

    #[test]
    fn deltas_wait_for_the_snapshot_they_join() {
        for numbering in [Numbering::Ranges, Numbering::Linked] {
            let mut book = book(numbering);
            for ids in [(1, 3), (4, 6), (7, 9)] {
                let size = ids.1 as i64;
                assert_eq!(book.apply(&update(false, ids, &[(90, size)], &[(110, size)])), Ok(Applied::Waiting));
            }
            assert_eq!(book.state(), State::Syncing);
            // In the snapshot: 1 to 5. The delta 4 to 6 overlaps it, as the first one may.
            assert_eq!(book.apply(&update(true, (0, 5), &[(90, 5)], &[(110, 5)])), Ok(Applied::Changed));
            assert_eq!((book.last_update(), book.top()), (Some(9), Some(((90, 9), (110, 9)))));
            assert!(book.apply(&update(false, (11, 12), &[], &[])).is_err(), "10 is missing");
            assert_eq!(book.state(), State::Suspect);
            // What comes while the next snapshot is under way joins it, the one that showed the gap too.
            assert_eq!(book.apply(&update(false, (13, 14), &[(91, 1)], &[])), Ok(Applied::Waiting));
            let early = book.apply(&update(true, (0, 8), &[(90, 5)], &[(110, 5)]));
            assert!(matches!(early, Err(Trouble::TooOld { snapshot: 8, .. })), "{early:?}");
            assert_eq!(book.apply(&update(true, (0, 11), &[(90, 5)], &[(110, 5)])), Ok(Applied::Changed));
            assert_eq!((book.last_update(), book.state()), (Some(14), State::Live));
            assert_eq!(book.top(), Some(((91, 1), (110, 5))));
        }
    }

    #[test]
    fn a_venue_that_numbers_anew_is_noticed_though_nothing_said_so() {
        for numbering in [Numbering::Rising, Numbering::Ranges, Numbering::Linked] {
            let mut book = book(numbering);
            book.apply(&update(true, (0, 900), &[(99, 1)], &[(101, 1)])).unwrap();
            assert_eq!(book.apply(&update(false, (901, 901), &[], &[])), Ok(Applied::Changed));
            // The update that said so, 1, is lost.
            for id in 2..5 {
                assert_eq!(book.apply(&update(false, (id, id), &[(98, 1)], &[])), Ok(Applied::Old));
            }
            assert_eq!(book.apply(&update(false, (5, 5), &[], &[])), Err(Trouble::Gap { after: 901, got: 5 }));
            assert_eq!(book.state(), State::Suspect);
        }
    }

    #[test]
    fn a_price_that_leaves_the_snapshot_behind_needs_a_new_one() {
        for (numbering, depth) in [(Numbering::Linked, 8), (Numbering::Ranges, 8), (Numbering::Linked, 1_000)] {
            let mut book = book(numbering);
            let side = |from: i64, step: i64| (0..8).map(|n| (from + n * step, 1)).collect::<Vec<_>>();
            let around = |mid: i64| [side(mid - 1, -1), side(mid + 1, 1)];
            let snapshot = |id: u64, mid: i64| {
                let [bids, asks] = around(mid);
                Book { depth: Some(depth), ..update(true, (0, id), &bids, &asks) }
            };
            book.apply(&snapshot(10, 1_000)).unwrap();
            // The price rises by a level with each update, the asks below it go, and far ones are told as they come.
            let mut rise = |id: u64| {
                let mid = 1_000 + id as i64 - 10;
                book.apply(&update(false, (id, id), &[(mid, 1)], &[(mid, 0), (mid + 8, 1)]))
            };
            let whole = (11..=16).map(&mut rise).collect::<Vec<_>>();
            assert_eq!(whole, [Ok(Applied::Changed); 6], "two of eight are left");
            if depth == 1_000 {
                // The snapshot had fewer levels than it could have: it was the whole book.
                assert_eq!(rise(17), Ok(Applied::Changed));
                continue;
            }
            assert_eq!(rise(17), Err(Trouble::Edge));
            assert_eq!(book.state(), State::Suspect);
            assert_eq!(book.apply(&update(false, (18, 18), &[(1_007, 7)], &[])), Ok(Applied::Waiting));
            assert_eq!(book.apply(&snapshot(17, 1_007)), Ok(Applied::Changed));
            assert_eq!((book.state(), book.top()), (State::Live, Some(((1_007, 7), (1_008, 1)))));
        }
    }

    #[test]
    fn a_crossed_book_is_suspect() {
        let mut book = book(Numbering::Rising);
        book.apply(&update(true, (1, 1), &[(99, 1)], &[(101, 1)])).unwrap();
        assert_eq!(book.apply(&update(false, (2, 2), &[(101, 1)], &[])), Err(Trouble::Crossed));
        assert_eq!((book.state(), book.top()), (State::Suspect, None));
    }

    #[test]
    fn decimals_grow_and_what_does_not_fit_is_refused() {
        let mut book = book(Numbering::Rising);
        book.apply(&update(true, (1, 1), &[(99, 1)], &[(101, 1)])).unwrap();
        let mut finer = update(false, (2, 2), &[(9905, 15)], &[]);
        finer.bids.as_mut().unwrap().price_decimals = 3;
        finer.bids.as_mut().unwrap().size_decimals = 1;
        assert_eq!(book.apply(&finer), Ok(Applied::Changed));
        assert_eq!((book.decimals(), book.top()), ((3, 1), Some(((9905, 15), (10100, 10)))));
        let huge = update(false, (3, 3), &[(i64::MAX / 2, 1)], &[]);
        assert_eq!(book.apply(&huge), Err(Trouble::Unfit));
    }

    #[test]
    fn of_a_price_named_twice_in_a_delta_the_last_holds() {
        let mut book = book(Numbering::Rising);
        book.apply(&update(true, (1, 1), &[(99, 1)], &[(101, 1)])).unwrap();
        let twice = update(false, (2, 2), &[(100, 5), (100, 0)], &[(101, 0), (101, 7)]);
        assert_eq!(book.apply(&twice), Ok(Applied::Changed));
        assert_eq!(book.top(), Some(((99, 1), (101, 7))));
    }

    #[test]
    fn a_venue_whose_numbering_is_not_known_has_no_live_book() {
        let of = |exchange| Rules::of(&InstrumentId::new(exchange, Market::Spot, "BTCUSDT"));
        assert_eq!(of("bybit").numbering, Numbering::Rising);
        let mut book = OrderBook::new(of("elsewhere"));
        assert_eq!(book.apply(&update(true, (1, 1), &[(99, 1)], &[(101, 1)])), Err(Trouble::Unknown));
        assert_eq!(book.apply(&update(false, (2, 2), &[], &[])), Err(Trouble::Unknown));
        assert_eq!((book.state(), book.top()), (State::Suspect, None));
    }
}
