//! What Kraken answers to market requests, which name pairs otherwise than the stream.
//!
//! Documented at <https://docs.kraken.com/api/docs/rest-api/get-tradable-asset-pairs> and the pages after it. Answers are
//! under keys such as `XXBTZUSD`, where old currencies have a letter before them.

use std::borrow::Cow;
use std::collections::BTreeMap;

use prism_schemas::event::event::Body;
use prism_schemas::event::{Book, Instrument, Kline, Side, Ticker, Trade, trade};
use prism_schemas::time::SECOND;
use prism_schemas::{Decimal, Event, InstrumentId, Market, Timeframe, Ts, canonical_symbol};
use serde::Deserialize;
use serde::de::IgnoredAny;
use sonic_rs::LazyValue;

use super::{Events, ID, Kraken, PAIRS_MAX, common, instrument};
use crate::number::Number;
use crate::{DecodeError, Exchange, Fields, each_row_named, event_of, levels, trade_event};

/// Quotes of pairs that nobody told of, the longer ones first.
const QUOTES: [&str; 12] = ["USDT", "USDC", "PYUSD", "DAI", "USD", "EUR", "GBP", "CAD", "AUD", "CHF", "JPY", "XBT"];

/// `XBTUSD` of `BTC/USD`: requests spell Bitcoin and Dogecoin as the first stream did.
pub(super) fn request_name(native: &str) -> Option<String> {
    let old = |name| match name {
        "BTC" => "XBT",
        "DOGE" => "XDG",
        other => other,
    };
    let (base, quote) = native.split_once('/')?;
    Some(format!("{}{}", old(base), old(quote)))
}

/// The result of an answer, or what it says instead.
pub(super) fn read<'a, T: Deserialize<'a>>(fields: Fields, body: &'a str) -> Result<T, DecodeError> {
    let answer: Answer<'a, LazyValue<'a>> = fields.json(body)?;
    if let Some(error) = answer.error.first() {
        return Err(DecodeError::Refused(error.clone().into_owned()));
    }
    let result = fields.some("result", answer.result)?;
    match result.as_raw_cow() {
        Cow::Borrowed(raw) => fields.json(raw),
        Cow::Owned(_) => Err(fields.wrong("result", "is no part of the answer")),
    }
}

/// The list of the one pair that was asked for; beside it is the number to go on from.
fn listed<'a, T: Deserialize<'a>>(fields: Fields, body: &'a str) -> Result<T, DecodeError> {
    let result: BTreeMap<&'a str, LazyValue<'a>> = read(fields, body)?;
    let of = result.into_iter().find(|(key, _)| *key != "last");
    match fields.some("result", of)?.1.as_raw_cow() {
        Cow::Borrowed(raw) => fields.json(raw),
        Cow::Owned(_) => Err(fields.wrong("result", "is no part of the answer")),
    }
}

