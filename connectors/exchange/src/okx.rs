//! OKX v5 public streams and instruments: spot and coin-margined contracts, all over one connection.
//!
//! Documented at <https://www.okx.com/docs-v5/en/>. A frame names its instrument, and that names the market: `BTC-USDT` is
//! spot, `BTC-USD-SWAP` and `BTC-USD-220527` are inverse. Contracts margined in USDT count sizes in contracts of some
//! base each; they are refused until their contract value is known here.

use prism_schemas::event::event::Body;
use prism_schemas::event::{Book, Instrument, Side, Ticker, Trade, trade};
use prism_schemas::{Event, InstrumentId, Market, Ts};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{DecodeError, Exchange, Fields, decimals_of, event_of, levels, trade_event};

const ID: &str = "okx";

type Events = Vec<(InstrumentId, Event)>;

/// The decoder of a connection.
#[derive(Clone, Debug)]
pub struct Okx {
    market: Market,
}

impl Okx {
    /// A decoder that is asked for one market's instruments; it decodes whichever come.
    pub fn new(market: Market) -> Okx {
        Okx { market }
    }

    /// The answer to instruments: one Instrument event per symbol.
    pub fn decode_instruments(&self, body: &str, ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
        let fields = Fields { kind: "instruments" };
        let answer: Answer = fields.json(body)?;
        if answer.code != "0" {
            return Err(DecodeError::Refused(answer.msg.unwrap_or_default().into()));
        }
        let mut events = Vec::with_capacity(answer.data.len());
        for one in &answer.data {
            // Options and USDT margined contracts are nobody's here.
            let Ok(id) = instrument(fields, "instId", one.id) else { continue };
            let tick_size = fields.optional("tickSz", one.tick_size)?;
            let lot_size = fields.optional("lotSz", one.lot_size)?;
            let (base, quote) = match id.market {
                Market::Spot => (one.base, one.quote),
                _ => (one.settle, one.contract_currency),
            };
            let described = Instrument {
                price_decimals: decimals_of(tick_size),
                size_decimals: decimals_of(lot_size),
                tick_size,
                lot_size,
                min_size: fields.optional("minSz", one.min_size)?,
                max_size: fields.optional("maxLmtSz", one.max_size)?,
                contract_size: fields.optional("ctVal", one.contract_value)?,
                contract_type: one.kind.into(),
                base: base.into(),
                quote: quote.into(),
                status: one.state.into(),
                native_symbol: one.id.into(),
                ..Instrument::default()
            };
            events.push((id, event_of(ts_recv, ts_recv, Body::Instrument(described.into()))));
        }
        out.append(&mut events);
        Ok(())
    }

    fn trades(frame: &str, trades: &[TradeItem], ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
        let fields = Fields { kind: "trades" };
        for (index, raw) in (0..).zip(trades) {
            let id = fields.integer("tradeId", raw.id)?;
            let trade = Trade {
                id: Some(trade::Id::Number(id)),
                price: Some(fields.decimal("px", raw.price)?),
                size: Some(fields.decimal("sz", raw.size)?),
                side: match raw.side {
                    "buy" => Side::Buy.into(),
                    "sell" => Side::Sell.into(),
                    other => return Err(fields.wrong("side", format!("is no side: \"{other}\""))),
                },
                stream: "trades".into(),
                ..Trade::default()
            };
            let ts_event = fields.millis("ts", fields.integer("ts", raw.ts)?)?;
            let event = trade_event(trade, ts_event, ts_recv, Some(id), index, frame.as_bytes());
            out.push((instrument(fields, "instId", raw.instrument)?, event));
        }
        Ok(())
    }

    fn books(
        envelope: &Envelope<'_, ()>,
        updates: &[BookData],
        ts_recv: Ts,
        out: &mut Events,
    ) -> Result<(), DecodeError> {
        let fields = Fields { kind: "books" };
        let id = fields.some("arg", envelope.arg.as_ref())?.instrument;
        let id = instrument(fields, "instId", fields.some("instId", id)?)?;
        let snapshot = match envelope.action {
            Some("snapshot") => true,
            Some("update") => false,
            _ => return Err(fields.wrong("action", "is neither snapshot nor update")),
        };
        for (index, raw) in (0..).zip(updates) {
            let side = |field, rows: &[Row]| {
                levels(rows.iter().map(|(price, size, ..)| (*price, *size)))
                    .ok_or_else(|| fields.wrong(field, "has a level that is no exact number"))
            };
            let book = Book {
                snapshot,
                bids: Some(side("bids", &raw.bids)?),
                asks: Some(side("asks", &raw.asks)?),
                update_id: raw.seq.and_then(|id| u64::try_from(id).ok()),
                previous_update_id: raw.previous_seq.and_then(|id| u64::try_from(id).ok()),
                // It is sent as a signed number; since 2026-05 as 0 on every frame, which says nothing.
                checksum: raw.checksum.filter(|sum| *sum != 0).map(|sum| sum as u32),
                ..Book::default()
            };
            fields.some("checksum or seqId", book.checksum.map(u64::from).or(book.update_id))?;
            let ts_event = fields.millis("ts", fields.integer("ts", raw.ts)?)?;
            out.push((id.clone(), Event { index, ..event_of(ts_event, ts_recv, Body::Book(book)) }));
        }
        Ok(())
    }

