//! A bar inside the graph: what indicators, scores and relations read.

use prism_schemas::{Timeframe, Ts};
use serde::{Deserialize, Serialize};

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

impl std::fmt::Display for EventId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            EventId::Number(id) => write!(f, "{id}"),
            EventId::Text(id) => write!(f, "{id:016x}"),
            EventId::None => Ok(()),
        }
    }
}

/// OHLCV and flow of one instrument over one interval, in floats of the instrument's own units.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
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
    pub turnover: Option<f64>,
    /// Size bought by takers (base); absent on venue bars.
    pub buy_volume: Option<f64>,
    /// Number of trades.
    pub n_trades: Option<u64>,
    /// Number of trades bought by takers.
    pub n_buys: Option<u64>,
    /// Identity of the first trade.
    pub first_id: EventId,
    /// Identity of the last trade.
    pub last_id: EventId,
    /// Where the numbers come from.
    pub source: Source,
    /// How far they can be trusted.
    pub quality: Quality,
}

impl Bar {
    /// Size sold by takers (base).
    pub fn sell_volume(&self) -> Option<f64> {
        self.buy_volume.map(|buy| self.volume - buy)
    }

    /// Taker buys minus taker sells (base).
    pub fn volume_delta(&self) -> Option<f64> {
        self.buy_volume.map(|buy| buy - (self.volume - buy))
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
            turnover: None,
            buy_volume: None,
            n_trades: None,
            n_buys: None,
            first_id: EventId::None,
            last_id: EventId::None,
            source: Source::Venue,
            quality: Quality::Ok,
        }
    }
}
