//! Kraken's public trades and bars, as it offers them for download: without a header, named by their pair.
//!
//! Columns: support.kraken.com, "Downloadable historical market data (time and sales)" and "(OHLCVT)". Times are in seconds.
//! Its trades do not say who took.

use prism_schemas::{InstrumentId, Market};

use super::super::Recognised;
use super::super::rows::Table;
use super::super::sight::Sight;
use super::super::who::Who;
use super::Format;
use super::klines::{Bars, contradicts, first_rows};
use super::trades::{Taker, Trades};

pub(super) const TRADES: Format = Format {
    name: "kraken trades",
    looks: "XBTUSD.csv: seconds,price,volume without a header; named by the pair; who took is not told",
    recognise: trades,
};

pub(super) const KLINES: Format = Format {
    name: "kraken klines",
    looks: "XBTUSD_1.csv: seconds,open,high,low,close,volume,trades without a header; named by the pair and the minutes of a bar",
    recognise: klines,
};

/// Quotes of Kraken's pairs, the longer ones first.
const QUOTES: &[&str] =
    &["USDT", "USDC", "PYUSD", "ZUSD", "ZEUR", "USD", "EUR", "GBP", "CAD", "JPY", "AUD", "CHF", "XBT", "ETH", "DAI"];

/// The pair in the common spelling: XBTUSD is BTCUSD.
pub(super) fn pair(text: &str) -> Option<String> {
    let text = text.to_ascii_uppercase().replace(['/', '-'], "");
    if !text.chars().all(|c| c.is_ascii_alphanumeric()) {
        return None;
    }
    let common = |name: &str| match name {
        "XBT" | "XXBT" => "BTC".to_string(),
        "XDG" | "XXDG" => "DOGE".to_string(),
        "ZUSD" | "ZEUR" => name[1..].to_string(),
        other => other.to_string(),
    };
    let quote = QUOTES.iter().find(|quote| text.len() > quote.len() && text.ends_with(*quote))?;
    Some(common(&text[..text.len() - quote.len()]) + &common(quote))
}

fn are_numbers(sight: &Sight) -> bool {
    sight.columns.iter().all(|cell| cell.parse::<f64>().is_ok())
}

fn instrument(sight: &Sight, name: &str) -> Option<InstrumentId> {
    Some(sight.instrument("kraken", Market::Spot, &pair(sight.options.symbol.as_deref().unwrap_or(name))?))
}

/// Whether a name without a word of the venue may be Kraken's: in capitals, and Bitcoin is XBT.
fn may_be(sight: &Sight, name: &str) -> bool {
    let is_spelled_so = name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    is_spelled_so && !name.contains("BTC") || sight.mentions("kraken") || sight.options.exchange.is_some()
}

fn trades(sight: &Sight) -> Option<Result<Recognised, String>> {
    let is_one = sight.columns.len() == 3 && are_numbers(sight) && sight.instants.text(&sight.columns[0]).is_ok();
    let is_one = is_one && may_be(sight, &sight.stem());
    let instrument = instrument(sight, &sight.stem()).filter(|_| is_one && !sight.options.is_generic())?;
    let trades = Trades {
        who: Who::one(&instrument),
        time: 0,
        received: None,
        price: 1,
        size: 2,
        taker: Taker::Nobody,
        id: None,
        stream: "trade",
    };
    let note = format!("taken for Kraken's download of {}: nobody says who took", instrument.symbol);
    let recognised = Table::of(sight, instrument).recognised(TRADES.name, move || trades.clone());
    Some(Ok(Recognised { note: Some(note), ..recognised }))
}

fn klines(sight: &Sight) -> Option<Result<Recognised, String>> {
    let stem = sight.stem();
    let (name, minutes) = stem.rsplit_once('_')?;
    let is_one = sight.columns.len() == 7 && are_numbers(sight) && sight.instants.text(&sight.columns[0]).is_ok();
    let minutes: i64 = minutes.parse().ok().filter(|_| is_one && may_be(sight, name))?;
    let instrument = instrument(sight, name)?;
    let length = minutes.checked_mul(prism_schemas::time::MINUTE)?;
    let mut all = prism_schemas::Timeframe::ALL.into_iter();
    let Some(timeframe) = all.find(|one| one.length() == length) else {
        return Some(Err(format!("bars of {minutes} minutes, which is no timeframe")));
    };
    if let Some(wrong) = contradicts(sight, timeframe, 0, &first_rows(sight, 0)) {
        return Some(Err(wrong));
    }
    let bars = Bars { n_trades: Some(6), ..Bars::plain(Who::one(&instrument), timeframe) };
    Some(Ok(Table::of(sight, instrument).recognised(KLINES.name, move || bars.clone())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_spelled_as_elsewhere() {
        for (name, common) in [
            ("XBTUSD", "BTCUSD"),
            ("XXBTZUSD", "BTCUSD"),
            ("XDGEUR", "DOGEEUR"),
            ("ETHXBT", "ETHBTC"),
            ("ADAUSDT", "ADAUSDT"),
        ] {
            assert_eq!(pair(name).as_deref(), Some(common));
        }
        assert!(pair("USD").is_none() && pair("my trades").is_none());
    }
}
