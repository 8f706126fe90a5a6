//! The symbols of the synthetic market: made-up prices with realistic ticks, lots and sensitivities.

use prism_schemas::Decimal;

/// What is traded and how it moves.
#[derive(Clone, Copy, Debug)]
pub struct Symbol {
    /// Canonical name.
    pub name: &'static str,
    /// Price when the market starts.
    pub price: f64,
    /// Smallest price step.
    pub tick: Decimal,
    /// Smallest size step.
    pub lot: Decimal,
    /// Sensitivity to the market factor.
    pub beta: f64,
    /// Own volatility relative to the market factor's.
    pub own: f64,
    /// Mean value of a trade in quote.
    pub value: f64,
    /// Seconds between two moments at which it trades and its book changes; some are quiet for minutes.
    pub every: i64,
}

const fn symbol(
    name: &'static str,
    price: f64,
    tick: (i64, u32),
    lot: (i64, u32),
    beta: f64,
    own: f64,
    value: f64,
) -> Symbol {
    let (tick, lot) = (Decimal::new(tick.0, tick.1), Decimal::new(lot.0, lot.1));
    Symbol { name, price, tick, lot, beta, own, value, every: 1 }
}

/// The market of the demo.
pub static SYMBOLS: &[Symbol] = &[
    symbol("BTCUSDT", 64_000.0, (1, 1), (1, 3), 1.00, 0.20, 6_000.0),
    symbol("ETHUSDT", 3_100.0, (1, 2), (1, 2), 1.15, 0.45, 4_000.0),
    symbol("SOLUSDT", 150.0, (1, 2), (1, 1), 1.35, 0.75, 2_500.0),
    symbol("BNBUSDT", 580.0, (1, 1), (1, 2), 0.80, 0.50, 1_500.0),
    symbol("XRPUSDT", 0.62, (1, 4), (1, 0), 0.95, 0.80, 1_500.0),
    symbol("DOGEUSDT", 0.145, (1, 5), (1, 0), 1.30, 0.90, 1_200.0),
    symbol("ADAUSDT", 0.46, (1, 4), (1, 0), 1.10, 0.75, 800.0),
    symbol("AVAXUSDT", 32.0, (1, 3), (1, 1), 1.35, 0.85, 800.0),
    symbol("LINKUSDT", 15.4, (1, 3), (1, 1), 1.20, 0.80, 800.0),
    symbol("DOTUSDT", 6.9, (1, 4), (1, 1), 1.15, 0.75, 600.0),
    symbol("LTCUSDT", 82.0, (1, 2), (1, 1), 0.90, 0.60, 700.0),
    symbol("BCHUSDT", 450.0, (5, 2), (1, 2), 1.05, 0.75, 600.0),
    symbol("TRXUSDT", 0.12, (1, 5), (1, 0), 0.50, 0.45, 500.0),
    symbol("ATOMUSDT", 8.4, (1, 3), (1, 1), 1.10, 0.75, 500.0),
    symbol("UNIUSDT", 9.7, (1, 3), (1, 1), 1.20, 0.95, 500.0),
    symbol("NEARUSDT", 6.3, (1, 3), (1, 1), 1.40, 0.95, 600.0),
    symbol("APTUSDT", 8.9, (1, 3), (1, 2), 1.35, 0.90, 500.0),
    symbol("ARBUSDT", 1.02, (1, 4), (1, 1), 1.35, 0.90, 500.0),
    symbol("OPUSDT", 2.35, (1, 4), (1, 1), 1.40, 0.95, 500.0),
    symbol("SUIUSDT", 1.75, (1, 4), (1, 0), 1.45, 1.10, 900.0),
    symbol("INJUSDT", 24.5, (1, 3), (1, 1), 1.40, 1.05, 500.0),
    symbol("FILUSDT", 5.6, (1, 3), (1, 1), 1.20, 0.85, 400.0),
    symbol("ETCUSDT", 27.3, (1, 3), (1, 1), 1.10, 0.70, 500.0),
    symbol("AAVEUSDT", 96.0, (1, 2), (1, 2), 1.15, 0.95, 500.0),
];

/// So many symbols: those of the demo, then others that move as they do, `COIN24USDT` and so on. They live as long as the
/// process.
pub fn symbols(n: usize) -> &'static [Symbol] {
    let of = |at: usize| match SYMBOLS.get(at) {
        Some(symbol) => *symbol,
        None => Symbol { name: format!("COIN{at}USDT").leak(), ..SYMBOLS[at % SYMBOLS.len()] },
    };
    SYMBOLS.get(..n).unwrap_or_else(|| (0..n).map(of).collect::<Vec<_>>().leak())
}

/// The same symbols; those of these names say something every so many seconds only. They live as long as the process.
pub fn quiet(symbols: &'static [Symbol], names: &[impl AsRef<str>], every: i64) -> &'static [Symbol] {
    if names.is_empty() {
        return symbols;
    }
    let is_quiet = |symbol: &Symbol| names.iter().any(|name| name.as_ref() == symbol.name);
    let of = |symbol: &Symbol| Symbol { every: if is_quiet(symbol) { every } else { symbol.every }, ..*symbol };
    symbols.iter().map(of).collect::<Vec<_>>().leak()
}
