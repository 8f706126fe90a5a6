//! Histories in CSV: Binance aggTrades and klines, klines by file name, and BitMEX trades.

use std::path::Path;

use prism_schemas::event::event::Body;
use prism_schemas::event::{Kline, Side, Trade, trade};
use prism_schemas::time::{MILLISECOND, SECOND};
use prism_schemas::{Decimal, Event, InstrumentId, Market, Timeframe, Ts, canonical_symbol};

use super::bytes::Lines;
use super::instant::Instants;
use super::{Events, Options, Recognised, Source};
use prism_exchange::{quarantined, trade_event};

/// How a row becomes an event.
#[derive(Clone, Copy)]
enum Layout {
    /// timestamp,price,size and perhaps received: negative size is a taker's sale.
    BitmexTrades,
    /// id, price, size, first id, last id, time, buyer is maker (, best match).
    AggTrades,
    /// open time, open, high, low, close, volume, close time, turnover, trades, taker buys, ..., ignore.
    Klines(Timeframe),
    /// ts_ms,open,high,low,close,volume.
    PlainKlines(Timeframe),
}

pub(super) fn recognise(path: &Path, first: &str, options: Options) -> Result<Recognised, String> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let stem = name.split('.').next().unwrap_or_default();
    let columns: Vec<&str> = first.split(',').map(str::trim).collect();
    let headed = columns.first().is_some_and(|column| column.parse::<f64>().is_err());
    let truth = |column: &&str| matches!(column.to_ascii_lowercase().as_str(), "true" | "false");
    let (layout, instrument) = match (columns.as_slice(), headed) {
        (["timestamp", "price", "size"] | ["timestamp", "price", "size", "received"], _) => {
            (Layout::BitmexTrades, InstrumentId::new("bitmex", Market::Inverse, "XBTUSD"))
        }
        (["ts_ms", "open", "high", "low", "close", "volume"], _) => plain_klines(stem)?,
        (["agg_trade_id" | "a", ..], true) if 7 <= columns.len() => {
            (Layout::AggTrades, vision(path, stem, &columns, options)?)
        }
        ([_, _, _, _, _, _, maker, ..], false) if columns.len() <= 8 && truth(maker) => {
            (Layout::AggTrades, vision(path, stem, &columns, options)?)
        }
        (["open_time", ..], true) | (_, false) if columns.len() == 12 => {
            let text = stem.split('-').nth(1).unwrap_or_default();
            let timeframe =
                text.parse().map_err(|error: String| format!("klines, but the file name has no timeframe: {error}"))?;
            (Layout::Klines(timeframe), vision(path, stem, &columns, options)?)
        }
        _ => {
            return Err(format!("no format known here begins with \"{}\"", first.chars().take(60).collect::<String>()));
        }
    };
    let format = match layout {
        Layout::BitmexTrades => "bitmex",
        Layout::AggTrades => "binance aggTrades",
        Layout::Klines(_) => "binance klines",
        Layout::PlainKlines(_) => "klines",
    };
    let (path, limits, instants) = (path.to_path_buf(), options.limits, Instants::until(options.now));
    if let Layout::Klines(timeframe) = layout {
        let wrong = contradicts(timeframe, Lines::open(&path, limits).map_err(|error| error.to_string())?, instants);
        wrong.map_or(Ok(()), Err)?;
    }
    let open = move || {
        let mut lines = Lines::open(&path, limits)?;
        if headed {
            lines.step()?;
        }
        let rows = Rows { lines, layout, headed, instrument: instrument.clone(), instants, row: 0, ts_recv: 0 };
        Ok(Box::new(rows) as Box<dyn Source>)
    };
    Ok(Recognised { format, open: Box::new(open) })
}

