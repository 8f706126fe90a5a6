//! Bybit v5 public streams and instruments-info: linear, spot and inverse by connection.
//!
//! Documented at <https://bybit-exchange.github.io/docs/v5/ws/connect>. Book times are the matching engine's (`cts`).

mod answers;
mod frames;
mod wire;

use prism_schemas::event::event::Body;
use prism_schemas::event::{Book, Kline, Liquidation, Side, Ticker, Trade, trade};
use prism_schemas::time::HOUR;
use prism_schemas::{Decimal, Event, InstrumentId, Market, Timeframe, Ts};
use serde::de::IgnoredAny;

use super::{DecodeError, Exchange, Fields, event_of, levels, trade_event};
use frames::{BookData, Envelope, KlineItem, LiquidationItem, Pairs, TickerData, TradeItem, whole};

const ID: &str = "bybit";

type Events = Vec<(InstrumentId, Event)>;

/// The decoder of one market's connections: frames do not say which market they are of.
#[derive(Clone, Debug)]
pub struct Bybit {
    market: Market,
}

impl Bybit {
    /// A decoder for `/v5/public/{linear,spot,inverse}`.
    pub fn new(market: Market) -> Bybit {
        Bybit { market }
    }

    /// The market a connection's or a request's URL names.
    pub fn market_of(url: &str) -> Option<Market> {
        let (_, category) = url.split_once("/v5/public/").or_else(|| url.split_once("category="))?;
        Market::parse(category.split(['?', '&', '/']).next()?)
    }

    fn instrument(&self, fields: Fields, field: &'static str, text: &str) -> Result<InstrumentId, DecodeError> {
        Ok(InstrumentId { exchange: ID.into(), market: self.market, symbol: fields.symbol(field, text)? })
    }

    fn trades(&self, frame: &str, trades: &[TradeItem], ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
        let fields = Fields { kind: "publicTrade" };
        for (index, raw) in (0..).zip(trades) {
            let trade = Trade {
                id: Some(trade::Id::Text(raw.id.into())),
                price: Some(fields.decimal("p", raw.price)?),
                size: Some(fields.decimal("v", raw.size)?),
                side: side(fields, "S", raw.side)?.into(),
                block_trade: raw.block_trade,
                liquidation: None,
                kind: String::new(),
                stream: "publicTrade".into(),
            };
            let ts_event = fields.millis("T", raw.ts)?;
            let event = trade_event(trade, ts_event, ts_recv, raw.seq, index, frame.as_bytes());
            out.push((self.instrument(fields, "s", raw.symbol)?, event));
        }
        Ok(())
    }

    fn book(
        &self,
        envelope: &Envelope<'_, ()>,
        raw: &BookData,
        ts_recv: Ts,
        out: &mut Events,
    ) -> Result<(), DecodeError> {
        let fields = Fields { kind: "orderbook" };
        let snapshot = match envelope.kind {
            Some("snapshot") => true,
            Some("delta") => false,
            _ => return Err(fields.wrong("type", "is neither snapshot nor delta")),
        };
        let depth = envelope.topic.and_then(|topic| topic.split('.').nth(1)).and_then(|depth| depth.parse().ok());
        let side = |field, pairs: &Pairs| {
            levels(pairs.iter().map(|[price, size]| (*price, *size)))
                .ok_or_else(|| fields.wrong(field, "has a level that is no exact number"))
        };
        let book = Book {
            snapshot,
            bids: Some(side("b", &raw.bids)?),
            asks: Some(side("a", &raw.asks)?),
            update_id: Some(raw.update_id),
            depth: Some(fields.some("topic", depth)?),
            ..Book::default()
        };
        let ts_event = fields.millis("ts", fields.some("ts", envelope.cts.or(envelope.ts))?)?;
        let event = Event { seq: raw.seq, ..event_of(ts_event, ts_recv, Body::Book(book)) };
        out.push((self.instrument(fields, "s", raw.symbol)?, event));
        Ok(())
    }

