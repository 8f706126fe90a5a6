//! Binance: spot, USD-M (linear) and COIN-M (inverse) streams, raw and combined, and REST depth and exchangeInfo.
//!
//! Documented at <https://developers.binance.com/docs/binance-spot-api-docs/web-socket-streams> and
//! <https://developers.binance.com/docs/derivatives>. `ts_event` is the matching engine's time `T` where the message has
//! one, else the sender's `E`; spot bookTicker and spot depth snapshots have neither and take `ts_recv`.

mod answers;
mod frames;
mod wire;

use prism_schemas::event::event::Body;
use prism_schemas::event::{Book, Kline, Liquidation, Side, Ticker, Trade, trade};
use prism_schemas::{Event, InstrumentId, Market, Timeframe, Ts};
use sonic_rs::LazyValue;

use super::{DecodeError, Exchange, Fields, event_of, levels, taker, trade_event};
use frames::{
    AggTradeFrame, BookTickerFrame, Depth, DepthFrame, Envelope, ForceOrderFrame, Kind, KlineFrame, MarkFrame, Pairs,
    TickerFrame, TradeFrame,
};

const ID: &str = "binance";

/// The decoder of one market's connections.
#[derive(Clone, Debug)]
pub struct Binance {
    market: Market,
    default_symbol: Option<String>,
}

type Events = Vec<(InstrumentId, Event)>;

impl Binance {
    /// A decoder for spot, linear (USD-M) or inverse (COIN-M).
    pub fn new(market: Market) -> Binance {
        Binance { market, default_symbol: None }
    }

    /// With the symbol of frames that name none: REST depth answers.
    pub fn with_symbol(mut self, symbol: &str) -> Binance {
        self.default_symbol = Some(symbol.to_ascii_uppercase());
        self
    }

    /// The answer to a REST depth request for `symbol`, as a book snapshot.
    pub fn decode_depth(&self, symbol: &str, body: &str, ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
        let fields = Fields { kind: "depth" };
        let depth: Depth = fields.json(body)?;
        let symbol = fields.symbol("symbol", depth.symbol.unwrap_or(symbol))?;
        let ts_event = match depth.ts.or(depth.ts_sent) {
            Some(millis) => fields.millis("T", millis)?,
            None => ts_recv,
        };
        let side = |field, pairs: &Pairs| {
            levels(pairs.iter().map(|[price, size]| (*price, *size)))
                .ok_or_else(|| fields.wrong(field, "has a level that is no exact number"))
        };
        let book = Book {
            snapshot: true,
            bids: Some(side("bids", &depth.bids)?),
            asks: Some(side("asks", &depth.asks)?),
            update_id: Some(depth.last_update_id),
            ..Book::default()
        };
        self.put(out, symbol, event_of(ts_event, ts_recv, Body::Book(book)));
        Ok(())
    }

    fn put(&self, out: &mut Events, symbol: String, event: Event) {
        out.push((InstrumentId { exchange: ID.into(), market: self.market, symbol }, event));
    }

    fn one(&self, text: &str, ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
        let kind = match kind_of(text) {
            Some(e) => Kind { e: Some(e), ..Kind::default() },
            None => Fields { kind: "message" }.json(text)?,
        };
        match kind.e {
            Some("trade") => self.trade(text, ts_recv, out),
            Some("aggTrade") => self.agg_trade(text, ts_recv, out),
            Some("depthUpdate") => self.depth_update(text, ts_recv, out),
            Some("bookTicker") => self.book_ticker(text, ts_recv, out),
            Some("markPriceUpdate") => self.mark_price(text, ts_recv, out),
            Some("kline") => self.kline(text, ts_recv, out),
            Some("forceOrder") => self.force_order(text, ts_recv, out),
            Some("24hrTicker") => self.ticker(text, ts_recv, out),
            // The connection ends in ten minutes: whoever follows it replaces it before.
            Some("serverShutdown") => Ok(()),
            Some(other) => Err(DecodeError::Unknown(other.into())),
            None if kind.last_update_id.is_some() => {
                let symbol = self.default_symbol.as_deref().unwrap_or_default();
                self.decode_depth(symbol, text, ts_recv, out)
            }
            None if kind.best_bid.is_some() => self.book_ticker(text, ts_recv, out),
            None if kind.code.is_some() || kind.error.is_some() => {
                Err(DecodeError::Refused(text.chars().take(300).collect()))
            }
            // The acknowledgement of a request: {"result":null,"id":1}.
            None if kind.id.is_some() => Ok(()),
            None => Err(DecodeError::Unknown(text.chars().take(40).collect())),
        }
    }