/// `BINANCE_UM_BTCUSDT_1m_futures`.
fn plain_klines(stem: &str) -> Result<(Layout, InstrumentId), String> {
    let wanted = "klines, but the file name is not like BINANCE_UM_BTCUSDT_1m_futures.csv";
    let parts: Vec<&str> = stem.split('_').collect();
    let [exchange, market, symbol @ .., timeframe, kind] = parts.as_slice() else { return Err(wanted.into()) };
    if !matches!(*kind, "futures" | "spot" | "klines") {
        return Err(format!("a history of \"{kind}\", not of trades"));
    }
    let market = match *market {
        "UM" | "LINEAR" => Market::Linear,
        "CM" | "INVERSE" => Market::Inverse,
        "SPOT" => Market::Spot,
        _ => return Err(wanted.into()),
    };
    let timeframe = timeframe.parse().map_err(|error: String| format!("{wanted}: {error}"))?;
    let symbol = canonical_symbol(&symbol.join("_"));
    let instrument = InstrumentId { exchange: exchange.to_lowercase(), market, symbol };
    Ok((Layout::PlainKlines(timeframe), instrument))
}

/// `BTCUSDT-aggTrades-2024-01-01`: the market is given, in the path (`um`, `cm`, `spot`), or shows in the columns.
fn vision(path: &Path, stem: &str, columns: &[&str], options: Options) -> Result<InstrumentId, String> {
    let symbol = canonical_symbol(stem.split('-').next().unwrap_or_default());
    if symbol.is_empty() || !stem.contains('-') {
        return Err("the file name does not begin with a symbol, as in BTCUSDT-aggTrades-2024-01-01.csv".into());
    }
    let in_path = || {
        path.components().find_map(|part| match part.as_os_str().to_str()? {
            "um" => Some(Market::Linear),
            "cm" => Some(Market::Inverse),
            "spot" => Some(Market::Spot),
            _ => None,
        })
    };
    let in_columns = || match columns.len() {
        8 => Some(Market::Spot),
        _ if symbol.contains("USD_") => Some(Market::Inverse),
        7 => Some(Market::Linear),
        _ => None,
    };
    let market = options.market.or_else(in_path).or_else(in_columns);
    let market = market.ok_or("the market is not known: say --market spot, linear or inverse")?;
    Ok(InstrumentId { exchange: "binance".into(), market, symbol })
}

/// What the first rows say if all of them contradict the timeframe that the file is named by.
fn contradicts(timeframe: Timeframe, mut lines: Lines, instants: Instants) -> Option<String> {
    let mut said = None;
    while lines.number < 4 && lines.step().ok()? {
        let mut columns = std::str::from_utf8(lines.bytes()).ok()?.split(',').map(str::trim);
        let (Some(start), Some(close)) = (columns.next(), columns.nth(5)) else { continue };
        let (Ok(start), Ok(close)) = (instants.read(start), instants.read(close)) else { continue };
        let wrong = closes(timeframe, start, close).err()?;
        said.get_or_insert(format!("line {}: {wrong}: name it by the timeframe that it has", lines.number));
    }
    said
}

/// A bar's own close time is the last instant of its interval.
fn closes(timeframe: Timeframe, start: Ts, close: Ts) -> Result<(), String> {
    let length = timeframe.end(start) - start;
    match (length - MILLISECOND..=length).contains(&(close - start)) {
        true => Ok(()),
        false => {
            Err(format!("a bar of {timeframe} that closes {} s after it opens", (close - start + MILLISECOND) / SECOND))
        }
    }
}

struct Rows {
    lines: Lines,
    layout: Layout,
    headed: bool,
    instrument: InstrumentId,
    instants: Instants,
    row: u64,
    ts_recv: Ts,
}

impl Source for Rows {
    fn next(&mut self, out: &mut Events) -> std::io::Result<bool> {
        if !self.lines.step()? {
            return Ok(false);
        }
        self.row += 1;
        let line = self.lines.bytes();
        let columns = std::str::from_utf8(line).map_err(|error| error.to_string());
        let event = columns.and_then(|line| self.event(line));
        let event = event.unwrap_or_else(|problem| {
            let detail = format!("line {}: {problem}", self.row + u64::from(self.headed));
            quarantined("invalid_row", detail, line, self.ts_recv)
        });
        self.ts_recv = event.ts_recv;
        out.push((self.instrument.clone(), event));
        Ok(true)
    }
}

