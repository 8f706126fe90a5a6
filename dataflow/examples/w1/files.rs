//! Trades from Parquet, and results to it.

use std::{collections::BTreeMap, error::Error, fs::File, path::Path, sync::Arc};

use arrow::{
    array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, cast::AsArray},
    compute::cast,
    datatypes::{DataType, Float64Type, Int64Type},
};
use parquet::arrow::{ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder};
use prism_dataflow::{
    admit::even,
    assemble::Plan,
    bar::Bar,
    event::{Shape, Trade},
    relation::Relation,
    types::Time,
};
use prism_schemas::{Decimal, InstrumentId, Market, Ts, time::MILLISECOND};

use super::{Results, rows, total};

/// A row of the file: what it says of a trade.
#[derive(Clone, Copy)]
pub(super) struct Row {
    ts_event: Ts,
    pub(super) ts_recv: Ts,
    price: i64,
    size: i64,
    pub(super) instrument: u32,
    shape: Shape,
    buy: bool,
}

impl Row {
    /// The trade that it is as the `number`th of its file.
    #[inline]
    pub(super) fn trade(&self, number: u64, known: Time) -> Trade {
        let Row { ts_event, ts_recv, price, size, instrument, shape, buy } = *self;
        Trade { ts_event, ts_recv, known, seq: number, id: number, price, size, shape, instrument, index: 0, buy }
    }
}

/// Reads the Parquet file, in arrival order.
pub(super) fn read(path: &str, plan: &Plan) -> Result<Vec<Row>, Box<dyn Error>> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path)?)?.with_batch_size(65_536).build()?;
    let mut numbers: BTreeMap<String, u32> = BTreeMap::new();
    let mut decimals: Vec<[u32; 2]> = Vec::new();
    let mut trades: Vec<Row> = Vec::new();
    for batch in reader {
        let batch = batch?;
        let column = |name: &str, kind: &DataType| -> Result<ArrayRef, Box<dyn Error>> {
            let column = batch.column_by_name(name).ok_or(format!("{path} has no column {name}"))?;
            Ok(cast(column, kind)?)
        };
        let (ts, symbols) = (column("ts_ms", &DataType::Int64)?, column("symbol", &DataType::Utf8)?);
        let (prices, sizes) = (column("price", &DataType::Float64)?, column("qty", &DataType::Float64)?);
        let sides = column("side", &DataType::Int64)?;
        let received = match batch.column_by_name("ts_recv_ms") {
            Some(column) => cast(column, &DataType::Int64)?,
            None => ts.clone(),
        };
        for row in 0..batch.num_rows() {
            let symbol = symbols.as_string::<i32>().value(row);
            let instrument = match numbers.get(symbol) {
                Some(number) => *number,
                None => {
                    let number = plan.registry.number(&InstrumentId::new("w1", Market::Linear, symbol));
                    numbers.insert(symbol.into(), number);
                    decimals.resize(decimals.len().max(number as usize + 1), [0; 2]);
                    number
                }
            };
            let decimal = |values: &ArrayRef| {
                let value = values.as_primitive::<Float64Type>().value(row);
                Decimal::from_f64(value).ok_or(format!("row {row}: {value} is not an exact decimal"))
            };
            let integer = |values: &ArrayRef| values.as_primitive::<Int64Type>().value(row);
            let [most, most_of_size] = &mut decimals[instrument as usize];
            let (price, size) = (even(decimal(&prices)?, most), even(decimal(&sizes)?, most_of_size));
            trades.push(Row {
                ts_event: integer(&ts) * MILLISECOND,
                ts_recv: integer(&received) * MILLISECOND,
                price: price.mantissa,
                size: size.mantissa,
                instrument,
                shape: Shape::new(0, price.decimals as u8, size.decimals as u8, 1, false),
                buy: 0 < integer(&sides),
            });
        }
    }
    Ok(trades)
}

fn write(dir: &Path, name: &str, columns: Vec<(&str, ArrayRef)>) -> Result<(), Box<dyn Error>> {
    let batch =
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true)))?;
    let mut writer = ArrowWriter::try_new(File::create(dir.join(name))?, batch.schema(), None)?;
    writer.write(&batch)?;
    writer.close()?;
    Ok(())
}

