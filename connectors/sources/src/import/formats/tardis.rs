//! Tardis's downloadable CSV: trades, liquidations, best prices and the states of derivatives.
//!
//! Columns: docs.tardis.dev, "Downloadable CSV files / Data types": times in us since the epoch, `local_timestamp` is when it
//! was received; `side` of a liquidation is the side of its order.

use std::rc::Rc;

use prism_exchange::event_of;
use prism_schemas::event::event::Body;
use prism_schemas::event::{Liquidation, Ticker};
use prism_schemas::{Decimal, InstrumentId, Market, canonical_symbol};

use super::super::instant::Instants;
use super::super::row::Row;
use super::super::rows::{Layout, Table, Wrong, side};
use super::super::sight::Sight;
use super::super::who::{Resolve, Who};
use super::super::{Events, Recognised};
use super::Format;
use super::trades::{Taker, Trades};

pub(super) const FORMAT: Format = Format {
    name: "tardis",
    looks: "binance-futures_trades_2024-01-01_BTCUSDT.csv.gz, and liquidations, quotes, book_ticker, derivative_ticker: exchange,symbol,timestamp,local_timestamp,...",
    recognise,
};

/// What all of them begin with.
pub(super) const HEAD: [&str; 4] = ["exchange", "symbol", "timestamp", "local_timestamp"];

fn recognise(sight: &Sight) -> Option<Result<Recognised, String>> {
    if !sight.begins(&HEAD) {
        return None;
    }
    let rest: Vec<&str> = sight.columns[4..].iter().map(String::as_str).collect();
    match rest.as_slice() {
        ["id", "side", "price", "amount"] => Some(trades(sight)),
        ["ask_amount", "ask_price", "bid_price", "bid_amount"] => Some(Ok(states(sight, Kind::Best))),
        [
            "funding_timestamp",
            "funding_rate",
            "predicted_funding_rate",
            "open_interest",
            "last_price",
            "index_price",
            "mark_price",
        ] => Some(Ok(states(sight, Kind::Derivative))),
        ["type", ..] => Some(Err("a chain of options, which have no bars here".into())),
        _ => None,
    }
}

fn trades(sight: &Sight) -> Result<Recognised, String> {
    // The columns are the same; the name tells, or the directory.
    let (name, says) = (sight.name(), |word: &str| sight.is_under(word));
    match (name.contains("liquidations"), name.contains("trades"), says("liquidations"), says("trades")) {
        (true, false, ..) | (false, false, true, false) => return Ok(states(sight, Kind::Forced)),
        (false, true, ..) | (false, false, false, true) => {}
        _ => return Err("trades or liquidations, which have the same columns: name it by which it is".into()),
    }
    let trades = Trades {
        who: Who::named((0, Some(1)), resolve(sight)),
        time: 2,
        received: Some(3),
        price: 6,
        size: 7,
        taker: Taker::Side(5),
        id: Some(4),
        stream: "tardis",
    };
    let table = Table::of(sight, nobody(sight));
    Ok(table.recognised(FORMAT.name, move || trades.clone()))
}

fn states(sight: &Sight, kind: Kind) -> Recognised {
    let layout = States { who: Who::named((0, Some(1)), resolve(sight)), kind };
    Table::of(sight, nobody(sight)).recognised(FORMAT.name, move || layout.clone())
}

/// Whom what cannot be read is filed under.
pub(super) fn nobody(sight: &Sight) -> InstrumentId {
    let first = sight.text.lines().nth(1).and_then(|line| sight.cells(line).into_iter().next());
    let name = first.unwrap_or_default();
    InstrumentId::new(exchange(&name), market(&name, "").unwrap_or(Market::Spot), "")
}

/// The exchange of one of Tardis's names: `binance-futures` is of binance, `okex-swap` of okx.
fn exchange(name: &str) -> &str {
    match name.split(['-', '_']).next().unwrap_or_default() {
        "okex" => "okx",
        "gate" => "gateio",
        other => other,
    }
}

