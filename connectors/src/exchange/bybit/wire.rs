//! Bybit v5 on the wire: subscriptions, keep-alive and market requests.
//!
//! Documented at <https://bybit-exchange.github.io/docs/v5/ws/connect> and <https://bybit-exchange.github.io/docs/v5/market/kline>;
//! limits at <https://bybit-exchange.github.io/docs/v5/rate-limit>: 600 requests in 5 s from one address, and on a
//! connection 21,000 characters of arguments, of which spot takes ten at once.

use prism_schemas::event::event::Body;
use prism_schemas::event::{Kline, Trade, trade};
use prism_schemas::{Event, InstrumentId, Market, Timeframe, Ts};
use serde::Deserialize;

use super::{Bybit, Envelope, Events, TickerData, side, timeframe};
use crate::exchange::{Ask, Channels, DecodeError, Exchange, Fields, Limits, Request, Wire, event_of, trade_event};

impl Bybit {
    /// The question that a request's address asks, of those that `answer` understands.
    pub fn asked(url: &str) -> Option<Ask<'_>> {
        let (path, query) = url.split_once('?')?;
        let value = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        match path.rsplit('/').next()? {
            "instruments-info" => Some(Ask::Instruments),
            "tickers" => Some(Ask::Tickers),
            "kline" => Some(Ask::Klines(value("symbol")?, timeframe(value("interval")?)?, 0)),
            "recent-trade" => Some(Ask::Trades(value("symbol")?)),
            _ => None,
        }
    }

    fn ask_tickers(&self, body: &str, ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
        let fields = Fields { kind: "tickers" };
        let answer: Answer<'_, TickerData<'_>> = read(fields, body)?;
        // As one message of the stream each, at the time of the answer.
        let envelope = Envelope { ts: Some(answer.time), ..Envelope::default() };
        answer.result.list.iter().try_for_each(|raw| self.ticker_event(&envelope, raw, ts_recv, out))
    }

    fn ask_klines(
        &self,
        native: &str,
        timeframe: Timeframe,
        body: &str,
        ts_recv: Ts,
        out: &mut Events,
    ) -> Result<(), DecodeError> {
        let fields = Fields { kind: "kline" };
        // Start, open, high, low, close, volume, turnover; the newest first.
        let answer: Answer<'_, [&str; 7]> = read(fields, body)?;
        let id = self.instrument(fields, "symbol", native)?;
        let now = fields.millis("time", answer.time)?;
        for [start, open, high, low, close, volume, turnover] in answer.result.list.iter().rev() {
            let start = fields.millis("start", fields.integer("start", start)?)?;
            let end = timeframe.end(start);
            let kline = Kline {
                timeframe: timeframe.name().into(),
                start,
                open: Some(fields.decimal("open", open)?),
                high: Some(fields.decimal("high", high)?),
                low: Some(fields.decimal("low", low)?),
                close: Some(fields.decimal("close", close)?),
                volume: Some(fields.decimal("volume", volume)?),
                turnover: match self.market {
                    Market::Inverse => None,
                    _ => Some(fields.decimal("turnover", turnover)?),
                },
                buy_volume: None,
                n_trades: None,
                closed: end <= now,
            };
            out.push((id.clone(), event_of(end.min(now), ts_recv, Body::Kline(kline))));
        }
        Ok(())
    }

    fn ask_trades(&self, body: &str, ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
        let fields = Fields { kind: "recent-trade" };
        let answer: Answer<'_, RecentTrade<'_>> = read(fields, body)?;
        for (index, raw) in (0..).zip(answer.result.list.iter().rev()) {
            let trade = Trade {
                id: Some(trade::Id::Text(raw.id.into())),
                price: Some(fields.decimal("price", raw.price)?),
                size: Some(fields.decimal("size", raw.size)?),
                side: side(fields, "side", raw.side)?.into(),
                block_trade: raw.block_trade,
                // The same trades as the stream's, with the same ids.
                stream: "publicTrade".into(),
                ..Trade::default()
            };
            let ts_event = fields.millis("time", fields.integer("time", raw.ts)?)?;
            let seq = raw.seq.map(|seq| fields.integer("seq", seq)).transpose()?;
            let event = trade_event(trade, ts_event, ts_recv, seq, index, body.as_bytes());
            out.push((self.instrument(fields, "symbol", raw.symbol)?, event));
        }
        Ok(())
    }
}

/// Bybit names minutes by number, and days, weeks and months by letter; it has no seconds.
fn interval(timeframe: Timeframe) -> Option<String> {
    match timeframe {
        Timeframe::D1 => Some("D".into()),
        Timeframe::W1 => Some("W".into()),
        Timeframe::Month => Some("M".into()),
        other => {
            let minutes = other.length() / prism_schemas::time::MINUTE;
            [1, 3, 5, 15, 30, 60, 120, 240, 360, 720].contains(&minutes).then(|| minutes.to_string())
        }
    }
}

