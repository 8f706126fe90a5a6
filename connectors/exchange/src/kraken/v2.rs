//! Kraken's public spot streams, version 2: objects whose numbers are JSON numbers, of which checksums count the digits.
//!
//! Documented at <https://docs.kraken.com/api/docs/websocket-v2/book> and, for checksums,
//! <https://docs.kraken.com/api/docs/guides/spot-ws-book-v2>. Books have no numbers: a CRC-32 of the best ten levels comes with
//! every message. How many levels are told is said by the acknowledgement alone, and whoever keeps a book must cut it there.

use std::borrow::Cow;
use std::collections::HashMap;

use prism_schemas::event::event::Body;
use prism_schemas::event::{Book, Instrument, Side, Ticker, Trade, trade};
use prism_schemas::{Event, InstrumentId, Ts};
use serde::Deserialize;

use super::instrument;
use crate::number::Number;
use crate::{DecodeError, Fields, event_of, levels_as_written, trade_event};

/// Levels a side that can be subscribed to.
const DEPTHS: [u32; 5] = [10, 25, 100, 500, 1_000];

/// Books of one connection whose depth is kept.
const BOOKS_MAX: usize = 10_000;

type Events = Vec<(InstrumentId, Event)>;

/// What a connection's frames need of those before them.
#[derive(Clone, Debug, Default)]
pub(super) struct Version2 {
    /// Levels a side by pair.
    depths: HashMap<String, u32>,
}

impl Version2 {
    pub(super) fn read(&mut self, frame: &str, ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
        let channel = match frame.strip_prefix("{\"channel\":\"").and_then(|rest| rest.split_once('"')) {
            Some((channel, _)) => channel,
            // An answer, or its members come in another order.
            None => {
                let answer: Answer<'_> = Fields { kind: "message" }.json(frame)?;
                match (answer.channel, answer.success, answer.method) {
                    (Some(channel), ..) => channel,
                    (_, Some(false), _) => return Err(DecodeError::Refused(answer.error.unwrap_or_default().into())),
                    (.., Some("subscribe")) => {
                        self.acknowledged(answer.result.as_ref());
                        return Ok(());
                    }
                    (.., Some("unsubscribe" | "pong")) => return Ok(()),
                    (.., method) => {
                        return Err(DecodeError::Unknown(method.unwrap_or("a message without channel").into()));
                    }
                }
            }
        };
        match channel {
            "trade" => trades(frame, ts_recv, out),
            "book" => self.books(frame, ts_recv, out),
            "ticker" => tickers(frame, ts_recv, out),
            "instrument" => instruments(frame, ts_recv, out),
            "heartbeat" | "status" => Ok(()),
            other => Err(DecodeError::Unknown(other.into())),
        }
    }

    fn acknowledged(&mut self, result: Option<&Subscribed<'_>>) {
        if let Some(Subscribed { symbol: Some(pair), depth: Some(depth) }) = result {
            self.keep(pair, *depth);
        }
    }

    fn keep(&mut self, pair: &str, depth: u32) {
        if self.depths.len() < BOOKS_MAX || self.depths.contains_key(pair) {
            self.depths.insert(pair.into(), depth);
        }
    }

    fn books(&mut self, frame: &str, ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
        let fields = Fields { kind: "book" };
        let message: Message<'_, Vec<BookData<'_>>> = fields.json(frame)?;
        let snapshot = match message.kind {
            "snapshot" => true,
            "update" => false,
            _ => return Err(fields.wrong("type", "is neither snapshot nor update")),
        };
        for (index, raw) in (0..).zip(&message.data) {
            let n = raw.bids.len().max(raw.asks.len());
            if snapshot && self.depths.get(raw.symbol).is_none_or(|depth| (*depth as usize) < n) {
                let depth = DEPTHS.into_iter().find(|depth| n <= *depth as usize);
                self.keep(raw.symbol, depth.unwrap_or(n as u32));
            }
            let side = |field, rows: &[Row<'_>]| {
                levels_as_written(rows.iter().map(|row| (&*row.price, &*row.size)))
                    .ok_or_else(|| fields.wrong(field, "has a level that is no exact number"))
            };
            let book = Book {
                snapshot,
                bids: Some(side("bids", &raw.bids)?),
                asks: Some(side("asks", &raw.asks)?),
                depth: self.depths.get(raw.symbol).copied(),
                checksum: Some(fields.some("checksum", raw.checksum)?),
                ..Book::default()
            };
            let ts_event = raw.ts.map_or(Ok(ts_recv), |ts| fields.utc("timestamp", ts))?;
            let event = Event { index, ..event_of(ts_event, ts_recv, Body::Book(book)) };
            out.push((instrument(fields, "symbol", raw.symbol)?, event));
        }
        Ok(())
    }
}

