//! Coinbase Exchange: each message names its type. Books have no numbers: messages of books are numbered here as they come.

use prism_schemas::event::event::Body;
use prism_schemas::event::{Book, Ticker, Trade, trade};
use prism_schemas::{Event, Ts};
use serde::Deserialize;

use super::advanced::Chain;
use super::{Events, instrument, taker};
use crate::{DecodeError, Fields, event_of, levels, trade_event};

pub(super) fn read(
    chain: &mut Chain,
    kind: &str,
    frame: &str,
    ts_recv: Ts,
    out: &mut Events,
) -> Result<(), DecodeError> {
    match kind {
        "match" | "last_match" => trade(frame, ts_recv, out),
        "snapshot" => snapshot(chain, frame, ts_recv, out),
        "l2update" => update(chain, frame, ts_recv, out),
        "ticker" => ticker(frame, ts_recv, out),
        "heartbeat" | "subscriptions" => Ok(()),
        "error" => {
            let error: Refusal<'_> = Fields { kind: "error" }.json(frame)?;
            Err(DecodeError::Refused(format!("{}: {}", error.message, error.reason.unwrap_or_default())))
        }
        other => Err(DecodeError::Unknown(other.into())),
    }
}

fn trade(frame: &str, ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
    let fields = Fields { kind: "match" };
    let raw: Match<'_> = fields.json(frame)?;
    let trade = Trade {
        id: Some(trade::Id::Number(raw.id)),
        price: Some(fields.decimal("price", raw.price)?),
        size: Some(fields.decimal("size", raw.size)?),
        side: taker(fields, raw.side)?.into(),
        stream: "matches".into(),
        ..Trade::default()
    };
    let ts_event = fields.utc("time", raw.ts)?;
    let event = trade_event(trade, ts_event, ts_recv, Some(raw.id), 0, frame.as_bytes());
    out.push((instrument(fields, raw.product)?, event));
    Ok(())
}

fn snapshot(chain: &mut Chain, frame: &str, ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
    let fields = Fields { kind: "snapshot" };
    let raw: Snapshot<'_> = fields.json(frame)?;
    let side = |field, rows: &[[&str; 2]]| {
        levels(rows.iter().map(|[price, size]| (*price, *size)))
            .ok_or_else(|| fields.wrong(field, "has a level that is no exact number"))
    };
    let (bids, asks) = (Some(side("bids", &raw.bids)?), Some(side("asks", &raw.asks)?));
    let update_id = Some(chain.first(raw.product));
    let book = Book { snapshot: true, bids, asks, update_id, ..Book::default() };
    let ts_event = raw.ts.map_or(Ok(ts_recv), |ts| fields.utc("time", ts))?;
    out.push((instrument(fields, raw.product)?, event_of(ts_event, ts_recv, Body::Book(book))));
    Ok(())
}

fn update(chain: &mut Chain, frame: &str, ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
    let fields = Fields { kind: "l2update" };
    let raw: Update<'_> = fields.json(frame)?;
    if let Some([other, ..]) = raw.changes.iter().find(|[side, ..]| !matches!(*side, "buy" | "sell")) {
        return Err(fields.wrong("changes", format!("have no side: \"{other}\"")));
    }
    let side = |wanted: &str| {
        let rows = raw.changes.iter().filter(|[side, ..]| *side == wanted);
        levels(rows.map(|[_, price, size]| (*price, *size)))
            .ok_or_else(|| fields.wrong("changes", "have a level that is no exact number"))
    };
    let (bids, asks) = (Some(side("buy")?), Some(side("sell")?));
    let (ts_event, id) = (fields.utc("time", raw.ts)?, instrument(fields, raw.product)?);
    let (previous, number) = chain.following(raw.product);
    let book = Book { bids, asks, update_id: Some(number), previous_update_id: Some(previous), ..Book::default() };
    out.push((id, event_of(ts_event, ts_recv, Body::Book(book))));
    Ok(())
}

