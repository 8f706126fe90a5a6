//! The exact fold of trades into one bar: it commutes, so the order of arrival cannot show.

use prism_schemas::{
    Ts,
    decimal::{DECIMALS_MAX, POW10},
};

use crate::{
    bar::EventId,
    event::{Shape, Trade},
};

/// Decimals of the base volume of inverse contracts.
const INVERSE_DECIMALS: u32 = 12;

/// Most decimals of a turnover. A product with more is rounded to these, for each trade alike.
const TURNOVER_DECIMALS: u32 = 20;

/// No trade is worth more quote than this; 10^4 such trades fit a bar even at the most decimals of a turnover.
const TURNOVER_MOST: i128 = 100_000_000_000_000;

/// Powers of ten as floats, all exact.
const TEN_TO: [f64; 1 + TURNOVER_DECIMALS as usize] = {
    let mut powers = [1.0; 1 + TURNOVER_DECIMALS as usize];
    let mut at = 1;
    while at < powers.len() {
        powers[at] = 10.0 * powers[at - 1];
        at += 1;
    }
    powers
};

/// The instrument's own decimals: the most seen so far. What a trade is worth does not depend on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Scale {
    price: u32,
    size: u32,
    /// Quote value of one contract, for inverse contracts.
    contract: Option<(i64, u32)>,
    /// One of quote as a turnover at this scale.
    unit: i128,
    /// The turnover that no trade exceeds, at this scale.
    most: i128,
}

impl Default for Scale {
    fn default() -> Scale {
        Scale { price: 0, size: 0, contract: None, unit: 1, most: TURNOVER_MOST }
    }
}

impl Scale {
    /// Whether it has all decimals of a trade, and its contract size.
    #[inline(always)]
    pub(super) fn fits(&self, trade: &Trade) -> bool {
        u32::from(trade.shape.price_decimals()) <= self.price
            && u32::from(trade.shape.size_decimals()) <= self.size
            && (!trade.shape.is_inverse() || self.contract.is_some())
    }

    /// The scale that also has the decimals of a trade, and this contract size; `None` if they are more than a number may have.
    pub(super) fn with(&self, trade: &Trade, contract: Option<(i64, u32)>) -> Option<Scale> {
        let price = self.price.max(trade.shape.price_decimals().into());
        let size = self.size.max(trade.shape.size_decimals().into());
        if DECIMALS_MAX < price.max(size) {
            return None;
        }
        let scale = Scale { price, size, contract: self.contract.or(contract), unit: 1, most: 0 };
        let unit = ten_to_integer(scale.turnover_decimals())?;
        Some(Scale { unit, most: TURNOVER_MOST.checked_mul(unit)?, ..scale })
    }

    fn volume_decimals(&self) -> u32 {
        if self.contract.is_some() { INVERSE_DECIMALS } else { self.size }
    }

    fn turnover_decimals(&self) -> u32 {
        (self.contract.map_or(self.price, |(_, decimals)| decimals) + self.size).min(TURNOVER_DECIMALS)
    }

    /// A volume as a float.
    pub(super) fn volume(&self, mantissa: i128) -> f64 {
        float(mantissa, self.volume_decimals())
    }

    /// A turnover as a float.
    pub(super) fn turnover(&self, mantissa: i128) -> f64 {
        float(mantissa, self.turnover_decimals())
    }

    /// The whole quote of a turnover.
    pub(super) fn whole_quote(&self, turnover: i128) -> u64 {
        match (u64::try_from(turnover), u64::try_from(self.unit)) {
            // Much faster, and nearly always.
            (Ok(turnover), Ok(unit)) => turnover / unit,
            _ => u64::try_from(turnover / self.unit).unwrap_or(u64::MAX),
        }
    }

    /// What volumes and turnovers are to be multiplied by, to be at a scale with more decimals.
    pub(super) fn ups(&self, to: &Scale) -> (i128, i128) {
        let up = |have: u32, want: u32| ten_to_integer(want - have).unwrap_or(i128::MAX);
        (up(self.volume_decimals(), to.volume_decimals()), up(self.turnover_decimals(), to.turnover_decimals()))
    }

