//! Formats of files: each one file here and one line in `FORMATS`.

mod binance_klines;
mod binance_other;
mod binance_trades;
mod bitmex;
mod blocks;
mod bybit;
mod ccxt;
mod columns;
mod cryptodatadownload;
mod cryptofeed;
mod frames;
mod generic;
mod hftbacktest;
mod klines;
mod kraken;
mod lines;
mod okx;
mod plain_klines;
mod tardis;
mod tardis_books;
mod trades;

use super::Recognised;
use super::sight::Sight;

/// A kind of file.
pub struct Format {
    /// Its name in reports.
    pub name: &'static str,
    /// What its files look like, in one line.
    pub looks: &'static str,
    /// Whether a file is one: `None` if it is not; an error if it is, and says why it cannot be read.
    recognise: fn(&Sight) -> Option<Result<Recognised, String>>,
}

/// Every format; the first that takes a file reads it.
pub static FORMATS: &[Format] = &[
    columns::PARQUET,
    columns::FEATHER,
    cryptofeed::FORMAT,
    cryptofeed::TEXT,
    hftbacktest::FORMAT,
    lines::FORMAT,
    ccxt::JSON,
    tardis::FORMAT,
    tardis_books::FORMAT,
    binance_trades::AGGREGATED,
    binance_trades::SINGLE,
    binance_klines::FORMAT,
    binance_other::FORMAT,
    bybit::FORMAT,
    bitmex::FORMAT,
    okx::FORMAT,
    kraken::TRADES,
    kraken::KLINES,
    cryptodatadownload::FORMAT,
    plain_klines::FORMAT,
    ccxt::CSV,
    generic::FORMAT,
];

/// Reads a file as the first format that takes it; `None` if none does.
pub(super) fn recognise(sight: &Sight) -> Option<Result<Recognised, String>> {
    // Who names columns knows the file.
    let is_column = |format: &&Format| format.name == generic::FORMAT.name || sight.text.is_empty();
    let mut formats = FORMATS.iter().filter(|format| !sight.options.is_generic() || is_column(format));
    formats.find_map(|format| (format.recognise)(sight))
}

/// What is read, in a sentence.
pub(super) fn known() -> String {
    let names: Vec<&str> = FORMATS.iter().map(|format| format.name).collect();
    format!("known are {} (prism import --formats tells how they look); {}", names.join(", "), generic::HOW)
}