impl Kraken {
    /// The answer to AssetPairs: one Instrument event per pair that has a stream.
    pub fn decode_instruments(&mut self, body: &str, ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
        let fields = Fields { kind: "AssetPairs" };
        let raw: BTreeMap<&str, LazyValue<'_>> = read(fields, body)?;
        let pairs: Vec<_> = raw.iter().map(|(key, row)| (*key, fields.json::<Pair<'_>>(row.as_raw_str()))).collect();
        let rows = pairs.iter().filter_map(|(key, pair)| {
            let pair = match pair {
                Ok(pair) => pair,
                Err(error) => return Some((*key, Err(error.clone()))),
            };
            // Without a name on the stream nothing can be subscribed to. JSON writes its slash as \/. Staked assets (ETH2.S)
            // have names that are no symbols.
            let name = pair.name.as_deref().filter(|name| name.contains('/'))?;
            let id = instrument(fields, "wsname", name).ok()?;
            Some((name, described(fields, name, id, pair, ts_recv)))
        });
        let symbol = |name: &str| self.symbol_of(name);
        let events = each_row_named((ID, Market::Spot), ts_recv, rows, symbol)?;
        self.learn_from(&events);
        // Answers are under the pairs' keys: USDTZUSD, whose other name is USDTUSD.
        for (key, pair) in &pairs {
            if let Ok(pair) = pair
                && let Some((base, quote)) = pair.name.as_deref().and_then(|name| name.split_once('/'))
                && self.pairs.len() < PAIRS_MAX
            {
                self.pairs.insert((*key).into(), format!("{}/{}", common(base), common(quote)));
            }
        }
        out.extend(events);
        Ok(())
    }

    /// The stream's name of the pair that a request or an answer names.
    pub(super) fn native_of<'a>(&'a self, name: &'a str) -> Option<Cow<'a, str>> {
        if name.contains('/') {
            return Some(name.into());
        }
        if let Some(native) = self.pairs.get(name) {
            return Some(native.into());
        }
        // XXBTZUSD is XBTUSD.
        let is_old =
            name.len() == 8 && name.is_ascii() && [0, 4].iter().all(|at| b"XZ".contains(&name.as_bytes()[*at]));
        if is_old {
            let short = [&name[1..4], &name[5..]].concat();
            return match self.pairs.get(&short) {
                Some(native) => Some(native.into()),
                None => split(&short).map(Cow::Owned),
            };
        }
        split(name).map(Cow::Owned)
    }

    pub(super) fn id_of(&self, fields: Fields, name: &str) -> Result<InstrumentId, DecodeError> {
        let native = self.native_of(name).ok_or_else(|| fields.wrong("pair", format!("is no pair: \"{name}\"")))?;
        instrument(fields, "pair", &native)
    }

    /// The symbol of a pair's name, as far as it is one.
    fn symbol_of(&self, name: &str) -> String {
        self.id_of(Fields { kind: "pair" }, name).map_or_else(|_| canonical_symbol(name), |id| id.symbol)
    }

    pub(super) fn ask_tickers(&self, body: &str, ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
        let fields = Fields { kind: "Ticker" };
        let answer: BTreeMap<&str, LazyValue<'_>> = read(fields, body)?;
        // Pairs without a stream are nobody's here.
        let named = answer.iter().filter_map(|(key, raw)| Some((*key, self.id_of(fields, key).ok()?, raw)));
        let rows = named.map(|(key, id, raw)| (key, ticker(fields, id, raw.as_raw_str(), ts_recv)));
        out.append(&mut each_row_named((ID, Market::Spot), ts_recv, rows, |name| self.symbol_of(name))?);
        Ok(())
    }

    /// The newest `n` bars, the oldest first; the last one goes on.
    pub(super) fn ask_klines(
        &self,
        (native, timeframe, n): (&str, Timeframe, u32),
        body: &str,
        ts_recv: Ts,
        out: &mut Events,
    ) -> Result<(), DecodeError> {
        let fields = Fields { kind: "OHLC" };
        let rows: Vec<KlineRow<'_>> = listed(fields, body)?;
        let id = self.id_of(fields, native)?;
        let skip = if n == 0 { 0 } else { rows.len().saturating_sub(n as usize) };
        let n_closed = rows.len().saturating_sub(1);
        for (at, row) in rows.iter().enumerate().skip(skip) {
            let (seconds, open, high, low, close, _, volume, n_trades) = row;
            let start = seconds.checked_mul(SECOND).filter(|start| 0 < *start);
            let start = start.ok_or_else(|| fields.wrong("time", format!("is no time: {seconds}")))?;
            let end = timeframe.end(start);
            let kline = Kline {
                timeframe: timeframe.name().into(),
                start,
                open: Some(fields.decimal("open", open)?),
                high: Some(fields.decimal("high", high)?),
                low: Some(fields.decimal("low", low)?),
                close: Some(fields.decimal("close", close)?),
                volume: Some(fields.decimal("volume", volume)?),
                turnover: None,
                buy_volume: None,
                n_trades: Some(*n_trades),
                closed: at < n_closed,
            };
            out.push((id.clone(), event_of(end.min(ts_recv), ts_recv, Body::Kline(kline.into()))));
        }
        Ok(())
    }

    pub(super) fn ask_trades(
        &self,
        native: &str,
        body: &str,
        ts_recv: Ts,
        out: &mut Events,
    ) -> Result<(), DecodeError> {
        let fields = Fields { kind: "Trades" };
        let rows: Vec<TradeRow<'_>> = listed(fields, body)?;
        let id = self.id_of(fields, native)?;
        for (index, (price, size, time, side, _, _, number)) in (0..).zip(&rows) {
            let trade = Trade {
                id: Some(trade::Id::Number(*number)),
                price: Some(fields.decimal("price", price)?),
                size: Some(fields.decimal("volume", size)?),
                side: match *side {
                    "b" => Side::Buy.into(),
                    "s" => Side::Sell.into(),
                    other => return Err(fields.wrong("side", format!("is no side: \"{other}\""))),
                },
                // The same trades as the stream's, with the same numbers.
                stream: "trade".into(),
                ..Trade::default()
            };
            let ts_event = fields.seconds("time", time)?;
            let event = trade_event(trade, ts_event, ts_recv, Some(*number), index, body.as_bytes());
            out.push((id.clone(), event));
        }
        Ok(())
    }

    pub(super) fn ask_book(&self, native: &str, body: &str, ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
        let fields = Fields { kind: "Depth" };
        let raw: BookRows<'_> = listed(fields, body)?;
        let side = |field, rows: &[BookRow<'_>]| {
            levels(rows.iter().map(|(price, size, _)| (*price, *size)))
                .ok_or_else(|| fields.wrong(field, "has a level that is no exact number"))
        };
        let book = Book {
            snapshot: true,
            bids: Some(side("bids", &raw.bids)?),
            asks: Some(side("asks", &raw.asks)?),
            ..Book::default()
        };
        out.push((self.id_of(fields, native)?, event_of(ts_recv, ts_recv, Body::Book(book))));
        Ok(())
    }
}

/// `BTC/USDT` of `XBTUSDT`.
fn split(name: &str) -> Option<String> {
    let of =
        |quote: &&'static str| name.strip_suffix(*quote).filter(|base| !base.is_empty()).map(|base| (base, *quote));
    let (base, quote) = QUOTES.iter().find_map(of)?;
    Some(format!("{}/{}", common(base), common(quote)))
}

fn described(
    fields: Fields,
    name: &str,
    id: InstrumentId,
    pair: &Pair<'_>,
    ts_recv: Ts,
) -> Result<(InstrumentId, Event), DecodeError> {
    let (base, quote) = name.split_once('/').unwrap_or((name, ""));
    let (base, quote) = (common(base), common(quote));
    let tick_size = fields.optional("tick_size", pair.tick_size)?;
    let described = Instrument {
        price_decimals: pair.price_decimals,
        size_decimals: pair.size_decimals,
        tick_size: Some(tick_size.unwrap_or(Decimal::new(1, pair.price_decimals))),
        lot_size: Some(Decimal::new(1, pair.size_decimals)),
        min_size: fields.optional("ordermin", pair.min_size)?,
        // Stocks and funds are followed by name only.
        contract_type: if pair.class == Some("tokenized_asset") { "TRADIFI_SPOT" } else { "SPOT" }.into(),
        base: base.into(),
        quote: quote.into(),
        status: pair.status.unwrap_or("online").into(),
        // As the stream of today spells it.
        native_symbol: format!("{base}/{quote}"),
        ..Instrument::default()
    };
    Ok((id, event_of(ts_recv, ts_recv, Body::Instrument(described.into()))))
}

fn ticker(fields: Fields, id: InstrumentId, raw: &str, ts_recv: Ts) -> Result<(InstrumentId, Event), DecodeError> {
    let raw: TickerRow<'_> = fields.json(raw)?;
    let ticker = Ticker {
        last: Some(fields.decimal("c", raw.last.0)?),
        bid_price: Some(fields.decimal("b", raw.bid.0)?),
        bid_size: Some(fields.decimal("b", raw.bid.2)?),
        ask_price: Some(fields.decimal("a", raw.ask.0)?),
        ask_size: Some(fields.decimal("a", raw.ask.2)?),
        // Of each pair the first is since midnight, as the opening price is.
        high_24h: Some(fields.decimal("h", raw.high.1)?),
        low_24h: Some(fields.decimal("l", raw.low.1)?),
        volume_24h: Some(fields.decimal("v", raw.volume.1)?),
        ..Ticker::default()
    };
    Ok((id, event_of(ts_recv, ts_recv, Body::Ticker(ticker.into()))))
}

#[derive(Deserialize)]
struct Answer<'a, T> {
    #[serde(borrow)]
    error: Vec<Cow<'a, str>>,
    result: Option<T>,
}

// "XXBTZUSD":{"altname":"XBTUSD","wsname":"XBT/USD","aclass_base":"currency","base":"XXBT","aclass_quote":"currency",
// "quote":"ZUSD","pair_decimals":1,"lot_decimals":8,"ordermin":"0.00005","tick_size":"0.1","status":"online"}
#[derive(Deserialize)]
struct Pair<'a> {
    #[serde(rename = "wsname")]
    name: Option<String>,
    #[serde(rename = "aclass_base")]
    class: Option<&'a str>,
    #[serde(rename = "pair_decimals")]
    price_decimals: u32,
    #[serde(rename = "lot_decimals")]
    size_decimals: u32,
    #[serde(rename = "ordermin")]
    min_size: Option<&'a str>,
    tick_size: Option<&'a str>,
    status: Option<&'a str>,
}

