//! A bar inside the graph: what indicators, scores and relations read.

use std::sync::Arc;

use prism_schemas::{Timeframe, Ts};
use serde::{Deserialize, Serialize};

use crate::{flow::Flow, positions::Positions};

/// Where a bar's numbers come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source {
    /// Built from trades.
    Trades,
    /// The venue's own kline, before the instrument's first trade or where nothing watched.
    Venue,
}

/// How far a bar can be trusted; the worst reason that applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Quality {
    /// Complete.
    Ok,
    /// Has trades, but may lack some: the feed was not proven to be connected all the time.
    Partial,
    /// Further from the last close than `bars.jump` allows.
    Suspect,
    /// No trades, and the feed was not proven to be connected all the time: prices are absent.
    Gap,
}

/// An event's identity: the venue's number, the first 16 hex digits of its UUID, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum EventId {
    /// A number; for files the row number.
    Number(u64),
    /// The upper half of a UUID, or a hash of another text.
    Text(u64),
    /// Equal events without an identity are distinct.
    None,
}

impl EventId {
    /// Of a kind: 0 none, 1 number, 2 text.
    #[inline]
    pub fn of(kind: u8, id: u64) -> EventId {
        match kind {
            1 => EventId::Number(id),
            2 => EventId::Text(id),
            _ => EventId::None,
        }
    }
}

impl std::fmt::Display for EventId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            EventId::Number(id) => write!(f, "{id}"),
            EventId::Text(id) => write!(f, "{id:016x}"),
            EventId::None => Ok(()),
        }
    }
}

/// A number that may be absent, in its own eight bytes. Equal if both are, bit for bit.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub struct Number(f64);

impl Number {
    /// No number.
    pub const ABSENT: Number = Number(f64::NAN);

    /// The number, if there is one.
    #[inline]
    pub fn get(self) -> Option<f64> {
        (!self.0.is_nan()).then_some(self.0)
    }
}

impl Default for Number {
    fn default() -> Number {
        Number::ABSENT
    }
}

impl From<f64> for Number {
    fn from(number: f64) -> Number {
        Number(number)
    }
}

impl From<Option<f64>> for Number {
    fn from(number: Option<f64>) -> Number {
        number.map_or(Number::ABSENT, Number)
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Number) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}

impl std::fmt::Debug for Number {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.get().fmt(f)
    }
}

/// A count that may be absent, in its own eight bytes.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count(u64);

impl Count {
    /// No count.
    pub const ABSENT: Count = Count(u64::MAX);

    /// The count, if there is one.
    #[inline]
    pub fn get(self) -> Option<u64> {
        (self.0 != u64::MAX).then_some(self.0)
    }
}

impl From<u64> for Count {
    fn from(count: u64) -> Count {
        Count(count)
    }
}

impl From<Option<u64>> for Count {
    fn from(count: Option<u64>) -> Count {
        count.map_or(Count::ABSENT, Count)
    }
}

impl std::fmt::Debug for Count {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.get().fmt(f)
    }
}

/// The identities of a bar's first and last trade, in as few bytes as they have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventIds {
    /// In bytes, which fill no more room than they take.
    ids: [[u8; 8]; 2],
    /// Of the first, and above it of the last.
    kinds: u8,
}

impl EventIds {
    /// None.
    pub const NONE: EventIds = EventIds { ids: [[0; 8]; 2], kinds: 0 };

    /// Of the first and the last trade.
    pub fn new(first: EventId, last: EventId) -> EventIds {
        let of = |id| match id {
            EventId::None => (0, 0),
            EventId::Number(id) => (id, 1),
            EventId::Text(id) => (id, 2),
        };
        let [(first, first_kind), (last, last_kind)] = [first, last].map(of);
        EventIds { ids: [first, last].map(u64::to_ne_bytes), kinds: first_kind | last_kind << 4 }
    }

    /// Of the first and the last trade.
    pub fn get(&self) -> [EventId; 2] {
        [(0, self.kinds & 15), (1, self.kinds >> 4)]
            .map(|(at, kind)| EventId::of(kind, u64::from_ne_bytes(self.ids[at])))
    }
}

/// OHLCV and flow of one instrument over one interval, in floats of the instrument's own units.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bar {
    /// Dense number of the instrument in this run.
    pub instrument: u32,
    /// Duration.
    pub timeframe: Timeframe,
    /// First instant of the interval.
    pub start: Ts,
    /// End of the interval, exclusive.
    pub end: Ts,
    /// First trade's price (quote); meaningless in a gap bar, like all prices.
    pub open: f64,
    /// Highest price.
    pub high: f64,
    /// Lowest price.
    pub low: f64,
    /// Last trade's price.
    pub close: f64,
    /// Size traded (base).
    pub volume: f64,
    /// Value traded (quote).
    pub turnover: Number,
    /// Size bought by takers (base); absent on venue bars.
    pub buy_volume: Number,
    /// Number of trades.
    pub n_trades: Count,
    /// Number of trades bought by takers.
    pub n_buys: Count,
    /// Identities of the first and the last trade.
    pub ids: EventIds,
    /// Where the numbers come from.
    pub source: Source,
    /// How far they can be trusted.
    pub quality: Quality,
    /// What takers bought and sold in it, where a component reads that.
    pub flow: Option<Arc<Flow>>,
    /// What is known of positions in its contract, where a component reads that.
    pub positions: Option<Arc<Positions>>,
}

impl Bar {
    /// Size sold by takers (base).
    pub fn sell_volume(&self) -> Option<f64> {
        self.buy_volume.get().map(|buy| self.volume - buy)
    }

    /// Taker buys minus taker sells (base).
    pub fn volume_delta(&self) -> Option<f64> {
        self.buy_volume.get().map(|buy| buy - (self.volume - buy))
    }

    /// `(high + low + close) / 3`.
    pub fn typical(&self) -> f64 {
        (self.high + self.low + self.close) / 3.0
    }

    /// A bar for tests and benches: one minute, no flow columns.
    pub fn ohlcv(start: Ts, [open, high, low, close, volume]: [f64; 5]) -> Bar {
        let timeframe = Timeframe::M1;
        Bar {
            instrument: 0,
            timeframe,
            start,
            end: timeframe.end(start),
            open,
            high,
            low,
            close,
            volume,
            turnover: Number::ABSENT,
            buy_volume: Number::ABSENT,
            n_trades: Count::ABSENT,
            n_buys: Count::ABSENT,
            ids: EventIds::NONE,
            source: Source::Venue,
            quality: Quality::Ok,
            flow: None,
            positions: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_keep_their_kinds_and_a_bar_its_size() {
        for ids in [[EventId::Number(7), EventId::Text(u64::MAX)], [EventId::None, EventId::Number(1)]] {
            assert_eq!(EventIds::new(ids[0], ids[1]).get(), ids);
        }
        // With its counts, one that is shared fills two lines of memory and a word.
        assert_eq!(size_of::<Bar>() + 16, 144);
    }
}
