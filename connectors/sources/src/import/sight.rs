//! What is seen of a file before it is read: its names, its first lines and columns, and what the user says of it.

use std::path::Path;

use prism_schemas::{InstrumentId, Market, canonical_symbol};

use super::Options;
use super::input::Input;
use super::instant::Instants;
use super::row::{Ends, Row};

/// What recognisers look at.
pub(super) struct Sight<'a> {
    pub(super) input: &'a Input,
    /// The first bytes.
    pub(super) head: &'a [u8],
    /// The first lines, if it is text.
    pub(super) text: &'a str,
    /// The cells of the first line, without quotes and in lower case.
    pub(super) columns: Vec<String>,
    /// What is between the cells.
    pub(super) delimiter: u8,
    pub(super) options: &'a Options,
    pub(super) instants: Instants,
}

impl<'a> Sight<'a> {
    pub(super) fn new(input: &'a Input, head: &'a [u8], text: &'a str, options: &'a Options) -> Sight<'a> {
        let first = text.lines().next().unwrap_or_default();
        let of = |delimiter: u8| first.bytes().filter(|byte| *byte == delimiter).count();
        // The first of those that are most frequent.
        let delimiter = [b',', b';', b'\t'].into_iter().rev().max_by_key(|one| of(*one)).unwrap_or(b',');
        let mut ends = Ends::new();
        let row = Row::split(first, delimiter, &mut ends);
        let columns = (0..row.len()).filter_map(|at| row.get(at).ok()).map(str::to_ascii_lowercase).collect();
        let instants = Instants::until(options.now);
        Sight { input, head, text, columns, delimiter, options, instants }
    }

    /// The first line.
    pub(super) fn first(&self) -> &'a str {
        self.text.lines().next().unwrap_or_default()
    }

    /// Cells of a line.
    pub(super) fn cells(&self, line: &str) -> Vec<String> {
        let mut ends = Ends::new();
        let row = Row::split(line, self.delimiter, &mut ends);
        (0..row.len()).filter_map(|at| row.get(at).ok()).map(str::to_string).collect()
    }

    /// Whether the first line names columns: none of its cells is a number or a time.
    pub(super) fn is_headed(&self) -> bool {
        let is_value = |cell: &String| cell.parse::<f64>().is_ok() || self.instants.text(cell).is_ok();
        !self.columns.is_empty() && !self.columns.iter().any(is_value)
    }

    /// Whether the first line's cells are these, or begin with them.
    pub(super) fn begins(&self, names: &[&str]) -> bool {
        names.len() <= self.columns.len() && self.columns.iter().zip(names).all(|(cell, name)| cell == name)
    }

    /// Where a column is.
    pub(super) fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|cell| cell == name)
    }

    /// The file's name.
    pub(super) fn name(&self) -> String {
        self.input.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// The file's name up to its first point.
    pub(super) fn stem(&self) -> String {
        self.name().split('.').next().unwrap_or_default().to_string()
    }

    /// Whether a directory above it, or its name, has this word, as `um` in `futures/um/daily`.
    pub(super) fn is_under(&self, word: &str) -> bool {
        self.parts().any(|part| part.eq_ignore_ascii_case(word))
    }

    /// Whether its name or a directory above it contains a word.
    pub(super) fn mentions(&self, word: &str) -> bool {
        self.parts().any(|part| part.to_ascii_lowercase().contains(word))
    }

    fn parts(&self) -> impl Iterator<Item = &str> {
        let directories = self.input.path.parent().unwrap_or(Path::new("")).components();
        directories
            .filter_map(|part| part.as_os_str().to_str())
            .chain(self.input.path.file_name().and_then(|name| name.to_str()))
    }

    /// An instrument of a venue whose symbol is spelled like this; what the user says of exchange and market counts.
    pub(super) fn instrument(&self, exchange: &str, market: Market, symbol: &str) -> InstrumentId {
        let exchange = self.options.exchange.clone().unwrap_or_else(|| exchange.into());
        InstrumentId { exchange, market: self.options.market.unwrap_or(market), symbol: canonical_symbol(symbol) }
    }
}