fn read<'a, T: Deserialize<'a>>(fields: Fields, body: &'a str) -> Result<Answer<'a, T>, DecodeError> {
    let answer: Answer<'a, T> = fields.json(body)?;
    match answer.code {
        0 => Ok(answer),
        _ => Err(DecodeError::Refused(answer.message.unwrap_or_default().into())),
    }
}

impl Wire for Bybit {
    fn addresses(&self) -> [&'static str; 2] {
        ["wss://stream.bybit.com", "https://api.bybit.com"]
    }

    fn stream_path(&self) -> String {
        format!("/v5/public/{}", self.market.name())
    }

    fn topics(&self, native: &str, channels: Channels) -> Vec<String> {
        let mut topics = Vec::new();
        if channels.trades {
            topics.push(format!("publicTrade.{native}"));
        }
        if 0 < channels.depth {
            topics.push(self.book_topic(native, channels.depth));
        }
        if channels.tickers {
            topics.push(format!("tickers.{native}"));
        }
        if channels.liquidations && self.market != Market::Spot {
            topics.push(format!("allLiquidation.{native}"));
        }
        topics
    }

    fn book_topic(&self, native: &str, depth: u32) -> String {
        let depths = [1, 50, 200, 1_000];
        let depth = depths.into_iter().find(|have| depth <= *have).unwrap_or(1_000);
        format!("orderbook.{depth}.{native}")
    }

    fn subscribe(&self, topics: &[String], number: u64) -> String {
        serde_json::json!({"req_id": number.to_string(), "op": "subscribe", "args": topics}).to_string()
    }

    fn unsubscribe(&self, topics: &[String], number: u64) -> String {
        serde_json::json!({"req_id": number.to_string(), "op": "unsubscribe", "args": topics}).to_string()
    }

    fn ping(&self) -> Option<&'static str> {
        Some("{\"op\":\"ping\"}")
    }

    fn limits(&self) -> Limits {
        Limits { topics_per_request: 10, topics_per_connection: 400, weight: 600, window: 5 }
    }

    fn request(&self, ask: &Ask<'_>) -> Option<Request> {
        let category = self.market.name();
        let path = match ask {
            Ask::Instruments => format!("/v5/market/instruments-info?category={category}&limit=1000"),
            Ask::Tickers => format!("/v5/market/tickers?category={category}"),
            Ask::Klines(native, timeframe, n) => {
                let interval = interval(*timeframe)?;
                let n = (*n).clamp(1, 1_000);
                format!("/v5/market/kline?category={category}&symbol={native}&interval={interval}&limit={n}")
            }
            Ask::Trades(native) => {
                let n = if self.market == Market::Spot { 60 } else { 1_000 };
                format!("/v5/market/recent-trade?category={category}&symbol={native}&limit={n}")
            }
        };
        Some(Request { path, weight: 1 })
    }

    fn answer(&mut self, ask: &Ask<'_>, body: &str, ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
        let mut events: Vec<(InstrumentId, Event)> = Vec::new();
        match ask {
            Ask::Instruments => self.decode_instruments(body, ts_recv, &mut events),
            Ask::Tickers => self.ask_tickers(body, ts_recv, &mut events),
            Ask::Klines(native, timeframe, _) => self.ask_klines(native, *timeframe, body, ts_recv, &mut events),
            Ask::Trades(_) => self.ask_trades(body, ts_recv, &mut events),
        }?;
        out.append(&mut events);
        debug_assert!(out.iter().all(|(id, _)| id.exchange == self.id()));
        Ok(())
    }
}

#[derive(Deserialize)]
struct Answer<'a, T> {
    #[serde(rename = "retCode")]
    code: i64,
    #[serde(rename = "retMsg")]
    message: Option<&'a str>,
    result: AnswerList<T>,
    #[serde(default)]
    time: i64,
}

#[derive(Deserialize)]
struct AnswerList<T> {
    #[serde(default = "Vec::new")]
    list: Vec<T>,
}

// {"execId":"2100000000007764263","symbol":"BTCUSDT","price":"16618.49","size":"0.00012","side":"Buy","time":"1672052955758",
// "isBlockTrade":false,"seq":"123456"}
#[derive(Deserialize)]
struct RecentTrade<'a> {
    #[serde(rename = "execId")]
    id: &'a str,
    symbol: &'a str,
    price: &'a str,
    size: &'a str,
    side: &'a str,
    #[serde(rename = "time")]
    ts: &'a str,
    #[serde(rename = "isBlockTrade")]
    block_trade: Option<bool>,
    seq: Option<&'a str>,
}
