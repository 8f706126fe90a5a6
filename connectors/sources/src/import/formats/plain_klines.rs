//! Bars whose file name says all: `BINANCE_UM_BTCUSDT_1m_futures.csv`.

use prism_schemas::{InstrumentId, Market, Timeframe, canonical_symbol};

use super::super::Recognised;
use super::super::rows::Table;
use super::super::sight::Sight;
use super::super::who::Who;
use super::Format;
use super::klines::{Bars, contradicts, first_rows};

pub(super) const FORMAT: Format =
    Format { name: "klines", looks: "BINANCE_UM_BTCUSDT_1m_futures.csv: ts_ms,open,high,low,close,volume", recognise };

fn recognise(sight: &Sight) -> Option<Result<Recognised, String>> {
    let is_one = sight.columns.len() == 6 && sight.begins(&["ts_ms", "open", "high", "low", "close", "volume"]);
    is_one.then(|| {
        let (timeframe, instrument) = named(&sight.stem())?;
        if let Some(wrong) = contradicts(sight, timeframe, 0, &first_rows(sight, 1)) {
            return Err(wrong);
        }
        let bars = Bars::plain(Who::one(&instrument), timeframe);
        Ok(Table::of(sight, instrument).recognised(FORMAT.name, move || bars.clone()))
    })
}

fn named(stem: &str) -> Result<(Timeframe, InstrumentId), String> {
    let wanted = "klines, but the file name is not like BINANCE_UM_BTCUSDT_1m_futures.csv";
    let parts: Vec<&str> = stem.split('_').collect();
    let [exchange, market, symbol @ .., timeframe, kind] = parts.as_slice() else { return Err(wanted.into()) };
    if !matches!(*kind, "futures" | "spot" | "klines") {
        return Err(format!("a history of \"{kind}\", not of trades"));
    }
    let market = match *market {
        "UM" | "LINEAR" => Market::Linear,
        "CM" | "INVERSE" => Market::Inverse,
        "SPOT" => Market::Spot,
        _ => return Err(wanted.into()),
    };
    let timeframe = timeframe.parse().map_err(|error: String| format!("{wanted}: {error}"))?;
    let symbol = canonical_symbol(&symbol.join("_"));
    Ok((timeframe, InstrumentId { exchange: exchange.to_lowercase(), market, symbol }))
}
