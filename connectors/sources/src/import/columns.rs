//! Trades in Parquet: columns ts_ms, symbol, price, qty, side and optionally ts_recv_ms, of whichever unit (the W1
//! workload's layout).

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use prism_schemas::decimal::POW10;
use prism_schemas::event::{Side, Trade, trade};
use prism_schemas::{Decimal, InstrumentId, Market, Ts, canonical_symbol};

use super::instant::Instants;
use super::{Events, Limits, Recognised, Source};
use prism_exchange::{quarantined, trade_event};

const NEEDED: [&str; 5] = ["ts_ms", "symbol", "price", "qty", "side"];

pub(super) fn recognise(path: &Path, limits: Limits, instants: Instants) -> Result<Recognised, String> {
    let reader = File::open(path).map_err(|error| error.to_string())?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(reader).map_err(|error| error.to_string())?;
    let schema = builder.schema();
    if let Some(missing) = NEEDED.iter().find(|name| schema.field_with_name(name).is_err()) {
        return Err(format!("Parquet without a column \"{missing}\""));
    }
    let sizes = builder.metadata().row_groups().iter().map(|group| group.total_byte_size().unsigned_abs());
    if limits.expanded < sizes.fold(0, u64::saturating_add) {
        return Err(format!("it expands to more than {} bytes: allow more with --max-expanded", limits.expanded));
    }
    let path = path.to_path_buf();
    let open = move || {
        let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(&path)?).map_err(other)?;
        let reader = builder.with_batch_size(8192).build().map_err(other)?;
        Ok(Box::new(Columns { reader, instruments: HashMap::new(), instants, row: 0, ts_recv: 0 }) as Box<dyn Source>)
    };
    Ok(Recognised { format: "w1", open: Box::new(open) })
}

fn other(error: impl std::error::Error + Send + Sync + 'static) -> std::io::Error {
    std::io::Error::other(error)
}

struct Columns {
    reader: ParquetRecordBatchReader,
    instruments: HashMap<String, InstrumentId>,
    instants: Instants,
    row: u64,
    ts_recv: Ts,
}

impl Source for Columns {
    fn next(&mut self, out: &mut Events) -> std::io::Result<bool> {
        let Some(batch) = self.reader.next() else { return Ok(false) };
        let batch = batch.map_err(other)?;
        let column = |name: &str, kind: &DataType| cast(&batch, name, kind);
        let times = column("ts_ms", &DataType::Int64)?;
        let (times, symbols) = (times.as_primitive::<Int64Type>(), column("symbol", &DataType::Utf8)?);
        let (prices, sizes) = (column("price", &DataType::Float64)?, column("qty", &DataType::Float64)?);
        let (prices, sizes) = (prices.as_primitive::<Float64Type>(), sizes.as_primitive::<Float64Type>());
        let sides = column("side", &DataType::Int64)?;
        let (symbols, sides) = (symbols.as_string::<i32>(), sides.as_primitive::<Int64Type>());
        let received = match batch.column_by_name("ts_recv_ms") {
            Some(_) => Some(column("ts_recv_ms", &DataType::Int64)?),
            None => None,
        };
        let received = received.as_ref().map(|received| received.as_primitive::<Int64Type>());
        for at in 0..batch.num_rows() {
            self.row += 1;
            let symbol = symbols.value(at);
            let instrument = match self.instruments.get(symbol) {
                Some(instrument) => instrument.clone(),
                None => {
                    let instrument = InstrumentId::new("w1", Market::Linear, &canonical_symbol(symbol));
                    self.instruments.insert(symbol.into(), instrument.clone());
                    instrument
                }
            };
            let ts = times.value(at);
            let dated = self.instants.of(ts).zip(self.instants.of(received.map_or(ts, |received| received.value(at))));
            let (price, size, side) = (prices.value(at), sizes.value(at), sides.value(at));
            let raw = || format!("{ts},{symbol},{price},{size},{side}").into_bytes();
            let null = times.is_null(at) || symbols.is_null(at) || prices.is_null(at) || sizes.is_null(at);
            let side = match side {
                1.. => Some(Side::Buy),
                0 => None,
                _ => Some(Side::Sell),
            };
            let side = side.filter(|_| !null && !sides.is_null(at));
            let event = match (dated, decimal(price), decimal(size), side) {
                (Some((ts_event, ts_recv)), Some(price), Some(size), Some(side)) => {
                    self.ts_recv = ts_recv;
                    let trade = Trade {
                        id: Some(trade::Id::Number(self.row)),
                        price: Some(price),
                        size: Some(size),
                        side: side.into(),
                        stream: "file".into(),
                        ..Trade::default()
                    };
                    let positive = 0 < price.mantissa && 0 < size.mantissa;
                    let raw = if positive { Vec::new() } else { raw() };
                    trade_event(trade, ts_event, ts_recv, Some(self.row), 0, &raw)
                }
                _ => {
                    let detail = format!("row {}: a null, an inexact number, side 0 or an impossible time", self.row);
                    quarantined("invalid_field", detail, &raw(), self.ts_recv)
                }
            };
            out.push((instrument, event));
        }
        Ok(true)
    }
}

fn cast(batch: &RecordBatch, name: &str, kind: &DataType) -> std::io::Result<ArrayRef> {
    let column = batch.column_by_name(name).ok_or_else(|| std::io::Error::other(format!("no column \"{name}\"")))?;
    arrow::compute::cast(column, kind).map_err(other)
}

/// The shortest decimal that reads back as `value`: as `Decimal::from_f64`, without going through text where that is exact.
fn decimal(value: f64) -> Option<Decimal> {
    for (decimals, power) in (0..).zip(&POW10[..16]) {
        // Both are exact below 2^53, so the division rounds correctly, as reading the text would.
        let power = *power as f64;
        let mantissa = (value * power).round();
        if 4e15 < mantissa.abs() {
            break;
        }
        if mantissa / power == value {
            return Some(Decimal::new(mantissa as i64, decimals));
        }
    }
    Decimal::from_f64(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn floats_become_the_decimals_their_text_reads_as(value in -1e7f64..1e7, decimals in 0usize..9) {
            let value: f64 = format!("{value:.decimals$}").parse().unwrap();
            let (a, b) = (decimal(value).unwrap(), Decimal::from_f64(value).unwrap());
            proptest::prop_assert_eq!((a.mantissa, a.decimals), (b.mantissa, b.decimals));
        }
    }
}
