//! Coinbase Advanced Trade: messages of a channel, numbered over the whole connection.
//!
//! Where a number is missing it may have been any book's: each book's next update is then told as one that does not follow.

use std::collections::HashMap;

use prism_schemas::event::event::Body;
use prism_schemas::event::{Book, Kline, Ticker, Trade, trade};
use prism_schemas::{Event, Timeframe, Ts};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{Events, instrument, taker};
use crate::{DecodeError, Fields, event_of, levels, trade_event};

/// Books of one connection that are linked.
const BOOKS_MAX: usize = 10_000;

/// The numbers of a connection's messages.
#[derive(Clone, Debug, Default)]
pub(super) struct Chain {
    /// The number that follows.
    next: u64,
    /// By product the number of its book's last message, if none is missing since.
    books: HashMap<String, u64>,
}

impl Chain {
    pub(super) fn read(
        &mut self,
        channel: &str,
        frame: &str,
        ts_recv: Ts,
        out: &mut Events,
    ) -> Result<(), DecodeError> {
        let result = match channel {
            "l2_data" => self.books(frame, ts_recv, out),
            "market_trades" => self.trades(frame, ts_recv, out),
            "ticker" | "ticker_batch" => self.tickers(frame, ts_recv, out),
            "candles" => self.candles(frame, ts_recv, out),
            other => {
                self.whole::<IgnoredAny>(Fields { kind: "message" }, frame)?;
                match other {
                    "heartbeats" | "subscriptions" => Ok(()),
                    other => return Err(DecodeError::Unknown(other.into())),
                }
            }
        };
        // What could not be read is missing, as if it had not come; what is nobody's is not.
        if !matches!(result, Ok(()) | Err(DecodeError::Unknown(_))) {
            self.books.clear();
        }
        result
    }