    fn trade(&self, text: &str, ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
        let fields = Fields { kind: "trade" };
        let raw: TradeFrame = fields.json(text)?;
        let trade = Trade {
            id: Some(trade::Id::Number(raw.id)),
            price: Some(fields.decimal("p", raw.price)?),
            size: Some(fields.decimal("q", raw.size)?),
            side: taker(raw.buyer_is_maker).into(),
            // Insurance fund and auto-deleveraging orders are closed positions, not plain matches.
            liquidation: off_book(raw.origin).map(|_| true),
            kind: off_book(raw.origin).unwrap_or_default().into(),
            stream: "trade".into(),
            ..Trade::default()
        };
        let ts_event = fields.millis("T", raw.ts)?;
        let event = trade_event(trade, ts_event, ts_recv, Some(raw.id), 0, text.as_bytes());
        self.put(out, fields.symbol("s", raw.symbol)?, event);
        Ok(())
    }

    fn agg_trade(&self, text: &str, ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
        let fields = Fields { kind: "aggTrade" };
        let raw: AggTradeFrame = fields.json(text)?;
        let trade = Trade {
            id: Some(trade::Id::Number(raw.id)),
            price: Some(fields.decimal("p", raw.price)?),
            size: Some(fields.decimal("q", raw.size)?),
            side: taker(raw.buyer_is_maker).into(),
            stream: "aggTrade".into(),
            ..Trade::default()
        };
        let ts_event = fields.millis("T", raw.ts)?;
        let event = trade_event(trade, ts_event, ts_recv, Some(raw.id), 0, text.as_bytes());
        self.put(out, fields.symbol("s", raw.symbol)?, event);
        Ok(())
    }

    fn depth_update(&self, text: &str, ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
        let fields = Fields { kind: "depthUpdate" };
        let raw: DepthFrame = fields.json(text)?;
        let side = |field, pairs: &Pairs| {
            levels(pairs.iter().map(|[price, size]| (*price, *size)))
                .ok_or_else(|| fields.wrong(field, "has a level that is no exact number"))
        };
        let previous = match raw.previous_id {
            Some(id) => Some(u64::try_from(id).map_err(|_| fields.wrong("pu", format!("is negative: {id}")))?),
            None if self.market == Market::Spot => None,
            None => return Err(fields.wrong("pu", "is missing")),
        };
        let book = Book {
            snapshot: false,
            bids: Some(side("b", &raw.bids)?),
            asks: Some(side("a", &raw.asks)?),
            first_update_id: Some(raw.first_id),
            update_id: Some(raw.last_id),
            previous_update_id: previous,
            ..Book::default()
        };
        let ts_event = fields.millis("T", raw.ts.unwrap_or(raw.ts_sent))?;
        self.put(out, fields.symbol("s", raw.symbol)?, event_of(ts_event, ts_recv, Body::Book(book)));
        Ok(())
    }

