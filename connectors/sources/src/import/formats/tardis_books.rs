//! Tardis's order books: updates of levels as they came (`incremental_book_L2`), and snapshots of so many levels.
//!
//! docs.tardis.dev, "Downloadable CSV files / Data types": rows of one message share `local_timestamp`; the first row behind a
//! reconnect has `is_snapshot` true, and then the book begins anew. The venue's numbers of updates are not in it.

use prism_exchange::event_of;
use prism_schemas::event::event::Body;
use prism_schemas::event::{Book, Levels};
use prism_schemas::{Decimal, Ts};

use super::super::row::Row;
use super::super::rows::{Layout, Table, Wrong};
use super::super::sight::Sight;
use super::super::who::{Id, Who};
use super::super::{Events, Recognised};
use super::Format;
use super::tardis::{HEAD, nobody, resolve};

pub(super) const FORMAT: Format = Format {
    name: "tardis books",
    looks: "binance-futures_incremental_book_L2_2024-01-01_BTCUSDT.csv.gz: exchange,symbol,timestamp,local_timestamp,is_snapshot,side,price,amount; book_snapshot_N: ...,asks[0].price,asks[0].amount,bids[0].price,...",
    recognise,
};

/// Levels of one message.
const LEVELS_MAX: usize = 1_000_000;

fn recognise(sight: &Sight) -> Option<Result<Recognised, String>> {
    if !sight.begins(&HEAD) {
        return None;
    }
    let who = Who::named((0, Some(1)), resolve(sight));
    let table = Table::of(sight, nobody(sight));
    if sight.columns[4..] == ["is_snapshot", "side", "price", "amount"] {
        let updates = Updates { who, message: None };
        return Some(Ok(table.recognised(FORMAT.name, move || updates.clone())));
    }
    let at = |side: &str| -> Vec<(usize, usize)> {
        let of = |level: usize, what: &str| sight.column(&format!("{side}[{level}].{what}"));
        (0..).map_while(|level| Some((of(level, "price")?, of(level, "amount")?))).collect()
    };
    let snapshots = Snapshots { who, bids: at("bids"), asks: at("asks") };
    let is_one = !snapshots.bids.is_empty() && !snapshots.asks.is_empty();
    is_one.then(|| Ok(table.recognised(FORMAT.name, move || snapshots.clone())))
}

/// A message of which rows come one after the other.
#[derive(Clone)]
struct Message {
    instrument: Id,
    ts: Ts,
    ts_recv: Ts,
    is_snapshot: bool,
    bids: Vec<(Decimal, Decimal)>,
    asks: Vec<(Decimal, Decimal)>,
}

impl Message {
    fn event(self, out: &mut Events) {
        let (Some(bids), Some(asks)) = (levels(&self.bids), levels(&self.asks)) else {
            let detail = "a level does not fit with the others'".to_string();
            return out.push((self.instrument, prism_exchange::quarantined("invalid_row", detail, &[], self.ts_recv)));
        };
        let book = Book { snapshot: self.is_snapshot, bids: Some(bids), asks: Some(asks), ..Book::default() };
        out.push((self.instrument, event_of(self.ts, self.ts_recv, Body::Book(book))));
    }
}

/// Levels at the fewest decimals that hold them all.
fn levels(pairs: &[(Decimal, Decimal)]) -> Option<Levels> {
    let most = |of: fn(&(Decimal, Decimal)) -> Decimal| pairs.iter().map(|pair| of(pair).decimals).max().unwrap_or(0);
    let (price_decimals, size_decimals) = (most(|pair| pair.0), most(|pair| pair.1));
    Some(Levels {
        prices: pairs.iter().map(|(price, _)| price.at(price_decimals)).collect::<Option<_>>()?,
        sizes: pairs.iter().map(|(_, size)| size.at(size_decimals)).collect::<Option<_>>()?,
        price_decimals,
        size_decimals,
    })
}

#[derive(Clone)]
struct Updates {
    who: Who,
    message: Option<Message>,
}

impl Layout for Updates {
    fn read(&mut self, row: &Row, out: &mut Events) -> Result<(), Wrong> {
        let (ts, ts_recv) = (row.time(2)?, row.time(3)?);
        let is_snapshot = match row.get(4)? {
            "true" => true,
            "false" => false,
            other => return Err(format!("\"{other}\" is neither true nor false").into()),
        };
        let level = (row.number(6)?, row.number(7)?);
        let is_bid = match row.get(5)? {
            "bid" => true,
            "ask" => false,
            other => return Err(format!("\"{other}\" is neither bid nor ask").into()),
        };
        let instrument = self.who.of(row)?;
        let goes_on = self.message.as_ref().is_some_and(|message| {
            message.ts_recv == ts_recv
                && message.is_snapshot == is_snapshot
                && message.instrument == instrument
                && message.bids.len() + message.asks.len() < LEVELS_MAX
        });
        if !goes_on {
            self.end(out);
        }
        let new = || Message { instrument, ts, ts_recv, is_snapshot, bids: Vec::new(), asks: Vec::new() };
        let message = self.message.get_or_insert_with(new);
        message.ts = message.ts.max(ts);
        if is_bid { &mut message.bids } else { &mut message.asks }.push(level);
        Ok(())
    }

    fn end(&mut self, out: &mut Events) {
        if let Some(message) = self.message.take() {
            message.event(out);
        }
    }
}

#[derive(Clone)]
struct Snapshots {
    who: Who,
    /// Columns of price and amount, best first.
    bids: Vec<(usize, usize)>,
    asks: Vec<(usize, usize)>,
}

impl Layout for Snapshots {
    fn read(&mut self, row: &Row, out: &mut Events) -> Result<(), Wrong> {
        let (ts, ts_recv) = (row.time(2)?, row.time(3)?);
        let side = |columns: &[(usize, usize)]| -> Result<Levels, String> {
            let mut pairs = Vec::new();
            for (price, size) in columns {
                // Where the book is thinner, cells are empty.
                if let Some(price) = row.optional_number(*price)? {
                    pairs.push((price, row.number(*size)?));
                }
            }
            levels(&pairs).ok_or_else(|| "a level does not fit with the others'".into())
        };
        let (bids, asks) = (Some(side(&self.bids)?), Some(side(&self.asks)?));
        let depth = u32::try_from(self.bids.len()).ok();
        let instrument = self.who.of(row)?;
        out.push((
            instrument,
            event_of(ts, ts_recv, Body::Book(Book { snapshot: true, bids, asks, depth, ..Book::default() })),
        ));
        Ok(())
    }
}