    fn ticker(
        &self,
        envelope: &Envelope<'_, ()>,
        raw: &TickerData<'_>,
        ts_recv: Ts,
    ) -> Result<(InstrumentId, Event), DecodeError> {
        let fields = Fields { kind: "tickers" };
        // Inverse markets count turnover and open interest value in base.
        let in_quote = |text| if self.market == Market::Inverse { None } else { text };
        let ticker = Ticker {
            last: fields.optional("lastPrice", raw.last)?,
            mark: fields.optional("markPrice", raw.mark)?,
            index: fields.optional("indexPrice", raw.index)?,
            bid_price: fields.optional("bid1Price", raw.bid_price)?,
            bid_size: fields.optional("bid1Size", raw.bid_size)?,
            ask_price: fields.optional("ask1Price", raw.ask_price)?,
            ask_size: fields.optional("ask1Size", raw.ask_size)?,
            open_interest: open_interest(fields, raw.single_open_interest, raw.open_interest)?,
            open_interest_value: open_interest(fields, in_quote(raw.single_value), in_quote(raw.open_interest_value))?,
            funding_rate: fields.optional("fundingRate", raw.funding_rate)?,
            next_funding_ts: fields.optional_millis("nextFundingTime", raw.next_funding)?,
            open_24h: fields.optional("prevPrice24h", raw.open_24h)?,
            high_24h: fields.optional("highPrice24h", raw.high_24h)?,
            low_24h: fields.optional("lowPrice24h", raw.low_24h)?,
            volume_24h: fields.rounded("volume24h", raw.volume_24h)?,
            turnover_24h: fields.rounded("turnover24h", in_quote(raw.turnover_24h))?,
            funding_interval: hours(fields, raw.funding_interval)?,
            update_id: None,
        };
        let ts_event = fields.millis("ts", fields.some("ts", envelope.ts)?)?;
        let event = Event { seq: envelope.cs, ..event_of(ts_event, ts_recv, Body::Ticker(ticker.into())) };
        Ok((self.instrument(fields, "symbol", raw.symbol)?, event))
    }

    fn klines(
        &self,
        envelope: &Envelope<'_, ()>,
        bars: &[KlineItem],
        ts_recv: Ts,
        out: &mut Events,
    ) -> Result<(), DecodeError> {
        let fields = Fields { kind: "kline" };
        let symbol = envelope.topic.and_then(|topic| topic.split('.').nth(2));
        let symbol = fields.some("topic", symbol)?;
        for (index, raw) in (0..).zip(bars) {
            let timeframe = timeframe(raw.interval)
                .ok_or_else(|| fields.wrong("interval", format!("is no timeframe: \"{}\"", raw.interval)))?;
            let kline = Kline {
                timeframe: timeframe.name().into(),
                start: fields.millis("start", raw.start)?,
                open: Some(fields.decimal("open", raw.open)?),
                high: Some(fields.decimal("high", raw.high)?),
                low: Some(fields.decimal("low", raw.low)?),
                close: Some(fields.decimal("close", raw.close)?),
                volume: Some(fields.decimal("volume", raw.volume)?),
                // Of inverse contracts in base, as their volume is in contracts.
                turnover: fields.rounded("turnover", raw.turnover)?,
                buy_volume: None,
                n_trades: None,
                closed: raw.confirm,
            };
            let ts_event = fields.millis("timestamp", fields.some("timestamp", raw.ts.or(envelope.ts))?)?;
            let event = Event { index, ..event_of(ts_event, ts_recv, Body::Kline(kline.into())) };
            out.push((self.instrument(fields, "topic", symbol)?, event));
        }
        Ok(())
    }

    fn liquidations(
        &self,
        completeness: &str,
        items: &[LiquidationItem],
        ts_recv: Ts,
        out: &mut Events,
    ) -> Result<(), DecodeError> {
        let fields = Fields { kind: "liquidation" };
        for (index, raw) in (0..).zip(items) {
            // S is the position's side: a long that is liquidated sells.
            let side = match side(fields, "S", raw.side)? {
                Side::Buy => Side::Sell,
                _ => Side::Buy,
            };
            let liquidation = Liquidation {
                side: side.into(),
                price: Some(fields.decimal("p", raw.price)?),
                size: Some(fields.decimal("v", raw.size)?),
                completeness: completeness.into(),
            };
            let ts_event = fields.millis("T", raw.ts)?;
            let event = Event { index, ..event_of(ts_event, ts_recv, Body::Liquidation(liquidation)) };
            out.push((self.instrument(fields, "s", raw.symbol)?, event));
        }
        Ok(())
    }
}

