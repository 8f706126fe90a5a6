//! Order books rebuilt from snapshots and deltas, one state machine for every venue's numbering.
//!
//! Sources: Bybit <https://bybit-exchange.github.io/docs/v5/websocket/public/orderbook>, Binance spot
//! <https://developers.binance.com/docs/binance-spot-api-docs/web-socket-streams> and futures
//! <https://developers.binance.com/docs/derivatives> ("how to manage a local order book"), OKX
//! <https://www.okx.com/docs-v5/en/#order-book-trading-market-data-ws-order-book-channel>, Kraken
//! <https://docs.kraken.com/api/docs/guides/spot-ws-book-v1> and, of futures,
//! <https://docs.kraken.com/api/docs/futures-api/websocket/book>, Coinbase
//! <https://docs.cdp.coinbase.com/exchange/websocket-feed/channels>, Deribit
//! <https://docs.deribit.com/subscriptions/orderbook/bookinstrument_nameinterval>.

mod checksum;
mod rules;
mod side;
mod state;
mod update;

pub use checksum::Checksum;
pub use rules::{Numbering, Rules};
pub use side::Sure;
pub use state::{Applied, State, Trouble};
pub use update::{Half, Update};

use std::collections::VecDeque;

use crate::decimal::POW10;
use crate::event::{Book, Levels};
use side::Side;

/// Deltas kept while a snapshot is under way; the oldest make room, and a snapshot they would have joined is then refused.
const WAITING_MAX: usize = 1_000;

/// Updates in a row that may be older than the book, once one has joined it and before: with more of them the venue numbers
/// anew, and what said so was lost.
const OLD_MAX: [u32; 2] = [3, 100];