// "XXBTZUSD":{"a":["30300.10000","1","1.000"],"b":["30300.00000","1","1.000"],"c":["30303.20000","0.00067643"],
// "v":["4083.67001100","4412.73601799"],"p":["30706.77771","30689.13205"],"t":[34619,38907],
// "l":["29868.30000","29868.30000"],"h":["31631.00000","31631.00000"],"o":"30502.80000"}
#[derive(Deserialize)]
struct TickerRow<'a> {
    #[serde(rename = "a", borrow)]
    ask: (&'a str, IgnoredAny, &'a str),
    #[serde(rename = "b", borrow)]
    bid: (&'a str, IgnoredAny, &'a str),
    #[serde(rename = "c")]
    last: (&'a str, &'a str),
    #[serde(rename = "v")]
    volume: (&'a str, &'a str),
    #[serde(rename = "l")]
    low: (&'a str, &'a str),
    #[serde(rename = "h")]
    high: (&'a str, &'a str),
}

/// Start in seconds, open, high, low, close, VWAP, volume, trades.
type KlineRow<'a> = (i64, &'a str, &'a str, &'a str, &'a str, &'a str, &'a str, u64);

/// Price, volume, time in seconds with a fraction, side, kind of order, a remark, number.
type TradeRow<'a> = (&'a str, &'a str, Number<'a>, &'a str, &'a str, &'a str, u64);

/// Price, volume, and when it was placed, in seconds.
type BookRow<'a> = (&'a str, &'a str, IgnoredAny);

#[derive(Deserialize)]
struct BookRows<'a> {
    #[serde(borrow)]
    asks: Vec<BookRow<'a>>,
    #[serde(borrow)]
    bids: Vec<BookRow<'a>>,
}
