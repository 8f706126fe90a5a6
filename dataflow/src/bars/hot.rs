//! The newest open interval of an instrument, at hand: nearly every trade is folded here, in a few lines of memory.

use prism_schemas::Ts;

use super::{
    fold::{Fold, Order, Scale, price_at},
    identities::{Identities, Known},
};
use crate::{
    event::{Shape, Trade},
    settings::Settings,
    types::Time,
};

/// What became of a trade.
pub(super) enum Taken {
    /// It is folded.
    Folded,
    /// Its identity came before.
    Again,
    /// Something about it is not as usual: nothing happened.
    Not,
}

/// Trades of one shape and interval, as sums of their own mantissas, and the identities of the instrument's trades.
///
/// What it holds belongs to the fold of its slot, where `Tape::settle` puts it before that is read. Fields are in the order
/// in which a trade touches them: the first three lines of memory for one that is newer than all before it.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub(super) struct Hot {
    held: Held,
    pub(super) identities: Identities,
    begun: Begun,
}

/// What nearly every trade changes.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
struct Held {
    /// Event times that it takes: `length` nanoseconds from here. None if it is not open.
    from: Ts,
    length: u64,
    /// The newest knowledge time that is in time.
    known_to: Time,
    shape: Shape,
    last: (Ts, u64),
    close: u64,
    last_id: u64,
    high: u64,
    low: u64,
    turnover: u128,
    volume: u64,
    buy_volume: u64,
    n_trades: u32,
    n_buys: u32,
    /// The turnover that no trade exceeds.
    most: u64,
    last_index: u16,
}

impl Default for Held {
    fn default() -> Held {
        Held {
            from: 0,
            length: 0,
            known_to: 0,
            shape: Shape::new(0, 0, 0, 0, false),
            last: (Ts::MIN, 0),
            close: 0,
            last_id: 0,
            high: 0,
            low: u64::MAX,
            turnover: 0,
            volume: 0,
            buy_volume: 0,
            n_trades: 0,
            n_buys: 0,
            most: 0,
            last_index: 0,
        }
    }
}

/// The first of the trades, and the start of the interval.
#[derive(Clone, Copy, Debug)]
struct Begun {
    first: Order,
    open: u64,
    first_id: u64,
    start: Ts,
}

impl Default for Begun {
    fn default() -> Begun {
        Begun { first: (Ts::MAX, 0, 0), open: 0, first_id: 0, start: Ts::MIN }
    }
}

impl Hot {
    /// Folds a trade that is of its interval and shape, in time, and like most in all else.
    #[inline(always)]
    pub(super) fn take(&mut self, trade: &Trade, settings: &Settings) -> Taken {
        let held = &mut self.held;
        let is_usual = trade.shape == held.shape
            && (trade.ts_event.wrapping_sub(held.from) as u64) < held.length
            && trade.known <= held.known_to
            && 0 < trade.price
            && 0 < trade.size
            && trade.ts_event.saturating_sub(trade.ts_recv) <= settings.time.max_ahead;
        let (price, size) = (trade.price as u64, trade.size as u64);
        let order = (trade.ts_event, trade.seq, trade.index);
        let is_newest = (held.last.0, held.last.1, held.last_index) < order;
        let (Some(turnover), Some(volume)) = (price.checked_mul(size), held.volume.checked_add(size)) else {
            return Taken::Not;
        };
        // What ties with the first or the last is ordered by more than is at hand.
        if !is_usual || held.most < turnover || !is_newest && held.ties(order, &self.begun) {
            return Taken::Not;
        }
        match self.identities.hear(trade, settings) {
            Known::First => {}
            Known::Again => return Taken::Again,
            // Where identities make room, whoever asks again hears the same.
            Known::Unsure => return Taken::Not,
        }
        if is_newest {
            (held.last, held.last_index) = ((order.0, order.1), order.2);
            (held.close, held.last_id) = (price, trade.id);
        }
        if !is_newest || held.n_trades == 0 {
            self.begun.add(order, trade);
        }
        held.high = held.high.max(price);
        held.low = held.low.min(price);
        held.turnover += u128::from(turnover);
        held.volume = volume;
        held.buy_volume += if trade.buy { size } else { 0 };
        held.n_trades += 1;
        held.n_buys += u32::from(trade.buy);
        Taken::Folded
    }

    /// Bytes it keeps.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Hot>() + self.identities.bytes()
    }

    /// Opens for trades like this one from `from` until `end` known by `known_to`, in an interval that starts at `start`.
    pub(super) fn open(&mut self, start: Ts, from: Ts, end: Ts, known_to: Ts, shape: Shape, most: u64) {
        let length = u64::try_from(end - from).unwrap_or(0);
        self.held = Held { from, length, known_to: known_to as Time, shape, most, ..Held::default() };
        self.begun = Begun { start, ..Begun::default() };
    }

    /// Start of its interval; `Ts::MIN` if it is not open.
    pub(super) fn start(&self) -> Ts {
        self.begun.start
    }

    /// What it holds and the start of its interval; it is not open any more.
    pub(super) fn settle(&mut self, scale: &Scale) -> Option<(Ts, Fold)> {
        let fold = self.fold(scale);
        (self.held, self.begun) = (Held::default(), Begun::default());
        fold
    }

    /// The same; it stays open for what follows, and knows the last trade that it is to be newer than.
    pub(super) fn drain(&mut self, scale: &Scale) -> Option<(Ts, Fold)> {
        let fold = self.fold(scale);
        let Held { from, length, known_to, shape, last, close, last_id, most, last_index, .. } = self.held;
        self.held = Held { from, length, known_to, shape, last, close, last_id, most, last_index, ..Held::default() };
        self.begun = Begun { start: self.begun.start, ..Begun::default() };
        fold
    }

    fn fold(&self, scale: &Scale) -> Option<(Ts, Fold)> {
        let (held, begun) = (&self.held, &self.begun);
        if held.n_trades == 0 {
            return None;
        }
        let (volume, turnover) = scale.sums(held.shape, held.turnover);
        let price = |mantissa: u64| price_at(held.shape, mantissa as i64);
        let fold = Fold {
            first: begun.first,
            last: (held.last.0, held.last.1, held.last_index),
            open: price(begun.open),
            high: price(held.high),
            low: price(held.low),
            close: price(held.close),
            volume: i128::from(held.volume).saturating_mul(volume),
            turnover,
            buy_volume: i128::from(held.buy_volume).saturating_mul(volume),
            n_trades: held.n_trades.into(),
            n_buys: held.n_buys.into(),
            is_unsided: held.shape.is_unsided(),
            first_id: held.shape.event_id(begun.first_id),
            last_id: held.shape.event_id(held.last_id),
        };
        Some((begun.start, fold))
    }
}

impl Held {
    #[cold]
    fn ties(&self, order: Order, begun: &Begun) -> bool {
        order == (self.last.0, self.last.1, self.last_index) || order == begun.first
    }
}

impl Begun {
    #[cold]
    fn add(&mut self, order: Order, trade: &Trade) {
        if order < self.first {
            (self.first, self.open, self.first_id) = (order, trade.price as u64, trade.id);
        }
    }
}
