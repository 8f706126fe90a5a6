//! Deribit's public subscriptions (JSON-RPC over WebSocket) and instruments: perpetual and dated contracts, and spot.
//!
//! Documented at <https://docs.deribit.com/subscriptions/orderbook/bookinstrument_nameinterval> and the pages beside it. The name
//! tells the market: `BTC-PERPETUAL` and `BTC-25JUN21` are inverse and told in USD, `BTC_USDC-PERPETUAL` is linear and
//! `BTC_USDC` spot, both told in base. Books link by `prev_change_id`; those of a depth (`book.X.none.10.100ms`) are whole
//! each time. Options and combinations are nobody's here.

mod frames;

use prism_schemas::event::event::Body;
use prism_schemas::event::{Book, Instrument, Levels, Side, Ticker, Trade, trade};
use prism_schemas::time::HOUR;
use prism_schemas::{Decimal, Event, InstrumentId, Market, Ts};

use super::number::Number;
use super::{DecodeError, Exchange, Fields, decimals_of, each_row, event_of, levels, trade_event};
use frames::{Answer, BookData, InstrumentItem, Message, Named, Notice, Row, TickerData, TradeItem};

const ID: &str = "deribit";

type Events = Vec<(InstrumentId, Event)>;

/// The decoder of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Deribit {
    market: Market,
}

impl Deribit {
    /// A decoder that is asked for one market's instruments; it decodes whichever come.
    pub fn new(market: Market) -> Deribit {
        Deribit { market }
    }

    /// The answer to get_instruments: one Instrument event per contract or pair.
    pub fn decode_instruments(&self, body: &str, ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
        let fields = Fields { kind: "get_instruments" };
        let answer: Answer<'_, Vec<InstrumentItem<'_>>> = fields.json(body)?;
        let refused = answer.error.map(|error| DecodeError::Refused(error.message.into()));
        let list = answer.result.ok_or_else(|| refused.unwrap_or_else(|| fields.wrong("result", "is missing")))?;
        let named = list.iter().filter_map(|one| Some((one, instrument(fields, one.name).ok()?)));
        let rows = named.map(|(one, id)| (one.name, described(fields, one, id, ts_recv)));
        out.append(&mut each_row((ID, self.market), ts_recv, rows)?);
        Ok(())
    }
}

impl Exchange for Deribit {
    fn id(&self) -> &'static str {
        ID
    }

    fn market(&self) -> Market {
        self.market
    }

    fn read(&mut self, frame: &str, ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
        const HEAD: &str = "{\"jsonrpc\":\"2.0\",\"method\":\"subscription\",\"params\":{\"channel\":\"";
        let channel = match frame.strip_prefix(HEAD).and_then(|rest| rest.split_once('"')) {
            Some((channel, _)) => channel,
            // An answer, or its members come in another order.
            None => {
                let message: Notice<'_> = Fields { kind: "message" }.json(frame)?;
                match (message.method, message.params, message.error) {
                    (_, _, Some(error)) => return Err(DecodeError::Refused(error.message.into())),
                    (Some("heartbeat"), ..) => return Ok(()),
                    (Some("subscription"), Some(Named { channel: Some(channel) }), _) => channel,
                    (None, ..) if message.result.is_some() => return Ok(()),
                    (method, ..) => {
                        return Err(DecodeError::Unknown(method.unwrap_or("a message without method").into()));
                    }
                }
            }
        };
        match channel.split('.').next().unwrap_or_default() {
            "trades" => trades(frame, ts_recv, out),
            "book" => book(channel, frame, ts_recv, out),
            "ticker" | "incremental_ticker" | "quote" => ticker(frame, ts_recv, out),
            other => Err(DecodeError::Unknown(other.into())),
        }
    }
}

/// The instrument of a name.
fn instrument(fields: Fields, name: &str) -> Result<InstrumentId, DecodeError> {
    let mut parts = name.split('-');
    let (pair, term) = (parts.next().unwrap_or_default(), parts.next());
    let (market, pair) = match (pair.split_once('_'), term, parts.next()) {
        (None, Some(_), None) => (Market::Inverse, format!("{pair}USD")),
        (Some((base, quote)), Some(_), None) => (Market::Linear, format!("{base}{quote}")),
        (Some((base, quote)), None, None) => (Market::Spot, format!("{base}{quote}")),
        _ => return Err(DecodeError::Unknown(format!("instrument {name}"))),
    };
    let term = term.filter(|term| *term != "PERPETUAL").map_or(String::new(), |term| format!("_{term}"));
    Ok(InstrumentId {
        exchange: ID.into(),
        market,
        symbol: fields.symbol("instrument_name", &format!("{pair}{term}"))?,
    })
}

fn described(
    fields: Fields,
    one: &InstrumentItem<'_>,
    id: InstrumentId,
    ts_recv: Ts,
) -> Result<(InstrumentId, Event), DecodeError> {
    let tick_size = fields.optional("tick_size", one.tick_size.as_deref())?;
    let lot_size = fields.optional("contract_size", one.contract_size.as_deref())?;
    let is_perpetual = one.period == Some("perpetual");
    let described = Instrument {
        price_decimals: decimals_of(tick_size),
        size_decimals: decimals_of(lot_size),
        tick_size,
        lot_size,
        min_size: fields.optional("min_trade_amount", one.min_size.as_deref())?,
        // Amounts are in USD, however many of them an order's contract has.
        contract_size: (id.market == Market::Inverse).then_some(Decimal::new(1, 0)),
        contract_type: if is_perpetual { "perpetual" } else { one.kind }.into(),
        base: one.base.into(),
        quote: one.quote.into(),
        settlement: one.settlement.unwrap_or_default().into(),
        expiry: one.expiry.filter(|_| !is_perpetual).map(|ts| fields.millis("expiration_timestamp", ts)).transpose()?,
        status: if one.is_active { "trading" } else { "closed" }.into(),
        native_symbol: one.name.into(),
        ..Instrument::default()
    };
    Ok((id, event_of(ts_recv, ts_recv, Body::Instrument(described.into()))))
}

