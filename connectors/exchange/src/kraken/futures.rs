//! Kraken's futures streams (version 1) and instruments: contracts margined in coin and in many currencies.
//!
//! Documented at <https://docs.kraken.com/api/docs/futures-api/websocket/book> and the pages beside it. `PI_XBTUSD` (perpetual)
//! and `FI_XBTUSD_210924` (dated) are inverse and count contracts of 1 USD; `PF_`, `FF_`, `PV_` and `FV_` are linear and count
//! base. Each contract's book messages are numbered one by one (`seq`), of which the snapshot is one.

use prism_schemas::event::event::Body;
use prism_schemas::event::{Book, Instrument, Levels, Side, Ticker, Trade, trade};
use prism_schemas::time::HOUR;
use prism_schemas::{Decimal, Event, InstrumentId, Market, Ts};
use serde::Deserialize;

use super::ID;
use crate::number::Number;
use crate::{DecodeError, Exchange, Fields, decimals_of, each_row, event_of, levels, trade_event};

type Events = Vec<(InstrumentId, Event)>;

/// The decoder of a connection.
#[derive(Clone, Copy, Debug)]
pub struct KrakenFutures {
    market: Market,
}

impl KrakenFutures {
    /// A decoder that is asked for one market's instruments; it decodes whichever come.
    pub fn new(market: Market) -> KrakenFutures {
        KrakenFutures { market }
    }

    /// The answer to instruments: one Instrument event per contract.
    pub fn decode_instruments(&self, body: &str, ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
        let answer: Answer<'_> = Fields { kind: "instruments" }.json(body)?;
        if answer.result != "success" {
            return Err(DecodeError::Refused(answer.error.unwrap_or(answer.result).into()));
        }
        // Indices have names, too.
        let fields = Fields { kind: "instruments" };
        let named = answer.instruments.iter().filter_map(|one| Some((one, instrument(fields, one.symbol).ok()?)));
        let rows = named.map(|(one, id)| (one.symbol, described(fields, one, id, ts_recv)));
        out.append(&mut each_row((ID, self.market), ts_recv, rows)?);
        Ok(())
    }
}

impl Exchange for KrakenFutures {
    fn id(&self) -> &'static str {
        ID
    }

    fn market(&self) -> Market {
        self.market
    }

    fn read(&mut self, frame: &str, ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
        let feed = match frame.strip_prefix("{\"feed\":\"").and_then(|rest| rest.split_once('"')) {
            Some((feed, _)) => feed,
            // A notice, or its members come in another order.
            None => {
                let notice: Notice<'_> = Fields { kind: "message" }.json(frame)?;
                match (notice.event, notice.feed) {
                    (Some("error" | "alert" | "subscribed_failed" | "unsubscribed_failed"), feed) => {
                        return Err(DecodeError::Refused(notice.message.or(feed).unwrap_or_default().into()));
                    }
                    (Some("info" | "subscribed" | "unsubscribed" | "pong"), _) => return Ok(()),
                    (None, Some(feed)) => feed,
                    (event, _) => return Err(DecodeError::Unknown(event.unwrap_or("a message without feed").into())),
                }
            }
        };
        match feed {
            "book" => delta(frame, ts_recv, out),
            "book_snapshot" => snapshot(frame, ts_recv, out),
            "trade" => {
                let fields = Fields { kind: "trade" };
                trades(frame, std::slice::from_ref(&fields.json(frame)?), ts_recv, out)
            }
            "trade_snapshot" => {
                let all: TradeSnapshot<'_> = Fields { kind: "trade_snapshot" }.json(frame)?;
                trades(frame, &all.trades, ts_recv, out)
            }
            "ticker" | "ticker_lite" => ticker(frame, ts_recv, out),
            "heartbeat" => Ok(()),
            other => Err(DecodeError::Unknown(other.into())),
        }
    }
}