fn trades(frame: &str, ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
    let fields = Fields { kind: "trade" };
    let message: Message<'_, Vec<TradeItem<'_>>> = fields.json(frame)?;
    for (index, raw) in (0..).zip(&message.data) {
        let trade = Trade {
            id: Some(trade::Id::Number(raw.id)),
            price: Some(fields.decimal("price", &raw.price)?),
            size: Some(fields.decimal("qty", &raw.size)?),
            side: match raw.side {
                "buy" => Side::Buy.into(),
                "sell" => Side::Sell.into(),
                other => return Err(fields.wrong("side", format!("is no side: \"{other}\""))),
            },
            stream: "trade".into(),
            ..Trade::default()
        };
        let ts_event = fields.utc("timestamp", raw.ts)?;
        let event = trade_event(trade, ts_event, ts_recv, Some(raw.id), index, frame.as_bytes());
        out.push((instrument(fields, "symbol", raw.symbol)?, event));
    }
    Ok(())
}

fn tickers(frame: &str, ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
    let fields = Fields { kind: "ticker" };
    let message: Message<'_, Vec<TickerData<'_>>> = fields.json(frame)?;
    for raw in &message.data {
        let ticker = Ticker {
            last: fields.optional("last", raw.last.as_deref())?,
            bid_price: fields.optional("bid", raw.bid_price.as_deref())?,
            bid_size: fields.optional("bid_qty", raw.bid_size.as_deref())?,
            ask_price: fields.optional("ask", raw.ask_price.as_deref())?,
            ask_size: fields.optional("ask_qty", raw.ask_size.as_deref())?,
            high_24h: fields.optional("high", raw.high.as_deref())?,
            low_24h: fields.optional("low", raw.low.as_deref())?,
            volume_24h: fields.rounded("volume", raw.volume.as_deref())?,
            ..Ticker::default()
        };
        let ts_event = raw.ts.map_or(Ok(ts_recv), |ts| fields.utc("timestamp", ts))?;
        let event = event_of(ts_event, ts_recv, Body::Ticker(ticker.into()));
        out.push((instrument(fields, "symbol", raw.symbol)?, event));
    }
    Ok(())
}

fn instruments(frame: &str, ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
    let fields = Fields { kind: "instrument" };
    let message: Message<'_, Reference<'_>> = fields.json(frame)?;
    for raw in &message.data.pairs {
        let described = Instrument {
            price_decimals: raw.price_decimals,
            size_decimals: raw.size_decimals,
            tick_size: fields.optional("price_increment", raw.tick_size.as_deref())?,
            lot_size: fields.optional("qty_increment", raw.lot_size.as_deref())?,
            min_size: fields.optional("qty_min", raw.min_size.as_deref())?,
            contract_type: "SPOT".into(),
            base: raw.base.into(),
            quote: raw.quote.into(),
            status: raw.status.into(),
            native_symbol: raw.symbol.into(),
            ..Instrument::default()
        };
        let event = event_of(ts_recv, ts_recv, Body::Instrument(described.into()));
        out.push((instrument(fields, "symbol", raw.symbol)?, event));
    }
    Ok(())
}

// {"method":"subscribe","result":{"channel":"book","depth":10,"snapshot":true,"symbol":"ETH/USD"},"success":true}
// {"error":"Currency pair not supported BTC/ABC","method":"subscribe","success":false,"symbol":"BTC/ABC"}
#[derive(Deserialize)]
struct Answer<'a> {
    channel: Option<&'a str>,
    method: Option<&'a str>,
    success: Option<bool>,
    #[serde(borrow)]
    error: Option<Cow<'a, str>>,
    #[serde(borrow)]
    result: Option<Subscribed<'a>>,
}