    fn book_ticker(&self, text: &str, ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
        let fields = Fields { kind: "bookTicker" };
        let raw: BookTickerFrame = fields.json(text)?;
        let ticker = Ticker {
            bid_price: Some(fields.decimal("b", raw.bid_price)?),
            bid_size: Some(fields.decimal("B", raw.bid_size)?),
            ask_price: Some(fields.decimal("a", raw.ask_price)?),
            ask_size: Some(fields.decimal("A", raw.ask_size)?),
            update_id: Some(raw.update_id),
            ..Ticker::default()
        };
        let ts_event = match raw.ts.or(raw.ts_sent) {
            Some(millis) => fields.millis("T", millis)?,
            None => ts_recv,
        };
        self.put(out, fields.symbol("s", raw.symbol)?, event_of(ts_event, ts_recv, Body::Ticker(ticker.into())));
        Ok(())
    }

    fn mark_price(&self, text: &str, ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
        let fields = Fields { kind: "markPriceUpdate" };
        let raw: MarkFrame = fields.json(text)?;
        let ticker = Ticker {
            mark: Some(fields.decimal("p", raw.mark)?),
            index: fields.optional("i", raw.index)?,
            // Delivery contracts have no funding: an empty rate and time 0.
            funding_rate: fields.optional("r", raw.rate)?,
            next_funding_ts: raw.next.filter(|next| *next != 0).map(|next| fields.millis("T", next)).transpose()?,
            ..Ticker::default()
        };
        let ts_event = fields.millis("E", raw.ts_sent)?;
        self.put(out, fields.symbol("s", raw.symbol)?, event_of(ts_event, ts_recv, Body::Ticker(ticker.into())));
        Ok(())
    }

    fn kline(&self, text: &str, ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
        let fields = Fields { kind: "kline" };
        let raw: KlineFrame = fields.json(text)?;
        let bar = &raw.k;
        let timeframe: Timeframe = bar.timeframe.parse().map_err(|error: String| fields.wrong("i", error))?;
        // COIN-M counts v and V in contracts (our size) and q in base.
        let turnover = fields.rounded("q", Some(bar.turnover))?;
        let kline = Kline {
            timeframe: timeframe.name().into(),
            start: fields.millis("t", bar.start)?,
            open: Some(fields.decimal("o", bar.open)?),
            high: Some(fields.decimal("h", bar.high)?),
            low: Some(fields.decimal("l", bar.low)?),
            close: Some(fields.decimal("c", bar.close)?),
            volume: Some(fields.decimal("v", bar.volume)?),
            turnover,
            buy_volume: Some(fields.decimal("V", bar.buy_volume)?),
            n_trades: Some(bar.n_trades),
            closed: bar.closed,
        };
        let ts_event = fields.millis("E", raw.ts_sent)?;
        self.put(out, fields.symbol("s", raw.symbol)?, event_of(ts_event, ts_recv, Body::Kline(kline.into())));
        Ok(())
    }

    fn force_order(&self, text: &str, ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
        let fields = Fields { kind: "forceOrder" };
        let raw: ForceOrderFrame = fields.json(text)?;
        let order = &raw.o;
        let side = match order.side {
            "BUY" => Side::Buy,
            "SELL" => Side::Sell,
            other => return Err(fields.wrong("S", format!("is no side: \"{other}\""))),
        };
        // What was filled, at its average price; an order that was not filled yet is told as it stands.
        let filled = fields.optional("ap", order.average)?.zip(fields.optional("z", order.filled)?);
        let (price, size) = match filled.filter(|(price, size)| 0 < price.mantissa && 0 < size.mantissa) {
            Some(filled) => filled,
            None => (fields.decimal("p", order.price)?, fields.decimal("q", order.size)?),
        };
        let liquidation = Liquidation {
            side: side.into(),
            price: Some(price),
            size: Some(size),
            completeness: "latest_per_second".into(),
        };
        let ts_event = fields.millis("T", order.ts)?;
        self.put(out, fields.symbol("s", order.symbol)?, event_of(ts_event, ts_recv, Body::Liquidation(liquidation)));
        Ok(())
    }