    /// A message, whose number is noted.
    fn whole<'a, T: Deserialize<'a>>(&mut self, fields: Fields, frame: &'a str) -> Result<Message<'a, T>, DecodeError> {
        let message: Message<'a, T> = fields.json(frame)?;
        let number = message.number;
        // A connection begins with 0.
        if number == 0 || self.next < number {
            self.books.clear();
        }
        self.next = if number == 0 { 1 } else { self.next.max(number.saturating_add(1)) };
        Ok(message)
    }

    /// A message of a book may have been lost.
    pub(super) fn lose(&mut self) {
        self.next += 1;
        self.books.clear();
    }

    /// Where messages have no numbers: that of a book's snapshot.
    pub(super) fn first(&mut self, product: &str) -> u64 {
        self.next += 1;
        self.begin(product, self.next);
        self.next
    }

    /// Likewise the number that an update follows, and its own.
    pub(super) fn following(&mut self, product: &str) -> (u64, u64) {
        self.next += 1;
        (self.link(product, self.next), self.next)
    }

    /// The number of the message that a book's update follows.
    fn link(&mut self, product: &str, number: u64) -> u64 {
        match self.books.get_mut(product) {
            Some(last) if *last <= number => std::mem::replace(last, number),
            Some(_) => number.saturating_sub(1),
            None => {
                self.begin(product, number);
                number.saturating_sub(1)
            }
        }
    }

    fn begin(&mut self, product: &str, number: u64) {
        if self.books.len() < BOOKS_MAX || self.books.contains_key(product) {
            self.books.insert(product.into(), number);
        }
    }

    fn books(&mut self, frame: &str, ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
        let fields = Fields { kind: "l2_data" };
        let message = self.whole::<BookEvent<'_>>(fields, frame)?;
        for (index, raw) in (0..).zip(&message.events) {
            let snapshot = match raw.kind {
                "snapshot" => true,
                "update" => false,
                _ => return Err(fields.wrong("type", "is neither snapshot nor update")),
            };
            if let Some(level) = raw.updates.iter().find(|level| !matches!(level.side, "bid" | "offer")) {
                return Err(fields.wrong("side", format!("is no side: \"{}\"", level.side)));
            }
            let side = |wanted: &str| {
                let rows = raw.updates.iter().filter(|level| level.side == wanted);
                levels(rows.map(|level| (level.price, level.size)))
                    .ok_or_else(|| fields.wrong("updates", "have a level that is no exact number"))
            };
            let (bids, asks) = (Some(side("bid")?), Some(side("offer")?));
            // Levels of a snapshot are dated 1970-01-01 (docs.cdp.coinbase.com, "Level2 Channel").
            let last = raw.updates.last().filter(|_| !snapshot).map_or(message.ts, |level| level.ts);
            let ts_event = fields.utc("event_time", last)?;
            let id = instrument(fields, raw.product).inspect_err(|_| {
                if 1 < message.events.len() {
                    self.books.clear();
                }
            })?;
            let previous_update_id = match snapshot {
                true => {
                    self.begin(raw.product, message.number);
                    None
                }
                false => Some(self.link(raw.product, message.number)),
            };
            let update_id = Some(message.number);
            let book = Book { snapshot, bids, asks, update_id, previous_update_id, ..Book::default() };
            out.push((id, Event { index, ..event_of(ts_event, ts_recv, Body::Book(book)) }));
        }
        Ok(())
    }

    fn trades(&mut self, frame: &str, ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
        let fields = Fields { kind: "market_trades" };
        let message = self.whole::<TradesEvent<'_>>(fields, frame)?;
        // The newest come first.
        let trades = message.events.iter().flat_map(|event| event.trades.iter().rev());
        for (index, raw) in (0..).zip(trades) {
            let id = fields.integer("trade_id", raw.id)?;
            let trade = Trade {
                id: Some(trade::Id::Number(id)),
                price: Some(fields.decimal("price", raw.price)?),
                size: Some(fields.decimal("size", raw.size)?),
                side: taker(fields, raw.side)?.into(),
                stream: "market_trades".into(),
                ..Trade::default()
            };
            let ts_event = fields.utc("time", raw.ts)?;
            let event = trade_event(trade, ts_event, ts_recv, Some(id), index, frame.as_bytes());
            out.push((instrument(fields, raw.product)?, event));
        }
        Ok(())
    }

    fn tickers(&mut self, frame: &str, ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
        let fields = Fields { kind: "ticker" };
        let message = self.whole::<TickersEvent<'_>>(fields, frame)?;
        let ts_event = fields.utc("timestamp", message.ts)?;
        for (index, raw) in (0..).zip(message.events.iter().flat_map(|event| &event.tickers)) {
            let ticker = Ticker {
                last: fields.optional("price", raw.last)?,
                bid_price: fields.optional("best_bid", raw.bid_price)?,
                bid_size: fields.optional("best_bid_quantity", raw.bid_size)?,
                ask_price: fields.optional("best_ask", raw.ask_price)?,
                ask_size: fields.optional("best_ask_quantity", raw.ask_size)?,
                high_24h: fields.optional("high_24_h", raw.high_24h)?,
                low_24h: fields.optional("low_24_h", raw.low_24h)?,
                volume_24h: fields.rounded("volume_24_h", raw.volume_24h)?,
                ..Ticker::default()
            };
            let event =
                Event { index, seq: Some(message.number), ..event_of(ts_event, ts_recv, Body::Ticker(ticker.into())) };
            out.push((instrument(fields, raw.product)?, event));
        }
        Ok(())
    }

    /// Bars of five minutes; the first message has those of before.
    fn candles(&mut self, frame: &str, ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
        let fields = Fields { kind: "candles" };
        let message = self.whole::<CandlesEvent<'_>>(fields, frame)?;
        let now = fields.utc("timestamp", message.ts)?;
        for (index, raw) in (0..).zip(message.events.iter().flat_map(|event| &event.candles)) {
            let start = fields.seconds("start", raw.start)?;
            let end = Timeframe::M5.end(start);
            let kline = Kline {
                timeframe: Timeframe::M5.name().into(),
                start,
                open: Some(fields.decimal("open", raw.open)?),
                high: Some(fields.decimal("high", raw.high)?),
                low: Some(fields.decimal("low", raw.low)?),
                close: Some(fields.decimal("close", raw.close)?),
                volume: Some(fields.decimal("volume", raw.volume)?),
                closed: end <= now,
                ..Kline::default()
            };
            let event = Event { index, ..event_of(end.min(now), ts_recv, Body::Kline(kline.into())) };
            out.push((instrument(fields, raw.product)?, event));
        }
        Ok(())
    }
}

// {"channel":"l2_data","timestamp":"2023-02-09T20:32:50.714964855Z","sequence_num":0,"events":[...]}
#[derive(Deserialize)]
struct Message<'a, T> {
    #[serde(rename = "timestamp")]
    ts: &'a str,
    #[serde(rename = "sequence_num")]
    number: u64,
    events: Vec<T>,
}

