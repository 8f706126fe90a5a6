//! Columns of Parquet and Feather: trades by their names or by what the user says of them, and bars as freqtrade keeps them.
//!
//! The W1 workload's layout is ts_ms, symbol, price, qty, side and optionally ts_recv_ms. Feather is the Arrow IPC file format
//! (arrow.apache.org, "Feather File Format").

use std::collections::HashMap;
use std::io::{Error, ErrorKind};
use std::rc::Rc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use prism_exchange::{quarantined, trade_event};
use prism_schemas::event::{Kline, Side, Trade, trade};
use prism_schemas::{Decimal, InstrumentId, Market, Timeframe, Ts, canonical_symbol};

use super::super::cells::{Numbers, Sides, Times};
use super::super::input::Input;
use super::super::instant::Instants;
use super::super::rows::Wrong;
use super::super::sight::Sight;
use super::super::who::Id;
use super::super::{Events, Recognised, Source};
use super::Format;
use super::generic::Found;
use super::{blocks, ccxt, klines, trades};

pub(super) const PARQUET: Format = Format {
    name: "parquet",
    looks: "trades: ts_ms,symbol,price,qty,side[,ts_recv_ms], or by --time --price --size --side; bars: date,open,high,low,close,volume in BTC_USDT-1h.parquet",
    recognise: parquet,
};

pub(super) const FEATHER: Format = Format {
    name: "feather",
    looks: "BTC_USDT-1h.feather as freqtrade keeps it: date,open,high,low,close,volume; or trades, as in Parquet",
    recognise: feather,
};

/// Rows that are read at once.
const BATCH: usize = 8_192;

type Batches = Box<dyn Iterator<Item = Result<RecordBatch, ArrowError>>>;

fn other(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::other(error)
}

fn parquet(sight: &Sight) -> Option<Result<Recognised, String>> {
    sight.head.starts_with(b"PAR1").then(|| read(sight, PARQUET.name, open_parquet))
}

fn feather(sight: &Sight) -> Option<Result<Recognised, String>> {
    sight.head.starts_with(b"ARROW1").then(|| read(sight, FEATHER.name, open_feather))
}

fn open_parquet(input: &Input) -> std::io::Result<(Vec<String>, Batches)> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(input.seekable()?).map_err(other)?;
    let names = builder.schema().fields().iter().map(|field| field.name().clone()).collect();
    let sizes = builder.metadata().row_groups().iter().map(|group| group.total_byte_size().unsigned_abs());
    bounded(input, sizes.fold(0, u64::saturating_add))?;
    let reader = builder.with_batch_size(BATCH).build().map_err(other)?;
    Ok((names, Box::new(reader)))
}

fn open_feather(input: &Input) -> std::io::Result<(Vec<String>, Batches)> {
    let mut file = input.seekable()?;
    bounded(input, blocks::expanded(&mut file)?)?;
    let reader = arrow_ipc::reader::FileReader::try_new(file, None).map_err(other)?;
    let names = reader.schema().fields().iter().map(|field| field.name().clone()).collect();
    Ok((names, Box::new(reader)))
}

/// What a library reads; damaged files make arrow-ipc panic in many places, which stops this file alone.
fn whole<T>(read: impl FnOnce() -> T) -> std::io::Result<T> {
    let read = std::panic::catch_unwind(std::panic::AssertUnwindSafe(read));
    read.map_err(|_| Error::new(ErrorKind::InvalidData, "a file of columns that is damaged"))
}

fn bounded(input: &Input, bytes: u64) -> std::io::Result<()> {
    let expanded = input.limits.expanded;
    match bytes <= expanded {
        true => Ok(()),
        false => Err(Error::new(
            ErrorKind::FileTooLarge,
            format!("it expands to more than {expanded} bytes: allow more with --max-expanded"),
        )),
    }
}

/// What the columns are of.
#[derive(Clone)]
enum What {
    Trades(Rc<Found>, Who),
    Bars(Id, Timeframe),
}

/// What is known of instruments before rows are read.
#[derive(Clone)]
struct Who {
    exchange: String,
    market: Market,
    symbol: Option<String>,
}

/// Opens a file of columns: their names, and its rows.
type Open = fn(&Input) -> std::io::Result<(Vec<String>, Batches)>;