    fn tickers(tickers: &[TickerData], ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
        let fields = Fields { kind: "tickers" };
        for raw in tickers {
            let id = instrument(fields, "instId", raw.instrument)?;
            let ticker = Ticker {
                last: fields.optional("last", raw.last)?,
                bid_price: fields.optional("bidPx", raw.bid_price)?,
                bid_size: fields.optional("bidSz", raw.bid_size)?,
                ask_price: fields.optional("askPx", raw.ask_price)?,
                ask_size: fields.optional("askSz", raw.ask_size)?,
                open_24h: fields.optional("open24h", raw.open_24h)?,
                high_24h: fields.optional("high24h", raw.high_24h)?,
                low_24h: fields.optional("low24h", raw.low_24h)?,
                volume_24h: fields.optional("vol24h", raw.volume_24h)?,
                // Of contracts it is counted in base.
                turnover_24h: fields.optional("volCcy24h", raw.turnover_24h.filter(|_| id.market == Market::Spot))?,
                ..Ticker::default()
            };
            let ts_event = fields.millis("ts", fields.integer("ts", raw.ts)?)?;
            out.push((id, event_of(ts_event, ts_recv, Body::Ticker(ticker.into()))));
        }
        Ok(())
    }

    fn read(frame: &str, ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
        if frame == "pong" {
            return Ok(());
        }
        let fields = Fields { kind: "message" };
        let channel = match frame.strip_prefix("{\"arg\":{\"channel\":\"").and_then(|rest| rest.split_once('"')) {
            Some((channel, _)) => channel,
            // An answer, or its members come in another order.
            None => {
                let envelope: Envelope<'_, IgnoredAny> = fields.json(frame)?;
                match envelope.event {
                    Some("error") => return Err(DecodeError::Refused(envelope.msg.unwrap_or_default().into())),
                    Some("subscribe" | "unsubscribe" | "channel-conn-count") => return Ok(()),
                    Some(other) => return Err(DecodeError::Unknown(other.into())),
                    None => fields.some("arg", envelope.arg)?.channel,
                }
            }
        };
        match channel {
            "trades" => Okx::trades(frame, &whole("trades", frame)?.1, ts_recv, out),
            "books" => whole("books", frame).and_then(|(of, updates)| Okx::books(&of, &updates, ts_recv, out)),
            "tickers" => Okx::tickers(&whole("tickers", frame)?.1, ts_recv, out),
            other => Err(DecodeError::Unknown(other.into())),
        }
    }
}

/// The instrument of a venue's name.
fn instrument(fields: Fields, field: &'static str, text: &str) -> Result<InstrumentId, DecodeError> {
    let mut parts = text.split('-');
    let (base, quote, term) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default(), parts.next());
    let market = match (quote, term) {
        ("", _) => return Err(fields.wrong(field, format!("is no instrument: \"{text}\""))),
        (_, None) => Market::Spot,
        ("USD", Some(_)) if parts.next().is_none() => Market::Inverse,
        _ => return Err(DecodeError::Unknown(format!("instrument {text}"))),
    };
    let term = term.filter(|term| *term != "SWAP").map_or(String::new(), |term| format!("_{term}"));
    Ok(InstrumentId { exchange: ID.into(), market, symbol: fields.symbol(field, &format!("{base}{quote}{term}"))? })
}

impl Exchange for Okx {
    fn id(&self) -> &'static str {
        ID
    }

    fn market(&self) -> Market {
        self.market
    }

    fn decode(&mut self, frame: &str, ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
        let before = out.len();
        let result = Okx::read(frame, ts_recv, out);
        if result.is_err() {
            out.truncate(before);
        }
        result
    }
}

