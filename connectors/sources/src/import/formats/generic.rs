//! Trades of any text with columns, by what the user says of them.

use std::rc::Rc;

use prism_schemas::{InstrumentId, Market, canonical_symbol};

use super::super::rows::Table;
use super::super::sight::Sight;
use super::super::who::Who;
use super::super::{Options, Recognised};
use super::Format;
use super::trades::{Taker, Trades};

pub(super) const FORMAT: Format = Format {
    name: "generic trades",
    looks: "any CSV or Parquet of trades, with --exchange --market --symbol, and --time --price --size --side [--id] where columns are not called so",
    recognise,
};

/// How a file that no format takes is made readable.
pub(super) const HOW: &str = "trades of any CSV or Parquet are read with --exchange, --market and --symbol, and --time, --price, \
                              --size, --side and --id where columns are called otherwise";

/// Names of columns, the surest first.
pub(super) const TIME: &[&str] = &[
    "timestamp",
    "time",
    "ts",
    "ts_ms",
    "ts_event",
    "datetime",
    "date",
    "trade_time",
    "transact_time",
    "created_time",
    "created_at",
    "timestamp_ms",
    "timestamp_us",
    "timestamp_ns",
    "time_ms",
    "time_seconds",
    "exchange_timestamp",
    "t",
];
pub(super) const RECEIVED: &[&str] = &["ts_recv_ms", "ts_recv", "received", "local_timestamp", "receive_time"];
pub(super) const PRICE: &[&str] = &["price", "px", "p", "trade_price", "rate"];
pub(super) const SIZE: &[&str] = &["size", "qty", "quantity", "amount", "volume", "sz", "q", "vol", "base_volume"];
pub(super) const SIDE: &[&str] = &["side", "taker_side", "aggressor_side", "aggressor", "direction", "taker", "type"];
pub(super) const MAKER: &[&str] = &["is_buyer_maker", "isbuyermaker", "buyer_maker", "m"];
pub(super) const ID: &[&str] = &["id", "trade_id", "tradeid", "tid", "trdmatchid", "trade_no"];

impl Options {
    /// Whether the user names columns: then no other format is looked for.
    pub(crate) fn is_generic(&self) -> bool {
        [&self.time, &self.price, &self.size, &self.side, &self.id].into_iter().any(Option::is_some)
    }
}

/// Where a column is: where the user says, else the first that is called so.
pub(super) fn column(columns: &[String], said: Option<&str>, names: &[&str]) -> Result<Option<usize>, String> {
    let Some(said) = said else {
        return Ok(names.iter().find_map(|name| columns.iter().position(|cell| cell == name)));
    };
    let by_number = said.parse::<usize>().ok().filter(|at| (1..=columns.len()).contains(at)).map(|at| at - 1);
    let found = by_number.or_else(|| columns.iter().position(|cell| cell.eq_ignore_ascii_case(said)));
    found.map(Some).ok_or_else(|| format!("no column is called \"{said}\": it has {}", columns.join(", ")))
}

/// What is not said of exchange, market and symbol.
pub(super) fn unsaid(options: &Options, has_symbols: bool) -> Vec<&'static str> {
    let said = [
        ("--exchange", options.exchange.is_some()),
        ("--market", options.market.is_some()),
        ("--symbol", options.symbol.is_some() || has_symbols),
    ];
    said.into_iter().filter(|(_, is_said)| !is_said).map(|(name, _)| name).collect()
}

/// Columns of trades, as they are found.
pub(super) struct Found {
    pub(super) time: usize,
    pub(super) received: Option<usize>,
    pub(super) price: usize,
    pub(super) size: usize,
    pub(super) side: Option<usize>,
    pub(super) maker: Option<usize>,
    pub(super) id: Option<usize>,
    pub(super) symbol: Option<usize>,
}

