//! Bars of cryptodatadownload.com: a line with its address, then a header; the newest first.
//!
//! Columns: `unix,date,symbol,open,high,low,close,Volume BTC,Volume USD[,tradecount]`, in capitals too, in seconds or ms, as its
//! users' tools read them. The volume in base is the one that is not called by the quote.

use prism_schemas::Market;

use super::super::Recognised;
use super::super::rows::Table;
use super::super::sight::Sight;
use super::super::who::Who;
use super::Format;
use super::klines::{Bars, contradicts, first_rows, timeframe};

pub(super) const FORMAT: Format = Format {
    name: "cryptodatadownload",
    looks: "Binance_BTCUSDT_1h.csv: Unix,Date,Symbol,Open,High,Low,Close,Volume BTC,Volume USDT[,tradecount], behind a line with the site's address",
    recognise,
};

fn recognise(sight: &Sight) -> Option<Result<Recognised, String>> {
    // The header is the first line, or the one behind the address.
    let is_header = |cells: &[String]| {
        let names = ["unix", "date", "symbol", "open", "high", "low", "close"];
        names.len() < cells.len() && cells.iter().zip(names).all(|(cell, name)| cell.eq_ignore_ascii_case(name))
    };
    let lines = sight.text.lines().filter(|line| !line.trim().is_empty());
    let (skip, header) = lines.take(3).map(|line| sight.cells(line)).enumerate().find(|(_, cells)| is_header(cells))?;
    Some(read(sight, skip + 1, &header))
}

fn read(sight: &Sight, skip: usize, header: &[String]) -> Result<Recognised, String> {
    let stem = sight.stem();
    let parts: Vec<&str> = stem.split('_').collect();
    let wanted = || format!("\"{stem}\" is not like Binance_BTCUSDT_1h: rename it");
    let Some((last, names)) = parts.split_last().filter(|(_, names)| 2 <= names.len()) else { return Err(wanted()) };
    let timeframe = timeframe(last).map_err(|error| format!("{}: {error}", wanted()))?;
    let rows = first_rows(sight, skip);
    let symbol = rows.first().and_then(|row| row.get(2)).ok_or("it has no rows")?;
    let is_symbol = |name: &&str| prism_schemas::canonical_symbol(name) == prism_schemas::canonical_symbol(symbol);
    let exchange = names.iter().find(|name| !is_symbol(name)).ok_or_else(wanted)?.to_ascii_lowercase();
    let market = match () {
        () if names.contains(&"UM") => Market::Linear,
        () if names.contains(&"CM") => Market::Inverse,
        () if names.iter().any(|name| name.eq_ignore_ascii_case("futures")) => Market::Linear,
        () => Market::Spot,
    };
    let instrument = sight.instrument(&exchange, market, symbol);
    if instrument.market == Market::Inverse {
        return Err("bars of inverse contracts, whose contracts no column counts: take the venue's own".into());
    }
    if let Some(wrong) = contradicts(sight, timeframe, 0, &rows) {
        return Err(wrong);
    }
    let volumes: Vec<(usize, String)> = header
        .iter()
        .enumerate()
        .filter_map(|(at, name)| {
            Some((at, name.to_ascii_lowercase().strip_prefix("volume")?.trim().to_ascii_uppercase()))
        })
        .collect();
    let is_quote =
        |asset: &str| !asset.is_empty() && instrument.symbol.ends_with(asset) && !instrument.symbol.starts_with(asset);
    let base = volumes.iter().find(|(_, asset)| !is_quote(asset)).ok_or("no column of volume in base")?;
    let quote = volumes.iter().find(|(_, asset)| is_quote(asset));
    let bars = Bars {
        open: 3,
        high: 4,
        low: 5,
        close: 6,
        volume: base.0,
        turnover: quote.map(|(at, _)| *at),
        n_trades: header.iter().position(|name| name.eq_ignore_ascii_case("tradecount")),
        ..Bars::plain(Who::one(&instrument), timeframe)
    };
    let table = Table { skip: skip as u64, ..Table::of(sight, instrument) };
    Ok(table.recognised(FORMAT.name, move || bars.clone()))
}