/// The contract of a product's name, whichever case it is in.
fn instrument(fields: Fields, product: &str) -> Result<InstrumentId, DecodeError> {
    let unknown = || DecodeError::Unknown(format!("instrument {product}"));
    let (kind, rest) = product.split_once('_').ok_or_else(unknown)?;
    let market = match kind {
        "PI" | "FI" | "pi" | "fi" => Market::Inverse,
        "PF" | "FF" | "PV" | "FV" | "pf" | "ff" | "pv" | "fv" => Market::Linear,
        _ => return Err(unknown()),
    };
    let mut symbol = fields.symbol("product_id", rest)?;
    for (theirs, ours) in [("XBT", "BTC"), ("XDG", "DOGE")] {
        // A base, or the quote of XRPXBT.
        if symbol.starts_with(theirs) || symbol.ends_with(theirs) || symbol.contains(&format!("{theirs}_")) {
            symbol = symbol.replacen(theirs, ours, 1);
        }
    }
    Ok(InstrumentId { exchange: ID.into(), market, symbol })
}

fn described(
    fields: Fields,
    one: &InstrumentItem<'_>,
    id: InstrumentId,
    ts_recv: Ts,
) -> Result<(InstrumentId, Event), DecodeError> {
    let contract_size = fields.optional("contractSize", one.contract_size.as_deref())?;
    // Sizes of linear contracts are taken as base.
    if id.market == Market::Linear && contract_size != Some(Decimal::new(1, 0)) {
        return Err(DecodeError::Contract(one.symbol.into()));
    }
    let tick_size = fields.optional("tickSize", one.tick_size.as_deref())?;
    let (pair, _) = id.symbol.split_once('_').unwrap_or((&id.symbol, ""));
    let (base, quote) = pair.split_at_checked(pair.len().saturating_sub(3)).unwrap_or((pair, ""));
    let described = Instrument {
        price_decimals: decimals_of(tick_size),
        tick_size,
        contract_size: contract_size.filter(|_| id.market == Market::Inverse),
        contract_type: one.kind.into(),
        base: base.into(),
        quote: quote.into(),
        settlement: if id.market == Market::Inverse { base } else { quote }.into(),
        expiry: one.expiry.map(|expiry| fields.utc("lastTradingTime", expiry)).transpose()?,
        status: if one.tradeable { "trading" } else { "closed" }.into(),
        native_symbol: one.symbol.to_ascii_uppercase(),
        ..Instrument::default()
    };
    Ok((id, event_of(ts_recv, ts_recv, Body::Instrument(described.into()))))
}

/// One level; a size of 0 removes it.
fn delta(frame: &str, ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
    let fields = Fields { kind: "book" };
    let raw: Delta<'_> = fields.json(frame)?;
    let level = levels(std::iter::once((&*raw.price, &*raw.size)))
        .ok_or_else(|| fields.wrong("price or qty", "is no exact number"))?;
    let (bids, asks) = match raw.side {
        "buy" => (level, Levels::default()),
        "sell" => (Levels::default(), level),
        other => return Err(fields.wrong("side", format!("is no side: \"{other}\""))),
    };
    let book = Book { bids: Some(bids), asks: Some(asks), update_id: Some(raw.seq), ..Book::default() };
    let event = event_of(fields.millis("timestamp", raw.ts)?, ts_recv, Body::Book(book));
    out.push((instrument(fields, raw.product)?, event));
    Ok(())
}

fn snapshot(frame: &str, ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
    let fields = Fields { kind: "book_snapshot" };
    let raw: Snapshot<'_> = fields.json(frame)?;
    let side = |field, rows: &[Row<'_>]| {
        levels(rows.iter().map(|row| (&*row.price, &*row.size)))
            .ok_or_else(|| fields.wrong(field, "has a level that is no exact number"))
    };
    let book = Book {
        snapshot: true,
        bids: Some(side("bids", &raw.bids)?),
        asks: Some(side("asks", &raw.asks)?),
        update_id: Some(raw.seq),
        ..Book::default()
    };
    let event = event_of(fields.millis("timestamp", raw.ts)?, ts_recv, Body::Book(book));
    out.push((instrument(fields, raw.product)?, event));
    Ok(())
}