// {"arg":{"channel":"books","instId":"BTC-USDT"},"action":"update","data":[...]}
#[derive(Deserialize)]
struct Envelope<'a, T> {
    event: Option<&'a str>,
    msg: Option<&'a str>,
    #[serde(borrow)]
    arg: Option<Arg<'a>>,
    action: Option<&'a str>,
    data: Option<T>,
}

/// A frame of a channel: what is around the data, and the data.
fn whole<'a, T: Deserialize<'a>>(
    kind: &'static str,
    frame: &'a str,
) -> Result<(Envelope<'a, ()>, Vec<T>), DecodeError> {
    let fields = Fields { kind };
    let Envelope { event, msg, arg, action, data } = fields.json(frame)?;
    Ok((Envelope { event, msg, arg, action, data: None }, fields.some("data", data)?))
}

#[derive(Deserialize)]
struct Arg<'a> {
    channel: &'a str,
    #[serde(rename = "instId")]
    instrument: Option<&'a str>,
}

// {"instId":"BTC-USDT","tradeId":"130639474","px":"42219.9","sz":"0.12060306","side":"buy","ts":"1630048897897"}
#[derive(Deserialize)]
struct TradeItem<'a> {
    #[serde(rename = "instId")]
    instrument: &'a str,
    #[serde(rename = "tradeId")]
    id: &'a str,
    #[serde(rename = "px")]
    price: &'a str,
    #[serde(rename = "sz")]
    size: &'a str,
    side: &'a str,
    ts: &'a str,
}

/// Price, size, a number without meaning, and the count of orders.
type Row<'a> = (&'a str, &'a str, &'a str, &'a str);

// {"asks":[["8476.98","415","0","13"]],"bids":[["8476.97","256","0","12"]],"ts":"1597026383085","checksum":-855196043,
// "prevSeqId":-1,"seqId":123456}
#[derive(Deserialize)]
struct BookData<'a> {
    #[serde(borrow)]
    asks: Vec<Row<'a>>,
    #[serde(borrow)]
    bids: Vec<Row<'a>>,
    ts: &'a str,
    checksum: Option<i64>,
    #[serde(rename = "seqId")]
    seq: Option<i64>,
    #[serde(rename = "prevSeqId")]
    previous_seq: Option<i64>,
}

// {"instType":"SPOT","instId":"BTC-USDT","last":"9999.99","askPx":"9999.99","askSz":"11","bidPx":"8888.88","bidSz":"5",
// "open24h":"9000","high24h":"10000","low24h":"8888.88","volCcy24h":"2222","vol24h":"2222","ts":"1597026383085"}
#[derive(Deserialize)]
struct TickerData<'a> {
    #[serde(rename = "instId")]
    instrument: &'a str,
    last: Option<&'a str>,
    #[serde(rename = "bidPx")]
    bid_price: Option<&'a str>,
    #[serde(rename = "bidSz")]
    bid_size: Option<&'a str>,
    #[serde(rename = "askPx")]
    ask_price: Option<&'a str>,
    #[serde(rename = "askSz")]
    ask_size: Option<&'a str>,
    #[serde(rename = "open24h")]
    open_24h: Option<&'a str>,
    #[serde(rename = "high24h")]
    high_24h: Option<&'a str>,
    #[serde(rename = "low24h")]
    low_24h: Option<&'a str>,
    #[serde(rename = "vol24h")]
    volume_24h: Option<&'a str>,
    #[serde(rename = "volCcy24h")]
    turnover_24h: Option<&'a str>,
    ts: &'a str,
}

#[derive(Deserialize)]
struct Answer<'a> {
    code: &'a str,
    msg: Option<&'a str>,
    #[serde(borrow)]
    data: Vec<InstrumentItem<'a>>,
}

#[derive(Deserialize)]
struct InstrumentItem<'a> {
    #[serde(rename = "instId")]
    id: &'a str,
    #[serde(rename = "instType")]
    kind: &'a str,
    state: &'a str,
    #[serde(rename = "baseCcy", default)]
    base: &'a str,
    #[serde(rename = "quoteCcy", default)]
    quote: &'a str,
    #[serde(rename = "settleCcy", default)]
    settle: &'a str,
    #[serde(rename = "ctValCcy", default)]
    contract_currency: &'a str,
    #[serde(rename = "ctVal")]
    contract_value: Option<&'a str>,
    #[serde(rename = "tickSz")]
    tick_size: Option<&'a str>,
    #[serde(rename = "lotSz")]
    lot_size: Option<&'a str>,
    #[serde(rename = "minSz")]
    min_size: Option<&'a str>,
    #[serde(rename = "maxLmtSz")]
    max_size: Option<&'a str>,
}
