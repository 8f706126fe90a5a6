//! Coinbase's spot streams in both forms, and its products: those of Exchange (`match`, `l2update`) and of Advanced Trade
//! (`market_trades`, `l2_data`).
//!
//! Documented at <https://docs.cdp.coinbase.com/exchange/websocket-feed/channels> and
//! <https://docs.cdp.coinbase.com/coinbase-app/advanced-trade-apis/websocket/websocket-channels>. A trade's side is the
//! maker's. Books of Exchange have no numbers ("guarantees delivery of all updates"); messages of Advanced Trade are numbered
//! over the whole connection.

mod advanced;
mod exchange;

use prism_schemas::event::event::Body;
use prism_schemas::event::{Instrument, Side};
use prism_schemas::{Event, InstrumentId, Market, Ts};
use serde::Deserialize;

use super::{DecodeError, Exchange, Fields, decimals_of, each_row, event_of};

const ID: &str = "coinbase";

type Events = Vec<(InstrumentId, Event)>;

/// The decoder of a connection.
#[derive(Clone, Debug, Default)]
pub struct Coinbase {
    chain: advanced::Chain,
}

impl Coinbase {
    /// The answer to products: one Instrument event per pair.
    pub fn decode_instruments(&self, body: &str, ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
        let fields = Fields { kind: "products" };
        let products = match body.trim_start().starts_with('[') {
            true => fields.json(body)?,
            false => {
                let answer: Products<'_> = fields.json(body)?;
                let refused = || DecodeError::Refused(answer.message.unwrap_or_default().into());
                answer.products.ok_or_else(refused)?
            }
        };
        // Futures are nobody's here.
        let named = products.iter().filter_map(|one| Some((one, instrument(fields, one.id).ok()?)));
        let rows = named.map(|(one, id)| (one.id, described(fields, one, id, ts_recv)));
        out.append(&mut each_row((ID, Market::Spot), ts_recv, rows)?);
        Ok(())
    }

    fn message(&mut self, frame: &str, ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
        let begins = |with: &str| frame.strip_prefix(with).and_then(|rest| rest.split_once('"')).map(|(name, _)| name);
        if let Some(channel) = begins("{\"channel\":\"") {
            return self.chain.read(channel, frame, ts_recv, out);
        }
        if let Some(kind) = begins("{\"type\":\"") {
            return exchange::read(&mut self.chain, kind, frame, ts_recv, out);
        }
        // Its members come in another order.
        let message: Message<'_> = Fields { kind: "message" }.json(frame)?;
        match (message.channel, message.kind) {
            (Some(channel), _) => self.chain.read(channel, frame, ts_recv, out),
            (None, Some(kind)) => exchange::read(&mut self.chain, kind, frame, ts_recv, out),
            (None, None) => Err(DecodeError::Unknown("a message without channel and type".into())),
        }
    }
}

impl Exchange for Coinbase {
    fn id(&self) -> &'static str {
        ID
    }

    fn market(&self) -> Market {
        Market::Spot
    }

    fn read(&mut self, frame: &str, ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
        let read = self.message(frame, ts_recv, out);
        // Any book may be short of what it said.
        if matches!(read, Err(DecodeError::Malformed(_) | DecodeError::Field { kind: "l2update" | "snapshot", .. })) {
            self.chain.lose();
        }
        read
    }
}

/// The pair of a product: BTC-USD. Futures have three parts.
fn instrument(fields: Fields, product: &str) -> Result<InstrumentId, DecodeError> {
    match product.split('-').count() {
        2 => Ok(InstrumentId {
            exchange: ID.into(),
            market: Market::Spot,
            symbol: fields.symbol("product_id", product)?,
        }),
        _ => Err(DecodeError::Unknown(format!("instrument {product}"))),
    }
}

/// The taker's side where the maker's is told.
fn taker(fields: Fields, maker: &str) -> Result<Side, DecodeError> {
    match maker {
        "buy" | "BUY" => Ok(Side::Sell),
        "sell" | "SELL" => Ok(Side::Buy),
        other => Err(fields.wrong("side", format!("is no side: \"{other}\""))),
    }
}

fn described(
    fields: Fields,
    one: &Product<'_>,
    id: InstrumentId,
    ts_recv: Ts,
) -> Result<(InstrumentId, Event), DecodeError> {
    let tick_size = fields.optional("quote_increment", one.price_increment.or(one.quote_increment))?;
    let lot_size = fields.optional("base_increment", one.base_increment)?;
    let described = Instrument {
        price_decimals: decimals_of(tick_size),
        size_decimals: decimals_of(lot_size),
        tick_size,
        lot_size,
        min_size: fields.optional("base_min_size", one.min_size)?,
        // It is computed, with any number of digits.
        max_size: fields.rounded("base_max_size", one.max_size)?,
        min_notional: fields.optional("min_market_funds", one.min_notional)?,
        contract_type: "SPOT".into(),
        base: one.base.into(),
        quote: one.quote.into(),
        status: one.status.into(),
        native_symbol: one.id.into(),
        ..Instrument::default()
    };
    Ok((id, event_of(ts_recv, ts_recv, Body::Instrument(described.into()))))
}

#[derive(Deserialize)]
struct Message<'a> {
    channel: Option<&'a str>,
    #[serde(rename = "type")]
    kind: Option<&'a str>,
}

#[derive(Deserialize)]
struct Products<'a> {
    #[serde(borrow)]
    products: Option<Vec<Product<'a>>>,
    message: Option<&'a str>,
}

// {"id":"BTC-USD","base_currency":"BTC","quote_currency":"USD","quote_increment":"0.01","base_increment":"0.00000001",
// "min_market_funds":"1","status":"online"}, and of Advanced Trade
// {"product_id":"BTC-USD","base_currency_id":"BTC","quote_currency_id":"USD","price_increment":"0.01","quote_min_size":"1"}
#[derive(Deserialize)]
struct Product<'a> {
    #[serde(alias = "product_id")]
    id: &'a str,
    #[serde(rename = "base_currency", alias = "base_currency_id")]
    base: &'a str,
    #[serde(rename = "quote_currency", alias = "quote_currency_id")]
    quote: &'a str,
    price_increment: Option<&'a str>,
    quote_increment: Option<&'a str>,
    base_increment: Option<&'a str>,
    #[serde(rename = "base_min_size")]
    min_size: Option<&'a str>,
    #[serde(rename = "base_max_size")]
    max_size: Option<&'a str>,
    #[serde(rename = "min_market_funds", alias = "quote_min_size")]
    min_notional: Option<&'a str>,
    #[serde(default)]
    status: &'a str,
}