// {"type":"snapshot","product_id":"BTC-USD","updates":[{"side":"bid","event_time":"1970-01-01T00:00:00Z","price_level":
// "21921.73","new_quantity":"0.06317902"}]}
#[derive(Deserialize)]
struct BookEvent<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(rename = "product_id")]
    product: &'a str,
    #[serde(borrow)]
    updates: Vec<Level<'a>>,
}

#[derive(Deserialize)]
struct Level<'a> {
    side: &'a str,
    #[serde(rename = "event_time")]
    ts: &'a str,
    #[serde(rename = "price_level")]
    price: &'a str,
    #[serde(rename = "new_quantity")]
    size: &'a str,
}

#[derive(Deserialize)]
struct TradesEvent<'a> {
    #[serde(borrow)]
    trades: Vec<TradeItem<'a>>,
}

// {"trade_id":"000000000","product_id":"ETH-USD","price":"1260.01","size":"0.3","side":"BUY","time":"2019-08-14T20:42:27.265Z"}
#[derive(Deserialize)]
struct TradeItem<'a> {
    #[serde(rename = "trade_id")]
    id: &'a str,
    #[serde(rename = "product_id")]
    product: &'a str,
    price: &'a str,
    size: &'a str,
    side: &'a str,
    #[serde(rename = "time")]
    ts: &'a str,
}

#[derive(Deserialize)]
struct TickersEvent<'a> {
    #[serde(borrow)]
    tickers: Vec<TickerData<'a>>,
}

// {"type":"ticker","product_id":"BTC-USD","price":"21932.98","volume_24_h":"16038.28770938","low_24_h":"21835.29","high_24_h":
// "23011.18","best_bid":"21931.98","best_bid_quantity":"8000.21","best_ask":"21933.98","best_ask_quantity":"8038.07770938"}
#[derive(Deserialize)]
struct TickerData<'a> {
    #[serde(rename = "product_id")]
    product: &'a str,
    #[serde(rename = "price")]
    last: Option<&'a str>,
    #[serde(rename = "best_bid")]
    bid_price: Option<&'a str>,
    #[serde(rename = "best_bid_quantity")]
    bid_size: Option<&'a str>,
    #[serde(rename = "best_ask")]
    ask_price: Option<&'a str>,
    #[serde(rename = "best_ask_quantity")]
    ask_size: Option<&'a str>,
    #[serde(rename = "high_24_h")]
    high_24h: Option<&'a str>,
    #[serde(rename = "low_24_h")]
    low_24h: Option<&'a str>,
    #[serde(rename = "volume_24_h")]
    volume_24h: Option<&'a str>,
}

#[derive(Deserialize)]
struct CandlesEvent<'a> {
    #[serde(borrow)]
    candles: Vec<Candle<'a>>,
}

// {"start":"1688998200","high":"1867.72","low":"1865.63","open":"1867.38","close":"1866.81","volume":"0.20269406",
// "product_id":"ETH-USD"}
#[derive(Deserialize)]
struct Candle<'a> {
    start: &'a str,
    open: &'a str,
    high: &'a str,
    low: &'a str,
    close: &'a str,
    volume: &'a str,
    #[serde(rename = "product_id")]
    product: &'a str,
}
