//! Binance's public klines, of spot, USD-M and COIN-M, with and without a header; not those of an index or a mark price.
//!
//! Columns: github.com/binance/binance-public-data, README.md, "Klines". COIN-M counts `volume` in contracts and
//! `quote_volume` in base.

use prism_schemas::Market;

use super::super::Recognised;
use super::super::rows::Table;
use super::super::sight::Sight;
use super::super::who::Who;
use super::Format;
use super::binance_trades::{instrument, parts};
use super::klines::{Bars, NO_TRADES, closes, first_rows, timeframe};

pub(super) const FORMAT: Format = Format {
    name: "binance klines",
    looks: "BTCUSDT-1m-2024-01-01.csv: open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore, with or without this header",
    recognise,
};

fn recognise(sight: &Sight) -> Option<Result<Recognised, String>> {
    let is_time = |at: usize| sight.instants.text(&sight.columns[at]).is_ok();
    let is_one = sight.columns.len() == 12
        && match sight.is_headed() {
            true => sight.columns[0] == "open_time",
            false => is_time(0) && is_time(6) || sight.columns.iter().all(|cell| cell.parse::<f64>().is_ok()),
        };
    is_one.then(|| read(sight))
}

fn read(sight: &Sight) -> Result<Recognised, String> {
    let foreign = ["premiumindexklines", "indexpriceklines", "markpriceklines"];
    if foreign.iter().any(|word| sight.mentions(word)) {
        return Err(
            "klines of an index, a mark price or a premium: they are no trades and make no bars; take klines".into()
        );
    }
    let stem = sight.stem();
    let (_, interval) = parts(&stem)
        .ok_or_else(|| format!("klines, but \"{stem}\" has no timeframe, as BTCUSDT-1m-2024-01.csv has: rename it"))?;
    let timeframe =
        timeframe(&interval).map_err(|error| format!("klines, but the file name has no timeframe: {error}"))?;
    let headed = usize::from(sight.is_headed());
    let rows = first_rows(sight, headed);
    // Spot tells times in microseconds since 2025, futures never do.
    let in_columns = rows.first().filter(|row| row[0].len() == 16).map(|_| Market::Spot);
    let instrument = instrument(sight, in_columns)?;
    let mut said = None;
    for (at, row) in rows.iter().enumerate().take(3) {
        let is_zero = |at: usize| row.get(at).and_then(|cell| cell.parse::<f64>().ok()).is_some_and(|n| n == 0.0);
        if is_zero(5) && !is_zero(8) {
            return Err(format!("line {}: {NO_TRADES}", at + 1 + headed));
        }
        let time = |at: usize| row.get(at).and_then(|cell| sight.instants.text(cell).ok());
        let (Some(start), Some(close)) = (time(0), time(6)) else { continue };
        match closes(timeframe, start, close) {
            Ok(()) => {
                said = None;
                break;
            }
            Err(wrong) => {
                said.get_or_insert(format!("line {}: {wrong}: name it by the timeframe that it has", at + 1 + headed));
            }
        }
    }
    said.map_or(Ok(()), Err)?;
    let bars = Bars {
        turnover: Some(7),
        n_trades: Some(8),
        buy_volume: Some(9),
        end: Some(6),
        ..Bars::plain(Who::one(&instrument), timeframe)
    };
    Ok(Table::of(sight, instrument).recognised(FORMAT.name, move || bars.clone()))
}
