//! Bybit's public trades: of contracts and of spot.
//!
//! Columns: public.bybit.com, `trading/` and `spot/`, as tools that read them tell (freqtrade, nautilus_trader's issues).
//! Times of contracts are in seconds with a fraction; sizes of inverse contracts are in USD.

use std::rc::Rc;

use prism_schemas::{InstrumentId, Market};

use super::super::Recognised;
use super::super::rows::Table;
use super::super::sight::Sight;
use super::super::who::Who;
use super::Format;
use super::trades::{Taker, Trades};

pub(super) const FORMAT: Format = Format {
    name: "bybit trades",
    looks: "BTCUSDT2024-01-01.csv.gz: timestamp,symbol,side,size,price,tickDirection,trdMatchID,... in seconds; of spot BTCUSDT_2024-01-01.csv.gz: id,timestamp,price,volume,side",
    recognise,
};

fn recognise(sight: &Sight) -> Option<Result<Recognised, String>> {
    // Its name tells that it is Bybit's: BTCUSDT_2024-01-01, BTCUSDT-2024-01.
    let stem = sight.stem();
    let date = stem.split_once(['_', '-']).map(|(_, date)| date);
    let is_dated =
        date.is_some_and(|date| date.starts_with("20") && date.bytes().all(|b| b.is_ascii_digit() || b == b'-'));
    if sight.begins(&["id", "timestamp", "price", "volume", "side"]) && is_dated && !sight.options.is_generic() {
        return Some(spot(sight));
    }
    let is_one = sight.begins(&["timestamp", "symbol", "side", "size", "price", "tickdirection", "trdmatchid"]);
    // BitMEX's archive has the same columns, with dates.
    let first = sight.text.lines().nth(1).map(|line| sight.cells(line));
    let is_number = first.is_none_or(|row| row.first().is_some_and(|cell| cell.parse::<f64>().is_ok()));
    (is_one && is_number).then(|| Ok(contracts(sight)))
}

fn contracts(sight: &Sight) -> Recognised {
    let said = sight.instrument("bybit", Market::Linear, "");
    let (market, exchange) = (sight.options.market, said.exchange.clone());
    let resolve = move |symbol: &str, _: &str| {
        let market = market.unwrap_or_else(|| market_of(symbol));
        Ok(InstrumentId { exchange: exchange.clone(), market, symbol: symbol.to_ascii_uppercase() })
    };
    let trades = Trades {
        who: Who::named((1, None), Rc::new(resolve)),
        time: 0,
        received: None,
        price: 4,
        size: 3,
        taker: Taker::Side(2),
        id: Some(6),
        stream: "publicTrade",
    };
    Table::of(sight, said).recognised(FORMAT.name, move || trades.clone())
}

/// Contracts that are settled in coins are spelled BTCUSD and BTCUSDM24; all others are linear.
fn market_of(symbol: &str) -> Market {
    match symbol.rsplit_once("USD") {
        Some((_, rest)) if rest.is_empty() || rest.len() == 3 && !rest.starts_with('T') => Market::Inverse,
        _ => Market::Linear,
    }
}

fn spot(sight: &Sight) -> Result<Recognised, String> {
    let stem = sight.stem();
    let symbol = sight.options.symbol.clone().or_else(|| Some(stem.split(['_', '-']).next()?.to_string()));
    let symbol = symbol.filter(|symbol| !symbol.is_empty()).ok_or("the file name has no symbol: say --symbol")?;
    let instrument = sight.instrument("bybit", Market::Spot, &symbol);
    let trades = Trades {
        who: Who::one(&instrument),
        time: 1,
        received: None,
        price: 2,
        size: 3,
        taker: Taker::Side(4),
        // It numbers the rows of a file, and is no id of the venue's.
        id: None,
        stream: "publicTrade",
    };
    Ok(Table::of(sight, instrument).recognised(FORMAT.name, move || trades.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coins_settle_what_is_spelled_in_dollars() {
        for symbol in ["BTCUSD", "BTCUSDM24", "ETHUSDZ23"] {
            assert_eq!(market_of(symbol), Market::Inverse, "{symbol}");
        }
        for symbol in ["BTCUSDT", "BTCPERP", "BTC-26APR24", "USDCUSDT", "1000PEPEUSDT"] {
            assert_eq!(market_of(symbol), Market::Linear, "{symbol}");
        }
    }
}