/// Writes all that the run made.
pub(super) fn save(dir: &Path, plan: &Plan, output: &Results) -> Result<(), Box<dyn Error>> {
    std::fs::create_dir_all(dir)?;
    save_bars(dir, plan, output)?;
    save_indicators(dir, plan, output)?;
    save_relations(dir, plan, output)?;
    let scores = || rows(&output.scores).filter_map(total);
    let columns = vec![
        ("symbol", names(plan, scores().map(|row| row.bar().instrument))),
        ("start_ms", starts(scores().map(|row| row.bar().start))),
        ("score", Arc::new(scores().map(|row| Some(row.score)).collect::<Float64Array>()) as ArrayRef),
    ];
    write(dir, "score.parquet", columns)
}

fn names(plan: &Plan, numbers: impl Iterator<Item = u32>) -> ArrayRef {
    Arc::new(numbers.map(|number| Some(plan.registry.id(number).symbol.clone())).collect::<StringArray>())
}

fn frames<'a>(bars: impl Iterator<Item = &'a Bar>) -> ArrayRef {
    Arc::new(bars.map(|bar| Some(bar.timeframe.name())).collect::<StringArray>())
}

fn starts(starts: impl Iterator<Item = Ts>) -> ArrayRef {
    Arc::new(starts.map(|start| start / MILLISECOND).collect::<Int64Array>())
}

fn save_bars(dir: &Path, plan: &Plan, output: &Results) -> Result<(), Box<dyn Error>> {
    let bars = || rows(&output.bars).map(|bar| &**bar);
    let float = |of: fn(&Bar) -> Option<f64>| -> ArrayRef { Arc::new(bars().map(of).collect::<Float64Array>()) };
    let columns = vec![
        ("symbol", names(plan, bars().map(|bar| bar.instrument))),
        ("tf", frames(bars())),
        ("start_ms", starts(bars().map(|bar| bar.start))),
        ("open", float(|bar| Some(bar.open))),
        ("high", float(|bar| Some(bar.high))),
        ("low", float(|bar| Some(bar.low))),
        ("close", float(|bar| Some(bar.close))),
        ("volume", float(|bar| Some(bar.volume))),
        ("buy_volume", float(|bar| bar.buy_volume.get())),
        ("sell_volume", float(Bar::sell_volume)),
        ("vwap", float(|bar| bar.turnover.get().map(|turnover| turnover / bar.volume))),
        ("count", Arc::new(bars().map(|bar| bar.n_trades.get().map(|n| n as i64)).collect::<Int64Array>())),
    ];
    write(dir, "bars.parquet", columns)
}

fn save_indicators(dir: &Path, plan: &Plan, output: &Results) -> Result<(), Box<dyn Error>> {
    let analysed = || rows(&output.analysed);
    let mut columns = vec![
        ("symbol", names(plan, analysed().map(|row| row.bar().instrument))),
        ("tf", frames(analysed().map(|row| &**row.bar()))),
        ("start_ms", starts(analysed().map(|row| row.bar().start))),
    ];
    for (name, ours) in [
        ("ema12", "ema_12"),
        ("ema26", "ema_26"),
        ("macd", "macd_line"),
        ("macd_signal", "macd_signal_line"),
        ("macd_hist", "macd_histogram"),
        ("rsi14", "rsi_14"),
        ("bb_mid", "bollinger_middle"),
        ("bb_up", "bollinger_upper"),
        ("bb_lo", "bollinger_lower"),
        ("atr14", "atr_14"),
        ("obv", "obv"),
        ("cvd", "cvd"),
        ("talib_macd", "talib_macd"),
        ("talib_macd_signal", "talib_macd_signal"),
        ("talib_macd_hist", "talib_macd_hist"),
    ] {
        let at = plan.catalogue.columns.iter().position(|column| column == ours).ok_or(format!("no column {ours}"))?;
        columns.push((name, Arc::new(analysed().map(|row| row.indicator(at)).collect::<Float64Array>()) as ArrayRef));
    }
    write(dir, "indicators.parquet", columns)
}

fn save_relations(dir: &Path, plan: &Plan, output: &Results) -> Result<(), Box<dyn Error>> {
    let relations = || rows(&output.relations);
    let float =
        |of: fn(&Relation) -> Option<f64>| -> ArrayRef { Arc::new(relations().map(of).collect::<Float64Array>()) };
    let columns = vec![
        ("symbol", names(plan, relations().map(|row| row.instrument))),
        ("start_ms", starts(relations().map(|row| row.start))),
        ("beta", float(|row| Some(row.regression.beta))),
        ("alpha", float(|row| Some(row.regression.alpha))),
        ("corr", float(|row| row.regression.correlation)),
    ];
    write(dir, "cross.parquet", columns)
}