impl Rows {
    fn event(&self, line: &str) -> Result<Event, String> {
        let mut rest = line.split(',').map(str::trim);
        let mut column = || rest.next().ok_or_else(|| "a column is missing".to_string());
        match self.layout {
            Layout::BitmexTrades => {
                let ts = self.instants.read(column()?)?;
                let (price, size) = (number(column()?)?, number(column()?)?);
                let side = if size.mantissa < 0 { Side::Sell } else { Side::Buy };
                let size = Decimal::new(size.mantissa.saturating_abs(), size.decimals);
                let ts_recv = column().map_or(Ok(ts), |received| self.instants.read(received))?;
                Ok(self.trade(self.row, (price, size, side), (ts, ts_recv), "file", line))
            }
            Layout::AggTrades => {
                let id = column()?.parse().map_err(|_| "the id is no number".to_string())?;
                let (price, size) = (number(column()?)?, number(column()?)?);
                let (_, _) = (column()?, column()?);
                let ts = self.instants.read(column()?)?;
                let side = match column()?.to_ascii_lowercase().as_str() {
                    "true" => Side::Sell,
                    "false" => Side::Buy,
                    other => return Err(format!("\"{other}\" is neither true nor false")),
                };
                Ok(self.trade(id, (price, size, side), (ts, ts), "aggTrade", line))
            }
            Layout::PlainKlines(timeframe) => {
                let start = self.instants.read(column()?)?;
                let kline = kline(timeframe, start, &mut column)?;
                Ok(bar(timeframe, start, kline))
            }
            Layout::Klines(timeframe) => {
                let start = self.instants.read(column()?)?;
                let kline = kline(timeframe, start, &mut column)?;
                closes(timeframe, start, self.instants.read(column()?)?)?;
                let (turnover, n_trades, buy_volume) = (number(column()?)?, column()?, number(column()?)?);
                let kline = Kline {
                    // COIN-M counts this column in base.
                    turnover: (self.instrument.market != Market::Inverse).then_some(turnover),
                    n_trades: Some(n_trades.parse().map_err(|_| format!("\"{n_trades}\" is no count"))?),
                    buy_volume: Some(buy_volume),
                    ..kline
                };
                Ok(bar(timeframe, start, kline))
            }
        }
    }

    fn trade(
        &self,
        id: u64,
        what: (Decimal, Decimal, Side),
        (ts, ts_recv): (Ts, Ts),
        stream: &str,
        line: &str,
    ) -> Event {
        let (price, size, side) = what;
        let trade = Trade {
            id: Some(trade::Id::Number(id)),
            price: Some(price),
            size: Some(size),
            side: side.into(),
            stream: stream.into(),
            ..Trade::default()
        };
        trade_event(trade, ts, ts_recv, Some(id), 0, line.as_bytes())
    }
}

fn kline<'a>(
    timeframe: Timeframe,
    start: Ts,
    column: &mut impl FnMut() -> Result<&'a str, String>,
) -> Result<Kline, String> {
    Ok(Kline {
        timeframe: timeframe.name().into(),
        start,
        open: Some(number(column()?)?),
        high: Some(number(column()?)?),
        low: Some(number(column()?)?),
        close: Some(number(column()?)?),
        volume: Some(number(column()?)?),
        closed: true,
        ..Kline::default()
    })
}

/// A closed bar is known at its end.
fn bar(timeframe: Timeframe, start: Ts, kline: Kline) -> Event {
    let end = timeframe.end(start);
    Event { ts_event: end, ts_recv: end, seq: None, index: 0, body: Some(Body::Kline(kline.into())) }
}

fn number(text: &str) -> Result<Decimal, String> {
    Decimal::parse(text).ok_or_else(|| format!("\"{text}\" is no exact number"))
}