/// Trades that come newest first.
fn trades(frame: &str, trades: &[TradeItem], ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
    let fields = Fields { kind: "trade" };
    for (index, raw) in (0..).zip(trades.iter().rev()) {
        let trade = Trade {
            id: Some(trade::Id::Text(raw.id.into())),
            price: Some(fields.decimal("price", &raw.price)?),
            size: Some(fields.decimal("qty", &raw.size)?),
            side: match raw.side {
                "buy" => Side::Buy.into(),
                "sell" => Side::Sell.into(),
                other => return Err(fields.wrong("side", format!("is no side: \"{other}\""))),
            },
            block_trade: Some(raw.kind == "block"),
            liquidation: Some(raw.kind == "liquidation"),
            stream: "trade".into(),
            ..Trade::default()
        };
        let ts_event = fields.millis("time", raw.ts)?;
        let event = trade_event(trade, ts_event, ts_recv, raw.seq, index, frame.as_bytes());
        out.push((instrument(fields, raw.product)?, event));
    }
    Ok(())
}

fn ticker(frame: &str, ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
    let fields = Fields { kind: "ticker" };
    let raw: TickerData<'_> = fields.json(frame)?;
    let id = instrument(fields, raw.product)?;
    let in_quote = raw.turnover.as_deref().filter(|_| id.market == Market::Linear);
    let ticker = Ticker {
        last: fields.optional("last", raw.last.as_deref())?,
        mark: fields.rounded("markPrice", raw.mark.as_deref())?,
        index: fields.rounded("index", raw.index.as_deref())?,
        bid_price: fields.optional("bid", raw.bid_price.as_deref())?,
        bid_size: fields.optional("bid_size", raw.bid_size.as_deref())?,
        ask_price: fields.optional("ask", raw.ask_price.as_deref())?,
        ask_size: fields.optional("ask_size", raw.ask_size.as_deref())?,
        open_interest: fields.rounded("openInterest", raw.open_interest.as_deref())?,
        // The absolute one is in coin a contract; this is the share of the price, an hour.
        funding_rate: fields.rounded("relative_funding_rate", raw.funding_rate.as_deref())?,
        next_funding_ts: raw.next_funding.map(|ts| fields.millis("next_funding_rate_time", ts)).transpose()?,
        open_24h: fields.optional("open", raw.open.as_deref())?,
        high_24h: fields.optional("high", raw.high.as_deref())?,
        low_24h: fields.optional("low", raw.low.as_deref())?,
        volume_24h: fields.rounded("volume", raw.volume.as_deref())?,
        turnover_24h: fields.rounded("volumeQuote", in_quote)?,
        funding_interval: raw.funding_rate.is_some().then_some(HOUR),
        ..Ticker::default()
    };
    let ts_event = raw.ts.map_or(Ok(ts_recv), |ts| fields.millis("time", ts))?;
    out.push((id, event_of(ts_event, ts_recv, Body::Ticker(ticker.into()))));
    Ok(())
}

// {"event":"subscribed","feed":"book","product_ids":["PI_XBTUSD"]}; {"event":"alert","message":"..."}
#[derive(Deserialize)]
struct Notice<'a> {
    event: Option<&'a str>,
    feed: Option<&'a str>,
    message: Option<&'a str>,
}

// {"feed":"book","product_id":"PI_XBTUSD","side":"sell","seq":326094134,"price":34981,"qty":0,"timestamp":1612269953629}
#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(rename = "product_id")]
    product: &'a str,
    side: &'a str,
    seq: u64,
    #[serde(borrow)]
    price: Number<'a>,
    #[serde(rename = "qty", borrow)]
    size: Number<'a>,
    #[serde(rename = "timestamp")]
    ts: i64,
}

// {"feed":"book_snapshot","product_id":"PI_XBTUSD","timestamp":1612269825817,"seq":326072249,"tickSize":null,
// "bids":[{"price":34892.5,"qty":6385}],"asks":[{"price":34911.5,"qty":20598}]}
#[derive(Deserialize)]
struct Snapshot<'a> {
    #[serde(rename = "product_id")]
    product: &'a str,
    #[serde(rename = "timestamp")]
    ts: i64,
    seq: u64,
    #[serde(borrow)]
    bids: Vec<Row<'a>>,
    #[serde(borrow)]
    asks: Vec<Row<'a>>,
}

