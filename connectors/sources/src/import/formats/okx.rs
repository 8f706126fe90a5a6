//! OKX's public trades, of spot and of contracts that are settled in coins.
//!
//! Columns: okx.com/historical-data; `instrument_name,trade_id,side,price,size,created_time[,source]` today, and of 2021 to 2024
//! `trade_id/...,side/...,size/...,price/...,created_time/...` in English and Chinese (GBK), with the instrument in the file's
//! name. Swaps in USDT count contracts whose value the file does not tell: they are refused.

use std::rc::Rc;

use prism_schemas::{InstrumentId, Market, canonical_symbol};

use super::super::Recognised;
use super::super::rows::Table;
use super::super::sight::Sight;
use super::super::who::{Resolve, Who};
use super::Format;
use super::trades::{Taker, Trades};

pub(super) const FORMAT: Format = Format {
    name: "okx trades",
    looks: "BTC-USDT-trades-2024-01-01.csv: instrument_name,trade_id,side,price,size,created_time; or the older trade_id/..,side/..,size/..,price/..,created_time/..",
    recognise,
};

fn recognise(sight: &Sight) -> Option<Result<Recognised, String>> {
    if sight.begins(&["instrument_name", "trade_id", "side", "price", "size", "created_time"]) {
        let who = Who::named((0, None), resolve(sight));
        return Some(Ok(read(sight, who, [1, 2, 3, 4, 5])));
    }
    let old = ["trade_id", "side", "size", "price", "created_time"];
    let is_old = sight.columns.len() == 5 && sight.columns.iter().zip(old).all(|(cell, name)| cell.starts_with(name));
    is_old.then(|| {
        let stem = sight.stem();
        let name = stem.split("-trades").next().and_then(|name| name.split("-aggtrades").next());
        let name = sight.options.symbol.as_deref().or(name.filter(|name| name.contains('-')));
        let name =
            name.ok_or("the file name has no instrument, as BTC-USDT-trades-2024-01-01.csv has: say --symbol")?;
        Ok(read(sight, Who::one(&resolve(sight)(name, "")?), [0, 1, 3, 2, 4]))
    })
}

fn read(sight: &Sight, who: Who, [id, side, price, size, time]: [usize; 5]) -> Recognised {
    let nobody = sight.instrument("okx", Market::Spot, "");
    let taker = Taker::Side(side);
    let trades = Trades { who, time, received: None, price, size, taker, id: Some(id), stream: "trades" };
    Table::of(sight, nobody).recognised(FORMAT.name, move || trades.clone())
}

fn resolve(sight: &Sight) -> Resolve {
    let (given, exchange) = (sight.options.market, sight.instrument("okx", Market::Spot, "").exchange);
    Rc::new(move |name: &str, _: &str| {
        let parts: Vec<&str> = name.split('-').collect();
        let market = match (parts.as_slice(), given) {
            ([_, _], given) => given.unwrap_or(Market::Spot),
            ([_, _, _, _, ..], _) => return Err(format!("{name} is an option, of which there are no bars here")),
            ([_, "USD", _], given) => given.unwrap_or(Market::Inverse),
            _ => return Err(format!("{name} counts contracts whose value the file does not tell")),
        };
        // As the decoder of its frames spells it.
        let term = parts.get(2).filter(|term| **term != "SWAP").map_or(String::new(), |term| format!("_{term}"));
        let pair: String = parts.iter().take(2).copied().collect();
        let symbol = canonical_symbol(&(pair + &term));
        Ok(InstrumentId { exchange: exchange.clone(), market, symbol })
    })
}