fn read(sight: &Sight, format: &'static str, open: Open) -> Result<Recognised, String> {
    let open = move |input: &Input| whole(|| open(input)).flatten();
    let (names, _) = open(sight.input).map_err(|error| error.to_string())?;
    let names: Vec<String> = names.iter().map(|name| name.to_ascii_lowercase()).collect();
    let (what, note) = what(sight, &names)?;
    let (input, instants) = (sight.input.clone(), sight.instants);
    let is_w1 = is_w1(&names) && note.is_none();
    let source = move || {
        let (_, batches) = open(&input)?;
        let left = input.limits.expanded;
        let known = HashMap::new();
        Ok(Box::new(Columns { batches, what: what.clone(), known, instants, row: 0, ts_recv: 0, left })
            as Box<dyn Source>)
    };
    let format = if is_w1 { "w1" } else { format };
    Ok(Recognised { format, input: sight.input.clone(), note, open: Box::new(source) })
}

fn is_w1(names: &[String]) -> bool {
    ["ts_ms", "symbol", "price", "qty", "side"].iter().all(|needed| names.iter().any(|name| name == needed))
}

fn what(sight: &Sight, names: &[String]) -> Result<(What, Option<String>), String> {
    let options = sight.options;
    let has = |name: &str| names.iter().any(|cell| cell == name);
    if ["open", "high", "low", "close", "volume"].into_iter().all(has) && !options.is_generic() {
        let (instrument, timeframe) = ccxt::named(sight)?;
        return Ok((What::Bars(instrument.into(), timeframe), None));
    }
    let listed = names.join(", ");
    let found = Found::among(names, options)?;
    let found = found
        .ok_or_else(|| format!("columns of which none are of trades or bars ({listed}): {}", super::generic::HOW))?;
    if found.side.or(found.maker).is_none() && options.side.is_none() {
        return Err(format!(
            "no column says who took ({listed}): say it with --side, or --side sign where sizes below 0 are sales"
        ));
    }
    let symbol = options.symbol.as_deref().map(canonical_symbol);
    let who = |exchange: &str, market: Market| Who { exchange: exchange.into(), market, symbol: symbol.clone() };
    if is_w1(names) && !options.is_generic() {
        let instrument = sight.instrument("w1", Market::Linear, "");
        return Ok((What::Trades(Rc::new(found), who(&instrument.exchange, instrument.market)), None));
    }
    let unsaid = super::generic::unsaid(options, found.symbol.is_some());
    let (Some(exchange), Some(market), true) = (&options.exchange, options.market, unsaid.is_empty()) else {
        return Err(format!("trades, but of what is not known: say {}", unsaid.join(" and ")));
    };
    let note = found.tell(names, options);
    Ok((What::Trades(Rc::new(found), who(exchange, market)), Some(note)))
}

struct Columns {
    batches: Batches,
    what: What,
    known: HashMap<String, Id>,
    instants: Instants,
    row: u64,
    ts_recv: Ts,
    /// Bytes that rows may still take.
    left: u64,
}

impl Source for Columns {
    fn next(&mut self, out: &mut Events) -> std::io::Result<bool> {
        let Some(batch) = whole(|| self.batches.next())? else { return Ok(false) };
        let batch = batch.map_err(other)?;
        let taken = batch.get_array_memory_size() as u64;
        let expands =
            || Error::new(ErrorKind::FileTooLarge, "it expands to more than it may: allow more with --max-expanded");
        self.left = self.left.checked_sub(taken).ok_or_else(expands)?;
        match self.what.clone() {
            What::Trades(found, who) => self.trades(&batch, &found, &who, out)?,
            What::Bars(instrument, timeframe) => self.bars(&batch, &instrument, timeframe, out)?,
        }
        Ok(true)
    }
}

impl Columns {
    fn settle(&mut self, wrong: Wrong, nobody: Id, out: &mut Events) -> std::io::Result<()> {
        let problem = match wrong {
            Wrong::File(problem) => {
                return Err(Error::new(ErrorKind::InvalidData, format!("row {}: {problem}", self.row)));
            }
            Wrong::Row(problem) => problem,
        };
        let detail = format!("row {}: {problem}", self.row);
        out.push((nobody, quarantined("invalid_field", detail, &[], self.ts_recv)));
        Ok(())
    }