/// A price and a size, in units of the book's decimals.
pub type Level = (i64, i64);

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
    /// Levels of a side that the snapshot was asked for with, or that the venue tells.
    depth: Option<u32>,
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
            bids: Side::new(false),
            asks: Side::new(true),
            price_decimals: 0,
            size_decimals: 0,
            last: None,
            depth: None,
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

    /// Likewise, if no better ones can be missing: the price is within what the snapshot had.
    #[inline]
    pub fn sure_top(&self) -> Option<(Level, Level)> {
        if self.state == State::Live { self.bids.sure_best().zip(self.asks.sure_best()) } else { None }
    }

    /// Whether soon so few levels of the snapshot are left that it must be replaced: half of them are gone.
    pub fn is_near_edge(&self) -> bool {
        self.state == State::Live && (self.bids.is_near_edge() || self.asks.is_near_edge())
    }

    /// Bytes its levels take.
    pub fn bytes(&self) -> usize {
        self.bids.bytes() + self.asks.bytes()
    }

    /// The bids, then the asks, that are surely the venue's.
    pub fn sure(&self) -> [Sure<'_>; 2] {
        [&self.bids, &self.asks].map(Side::sure)
    }

    /// Bids, the best first.
    pub fn bids(&self) -> impl DoubleEndedIterator<Item = Level> + '_ {
        self.bids.levels()
    }

    /// Asks, the best first.
    pub fn asks(&self) -> impl DoubleEndedIterator<Item = Level> + '_ {
        self.asks.levels()
    }

    /// The book as one snapshot, for who did not see what it was made of: what is unknown beyond its levels stays so.
    pub fn whole(&self) -> Book {
        let sides = self.sure();
        let [bids, asks] = sides.map(|side| {
            let (prices, sizes) = side.levels().unzip();
            let (price_decimals, size_decimals) = self.decimals();
            Levels { prices, sizes, price_decimals, size_decimals }
        });
        let lengths = [&bids, &asks].map(|levels| levels.prices.len() as u32);
        // With fewer levels than these a side is whole.
        let cut = sides.iter().zip(lengths).filter(|(side, _)| !side.is_whole).map(|(_, n)| n).min();
        let depth = match (cut, self.rules.numbering) {
            (Some(cut), _) => self.depth.map(|told| told.min(cut)),
            (None, Numbering::Ranges | Numbering::Linked) => self.depth.map(|_| lengths[0].max(lengths[1]) + 1),
            (None, _) => self.depth,
        };
        Book { snapshot: true, bids: Some(bids), asks: Some(asks), update_id: self.last, depth, ..Book::default() }
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
    pub fn apply<'a>(&mut self, update: impl Into<Update<'a>>) -> Result<Applied, Trouble> {
        let applied = self.take(&update.into());
        if applied.is_err() {
            self.state = State::Suspect;
        }
        applied
    }

    fn take(&mut self, update: &Update<'_>) -> Result<Applied, Trouble> {
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
            (Numbering::Rising | Numbering::Chained | Numbering::Absent, State::Live) => {}
            // Their next snapshot comes by itself or by subscribing again, and nothing before it counts.
            (Numbering::Rising | Numbering::Chained | Numbering::Absent, _) => return Ok(Applied::Waiting),
            (Numbering::Ranges | Numbering::Linked | Numbering::Unknown, State::Live) => {}
            (_, State::Unsynced | State::Syncing | State::Suspect) => {
                self.state = State::Syncing;
                if self.waiting.len() == WAITING_MAX {
                    self.waiting.pop_front();
                }
                self.waiting.push_back(update.into());
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
            self.waiting = VecDeque::from([update.into()]);
        }
        followed
    }

    fn clear(&mut self) {
        self.bids.clear();
        self.asks.clear();
    }

    /// A snapshot takes the place of all levels.
    fn replace(&mut self, snapshot: &Update<'_>) -> Result<(), Trouble> {
        self.clear();
        (self.last, self.depth) = (snapshot.update_id, snapshot.depth);
        (self.joined, self.n_old) = (false, 0);
        let mut changed = self.change(snapshot);
        if changed == Err(Trouble::Unfit) {
            // One number of before with many decimals must not keep out what fits without it.
            self.clear();
            (self.price_decimals, self.size_decimals) = (0, 0);
            changed = self.change(snapshot);
        }
        changed?;
        let is_asked_for = matches!(self.rules.numbering, Numbering::Ranges | Numbering::Linked);
        for side in [&mut self.bids, &mut self.asks] {
            side.begin(snapshot.depth, is_asked_for);
            side.settle();
        }
        self.state = State::Live;
        Ok(())
    }

    /// Applies the deltas that waited for the snapshot and are not in it.
    fn join(&mut self) -> Result<Applied, Trouble> {
        let mut waiting = std::mem::take(&mut self.waiting);
        while let Some(update) = waiting.pop_front() {
            if let Err(trouble) = self.follow(&Update::from(&update)) {
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
    fn follow(&mut self, update: &Update<'_>) -> Result<Applied, Trouble> {
        if matches!(self.rules.numbering, Numbering::Absent | Numbering::Chained) {
            return self.follow_chain(update);
        }
        let (Some(last), Some(id)) = (self.last, update.update_id) else { return Err(Trouble::Unfit) };
        let is_next = |id: u64| last.checked_add(1) == Some(id);
        let (begins, follows) = match self.rules.numbering {
            Numbering::Ranges => {
                let first = update.first_update_id.ok_or(Trouble::Unfit)?;
                (first, is_next(first) || !self.joined && first <= last)
            }
            Numbering::Linked => {
                let previous = update.previous_update_id.ok_or(Trouble::Unfit)?;
                (previous, if self.joined { previous == last } else { previous <= last })
            }
            _ => (id, is_next(id)),
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

    /// Applies a delta that names the one before it, if it names any.
    fn follow_chain(&mut self, update: &Update<'_>) -> Result<Applied, Trouble> {
        match (self.last, update.previous_update_id) {
            (Some(after), Some(got)) if after != got => {
                // The same once more is no gap.
                return if update.update_id == Some(after) {
                    Ok(Applied::Old)
                } else {
                    Err(Trouble::Gap { after, got })
                };
            }
            (Some(_), Some(_)) => {}
            // Nothing would tell whether it follows.
            _ if self.rules.numbering == Numbering::Chained && update.checksum.is_none() => return Err(Trouble::Unfit),
            _ => {}
        }
        self.change(update)?;
        self.last = update.update_id.or(self.last);
        Ok(Applied::Changed)
    }

    /// Sets levels, and looks whether the result can be.
    fn change(&mut self, update: &Update<'_>) -> Result<(), Trouble> {
        let halves = || [&update.bids, &update.asks].into_iter().flatten();
        let prices = halves().map(|half| half.price_decimals).fold(self.price_decimals, u32::max);
        let sizes = halves().map(|half| half.size_decimals).fold(self.size_decimals, u32::max);
        self.scale(prices, sizes).ok_or(Trouble::Unfit)?;
        for (side, half) in [(&mut self.bids, &update.bids), (&mut self.asks, &update.asks)] {
            if let Some(half) = half {
                side.set_all(half, update.snapshot, (prices, sizes)).ok_or(Trouble::Unfit)?;
            }
            side.settle();
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

#[cfg(test)]
mod tests;
