//! Rows of tables as values: cells in column order, and versions of a row.

use std::sync::Arc;

use crate::{Table, Ts};

/// One value of a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// Absent.
    Null,
    /// A truth value.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A finite number.
    Float(f64),
    /// A name from a small set, or a text.
    Text(Arc<str>),
    /// A point in time.
    Ts(Ts),
}

impl Cell {
    /// A text.
    pub fn text(text: impl Into<Arc<str>>) -> Cell {
        Cell::Text(text.into())
    }

    /// As JSON: times as RFC 3339.
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Cell::Null => serde_json::Value::Null,
            Cell::Bool(value) => (*value).into(),
            Cell::Int(value) => (*value).into(),
            Cell::Float(value) => (*value).into(),
            Cell::Text(value) => (**value).into(),
            Cell::Ts(ts) => crate::time::format_ts(*ts).into(),
        }
    }
}

impl From<Option<f64>> for Cell {
    fn from(value: Option<f64>) -> Cell {
        value.filter(|value| value.is_finite()).map_or(Cell::Null, Cell::Float)
    }
}

impl From<f64> for Cell {
    fn from(value: f64) -> Cell {
        Cell::from(Some(value))
    }
}

impl From<i64> for Cell {
    fn from(value: i64) -> Cell {
        Cell::Int(value)
    }
}

impl From<bool> for Cell {
    fn from(value: bool) -> Cell {
        Cell::Bool(value)
    }
}

impl From<&str> for Cell {
    fn from(value: &str) -> Cell {
        Cell::text(value)
    }
}

impl From<&Arc<str>> for Cell {
    fn from(value: &Arc<str>) -> Cell {
        Cell::Text(value.clone())
    }
}

/// One version of a table's row, complete with its tail (known_at, revision, retracted, config_hash).
#[derive(Clone, Debug, PartialEq)]
pub struct Version {
    /// The table it belongs to.
    pub table: &'static Table,
    /// One cell for each column of the table.
    pub cells: Vec<Cell>,
}

impl Version {
    /// The cell of a column.
    pub fn get(&self, column: &str) -> Option<&Cell> {
        self.cells.get(self.table.position(column)?)
    }

    /// As a JSON object in column order; nulls stay.
    pub fn to_json(&self) -> serde_json::Value {
        let pairs = self.table.columns.iter().zip(&self.cells);
        serde_json::Value::Object(pairs.map(|(column, cell)| (column.name.to_string(), cell.to_json())).collect())
    }

    /// The key: cells of the table's key columns as text, joined.
    pub fn key(&self) -> String {
        let mut key = String::new();
        push_key(self.table.key_positions().map(|position| &self.cells[position]), &mut key);
        key
    }
}

/// Appends the key of a row to `key`: the cells of its table's key columns as text, each followed by `|`. Two keys are
/// equal only if all cells are; absent and empty text are one. A `|` or `\` within a text is written `\|` or `\\`.
pub fn push_key<'a>(cells: impl Iterator<Item = &'a Cell>, key: &mut String) {
    let mut digits = itoa::Buffer::new();
    for cell in cells {
        match cell {
            Cell::Text(text) => push_text(text, key),
            Cell::Ts(value) | Cell::Int(value) => key.push_str(digits.format(*value)),
            Cell::Float(value) => key.push_str(digits.format(value.to_bits())),
            Cell::Bool(value) => key.push_str(if *value { "true" } else { "false" }),
            Cell::Null => {}
        }
        key.push('|');
    }
}

/// A text as a part of a key.
pub(crate) fn push_text(text: &str, key: &mut String) {
    if !text.contains(['|', '\\']) {
        return key.push_str(text);
    }
    for c in text.chars() {
        if matches!(c, '|' | '\\') {
            key.push('\\');
        }
        key.push(c);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_equal_only_if_their_cells_are() {
        let key = |cells: &[Cell]| {
            let mut key = String::new();
            push_key(cells.iter(), &mut key);
            key
        };
        assert_eq!(key(&["BTCUSDT".into(), 7.into(), Cell::Null]), "BTCUSDT|7||");
        let texts = ["", "a", "|", "a|", "|a", "a|b", "\\", "a\\", "\\|", "|\\", "||", "\\\\"];
        let pairs: Vec<(&str, &str)> = texts.iter().flat_map(|a| texts.iter().map(move |b| (*a, *b))).collect();
        let keys: std::collections::BTreeSet<String> =
            pairs.iter().map(|(a, b)| key(&[(*a).into(), (*b).into()])).collect();
        assert_eq!(keys.len(), pairs.len());
        assert_eq!(key(&["".into()]), key(&[Cell::Null]));
    }
}