fn trades(frame: &str, ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
    let fields = Fields { kind: "trades" };
    let message: Message<Vec<TradeItem<'_>>> = fields.json(frame)?;
    for (index, raw) in (0..).zip(&message.params.data) {
        let trade = Trade {
            // Those of ETH are ETH-34066672.
            id: Some(raw.id.parse().map_or_else(|_| trade::Id::Text(raw.id.into()), trade::Id::Number)),
            price: Some(fields.decimal("price", &raw.price)?),
            size: Some(fields.decimal("amount", &raw.amount)?),
            side: match raw.direction {
                "buy" => Side::Buy.into(),
                "sell" => Side::Sell.into(),
                other => return Err(fields.wrong("direction", format!("is no side: \"{other}\""))),
            },
            block_trade: Some(raw.block_trade.is_some()),
            liquidation: Some(raw.liquidation.is_some_and(|who| who != "none")),
            stream: "trades".into(),
            ..Trade::default()
        };
        let ts_event = fields.millis("timestamp", raw.ts)?;
        let event = trade_event(trade, ts_event, ts_recv, raw.seq, index, frame.as_bytes());
        out.push((instrument(fields, raw.instrument)?, event));
    }
    Ok(())
}

fn book(channel: &str, frame: &str, ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
    let fields = Fields { kind: "book" };
    // book.BTC-PERPETUAL.100ms, or book.BTC-PERPETUAL.none.10.100ms.
    let depth = match channel.split('.').skip(2).collect::<Vec<_>>()[..] {
        [_] => None,
        ["none", depth, _] => Some(fields.integer("depth", depth)?),
        // Prices are rounded to groups: not what can be traded.
        _ => return Err(DecodeError::Unknown(channel.into())),
    };
    let message: Message<BookData<'_>> = fields.json(frame)?;
    let raw = &message.params.data;
    let snapshot = match (depth, raw.kind) {
        (Some(_), _) | (None, Some("snapshot")) => true,
        (None, Some("change")) => false,
        // Until 2020 only the first message did not name the one before.
        (None, None) => raw.previous.is_none(),
        _ => return Err(fields.wrong("type", "is neither snapshot nor change")),
    };
    let book = Book {
        snapshot,
        bids: Some(side(fields, "bids", &raw.bids)?),
        asks: Some(side(fields, "asks", &raw.asks)?),
        update_id: Some(raw.change),
        previous_update_id: raw.previous.filter(|_| !snapshot),
        depth,
        ..Book::default()
    };
    let event = event_of(fields.millis("timestamp", raw.ts)?, ts_recv, Body::Book(book));
    out.push((instrument(fields, raw.instrument)?, event));
    Ok(())
}

fn side(fields: Fields, field: &'static str, rows: &[Row<'_>]) -> Result<Levels, DecodeError> {
    let pairs = rows.iter().map(|row| (&*row.price, row.amount.as_deref().unwrap_or("0")));
    levels(pairs).ok_or_else(|| fields.wrong(field, "has a level that is no exact number"))
}

fn ticker(frame: &str, ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
    let fields = Fields { kind: "ticker" };
    let message: Message<TickerData<'_>> = fields.json(frame)?;
    let raw = &message.params.data;
    let id = instrument(fields, raw.instrument)?;
    // Of an empty side there is no price, or 0.
    let price = |field, text: &Option<Number<'_>>| {
        let price = fields.optional(field, text.as_deref());
        price.map(|price| price.filter(|price| price.mantissa != 0))
    };
    let (bid_price, ask_price) = (price("best_bid_price", &raw.bid_price)?, price("best_ask_price", &raw.ask_price)?);
    let stats = raw.stats.as_ref();
    let volume = match id.market {
        Market::Inverse => stats.and_then(|stats| stats.volume_usd.as_deref()),
        _ => stats.and_then(|stats| stats.volume.as_deref()),
    };
    let ticker = Ticker {
        last: price("last_price", &raw.last)?,
        mark: fields.rounded("mark_price", raw.mark.as_deref())?,
        index: fields.rounded("index_price", raw.index.as_deref())?,
        bid_price,
        bid_size: fields.optional("best_bid_amount", raw.bid_size.as_deref())?.filter(|_| bid_price.is_some()),
        ask_price,
        ask_size: fields.optional("best_ask_amount", raw.ask_size.as_deref())?.filter(|_| ask_price.is_some()),
        open_interest: fields.rounded("open_interest", raw.open_interest.as_deref())?,
        // What is paid now, of eight hours; it is paid all the time.
        // It is paid all the time, and told as of eight hours.
        funding_rate: fields.rounded("current_funding", raw.funding.as_deref())?,
        funding_interval: raw.funding.is_some().then_some(8 * HOUR),
        high_24h: fields.optional("high", stats.and_then(|stats| stats.high.as_deref()))?,
        low_24h: fields.optional("low", stats.and_then(|stats| stats.low.as_deref()))?,
        volume_24h: fields.rounded("volume", volume)?,
        ..Ticker::default()
    };
    let ts_event = fields.millis("timestamp", raw.ts)?;
    out.push((id, event_of(ts_event, ts_recv, Body::Ticker(ticker.into()))));
    Ok(())
}