    /// The trade's parts at this scale, which must fit it; `None` if they are out of range at whatever scale.
    #[inline(always)]
    pub(super) fn part(&self, trade: &Trade) -> Option<Part> {
        let up = |mantissa: i64, from: u8, to: u32| mantissa.checked_mul(*POW10.get((to - u32::from(from)) as usize)?);
        let (price, size) = (
            up(trade.price, trade.shape.price_decimals(), self.price),
            up(trade.size, trade.shape.size_decimals(), self.size),
        );
        let part = match (price, size) {
            (Some(price), Some(size)) if self.contract.is_none() && self.price + self.size <= TURNOVER_DECIMALS => {
                let turnover = i128::from(price) * i128::from(size);
                Part { price: price_of(trade), volume: i128::from(size), turnover }
            }
            _ => self.wide_part(trade)?,
        };
        (part.turnover <= self.most).then_some(part)
    }

    /// The same from the trade's own mantissas, for all that needs more than 64 bits.
    #[inline(never)]
    fn wide_part(&self, trade: &Trade) -> Option<Part> {
        let (price, size) = (i128::from(trade.price), i128::from(trade.size));
        let decimals = [trade.shape.price_decimals(), trade.shape.size_decimals()];
        let [price_decimals, size_decimals] = decimals.map(u32::from);
        let (volume, value, decimals) = match self.contract {
            None => (at(size, size_decimals, self.size)?, price * size, price_decimals + size_decimals),
            Some((contract, decimals)) => {
                let value = size * i128::from(contract);
                let decimals = decimals + size_decimals;
                (quotient((value, decimals), (price, price_decimals), INVERSE_DECIMALS)?, value, decimals)
            }
        };
        Some(Part { price: price_of(trade), volume, turnover: at(value, decimals, self.turnover_decimals())? })
    }

    /// The turnover, as a mantissa, that no trade of this shape exceeds (or more than 64 bits hold), where sums of its
    /// mantissas are all that a fold needs.
    pub(super) fn most(&self, shape: Shape) -> Option<u64> {
        let decimals = u32::from(shape.price_decimals()) + u32::from(shape.size_decimals());
        let is_plain = self.contract.is_none() && !shape.is_inverse() && decimals <= TURNOVER_DECIMALS;
        let most = || TURNOVER_MOST.checked_mul(ten_to_integer(decimals)?).and_then(|most| u64::try_from(most).ok());
        is_plain.then(|| most().unwrap_or(u64::MAX))
    }

    /// The unit of volumes and the sum of turnovers of this shape, which is plain and fits, at this scale.
    pub(super) fn sums(&self, shape: Shape, turnover: u128) -> (i128, i128) {
        let up = |have: u32, want: u32| ten_to_integer(want.saturating_sub(have)).unwrap_or(i128::MAX);
        let [price, size] = [shape.price_decimals(), shape.size_decimals()].map(u32::from);
        let turnover = i128::try_from(turnover).unwrap_or(i128::MAX);
        (up(size, self.volume_decimals()), turnover.saturating_mul(up(price + size, self.turnover_decimals())))
    }
}

/// A trade's price as the nearest float.
#[inline(always)]
fn price_of(trade: &Trade) -> f64 {
    price_at(trade.shape, trade.price)
}

/// A price of this shape as the nearest float.
#[inline(always)]
pub(super) fn price_at(shape: Shape, mantissa: i64) -> f64 {
    mantissa as f64 / TEN_TO[usize::from(shape.price_decimals())]
}

/// A number of `from` decimals at `to` decimals, the nearest if those are fewer.
fn at(mantissa: i128, from: u32, to: u32) -> Option<i128> {
    if from <= to {
        return mantissa.checked_mul(ten_to_integer(to - from)?);
    }
    let unit = ten_to_integer(from - to)?;
    Some((mantissa + unit / 2) / unit)
}

/// The nearest to `over / under` at `decimals` decimals, both given as mantissas with theirs.
fn quotient(over: (i128, u32), under: (i128, u32), decimals: u32) -> Option<i128> {
    let (up, down) = (under.1 + decimals, over.1);
    let over = over.0.checked_mul(ten_to_integer(up.saturating_sub(down))?)?.checked_mul(2)?;
    let under = under.0.checked_mul(ten_to_integer(down.saturating_sub(up))?)?;
    Some(over.checked_add(under)? / under.checked_mul(2)?)
}

/// A number as a float: the same whatever zeros its fraction ends in.
fn float(mut mantissa: i128, mut decimals: u32) -> f64 {
    const EXACT: i128 = 1 << 53;
    while EXACT < mantissa && 0 < decimals && mantissa % 10 == 0 {
        mantissa /= 10;
        decimals -= 1;
    }
    let unit = TEN_TO[decimals as usize];
    if mantissa <= EXACT {
        return mantissa as f64 / unit;
    }
    let whole = mantissa / unit as i128;
    whole as f64 + (mantissa % unit as i128) as f64 / unit
}

