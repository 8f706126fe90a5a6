//! What an instrument is when no venue answer in the file declares it.

use prism_schemas::event::Instrument;
use prism_schemas::{Decimal, InstrumentId, Market};

/// Quote units per contract where the venue fixes them: BitMEX, Bybit, Kraken and Deribit (whose amounts are in USD) 1, Binance COIN-M 100 for BTC and 10 for others.
pub fn declared_contract_size(instrument: &InstrumentId) -> Option<Decimal> {
    if instrument.market != Market::Inverse {
        return None;
    }
    match instrument.exchange.as_str() {
        "bitmex" | "bybit" | "kraken" | "deribit" => Some(Decimal::new(1, 0)),
        "binance" if instrument.symbol.starts_with("BTCUSD") => Some(Decimal::new(100, 0)),
        "binance" => Some(Decimal::new(10, 0)),
        _ => None,
    }
}

/// An instrument with inferred decimals; what cannot be inferred stays empty.
pub(super) fn inferred(instrument: &InstrumentId, price_decimals: u32, size_decimals: u32) -> Instrument {
    let (base, quote) = split(instrument);
    Instrument {
        price_decimals,
        size_decimals,
        contract_size: declared_contract_size(instrument),
        base: base.into(),
        quote: quote.into(),
        native_symbol: instrument.symbol.clone(),
        ..Instrument::default()
    }
}

/// Quotes that symbols end in. One that ends in another stands before it.
const QUOTES: &[&str] = &[
    "FDUSD", "PYUSD", "RLUSD", "BUSD", "USDT", "USDC", "USDP", "USDS", "USDE", "USD1", "EURI", "TUSD", "XUSD", "AEUR",
    "IDRT", "BIDR", "BVND", "DAI", "VAI", "TRY", "BRL", "ZAR", "UAH", "RUB", "NGN", "GBP", "AUD", "JPY", "PLN", "RON",
    "ARS", "MXN", "COP", "CZK", "KRW", "CHF", "CAD", "IDR", "EUR", "BTC", "ETH", "BNB", "XRP", "TRX", "DOGE", "DOT",
    "SOL", "XBT", "USD",
];

/// Coins that are traded against everything.
const MAJORS: &[&str] = &["BTC", "ETH", "BNB", "SOL", "XRP", "EUR", "USDT", "USDC", "FDUSD"];

/// Base and quote, if the symbol ends in a known quote.
fn split(instrument: &InstrumentId) -> (&str, &str) {
    let symbol = &instrument.symbol;
    let (pair, term) = symbol.split_once('_').unwrap_or((symbol, ""));
    // DOTUSD is DOT/USD and ADAEUR ADA/EUR; but the spot market of Binance has no pairs in USD.
    let is_quote = |base: &str, quote: &str| match quote {
        "TUSD" | "XUSD" => {
            base != "USD" && (MAJORS.contains(&base) || instrument.exchange == "binance" && term.is_empty())
        }
        "AEUR" => MAJORS.contains(&base),
        _ => true,
    };
    let bases = QUOTES.iter().filter_map(|quote| Some((pair.strip_suffix(quote)?, *quote)));
    bases.into_iter().find(|(base, quote)| !base.is_empty() && is_quote(base, quote)).unwrap_or(("", ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_are_a_base_and_a_quote() {
        for (exchange, symbol, expected) in [
            ("binance", "BTCTUSD", ("BTC", "TUSD")),
            ("binance", "DOTTUSD", ("DOT", "TUSD")),
            ("binance", "ETHRLUSD", ("ETH", "RLUSD")),
            ("binance", "SOLPYUSD", ("SOL", "PYUSD")),
            ("binance", "BTCAEUR", ("BTC", "AEUR")),
            ("binance", "ADAEUR", ("ADA", "EUR")),
            ("binance", "BTCXUSD", ("BTC", "XUSD")),
            ("binance", "BTCUSD1", ("BTC", "USD1")),
            ("binance", "1000SATSFDUSD", ("1000SATS", "FDUSD")),
            ("binance", "BTCZAR", ("BTC", "ZAR")),
            ("binance", "USDTTRY", ("USDT", "TRY")),
            ("binance", "TUSDUSDT", ("TUSD", "USDT")),
            ("binance", "FDUSDUSDT", ("FDUSD", "USDT")),
            ("binance", "BUSDUSD", ("BUSD", "USD")),
            ("binance", "EURUSDT", ("EUR", "USDT")),
            ("binance", "BNBETH", ("BNB", "ETH")),
            ("binance", "BTCDOMUSDT", ("BTCDOM", "USDT")),
            ("binance", "BTCUSDT_251226", ("BTC", "USDT")),
            ("binance", "DOTUSD_PERP", ("DOT", "USD")),
            ("kraken", "DOTUSD", ("DOT", "USD")),
            ("kraken", "AVAXUSD", ("AVAX", "USD")),
            ("bybit", "USDCUSDT", ("USDC", "USDT")),
            ("w1", "NNN", ("", "")),
        ] {
            assert_eq!(split(&InstrumentId::new(exchange, Market::Spot, symbol)), expected, "{symbol}");
        }
    }
}
