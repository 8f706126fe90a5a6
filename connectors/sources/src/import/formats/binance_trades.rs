//! Binance's public trades: aggregated and single ones, of spot, USD-M and COIN-M, with and without a header.
//!
//! Columns: github.com/binance/binance-public-data, README.md, "AggTrades" and "Trades". Times are in ms, of spot since 2025
//! in us.

use prism_schemas::{InstrumentId, Market, canonical_symbol};

use super::super::Recognised;
use super::super::rows::Table;
use super::super::sight::Sight;
use super::super::who::Who;
use super::Format;
use super::trades::{Taker, Trades};

pub(super) const AGGREGATED: Format = Format {
    name: "binance aggTrades",
    looks: "BTCUSDT-aggTrades-2024-01-01.csv: agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker[,is_best_match], with or without this header",
    recognise: aggregated,
};

pub(super) const SINGLE: Format = Format {
    name: "binance trades",
    looks: "BTCUSDT-trades-2024-01-01.csv: id,price,qty,quote_qty,time,is_buyer_maker[,is_best_match], with or without this header",
    recognise: single,
};

fn is_truth(cell: &str) -> bool {
    matches!(cell, "true" | "false")
}

fn aggregated(sight: &Sight) -> Option<Result<Recognised, String>> {
    let columns = &sight.columns;
    let is_one = match sight.is_headed() {
        true => 7 <= columns.len() && matches!(&*columns[0], "agg_trade_id" | "a"),
        false => matches!(columns.len(), 7 | 8) && is_truth(&columns[6]) && !is_truth(&columns[5]),
    };
    let in_columns = || (columns.len() == 8).then_some(Market::Spot);
    is_one.then(|| {
        let instrument = instrument(sight, in_columns())?;
        let trades = Trades {
            who: Who::one(&instrument),
            time: 5,
            received: None,
            price: 1,
            size: 2,
            taker: Taker::Maker(6),
            id: Some(0),
            stream: "aggTrade",
        };
        Ok(Table::of(sight, instrument).recognised(AGGREGATED.name, move || trades.clone()))
    })
}

fn single(sight: &Sight) -> Option<Result<Recognised, String>> {
    let columns = &sight.columns;
    let is_one = match sight.is_headed() {
        true => {
            sight.begins(&["id", "price", "qty", "quote_qty", "time"])
                || sight.begins(&["id", "price", "qty", "base_qty", "time"])
        }
        false => {
            matches!(columns.len(), 6 | 7) && is_truth(&columns[5]) && columns.get(6).is_none_or(|cell| is_truth(cell))
        }
    };
    let in_columns = || (columns.len() == 7).then_some(Market::Spot);
    is_one.then(|| {
        let instrument = instrument(sight, in_columns())?;
        let trades = Trades {
            who: Who::one(&instrument),
            time: 4,
            received: None,
            price: 1,
            size: 2,
            taker: Taker::Maker(5),
            id: Some(0),
            stream: "trade",
        };
        Ok(Table::of(sight, instrument).recognised(SINGLE.name, move || trades.clone()))
    })
}

/// Words that a file's kind is named by, behind the symbol.
const KINDS: &[&str] =
    &["aggTrades", "trades", "bookTicker", "fundingRate", "metrics", "liquidationSnapshot", "bookDepth"];

/// The symbol and what follows it: `BTCUSDT-aggTrades-2024-01-01`, also where the symbol has dashes of its own.
pub(super) fn parts(stem: &str) -> Option<(String, String)> {
    let parts: Vec<&str> = stem.split('-').collect();
    let is_kind =
        |part: &&str| KINDS.contains(part) || super::klines::timeframe(part).is_ok() || matches!(*part, "8h" | "3d");
    let at = 1 + parts.iter().skip(1).position(is_kind)?;
    let symbol = canonical_symbol(&parts[..at].concat());
    (!symbol.is_empty()).then(|| (symbol, parts[at].to_string()))
}

/// The instrument of a file: its market is said by the user, by the path (`um`, `cm`, `spot`), by the symbol (COIN-M has
/// `USD_`), or by the columns.
pub(super) fn instrument(sight: &Sight, in_columns: Option<Market>) -> Result<InstrumentId, String> {
    let stem = sight.stem();
    let given = sight.options.symbol.as_deref().map(canonical_symbol);
    let symbol = given.or_else(|| parts(&stem).map(|(symbol, _)| symbol)).ok_or_else(|| {
        format!("\"{stem}\" does not begin with a symbol, as BTCUSDT-aggTrades-2024-01-01.csv does: rename it or say --symbol")
    })?;
    let in_path = || {
        let markets = [("um", Market::Linear), ("cm", Market::Inverse), ("spot", Market::Spot)];
        markets.into_iter().find(|(word, _)| sight.is_under(word)).map(|(_, market)| market)
    };
    let in_symbol = || symbol.contains("USD_").then_some(Market::Inverse);
    // Futures of Binance tell aggregated trades without the eighth column.
    let by_count = || (sight.columns.len() < 12).then_some(Market::Linear);
    let market = sight.options.market.or_else(in_path).or_else(in_symbol).or(in_columns).or_else(by_count);
    let market = market.ok_or("the market is not known: say --market spot, linear or inverse")?;
    Ok(sight.instrument("binance", market, &symbol))
}
