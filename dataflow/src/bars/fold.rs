//! The exact fold of trades into one bar: it commutes, so the order of arrival cannot show.

use prism_schemas::decimal::POW10;

use crate::{bar::EventId, event::Trade};

/// Decimals of the base volume of inverse contracts.
const INVERSE_DECIMALS: u32 = 12;

/// The instrument's own decimals: the most seen so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Scale {
    pub(super) price: u32,
    pub(super) size: u32,
    /// Quote value of one contract, for inverse contracts.
    pub(super) contract: Option<(i64, u32)>,
}

impl Scale {
    fn volume_decimals(&self) -> u32 {
        if self.contract.is_some() { INVERSE_DECIMALS } else { self.size }
    }

    fn turnover_decimals(&self) -> u32 {
        self.contract.map_or(self.price, |(_, decimals)| decimals) + self.size
    }

    /// A price as a float.
    pub(super) fn price(&self, mantissa: i64) -> f64 {
        mantissa as f64 / ten_to(self.price)
    }

    /// A volume as a float.
    pub(super) fn volume(&self, mantissa: i128) -> f64 {
        mantissa as f64 / ten_to(self.volume_decimals())
    }

    /// A turnover as a float.
    pub(super) fn turnover(&self, mantissa: i128) -> f64 {
        mantissa as f64 / ten_to(self.turnover_decimals())
    }

    /// The trade's parts at this scale, which must have at least its decimals; `None` if they do not fit.
    #[inline(always)]
    pub(super) fn part(&self, trade: &Trade) -> Option<Part> {
        let up = |mantissa: i64, from: u8, to: u32| mantissa.checked_mul(*POW10.get((to - u32::from(from)) as usize)?);
        let price = up(trade.price, trade.price_decimals, self.price)?;
        let size = up(trade.size, trade.size_decimals, self.size)?;
        let (volume, turnover) = match self.contract {
            None => (i128::from(size), i128::from(price) * i128::from(size)),
            Some(contract) => self.inverse(price, size, contract)?,
        };
        Some(Part { price, volume, turnover })
    }

    /// Base volume and value of so many inverse contracts.
    fn inverse(&self, price: i64, size: i64, (contract, decimals): (i64, u32)) -> Option<(i128, i128)> {
        let value = i128::from(size) * i128::from(contract);
        // base = value / price, to the nearest 10^-12
        let up = ten_to_integer(self.price + INVERSE_DECIMALS)?;
        let down = i128::from(price).checked_mul(ten_to_integer(self.size + decimals)?)?;
        let base = (value.checked_mul(up)?.checked_mul(2)?.checked_add(down)?) / (2 * down);
        Some((base, value))
    }
}

fn ten_to(decimals: u32) -> f64 {
    // Exact up to 10^22, the product of two powers beyond.
    match POW10.get(decimals as usize) {
        Some(power) => *power as f64,
        None => POW10[18] as f64 * POW10[(decimals - 18).min(18) as usize] as f64,
    }
}

fn ten_to_integer(decimals: u32) -> Option<i128> {
    10i128.checked_pow(decimals)
}

/// A trade's exact contribution to a bar.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    pub(super) price: i64,
    pub(super) volume: i128,
    pub(super) turnover: i128,
}

/// Trades of one interval, folded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fold {
    first: (i64, u64, u16),
    last: (i64, u64, u16),
    pub(super) open: i64,
    pub(super) high: i64,
    pub(super) low: i64,
    pub(super) close: i64,
    pub(super) volume: i128,
    pub(super) turnover: i128,
    pub(super) buy_volume: i128,
    pub(super) n_trades: u64,
    pub(super) n_buys: u64,
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
        }
        self.high = self.high.max(part.price);
        self.low = self.low.min(part.price);
        self.volume += part.volume;
        self.turnover += part.turnover;
        self.n_trades += 1;
        if trade.buy {
            self.buy_volume += part.volume;
            self.n_buys += 1;
        }
    }

    /// All trades of another interval.
    pub(super) fn merge(&mut self, other: &Fold) {
        if self.last < other.last {
            self.last = other.last;
            self.close = other.close;
            self.last_id = other.last_id;
        }
        if other.first < self.first {
            self.first = other.first;
            self.open = other.open;
            self.first_id = other.first_id;
        }
        self.high = self.high.max(other.high);
        self.low = self.low.min(other.low);
        self.volume += other.volume;
        self.turnover += other.turnover;
        self.buy_volume += other.buy_volume;
        self.n_trades += other.n_trades;
        self.n_buys += other.n_buys;
    }

    /// Moves the fold from one scale to a finer one; `false` if it does not fit.
    pub(super) fn rescale(&mut self, from: &Scale, to: &Scale) -> bool {
        let Some(price_up) = POW10.get((to.price - from.price) as usize) else { return false };
        for price in [&mut self.open, &mut self.high, &mut self.low, &mut self.close] {
            match price.checked_mul(*price_up) {
                Some(scaled) => *price = scaled,
                None => return false,
            }
        }
        let volume_up = POW10.get((to.volume_decimals() - from.volume_decimals()) as usize);
        let turnover_up = POW10.get((to.turnover_decimals() - from.turnover_decimals()) as usize);
        let (Some(volume_up), Some(turnover_up)) = (volume_up, turnover_up) else { return false };
        let volume_up = i128::from(*volume_up);
        let products = (
            self.volume.checked_mul(volume_up),
            self.buy_volume.checked_mul(volume_up),
            self.turnover.checked_mul(i128::from(*turnover_up)),
        );
        match products {
            (Some(volume), Some(buy_volume), Some(turnover)) => {
                (self.volume, self.buy_volume, self.turnover) = (volume, buy_volume, turnover);
                true
            }
            _ => false,
        }
    }
}