/// What is traded under one of Tardis's names (docs.tardis.dev, "Historical data details").
fn market(name: &str, symbol: &str) -> Option<Market> {
    let in_coins = || match symbol.to_ascii_uppercase().rsplit_once("USD") {
        Some((_, rest)) => !rest.starts_with('T') && !rest.starts_with('C'),
        None => false,
    };
    Some(match name {
        "binance" | "binance-us" | "binance-jersey" | "bybit-spot" | "okex" | "kraken" | "coinbase" | "bitstamp"
        | "gemini" | "bitfinex" | "gate-io" | "huobi" | "kucoin" | "upbit" | "crypto-com" | "bitget" | "poloniex" => {
            Market::Spot
        }
        "binance-futures" => Market::Linear,
        "binance-delivery" | "huobi-dm" | "huobi-dm-swap" => Market::Inverse,
        "bybit" | "okex-swap" | "okex-futures" if in_coins() => Market::Inverse,
        "bybit" | "hyperliquid" | "huobi-dm-linear-swap" => Market::Linear,
        "bitmex" if symbol.to_ascii_uppercase().starts_with("XBTUSD") && in_coins() => Market::Inverse,
        _ => return None,
    })
}

/// Instruments by Tardis's name of the exchange and the exchange's name of the symbol.
pub(super) fn resolve(sight: &Sight) -> Resolve {
    let (given, called) = (sight.options.market, sight.options.exchange.clone());
    Rc::new(move |name: &str, symbol: &str| {
        let unknown = || {
            format!(
                "what {symbol} of {name} is, or what its sizes count, is not known: say --market where they are base (or contracts of inverse)"
            )
        };
        let market = given.or_else(|| market(name, symbol)).ok_or_else(unknown)?;
        let symbol = match name {
            "kraken" => super::kraken::pair(symbol).unwrap_or_else(|| canonical_symbol(symbol)),
            "okex" | "okex-swap" | "okex-futures" => canonical_symbol(symbol.trim_end_matches("-SWAP")),
            _ => canonical_symbol(symbol),
        };
        let exchange = called.clone().unwrap_or_else(|| exchange(name).into());
        Ok(InstrumentId { exchange, market, symbol })
    })
}

#[derive(Clone, Copy)]
enum Kind {
    Best,
    Derivative,
    Forced,
}

#[derive(Clone)]
struct States {
    who: Who,
    kind: Kind,
}

impl Layout for States {
    fn read(&mut self, row: &Row, out: &mut Events) -> Result<(), Wrong> {
        let (ts, ts_recv) = (row.time(2)?, row.time(3)?);
        let instrument = self.who.of(row)?;
        // Bybit counts both sides.
        let once = |open: Decimal| if instrument.exchange == "bybit" { open.half() } else { open };
        let body = match self.kind {
            Kind::Best => Body::Ticker(
                Ticker {
                    ask_size: row.optional_number(4)?,
                    ask_price: row.optional_number(5)?,
                    bid_price: row.optional_number(6)?,
                    bid_size: row.optional_number(7)?,
                    ..Ticker::default()
                }
                .into(),
            ),
            Kind::Derivative => Body::Ticker(
                Ticker {
                    next_funding_ts: row.optional(4).and_then(next),
                    funding_rate: row.optional_number(5)?,
                    open_interest: row.optional_number(7)?.map(once),
                    last: row.optional_number(8)?,
                    index: row.optional_number(9)?,
                    mark: row.optional_number(10)?,
                    ..Ticker::default()
                }
                .into(),
            ),
            Kind::Forced => Body::Liquidation(Liquidation {
                side: side(row.get(5)?)?.into(),
                price: Some(row.number(6)?),
                size: Some(row.number(7)?),
                completeness: if instrument.exchange == "binance" { "latest_per_second" } else { "all" }.into(),
            }),
        };
        out.push((instrument, event_of(ts, ts_recv, body)));
        Ok(())
    }
}

/// The next funding may lie ahead of the import.
fn next(text: &str) -> Option<prism_schemas::Ts> {
    Instants::until(None).text(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_exchanges_and_markets() {
        for (name, symbol, expected) in [
            ("binance-futures", "BTCUSDT", Some(("binance", Market::Linear))),
            ("binance", "btcusdt", Some(("binance", Market::Spot))),
            ("bybit", "BTCUSD", Some(("bybit", Market::Inverse))),
            ("bybit", "BTCUSDT", Some(("bybit", Market::Linear))),
            ("okex-swap", "BTC-USD-SWAP", Some(("okx", Market::Inverse))),
            ("okex-swap", "BTC-USDT-SWAP", None),
            ("bitmex", "XBTUSD", Some(("bitmex", Market::Inverse))),
            ("bitmex", "ETHUSD", None),
        ] {
            let found = market(name, symbol).map(|market| (exchange(name), market));
            assert_eq!(found, expected, "{name} {symbol}");
        }
    }
}
