//! Bars as ccxt gives and freqtrade keeps them: time, open, high, low, close, volume, named by pair and timeframe.
//!
//! Names and layouts: docs.ccxt.com, "OHLCV Structure"; freqtrade.io, "Data downloading": `BTC_USDT-1h.json`,
//! `futures/BTC_USDT_USDT-1h-futures.feather`, below a directory named by the exchange. `-mark` and `-funding_rate` are no trades.

use std::io::{Error, ErrorKind};

use prism_exchange::quarantined;
use prism_schemas::{InstrumentId, Market, Timeframe, Ts};

use super::super::instant::Instants;
use super::super::lines::Lines;
use super::super::row::{Ends, Row};
use super::super::rows::{Layout, Table, Wrong};
use super::super::sight::Sight;
use super::super::who::{Id, Who};
use super::super::{Events, Recognised, Source};
use super::Format;
use super::klines::{Bars, contradicts, first_rows, timeframe};

pub(super) const CSV: Format = Format {
    name: "ccxt klines",
    looks: "BTC_USDT-1m.csv: timestamp (or date),open,high,low,close,volume; the directory may name the exchange",
    recognise: csv,
};

pub(super) const JSON: Format = Format {
    name: "ccxt klines in JSON",
    looks: "BTC_USDT-1m.json: [[1704067200000,42300.5,42310,42290,42305,12.5],...]",
    recognise: json,
};

/// Exchanges that directories are named by.
const EXCHANGES: &[&str] = &[
    "binance",
    "binanceus",
    "bitfinex",
    "bitget",
    "bitmex",
    "bitstamp",
    "bitvavo",
    "bybit",
    "coinbase",
    "cryptocom",
    "deribit",
    "gate",
    "gateio",
    "gemini",
    "htx",
    "huobi",
    "hyperliquid",
    "kraken",
    "krakenfutures",
    "kucoin",
    "mexc",
    "okx",
    "okex",
];

/// Instrument and timeframe of a file name; who it is of is unknown where no directory and no option says the exchange.
pub(super) fn named(sight: &Sight) -> Result<(InstrumentId, Timeframe), String> {
    let stem = sight.stem();
    let wanted = || format!("bars, but \"{stem}\" does not name pair and timeframe as BTC_USDT-1m does: rename it");
    let (pair, rest) = stem.split_once('-').ok_or_else(wanted)?;
    let (interval, kind) = rest.split_once('-').unwrap_or((rest, ""));
    if !matches!(kind, "" | "futures" | "spot") {
        return Err(format!("a history of \"{kind}\", not of trades"));
    }
    let timeframe = timeframe(interval).map_err(|error| format!("{}: {error}", wanted()))?;
    let parts: Vec<&str> = pair.split(['_', ':', '/']).collect();
    let market = match parts.as_slice() {
        [_, quote, settled, ..] if quote == settled => Market::Linear,
        [_, _, _, ..] => Market::Inverse,
        _ if kind == "futures" => Market::Linear,
        _ => Market::Spot,
    };
    let expiry = parts.get(3).map_or(String::new(), |expiry| format!("_{expiry}"));
    let pair = parts.iter().take(2).copied().collect::<String>() + &expiry;
    let symbol = sight.options.symbol.clone().unwrap_or(pair);
    let exchange = EXCHANGES.iter().find(|name| sight.is_under(name)).copied().unwrap_or("ccxt");
    Ok((sight.instrument(exchange, market, &symbol), timeframe))
}

fn csv(sight: &Sight) -> Option<Result<Recognised, String>> {
    let is_time =
        |name: &String| matches!(&**name, "timestamp" | "date" | "time" | "datetime" | "open_time" | "ts" | "");
    let is_one = sight.columns.len() == 6
        && sight.columns.first().is_some_and(is_time)
        && sight.columns[1..].iter().zip(["open", "high", "low", "close", "volume"]).all(|(cell, name)| cell == name);
    is_one.then(|| {
        let (instrument, timeframe) = named(sight)?;
        if let Some(wrong) = contradicts(sight, timeframe, 0, &first_rows(sight, 1)) {
            return Err(wrong);
        }
        let bars = Bars::plain(Who::one(&instrument), timeframe);
        Ok(Table::of(sight, instrument).recognised(CSV.name, move || bars.clone()))
    })
}

fn json(sight: &Sight) -> Option<Result<Recognised, String>> {
    let start: String = sight.text.chars().take(200).filter(|c| !c.is_whitespace()).take(3).collect();
    let is_one = start.starts_with("[[") && start.chars().nth(2).is_some_and(|c| c.is_ascii_digit() || c == '"');
    is_one.then(|| {
        let (instrument, timeframe) = named(sight)?;
        let rows = sight.text.split(']').filter_map(cells).take(64);
        let rows: Vec<Vec<String>> = rows.map(|text| sight.cells(text)).collect();
        if let Some(wrong) = contradicts(sight, timeframe, 0, &rows) {
            return Err(wrong);
        }
        let (input, instants) = (sight.input.clone(), sight.instants);
        let bars = Bars::plain(Who::one(&instrument), timeframe);
        let open = move || {
            let lines = Lines::ended_by(&input, b']')?;
            let (bars, nobody) = (bars.clone(), instrument.clone().into());
            Ok(Box::new(Lists { lines, bars, nobody, instants, ends: Ends::new(), row: 0, opened: 0, ts_recv: 0 })
                as Box<dyn Source>)
        };
        Ok(Recognised { format: JSON.name, input: sight.input.clone(), note: None, open: Box::new(open) })
    })
}

/// What stands in a list's brackets, if it is one.
fn cells(text: &str) -> Option<&str> {
    Some(text.rsplit_once('[')?.1)
}

/// A list of lists, list after list: it may be one line of any length.
struct Lists {
    lines: Lines,
    bars: Bars,
    nobody: Id,
    instants: Instants,
    ends: Ends,
    row: u64,
    /// Brackets that were opened so far.
    opened: u64,
    ts_recv: Ts,
}

impl Source for Lists {
    fn next(&mut self, out: &mut Events) -> std::io::Result<bool> {
        let is_more = self.lines.step()?;
        let line = self.lines.bytes();
        if is_more && self.lines.is_closed {
            self.opened += memchr::memchr_iter(b'[', line).count() as u64;
        } else {
            return match is_more || self.opened != self.lines.ends {
                false => Ok(false),
                true => Err(Error::new(ErrorKind::UnexpectedEof, "its list is not closed: it is cut off")),
            };
        }
        let Some(text) = std::str::from_utf8(line).ok().and_then(cells) else {
            return Err(Error::new(ErrorKind::InvalidData, "no list of lists of numbers"));
        };
        self.row += 1;
        let row = Row::split(text, b',', &mut self.ends);
        let read = match row.len() {
            6 => self.bars.read(&row.numbered(self.row, self.instants), out),
            n => Err(Wrong::Row(format!("{n} numbers, where time, open, high, low, close and volume are six"))),
        };
        match read {
            Ok(()) => self.ts_recv = out.last().map_or(self.ts_recv, |(_, event)| event.ts_recv),
            Err(Wrong::Row(problem) | Wrong::File(problem)) => {
                let detail = format!("row {}: {problem}", self.row);
                out.push((self.nobody.clone(), quarantined("invalid_row", detail, text.as_bytes(), self.ts_recv)));
            }
        }
        Ok(true)
    }
}
