//! Answers as JSON rows, CSV and text tables.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float32Type, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use prism_schemas::time::format_ts;
use serde::Serialize;
use serde_json::Value;

use crate::error::Error;

/// A column of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OutputColumn {
    /// Its name.
    pub name: String,
    /// Its Arrow type.
    #[serde(rename = "type")]
    pub kind: String,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct QueryResult {
    /// Its columns.
    pub columns: Vec<OutputColumn>,
    /// Its rows.
    pub batches: Vec<RecordBatch>,
    /// Whether there were more rows than allowed, which are missing.
    pub truncated: bool,
}

impl QueryResult {
    /// Number of rows.
    pub fn n_rows(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }

    /// Rows as arrays of JSON values: times RFC 3339 in UTC, never NaN.
    pub fn rows(&self) -> Result<Vec<Vec<Value>>, Error> {
        let mut rows = Vec::with_capacity(self.n_rows());
        for batch in &self.batches {
            let start = rows.len();
            rows.resize_with(start + batch.num_rows(), || Vec::with_capacity(batch.num_columns()));
            for array in batch.columns() {
                let cell = cells(array)?;
                for row in 0..batch.num_rows() {
                    rows[start + row].push(cell(row));
                }
            }
        }
        Ok(rows)
    }

    /// Rows as JSON objects in column order.
    pub fn objects(&self) -> Result<Vec<serde_json::Map<String, Value>>, Error> {
        let names: Vec<&String> = self.columns.iter().map(|column| &column.name).collect();
        let object = |row: Vec<Value>| names.iter().map(|name| (*name).clone()).zip(row).collect();
        Ok(self.rows()?.into_iter().map(object).collect())
    }

    /// As CSV with a header; null is empty.
    pub fn csv(&self) -> Result<String, Error> {
        let mut out = String::new();
        let line =
            |cells: &mut dyn Iterator<Item = String>| cells.map(|cell| quote(&cell)).collect::<Vec<_>>().join(",");
        out += &line(&mut self.columns.iter().map(|column| column.name.clone()));
        out.push('\n');
        for row in self.rows()? {
            out += &line(&mut row.iter().map(text));
            out.push('\n');
        }
        Ok(out)
    }

    /// As a table for a terminal; null is empty.
    pub fn pretty(&self) -> Result<String, Error> {
        let mut lines = vec![self.columns.iter().map(|column| column.name.clone()).collect::<Vec<_>>()];
        for row in self.rows()? {
            lines.push(row.iter().map(text).collect());
        }
        let width = |at: usize| lines.iter().map(|line| line[at].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let rule: String = widths.iter().map(|width| format!("+{}", "-".repeat(width + 2))).collect::<String>() + "+\n";
        let mut out = rule.clone();
        for (n, line) in lines.iter().enumerate() {
            for (cell, width) in line.iter().zip(&widths) {
                out += &format!("| {cell}{} ", " ".repeat(width - cell.chars().count()));
            }
            out += "|\n";
            if n == 0 {
                out += &rule;
            }
        }
        Ok(out + &rule)
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn quote(cell: &str) -> String {
    match cell.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", cell.replace('"', "\"\"")),
        false => cell.to_string(),
    }
}

/// A column's cells by row.
fn cells(array: &dyn Array) -> Result<Box<dyn Fn(usize) -> Value + '_>, Error> {
    let internal = |error: arrow::error::ArrowError| Error::Internal(error.to_string());
    Ok(match array.data_type() {
        DataType::Null => Box::new(|_| Value::Null),
        DataType::Boolean => optional(array, |row| array.as_boolean().value(row).into()),
        DataType::Utf8 => optional(array, |row| array.as_string::<i32>().value(row).into()),
        DataType::LargeUtf8 => optional(array, |row| array.as_string::<i64>().value(row).into()),
        DataType::Utf8View => optional(array, |row| array.as_string_view().value(row).into()),
        // `Value::from` of NaN and infinities is null.
        DataType::Float64 => optional(array, |row| array.as_primitive::<Float64Type>().value(row).into()),
        DataType::Float32 => optional(array, |row| array.as_primitive::<Float32Type>().value(row).into()),
        DataType::UInt64 => {
            optional(array, |row| array.as_primitive::<arrow::datatypes::UInt64Type>().value(row).into())
        }
        kind if kind.is_integer() => {
            let ints = arrow::compute::cast(array, &DataType::Int64).map_err(internal)?;
            optional(array, move |row| ints.as_primitive::<Int64Type>().value(row).into())
        }
        DataType::Timestamp(_, _) => {
            let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
            let times = arrow::compute::cast(array, &utc).map_err(internal)?;
            optional(array, move |row| {
                let micros = times.as_primitive::<TimestampMicrosecondType>().value(row);
                micros.checked_mul(1_000).map_or(Value::Null, |ts| format_ts(ts).into())
            })
        }
        _ => {
            static OPTIONS: FormatOptions<'static> = FormatOptions::new().with_display_error(true);
            let formatter = ArrayFormatter::try_new(array, &OPTIONS).map_err(internal)?;
            optional(array, move |row| formatter.value(row).to_string().into())
        }
    })
}

fn optional<'a>(array: &'a dyn Array, value: impl Fn(usize) -> Value + 'a) -> Box<dyn Fn(usize) -> Value + 'a> {
    Box::new(move |row| if array.is_null(row) { Value::Null } else { value(row) })
}