fn ticker(frame: &str, ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
    let fields = Fields { kind: "ticker" };
    let raw: TickerData<'_> = fields.json(frame)?;
    let ticker = Ticker {
        last: fields.optional("price", raw.last)?,
        bid_price: fields.optional("best_bid", raw.bid_price)?,
        bid_size: fields.optional("best_bid_size", raw.bid_size)?,
        ask_price: fields.optional("best_ask", raw.ask_price)?,
        ask_size: fields.optional("best_ask_size", raw.ask_size)?,
        open_24h: fields.optional("open_24h", raw.open_24h)?,
        high_24h: fields.optional("high_24h", raw.high_24h)?,
        low_24h: fields.optional("low_24h", raw.low_24h)?,
        volume_24h: fields.rounded("volume_24h", raw.volume_24h)?,
        ..Ticker::default()
    };
    let ts_event = raw.ts.map_or(Ok(ts_recv), |ts| fields.utc("time", ts))?;
    let event = Event { seq: raw.sequence, ..event_of(ts_event, ts_recv, Body::Ticker(ticker.into())) };
    out.push((instrument(fields, raw.product)?, event));
    Ok(())
}

// {"type":"error","message":"Failed to subscribe","reason":"ABC-USD is not a valid product"}
#[derive(Deserialize)]
struct Refusal<'a> {
    message: &'a str,
    reason: Option<&'a str>,
}

// {"type":"match","trade_id":10,"sequence":50,"maker_order_id":"ac928c66","taker_order_id":"132fb6ae","time":
// "2014-11-07T08:19:27.028459Z","product_id":"BTC-USD","size":"5.23512","price":"400.23","side":"sell"}
#[derive(Deserialize)]
struct Match<'a> {
    #[serde(rename = "trade_id")]
    id: u64,
    side: &'a str,
    size: &'a str,
    price: &'a str,
    #[serde(rename = "product_id")]
    product: &'a str,
    #[serde(rename = "time")]
    ts: &'a str,
}

// {"type":"snapshot","product_id":"BTC-USD","bids":[["10101.10","0.45054140"]],"asks":[["10102.55","0.57753524"]]}
#[derive(Deserialize)]
struct Snapshot<'a> {
    #[serde(rename = "product_id")]
    product: &'a str,
    #[serde(borrow)]
    bids: Vec<[&'a str; 2]>,
    #[serde(borrow)]
    asks: Vec<[&'a str; 2]>,
    #[serde(rename = "time")]
    ts: Option<&'a str>,
}

// {"type":"l2update","product_id":"BTC-USD","time":"2019-08-14T20:42:27.265Z","changes":[["buy","10101.80","0.162567"]]}
#[derive(Deserialize)]
struct Update<'a> {
    #[serde(rename = "product_id")]
    product: &'a str,
    #[serde(borrow)]
    changes: Vec<[&'a str; 3]>,
    #[serde(rename = "time")]
    ts: &'a str,
}

// {"type":"ticker","sequence":37475248783,"product_id":"ETH-USD","price":"1285.22","open_24h":"1310.79","volume_24h":
// "245532.79269678","low_24h":"1280.52","high_24h":"1313.8","best_bid":"1285.04","best_bid_size":"0.46688654","best_ask":
// "1285.27","best_ask_size":"1.56637040","side":"buy","time":"2022-10-19T23:28:22.061769Z","trade_id":370843401}
#[derive(Deserialize)]
struct TickerData<'a> {
    sequence: Option<u64>,
    #[serde(rename = "product_id")]
    product: &'a str,
    #[serde(rename = "price")]
    last: Option<&'a str>,
    #[serde(rename = "best_bid")]
    bid_price: Option<&'a str>,
    #[serde(rename = "best_bid_size")]
    bid_size: Option<&'a str>,
    #[serde(rename = "best_ask")]
    ask_price: Option<&'a str>,
    #[serde(rename = "best_ask_size")]
    ask_size: Option<&'a str>,
    open_24h: Option<&'a str>,
    high_24h: Option<&'a str>,
    low_24h: Option<&'a str>,
    volume_24h: Option<&'a str>,
    #[serde(rename = "time")]
    ts: Option<&'a str>,
}
