//! Trades as rows: which columns say what.

use prism_schemas::Decimal;
use prism_schemas::event::{Side, Trade, trade};

use super::super::Events;
use super::super::row::Row;
use super::super::rows::{Layout, Wrong, maker, side};
use super::super::who::Who;
use prism_exchange::trade_event;

/// What says who took.
#[derive(Clone, Copy)]
pub(super) enum Taker {
    /// A column with the taker's side.
    Side(usize),
    /// A column that says whether the buyer made.
    Maker(usize),
    /// The sign of the size: below 0 the taker sold.
    Sign,
    /// Nothing does.
    Nobody,
}

/// Where the parts of a trade are.
#[derive(Clone)]
pub(super) struct Trades {
    pub(super) who: Who,
    pub(super) time: usize,
    /// When it was received, if it says.
    pub(super) received: Option<usize>,
    pub(super) price: usize,
    pub(super) size: usize,
    pub(super) taker: Taker,
    pub(super) id: Option<usize>,
    /// The venue's stream.
    pub(super) stream: &'static str,
}

impl Layout for Trades {
    fn read(&mut self, row: &Row, out: &mut Events) -> Result<(), Wrong> {
        let ts = row.time(self.time)?;
        let ts_recv = self.received.map_or(Ok(ts), |at| row.time(at))?;
        let (price, size) = (row.number(self.price)?, row.number(self.size)?);
        let (side, size) = taken(self.taker, row, size)?;
        let id = self.id.and_then(|at| row.optional(at)).map(identity);
        let number = match id {
            Some(trade::Id::Number(number)) => number,
            _ => row.number,
        };
        let trade = Trade {
            id,
            price: Some(price),
            size: Some(size),
            side: side.into(),
            stream: self.stream.into(),
            ..Trade::default()
        };
        let instrument = self.who.of(row)?;
        out.push((instrument, trade_event(trade, ts, ts_recv, Some(number), 0, row.line().as_bytes())));
        Ok(())
    }
}

/// The taker's side, and the size without a sign that said it.
fn taken(taker: Taker, row: &Row, size: Decimal) -> Result<(Side, Decimal), Wrong> {
    Ok(match taker {
        Taker::Side(at) => (side(row.get(at)?)?, size),
        Taker::Maker(at) => (maker(row.get(at)?)?, size),
        Taker::Nobody => (Side::Unspecified, size),
        Taker::Sign if size.mantissa < 0 => (Side::Sell, Decimal::new(size.mantissa.saturating_abs(), size.decimals)),
        Taker::Sign => (Side::Buy, size),
    })
}

/// The venue's id: a number if it is one.
pub(super) fn identity(text: &str) -> trade::Id {
    match text.parse() {
        Ok(number) => trade::Id::Number(number),
        Err(_) => trade::Id::Text(text.into()),
    }
}
