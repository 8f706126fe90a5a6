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
    let (base, quote) = split(&instrument.symbol);
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

/// Base and quote, if the symbol ends in a known quote.
fn split(symbol: &str) -> (&str, &str) {
    let pair = symbol.split_once('_').map_or(symbol, |(pair, _)| pair);
    for quote in ["USDT", "USDC", "FDUSD", "BUSD", "USD", "EUR", "BTC", "ETH", "BNB"] {
        if let Some(base) = pair.strip_suffix(quote).filter(|base| !base.is_empty()) {
            return (base, quote);
        }
    }
    ("", "")
}