    fn trades(&mut self, batch: &RecordBatch, found: &Found, who: &Who, out: &mut Events) -> std::io::Result<()> {
        let times = Times::of(batch.column(found.time))?;
        let received = found.received.map(|at| Times::of(batch.column(at))).transpose()?;
        let (prices, sizes) = (Numbers::of(batch.column(found.price))?, Numbers::of(batch.column(found.size))?);
        let side = found.side.map(|at| Sides::of(batch.column(at), false));
        let sides = side.or(found.maker.map(|at| Sides::of(batch.column(at), true))).transpose()?;
        let text = |at: usize| arrow::compute::cast(batch.column(at), &DataType::Utf8).map_err(other);
        let (symbols, ids) = (found.symbol.map(text).transpose()?, found.id.map(text).transpose()?);
        let (symbols, ids) =
            (symbols.as_ref().map(|a| a.as_string::<i32>()), ids.as_ref().map(|a| a.as_string::<i32>()));
        for at in 0..batch.num_rows() {
            self.row += 1;
            let named =
                symbols.map_or(who.symbol.as_deref(), |symbols| symbols.is_valid(at).then(|| symbols.value(at)));
            let instrument = self.instrument(who, named.unwrap_or_default());
            let read = || -> Result<(Ts, Ts, Decimal, Decimal, Side), Wrong> {
                let ts = times.get(at, self.instants)?;
                let ts_recv = received.as_ref().map_or(Ok(ts), |received| received.get(at, self.instants))?;
                let (price, size) = (prices.get(at)?, sizes.get(at)?);
                let (side, size) = match &sides {
                    Some(sides) => (sides.get(at)?, size),
                    None if size.mantissa < 0 => {
                        (Side::Sell, Decimal::new(size.mantissa.saturating_abs(), size.decimals))
                    }
                    None => (Side::Buy, size),
                };
                if named.is_none_or(str::is_empty) {
                    return Err("no symbol".into());
                }
                Ok((ts, ts_recv, price, size, side))
            };
            let (ts, ts_recv, price, size, side) = match read() {
                Ok(read) => read,
                Err(wrong) => {
                    self.settle(wrong, instrument, out)?;
                    continue;
                }
            };
            self.ts_recv = ts_recv;
            let id = match ids.filter(|ids| ids.is_valid(at)) {
                Some(ids) => trades::identity(ids.value(at)),
                None => trade::Id::Number(self.row),
            };
            let seq = if let trade::Id::Number(number) = id { number } else { self.row };
            let trade = Trade {
                id: Some(id),
                price: Some(price),
                size: Some(size),
                side: side.into(),
                stream: "file".into(),
                ..Trade::default()
            };
            let positive = 0 < price.mantissa && 0 < size.mantissa;
            let raw = if positive { String::new() } else { format!("{ts},{price},{size},{side:?}") };
            out.push((instrument, trade_event(trade, ts, ts_recv, Some(seq), 0, raw.as_bytes())));
        }
        Ok(())
    }

    fn instrument(&mut self, who: &Who, symbol: &str) -> Id {
        if let Some(known) = self.known.get(symbol) {
            return known.clone();
        }
        let instrument = Id::new(InstrumentId::new(&who.exchange, who.market, &canonical_symbol(symbol)));
        self.known.insert(symbol.into(), instrument.clone());
        instrument
    }

    fn bars(&mut self, batch: &RecordBatch, id: &Id, timeframe: Timeframe, out: &mut Events) -> std::io::Result<()> {
        let schema = batch.schema();
        let column = |names: &[&str]| {
            let named = |field: &str| names.iter().any(|name| field.eq_ignore_ascii_case(name));
            let at = schema.fields().iter().position(|field| named(field.name()));
            at.ok_or_else(|| Error::new(ErrorKind::InvalidData, format!("no column {}", names.join(" or "))))
        };
        let times =
            Times::of(batch.column(column(&["date", "timestamp", "time", "datetime", "open_time", "ts", "ts_ms"])?))?;
        let number = |name: &str| Numbers::of(batch.column(column(&[name])?));
        let numbers = [number("open")?, number("high")?, number("low")?, number("close")?, number("volume")?];
        for at in 0..batch.num_rows() {
            self.row += 1;
            let read = || -> Result<(Ts, [Decimal; 5]), Wrong> {
                let mut values = [Decimal::default(); 5];
                for (value, numbers) in values.iter_mut().zip(&numbers) {
                    *value = numbers.get(at)?;
                }
                Ok((times.get(at, self.instants)?, values))
            };
            match read() {
                Err(wrong) => self.settle(wrong, id.clone(), out)?,
                Ok((start, values)) => {
                    let [open, high, low, close, volume] = values.map(Some);
                    let timeframe_name = timeframe.name().into();
                    let kline = Kline {
                        timeframe: timeframe_name,
                        start,
                        open,
                        high,
                        low,
                        close,
                        volume,
                        closed: true,
                        ..Kline::default()
                    };
                    let event = klines::bar(timeframe, start, kline);
                    self.ts_recv = event.ts_recv;
                    out.push((id.clone(), event));
                }
            }
        }
        Ok(())
    }
}
