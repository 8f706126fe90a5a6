//! BitMEX's own archive of trades, and trades of XBTUSD as `timestamp,price,size`.
//!
//! Columns: public.bitmex.com, `data/trade/`, and bitmex.com/app/restAPI, "Trade": `homeNotional` is the base, `foreignNotional`
//! the quote of a trade; where that is the number of contracts, each is worth 1 of quote.

use std::rc::Rc;

use prism_schemas::{InstrumentId, Market};

use super::super::row::Row;
use super::super::rows::{Layout, Table, Wrong};
use super::super::sight::Sight;
use super::super::who::{Id, Resolve, Who};
use super::super::{Events, Recognised};
use super::Format;
use super::trades::{Taker, Trades, identity};
use prism_exchange::trade_event;
use prism_schemas::event::Trade;

pub(super) const FORMAT: Format = Format {
    name: "bitmex",
    looks: "20240101.csv.gz: timestamp,symbol,side,size,price,tickDirection,trdMatchID,grossValue,homeNotional,foreignNotional,... with 2024-01-01D00:00:00.123456000; or Bitmex_XBTUSD.csv: timestamp,price,size[,received], negative sizes are sales",
    recognise,
};

fn recognise(sight: &Sight) -> Option<Result<Recognised, String>> {
    if sight.begins(&[
        "timestamp",
        "symbol",
        "side",
        "size",
        "price",
        "tickdirection",
        "trdmatchid",
        "grossvalue",
        "homenotional",
        "foreignnotional",
    ]) {
        return Some(Ok(archive(sight)));
    }
    // No column says that these are BitMEX's.
    let is_plain = sight.begins(&["timestamp", "price", "size"])
        && matches!(sight.columns.get(3).map(String::as_str), None | Some("received"));
    let name = sight.stem().to_ascii_lowercase();
    let names_no_other = || name.strip_prefix("bitmex").is_some_and(|rest| !rest.contains(|c: char| c.is_alphabetic()));
    let is_named = name.contains("xbtusd") || names_no_other();
    let is_said = sight.options.is_generic();
    (is_plain && is_named && !is_said).then(|| Ok(plain(sight)))
}

fn plain(sight: &Sight) -> Recognised {
    let instrument = sight.instrument("bitmex", Market::Inverse, "XBTUSD");
    let layout = Plain(Trades {
        who: Who::one(&instrument),
        time: 0,
        received: (sight.columns.len() == 4).then_some(3),
        price: 1,
        size: 2,
        taker: Taker::Sign,
        id: None,
        stream: "file",
    });
    Table::of(sight, instrument).recognised(FORMAT.name, move || layout.clone())
}

/// Trades that are told apart by their rows.
#[derive(Clone)]
struct Plain(Trades);

impl Layout for Plain {
    fn read(&mut self, row: &Row, out: &mut Events) -> Result<(), Wrong> {
        self.0.read(row, out)?;
        if let Some(prism_schemas::event::event::Body::Trade(trade)) =
            out.last_mut().and_then(|(_, event)| event.body.as_mut())
        {
            trade.id = Some(prism_schemas::event::trade::Id::Number(row.number));
        }
        Ok(())
    }
}

fn archive(sight: &Sight) -> Recognised {
    let nobody = sight.instrument("bitmex", Market::Inverse, "");
    let exchange = nobody.exchange.clone();
    let given = sight.options.market;
    let resolve = move |symbol: &str, market: &str| {
        let market = given.or_else(|| Market::parse(market)).ok_or("no market")?;
        Ok(InstrumentId { exchange: exchange.clone(), market, symbol: symbol.to_ascii_uppercase() })
    };
    let layout = Archive { resolve: Rc::new(resolve), last: None };
    Table::of(sight, nobody).recognised(FORMAT.name, move || layout.clone())
}

#[derive(Clone)]
struct Archive {
    resolve: Resolve,
    last: Option<(String, Market, Id)>,
}

impl Layout for Archive {
    fn read(&mut self, row: &Row, out: &mut Events) -> Result<(), Wrong> {
        let (ts, symbol) = (row.time(0)?, row.get(1)?);
        let (size, price) = (row.number(3)?, row.number(4)?);
        let (home, foreign) = (row.optional_number(8)?, row.optional_number(9)?);
        let market = match () {
            () if symbol.contains('_') => Market::Spot,
            () if foreign == Some(size) && !symbol.ends_with("USDT") => Market::Inverse,
            () => Market::Linear,
        };
        let size = match market {
            Market::Inverse => size,
            _ => home.ok_or("no homeNotional, which is the size in base")?,
        };
        let id = match &self.last {
            Some((last, at, id)) if last == symbol && *at == market => id.clone(),
            _ => {
                let id: Id = (self.resolve)(symbol, market.name())?.into();
                self.last = Some((symbol.into(), market, id.clone()));
                id
            }
        };
        let trade = Trade {
            id: row.optional(6).map(identity),
            price: Some(price),
            size: Some(size),
            side: super::super::rows::side(row.get(2)?)?.into(),
            stream: "trade".into(),
            ..Trade::default()
        };
        out.push((id, trade_event(trade, ts, ts, Some(row.number), 0, row.line().as_bytes())));
        Ok(())
    }
}