fn ten_to_integer(decimals: u32) -> Option<i128> {
    10i128.checked_pow(decimals)
}

/// A trade's exact contribution to a bar.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    pub(super) price: f64,
    pub(super) volume: i128,
    pub(super) turnover: i128,
}

/// What orders the trades of an instrument: event time, sequence, index.
pub(super) type Order = (Ts, u64, u16);

/// Trades of one interval, folded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fold {
    pub(super) first: Order,
    pub(super) last: Order,
    pub(super) open: f64,
    pub(super) high: f64,
    pub(super) low: f64,
    pub(super) close: f64,
    pub(super) volume: i128,
    pub(super) turnover: i128,
    pub(super) buy_volume: i128,
    pub(super) n_trades: u64,
    pub(super) n_buys: u64,
    /// Whether nobody says of a trade who took.
    pub(super) is_unsided: bool,
    pub(super) first_id: EventId,
    pub(super) last_id: EventId,
}

impl Fold {
    /// One trade.
    pub(super) fn of(trade: &Trade, part: Part) -> Fold {
        let order = (trade.ts_event, trade.seq, trade.index);
        Fold {
            first: order,
            last: order,
            open: part.price,
            high: part.price,
            low: part.price,
            close: part.price,
            volume: part.volume,
            turnover: part.turnover,
            buy_volume: if trade.buy { part.volume } else { 0 },
            n_trades: 1,
            n_buys: u64::from(trade.buy),
            is_unsided: trade.shape.is_unsided(),
            first_id: trade.event_id(),
            last_id: trade.event_id(),
        }
    }

    /// One trade more.
    #[inline(always)]
    pub(super) fn add(&mut self, trade: &Trade, part: Part) {
        let order = (trade.ts_event, trade.seq, trade.index);
        if self.last.0 < order.0 || self.last < order {
            self.last = order;
            self.close = part.price;
            self.last_id = trade.event_id();
        } else if order < self.first {
            self.first = order;
            self.open = part.price;
            self.first_id = trade.event_id();
        } else if order == self.last || order == self.first {
            self.tie(order, trade, part);
        }
        self.high = self.high.max(part.price);
        self.low = self.low.min(part.price);
        self.volume = self.volume.saturating_add(part.volume);
        self.turnover = self.turnover.saturating_add(part.turnover);
        self.n_trades += 1;
        self.is_unsided |= trade.shape.is_unsided();
        if trade.buy {
            self.buy_volume = self.buy_volume.saturating_add(part.volume);
            self.n_buys += 1;
        }
    }

    /// Trades that nothing orders follow each other by price, then identity, so that the order of arrival cannot show.
    #[inline(never)]
    fn tie(&mut self, order: Order, trade: &Trade, part: Part) {
        let this = (part.price, trade.event_id());
        if order == self.last && (self.close, self.last_id) < this {
            (self.close, self.last_id) = this;
        }
        if order == self.first && this < (self.open, self.first_id) {
            (self.open, self.first_id) = this;
        }
    }

    /// All trades of another part of its interval, or of another interval.
    pub(super) fn merge(&mut self, other: &Fold) {
        if (self.last, self.close, self.last_id) < (other.last, other.close, other.last_id) {
            (self.last, self.close, self.last_id) = (other.last, other.close, other.last_id);
        }
        if (other.first, other.open, other.first_id) < (self.first, self.open, self.first_id) {
            (self.first, self.open, self.first_id) = (other.first, other.open, other.first_id);
        }
        self.high = self.high.max(other.high);
        self.low = self.low.min(other.low);
        self.volume = self.volume.saturating_add(other.volume);
        self.turnover = self.turnover.saturating_add(other.turnover);
        self.buy_volume = self.buy_volume.saturating_add(other.buy_volume);
        self.n_trades += other.n_trades;
        self.n_buys += other.n_buys;
        self.is_unsided |= other.is_unsided;
    }

    /// Moves the fold from one scale to one with more decimals.
    pub(super) fn rescale(&mut self, from: &Scale, to: &Scale) {
        let (volume, turnover) = from.ups(to);
        self.volume = self.volume.saturating_mul(volume);
        self.buy_volume = self.buy_volume.saturating_mul(volume);
        self.turnover = self.turnover.saturating_mul(turnover);
    }
}