impl Found {
    /// Among these columns; `None` if they are not of trades and nobody says so.
    pub(super) fn among(columns: &[String], options: &Options) -> Result<Option<Found>, String> {
        let of = |said: &Option<String>, names: &[&str]| column(columns, said.as_deref(), names);
        let (time, price, size) = (of(&options.time, TIME)?, of(&options.price, PRICE)?, of(&options.size, SIZE)?);
        let parts = [("--time", time), ("--price", price), ("--size", size)];
        let missing: Vec<&str> = parts.iter().filter(|(_, at)| at.is_none()).map(|(name, _)| *name).collect();
        let (Some(time), Some(price), Some(size)) = (time, price, size) else {
            return match options.is_generic() {
                true => {
                    Err(format!("say which column it is with {}: it has {}", missing.join(" and "), columns.join(", ")))
                }
                false => Ok(None),
            };
        };
        let is_maker = |at: &usize| MAKER.contains(&&*columns[*at]);
        let said = options.side.as_deref().filter(|side| *side != "sign");
        let (side, maker) = match (said, options.side.is_some()) {
            (None, true) => (None, None),
            (None, false) => {
                let side = column(columns, None, SIDE)?;
                (side, if side.is_none() { column(columns, None, MAKER)? } else { None })
            }
            (said, _) => {
                let at = column(columns, said, SIDE)?;
                (at.filter(|at| !is_maker(at)), at.filter(is_maker))
            }
        };
        let symbol = column(columns, None, &["symbol"])?;
        if let (Some(at), Some(said)) = (symbol, &options.symbol) {
            return Err(format!(
                "column {} names the symbols, which --symbol {said} would make one: leave it out",
                at + 1
            ));
        }
        let (received, id) = (column(columns, None, RECEIVED)?.filter(|at| *at != time), of(&options.id, ID)?);
        Ok(Some(Found { time, received, price, size, side, maker, id, symbol }))
    }

    /// What was understood, in a sentence.
    pub(super) fn tell(&self, columns: &[String], options: &Options) -> String {
        let name = |at: usize| format!("\"{}\" (column {})", columns[at], at + 1);
        let side = match (self.side, self.maker) {
            (Some(at), _) => format!("{} is the taker's side", name(at)),
            (_, Some(at)) => format!("{} true is a sale", name(at)),
            _ if options.side.is_some() => "sizes below 0 are sales, all others are bought".into(),
            _ => "nobody says who took".into(),
        };
        let symbol = match (&options.symbol, self.symbol) {
            (Some(symbol), _) => canonical_symbol(symbol),
            (None, Some(at)) => format!("the symbol in {}", name(at)),
            (None, None) => "no symbol".into(),
        };
        let id = self.id.map_or("no ids".into(), |at| format!("ids in {}", name(at)));
        let (exchange, market) = (options.exchange.as_deref().unwrap_or("?"), options.market.map_or("?", Market::name));
        let received = self.received.map_or(String::new(), |at| format!(", received at {}", name(at)));
        format!(
            "trades of {exchange} {market} {symbol}: time in {}{received}, price in {}, size in {}, {side}, {id}",
            name(self.time),
            name(self.price),
            name(self.size),
        )
    }
}

fn recognise(sight: &Sight) -> Option<Result<Recognised, String>> {
    // Without a header columns are known by their numbers.
    let columns = match sight.is_headed() {
        true => sight.columns.clone(),
        false => (1..=sight.columns.len()).map(|at| at.to_string()).collect(),
    };
    let found = match Found::among(&columns, sight.options) {
        Ok(found) => found?,
        Err(problem) => return Some(Err(problem)),
    };
    let unsaid = unsaid(sight.options, found.symbol.is_some());
    if !unsaid.is_empty() {
        return Some(Err(format!("trades, but of what is not known: say {}", unsaid.join(" and "))));
    }
    let (exchange, market) = (sight.options.exchange.clone()?, sight.options.market?);
    let nobody =
        InstrumentId::new(&exchange, market, &canonical_symbol(sight.options.symbol.as_deref().unwrap_or_default()));
    let who = match found.symbol {
        None => Who::one(&nobody),
        Some(at) => {
            let resolve = move |symbol: &str, _: &str| match canonical_symbol(symbol) {
                symbol if symbol.is_empty() => Err("no symbol".into()),
                symbol => Ok(InstrumentId::new(&exchange, market, &symbol)),
            };
            Who::named((at, None), Rc::new(resolve))
        }
    };
    let taker = match (found.side, found.maker) {
        (Some(at), _) => Taker::Side(at),
        (None, Some(at)) => Taker::Maker(at),
        (None, None) if sight.options.side.is_some() => Taker::Sign,
        (None, None) => Taker::Nobody,
    };
    let Found { time, received, price, size, id, .. } = found;
    let trades = Trades { who, time, received, price, size, taker, id, stream: "file" };
    let note = found.tell(&columns, sight.options);
    let recognised = Table::of(sight, nobody).recognised(FORMAT.name, move || trades.clone());
    Some(Ok(Recognised { note: Some(note), ..recognised }))
}