impl Exchange for Bybit {
    fn id(&self) -> &'static str {
        ID
    }

    fn market(&self) -> Market {
        self.market
    }

    fn read(&mut self, frame: &str, ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
        let topic = match frame.strip_prefix("{\"topic\":\"").and_then(|rest| rest.split_once('"')) {
            Some((topic, _)) => topic,
            // An answer, or its members come in another order.
            None => {
                let envelope: Envelope<'_, IgnoredAny> = Fields { kind: "message" }.json(frame)?;
                match (envelope.topic, envelope.success, envelope.op) {
                    (Some(topic), ..) => topic,
                    (_, Some(false), _) if is_known(envelope.message.unwrap_or_default()) => return Ok(()),
                    (_, Some(false), _) => {
                        return Err(DecodeError::Refused(envelope.message.unwrap_or_default().into()));
                    }
                    (_, _, Some("subscribe" | "unsubscribe" | "ping" | "pong" | "auth")) => return Ok(()),
                    (_, _, op) => return Err(DecodeError::Unknown(op.unwrap_or("a message without topic").into())),
                }
            }
        };
        match topic.split('.').next().unwrap_or_default() {
            "publicTrade" => self.trades(frame, &whole::<Vec<_>>("publicTrade", frame)?.1, ts_recv, out),
            "orderbook" => whole("orderbook", frame).and_then(|(of, raw)| self.book(&of, &raw, ts_recv, out)),
            "tickers" => {
                let (of, raw) = whole("tickers", frame)?;
                out.push(self.ticker(&of, &raw, ts_recv)?);
                Ok(())
            }
            "kline" => whole::<Vec<_>>("kline", frame).and_then(|(of, bars)| self.klines(&of, &bars, ts_recv, out)),
            "allLiquidation" => self.liquidations("all", &whole::<Vec<_>>("allLiquidation", frame)?.1, ts_recv, out),
            // Until 2025, one order a second and symbol at most:
            // <https://bybit-exchange.github.io/docs/v5/websocket/public/liquidation>.
            "liquidation" => self.liquidations("latest_per_second", &[whole("liquidation", frame)?.1], ts_recv, out),
            other => Err(DecodeError::Unknown(other.into())),
        }
    }
}

/// Whether a refusal says that a topic is sent already, which is no trouble.
fn is_known(message: &str) -> bool {
    message.starts_with("error:already subscribed")
}

fn hours(fields: Fields, text: Option<&str>) -> Result<Option<Ts>, DecodeError> {
    let read = |text| fields.integer::<u8>("fundingIntervalHour", text).map(|hours| i64::from(hours) * HOUR);
    text.filter(|text| !text.is_empty()).map(read).transpose()
}

/// Open interest or its value, counted once. `openInterest` is the sum of both sides, `singleOpenInterest` of one, which is
/// told since 2026-06-11 (Bybit's changelog and `market/open-interest`: 63910691 and 31955346).
fn open_interest(fields: Fields, one: Option<&str>, both: Option<&str>) -> Result<Option<Decimal>, DecodeError> {
    Ok(fields.rounded("singleOpenInterest", one)?.or(fields.rounded("openInterest", both)?.map(Decimal::half)))
}

fn side(fields: Fields, field: &'static str, text: &str) -> Result<Side, DecodeError> {
    match text {
        "Buy" => Ok(Side::Buy),
        "Sell" => Ok(Side::Sell),
        other => Err(fields.wrong(field, format!("is no side: \"{other}\""))),
    }
}

/// Bybit names minutes by number, and days, weeks and months by letter.
fn timeframe(interval: &str) -> Option<Timeframe> {
    match interval {
        "D" => Some(Timeframe::D1),
        "W" => Some(Timeframe::W1),
        "M" => Some(Timeframe::Month),
        minutes => {
            let length = minutes.parse::<i64>().ok()?.checked_mul(prism_schemas::time::MINUTE)?;
            Timeframe::ALL.into_iter().find(|timeframe| timeframe.length() == length)
        }
    }
}
