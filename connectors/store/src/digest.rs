//! A digest of what derived tables say, whatever the order and the files their rows are in.

use prism_schemas::table::TABLES;
use prism_schemas::{Cell, RowStore, StoreError, Version};
use twox_hash::XxHash3_128;

/// What counts as equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Values, and when they became known and how often they were revised.
    Full,
    /// Values only: what a run and a run from scratch must agree on.
    Values,
}

/// The digest of a set of rows: their number, and the sum of their 128-bit hashes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digest {
    rows: u64,
    sum: u128,
}

impl Digest {
    /// Adds a row; a retracted one says nothing.
    pub fn add(&mut self, row: &Version, mode: Mode) {
        if row.get("retracted") == Some(&Cell::Bool(true)) {
            return;
        }
        let mut bytes = Vec::with_capacity(1024);
        for (column, cell) in row.table.columns.iter().zip(&row.cells) {
            let left_out = match column.name {
                "config_hash" | "run_id" => true,
                "known_at" | "revision" | "retracted" => mode == Mode::Values,
                _ => false,
            };
            // Nulls are left out too, so that a column added later changes no digest; an empty text is a null.
            let is_absent = *cell == Cell::Null || matches!(cell, Cell::Text(text) if text.is_empty());
            if left_out || is_absent {
                continue;
            }
            bytes.extend_from_slice(column.name.as_bytes());
            bytes.push(0);
            match cell {
                Cell::Null => {}
                Cell::Bool(value) => bytes.push(u8::from(*value)),
                Cell::Int(value) => bytes.extend_from_slice(&value.to_le_bytes()),
                // -0 and 0 are the same value.
                Cell::Float(value) => bytes.extend_from_slice(&(value + 0.0).to_bits().to_le_bytes()),
                Cell::Text(text) => {
                    bytes.extend_from_slice(&(text.len() as u64).to_le_bytes());
                    bytes.extend_from_slice(text.as_bytes());
                }
                // As stored, in microseconds.
                Cell::Ts(ts) => bytes.extend_from_slice(&ts.div_euclid(1_000).to_le_bytes()),
            }
        }
        self.rows += 1;
        self.sum = self.sum.wrapping_add(XxHash3_128::oneshot(&bytes));
    }

    /// Rows counted.
    pub fn rows(&self) -> u64 {
        self.rows
    }
}

impl std::fmt::Display for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {:032x}", self.rows, self.sum)
    }
}

/// One line `table rows digest` for each derived table, by name.
pub fn digest(store: &dyn RowStore, mode: Mode) -> Result<String, StoreError> {
    let mut lines = Vec::new();
    for table in TABLES.iter().filter(|table| table.derived) {
        let mut digest = Digest::default();
        store.scan(table, &mut |row| digest.add(&row, mode))?;
        lines.push(format!("{} {digest}\n", table.name));
    }
    lines.sort();
    Ok(lines.concat())
}