#[derive(Deserialize)]
struct Subscribed<'a> {
    symbol: Option<&'a str>,
    depth: Option<u32>,
}

// {"channel":"book","type":"update","data":[...]}
#[derive(Deserialize)]
struct Message<'a, T> {
    #[serde(rename = "type", default)]
    kind: &'a str,
    data: T,
}

// {"symbol":"BTC/USD","bids":[{"price":75620.2,"qty":0.01730000}],"asks":[],"checksum":1494999917,
// "timestamp":"2026-05-27T02:18:39.697069Z"}
#[derive(Deserialize)]
struct BookData<'a> {
    symbol: &'a str,
    #[serde(borrow, default = "Vec::new")]
    bids: Vec<Row<'a>>,
    #[serde(borrow, default = "Vec::new")]
    asks: Vec<Row<'a>>,
    checksum: Option<u32>,
    #[serde(rename = "timestamp")]
    ts: Option<&'a str>,
}

#[derive(Deserialize)]
struct Row<'a> {
    #[serde(borrow)]
    price: Number<'a>,
    #[serde(rename = "qty", borrow)]
    size: Number<'a>,
}

// {"symbol":"MATIC/USD","side":"buy","price":0.5147,"qty":6423.46326,"ord_type":"limit","trade_id":4665846,
// "timestamp":"2023-09-25T07:48:36.925533Z"}
#[derive(Deserialize)]
struct TradeItem<'a> {
    symbol: &'a str,
    side: &'a str,
    #[serde(borrow)]
    price: Number<'a>,
    #[serde(rename = "qty", borrow)]
    size: Number<'a>,
    #[serde(rename = "trade_id")]
    id: u64,
    #[serde(rename = "timestamp")]
    ts: &'a str,
}

// {"symbol":"ALGO/USD","bid":0.10025,"bid_qty":740.0,"ask":0.10036,"ask_qty":1361.44813783,"last":0.10035,
// "volume":997038.98383185,"vwap":0.10148,"low":0.09979,"high":0.10285,"change":-0.00017,"change_pct":-0.17}
#[derive(Deserialize)]
struct TickerData<'a> {
    symbol: &'a str,
    #[serde(rename = "bid", borrow)]
    bid_price: Option<Number<'a>>,
    #[serde(rename = "bid_qty", borrow)]
    bid_size: Option<Number<'a>>,
    #[serde(rename = "ask", borrow)]
    ask_price: Option<Number<'a>>,
    #[serde(rename = "ask_qty", borrow)]
    ask_size: Option<Number<'a>>,
    #[serde(borrow)]
    last: Option<Number<'a>>,
    #[serde(borrow)]
    volume: Option<Number<'a>>,
    #[serde(borrow)]
    low: Option<Number<'a>>,
    #[serde(borrow)]
    high: Option<Number<'a>>,
    #[serde(rename = "timestamp")]
    ts: Option<&'a str>,
}

#[derive(Deserialize)]
struct Reference<'a> {
    #[serde(borrow)]
    pairs: Vec<Pair<'a>>,
}

// {"symbol":"EUR/USD","base":"EUR","quote":"USD","status":"online","qty_precision":8,"qty_increment":1e-08,
// "price_precision":5,"price_increment":1e-05,"qty_min":0.5}
#[derive(Deserialize)]
struct Pair<'a> {
    symbol: &'a str,
    base: &'a str,
    quote: &'a str,
    status: &'a str,
    #[serde(rename = "price_precision")]
    price_decimals: u32,
    #[serde(rename = "qty_precision")]
    size_decimals: u32,
    #[serde(rename = "price_increment", borrow)]
    tick_size: Option<Number<'a>>,
    #[serde(rename = "qty_increment", borrow)]
    lot_size: Option<Number<'a>>,
    #[serde(rename = "qty_min", borrow)]
    min_size: Option<Number<'a>>,
}