#[derive(Deserialize)]
struct Row<'a> {
    #[serde(borrow)]
    price: Number<'a>,
    #[serde(rename = "qty", borrow)]
    size: Number<'a>,
}

#[derive(Deserialize)]
struct TradeSnapshot<'a> {
    #[serde(borrow)]
    trades: Vec<TradeItem<'a>>,
}

// {"feed":"trade","product_id":"PI_XBTUSD","uid":"05af78ac-a774-478c-a50c-8b9c234e071e","side":"sell","type":"fill",
// "seq":653355,"time":1612266317519,"qty":15000,"price":34969.5}; type: fill, liquidation, termination, block
#[derive(Deserialize)]
struct TradeItem<'a> {
    #[serde(rename = "product_id")]
    product: &'a str,
    #[serde(rename = "uid")]
    id: &'a str,
    side: &'a str,
    #[serde(rename = "type", default)]
    kind: &'a str,
    seq: Option<u64>,
    #[serde(rename = "time")]
    ts: i64,
    #[serde(rename = "qty", borrow)]
    size: Number<'a>,
    #[serde(borrow)]
    price: Number<'a>,
}

// {"time":1676393235406,"product_id":"PI_XBTUSD","funding_rate":-6.2604214e-11,"relative_funding_rate":-1.38e-6,
// "next_funding_rate_time":1676394000000,"feed":"ticker","bid":21978.5,"ask":21987.0,"bid_size":2536.0,"ask_size":13948.0,
// "volume":31403908.0,"index":21984.54,"last":21983.5,"openInterest":30072580.0,"markPrice":21979.68}
#[derive(Deserialize)]
struct TickerData<'a> {
    #[serde(rename = "time")]
    ts: Option<i64>,
    #[serde(rename = "product_id")]
    product: &'a str,
    #[serde(rename = "relative_funding_rate", borrow)]
    funding_rate: Option<Number<'a>>,
    #[serde(rename = "next_funding_rate_time")]
    next_funding: Option<i64>,
    #[serde(rename = "bid", borrow)]
    bid_price: Option<Number<'a>>,
    #[serde(borrow)]
    bid_size: Option<Number<'a>>,
    #[serde(rename = "ask", borrow)]
    ask_price: Option<Number<'a>>,
    #[serde(borrow)]
    ask_size: Option<Number<'a>>,
    #[serde(borrow)]
    volume: Option<Number<'a>>,
    #[serde(rename = "volumeQuote", borrow)]
    turnover: Option<Number<'a>>,
    #[serde(borrow)]
    index: Option<Number<'a>>,
    #[serde(borrow)]
    last: Option<Number<'a>>,
    #[serde(rename = "openInterest", borrow)]
    open_interest: Option<Number<'a>>,
    #[serde(rename = "markPrice", borrow)]
    mark: Option<Number<'a>>,
    #[serde(borrow)]
    open: Option<Number<'a>>,
    #[serde(borrow)]
    high: Option<Number<'a>>,
    #[serde(borrow)]
    low: Option<Number<'a>>,
}

// {"result":"success","instruments":[{"symbol":"pi_xbtusd","type":"futures_inverse","tickSize":0.5,"contractSize":1,
// "tradeable":true}]}
#[derive(Deserialize)]
struct Answer<'a> {
    result: &'a str,
    error: Option<&'a str>,
    #[serde(borrow, default = "Vec::new")]
    instruments: Vec<InstrumentItem<'a>>,
}

#[derive(Deserialize)]
struct InstrumentItem<'a> {
    symbol: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(rename = "tickSize", borrow)]
    tick_size: Option<Number<'a>>,
    #[serde(rename = "contractSize", borrow)]
    contract_size: Option<Number<'a>>,
    #[serde(default)]
    tradeable: bool,
    #[serde(rename = "lastTradingTime")]
    expiry: Option<&'a str>,
}