    fn ticker(&self, text: &str, ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
        let fields = Fields { kind: "24hrTicker" };
        let raw: TickerFrame = fields.json(text)?;
        let ticker = Ticker {
            last: Some(fields.decimal("c", raw.last)?),
            bid_price: fields.optional("b", raw.bid_price)?,
            bid_size: fields.optional("B", raw.bid_size)?,
            ask_price: fields.optional("a", raw.ask_price)?,
            ask_size: fields.optional("A", raw.ask_size)?,
            open_24h: Some(fields.decimal("o", raw.open)?),
            high_24h: Some(fields.decimal("h", raw.high)?),
            low_24h: Some(fields.decimal("l", raw.low)?),
            volume_24h: Some(fields.decimal("v", raw.volume)?),
            // COIN-M counts it in base.
            turnover_24h: match self.market {
                Market::Inverse => None,
                _ => Some(fields.decimal("q", raw.turnover)?),
            },
            ..Ticker::default()
        };
        let ts_event = fields.millis("E", raw.ts_sent)?;
        self.put(out, fields.symbol("s", raw.symbol)?, event_of(ts_event, ts_recv, Body::Ticker(ticker.into())));
        Ok(())
    }
}

impl Exchange for Binance {
    fn id(&self) -> &'static str {
        ID
    }

    fn market(&self) -> Market {
        self.market
    }

    fn read(&mut self, frame: &str, ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
        let before = out.len();
        let fields = Fields { kind: "message" };
        // Nearly every frame is spelled like this; what fails is looked at again, member by member.
        if let Some((stream, data)) = combined(frame)
            && !is_partial(stream)
            && self.one(data, ts_recv, out).is_ok()
        {
            return Ok(());
        }
        out.truncate(before);
        let result = (|| {
            if frame.trim_start().starts_with('[') {
                let many: Vec<LazyValue> = fields.json(frame)?;
                return many.iter().try_for_each(|one| self.one(one.as_raw_str(), ts_recv, out));
            }
            let envelope: Envelope = fields.json(frame)?;
            let Some(data) = envelope.data else { return self.one(frame, ts_recv, out) };
            if let Some(stream) = envelope.stream.filter(|stream| is_partial(stream)) {
                return Err(DecodeError::Unknown(stream.into()));
            }
            let data = data.as_raw_str();
            // Streams of all symbols (!ticker@arr) carry a list.
            if data.starts_with('[') {
                let many: Vec<LazyValue> = fields.json(data)?;
                return many.iter().try_for_each(|one| self.one(one.as_raw_str(), ts_recv, out));
            }
            self.one(data, ts_recv, out)
        })();
        for (index, (_, event)) in (0..).zip(&mut out[before..]) {
            event.index = index;
        }
        result
    }
}

/// What a trade is if it is no match of the book: positions that the insurance fund or auto-deleveraging closed.
fn off_book(origin: Option<&str>) -> Option<&'static str> {
    match origin {
        Some("INSURANCE_FUND") => Some("insurance_fund"),
        Some("ADL") => Some("adl"),
        _ => None,
    }
}

/// depth5, depth10 and depth20 send the whole top of the book in the shape of a delta.
fn is_partial(stream: &str) -> bool {
    let kind = stream.split_once('@').and_then(|(_, kind)| kind.strip_prefix("depth"));
    kind.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

/// Stream and data of a frame of combined streams.
fn combined(frame: &str) -> Option<(&str, &str)> {
    let (stream, rest) = frame.strip_prefix("{\"stream\":\"")?.split_once('"')?;
    let data = rest.strip_prefix(",\"data\":")?.strip_suffix('}')?;
    // An escape spells something else, and a control character is no JSON.
    let is_plain = stream.bytes().all(|byte| b' ' < byte && byte != b'\\');
    (is_plain && data.starts_with('{')).then_some((stream, data))
}

/// The kind that a message begins with; on spot, one says nothing of it.
fn kind_of(text: &str) -> Option<&str> {
    if text.starts_with("{\"u\":") {
        return Some("bookTicker");
    }
    let (kind, _) = text.strip_prefix("{\"e\":\"")?.split_once('"')?;
    Some(kind)
}
