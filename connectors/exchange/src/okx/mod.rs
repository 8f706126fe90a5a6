//! OKX v5 public streams and instruments: spot, and contracts margined in USDT or in coin, all over one connection.
//!
//! Documented at <https://www.okx.com/docs-v5/en/>. A frame names its instrument, and that names the market: `BTC-USDT` is
//! spot, `BTC-USD-SWAP` and `BTC-USD-220527` are inverse, `BTC-USDT-SWAP` is linear. Sizes of contracts count contracts.
//! Those of linear ones are turned into base by what instruments told of the contract (`ctVal`); where nothing told it their
//! frames are refused. Books link by `prevSeqId`; until 2026-05 they had a checksum, over contracts.

mod answers;
mod frames;
mod state;
mod wire;

use std::collections::HashMap;

use prism_schemas::event::event::Body;
use prism_schemas::event::{Book, Instrument, Levels, Liquidation, Side, Trade, trade};
use prism_schemas::{Decimal, Event, InstrumentId, Market, Timeframe, Ts};
use serde::de::IgnoredAny;

use super::{DecodeError, Exchange, Fields, event_of, levels, levels_of, quarantined, trade_event};
use answers::candle;
use frames::{BookData, CandleRow, Envelope, LiquidationItem, Row, TradeItem, whole};

const ID: &str = "okx";

/// Contracts whose worth is kept; the venue has some hundreds.
const CONTRACTS_MAX: usize = 20_000;

type Events = Vec<(InstrumentId, Event)>;

/// The decoder of a connection.
#[derive(Clone, Debug)]
pub struct Okx {
    market: Market,
    /// Base units of a contract by the venue's spelling, of linear ones.
    contracts: HashMap<String, Decimal>,
}

impl Okx {
    /// A decoder that is asked for one market's instruments; it decodes whichever come.
    pub fn new(market: Market) -> Okx {
        Okx { market, contracts: HashMap::new() }
    }

    /// What sizes count, where it is not what ours do.
    fn unit(&self, id: &InstrumentId, native: &str) -> Result<Option<Decimal>, DecodeError> {
        if id.market != Market::Linear {
            return Ok(None);
        }
        let unit = self.contracts.get(native).copied();
        unit.map(Some).ok_or_else(|| DecodeError::Contract(native.into()))
    }

    fn trades(
        &self,
        channel: &str,
        frame: &str,
        trades: &[TradeItem],
        ts_recv: Ts,
        out: &mut Events,
    ) -> Result<(), DecodeError> {
        let fields = Fields { kind: "trades" };
        for (index, raw) in (0..).zip(trades) {
            let id = fields.integer("tradeId", raw.id)?;
            let instrument = instrument(fields, "instId", raw.instrument)?;
            let trade = Trade {
                id: Some(trade::Id::Number(id)),
                price: Some(fields.decimal("px", raw.price)?),
                size: sized(fields, "sz", Some(raw.size), self.unit(&instrument, raw.instrument)?)?,
                side: side(fields, raw.side)?.into(),
                stream: channel.into(),
                ..Trade::default()
            };
            let ts_event = fields.millis("ts", fields.integer("ts", raw.ts)?)?;
            out.push((instrument, trade_event(trade, ts_event, ts_recv, Some(id), index, frame.as_bytes())));
        }
        Ok(())
    }

    /// Whose books an envelope brings, and what their sizes count.
    fn addressed(
        &self,
        fields: Fields,
        envelope: &Envelope<'_, ()>,
    ) -> Result<(InstrumentId, Option<Decimal>), DecodeError> {
        let native = fields.some("arg", envelope.arg.as_ref())?.instrument;
        let native = fields.some("instId", native)?;
        let id = instrument(fields, "instId", native)?;
        let unit = self.unit(&id, native)?;
        Ok((id, unit))
    }

    fn books(
        &self,
        envelope: &Envelope<'_, ()>,
        updates: &[BookData],
        ts_recv: Ts,
        out: &mut Events,
    ) -> Result<(), DecodeError> {
        let fields = Fields { kind: "books" };
        let (id, unit) = self.addressed(fields, envelope)?;
        let snapshot = match envelope.action {
            Some("snapshot") => true,
            Some("update") => false,
            _ => return Err(fields.wrong("action", "is neither snapshot nor update")),
        };
        for (index, raw) in (0..).zip(updates) {
            let mut book = book(fields, raw, unit)?;
            book.snapshot = snapshot;
            let ts_event = fields.millis("ts", fields.integer("ts", raw.ts)?)?;
            out.push((id.clone(), Event { index, ..event_of(ts_event, ts_recv, Body::Book(book)) }));
        }
        Ok(())
    }

    fn liquidations(&self, items: &[LiquidationItem], ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
        let fields = Fields { kind: "liquidation-orders" };
        let details = items.iter().flat_map(|of| of.details.iter().map(move |detail| (of.instrument, detail)));
        for (index, (native, raw)) in (0..).zip(details) {
            let id = instrument(fields, "instId", native)?;
            // All contracts are told of, also those that are not listed as long as what is known of them.
            let unit = match self.unit(&id, native) {
                Ok(unit) => unit,
                Err(error) => {
                    let event = quarantined(error.rule(), error.to_string(), native.as_bytes(), ts_recv);
                    out.push((id, Event { index, ..event }));
                    continue;
                }
            };
            let liquidation = Liquidation {
                // The order's, not the position's.
                side: side(fields, raw.side)?.into(),
                // That of bankruptcy.
                price: Some(fields.decimal("bkPx", raw.price)?),
                size: sized(fields, "sz", Some(raw.size), unit)?,
                // One of a contract each second at most.
                completeness: "latest_per_second".into(),
            };
            let ts_event = fields.millis("ts", fields.integer("ts", raw.ts)?)?;
            out.push((id, Event { index, ..event_of(ts_event, ts_recv, Body::Liquidation(liquidation)) }));
        }
        Ok(())
    }
}

/// Minute bars of the stream: one that is not over yet says so.
fn candles(
    envelope: &Envelope<'_, ()>,
    rows: &[CandleRow<'_>],
    ts_recv: Ts,
    out: &mut Events,
) -> Result<(), DecodeError> {
    let fields = Fields { kind: "candle1m" };
    let native = fields.some("instId", envelope.arg.as_ref().and_then(|arg| arg.instrument))?;
    let id = instrument(fields, "instId", native)?;
    for row in rows {
        out.push((id.clone(), candle(fields, id.market, Timeframe::M1, row, ts_recv)?));
    }
    Ok(())
}

/// The instrument of a venue's name.
fn instrument(fields: Fields, field: &'static str, text: &str) -> Result<InstrumentId, DecodeError> {
    let mut parts = text.split('-');
    let (base, quote, term) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default(), parts.next());
    let market = match (quote, term) {
        ("", _) => return Err(fields.wrong(field, format!("is no instrument: \"{text}\""))),
        (_, None) => Market::Spot,
        ("USD", Some(_)) if parts.next().is_none() => Market::Inverse,
        (_, Some(_)) if parts.next().is_none() => Market::Linear,
        // An option.
        _ => return Err(DecodeError::Unknown(format!("instrument {text}"))),
    };
    let term = term.filter(|term| *term != "SWAP").map_or(String::new(), |term| format!("_{term}"));
    Ok(InstrumentId { exchange: ID.into(), market, symbol: fields.symbol(field, &format!("{base}{quote}{term}"))? })
}

/// A side of a book, of sizes that count so much.
fn side_of(fields: Fields, field: &'static str, rows: &[Row], unit: Option<Decimal>) -> Result<Levels, DecodeError> {
    let pairs = rows.iter().map(|(price, size, ..)| (*price, *size));
    let levels = match unit {
        None => levels(pairs),
        Some(unit) => levels_of(pairs, unit),
    };
    levels.ok_or_else(|| fields.wrong(field, "has a level that is no exact number"))
}

fn book(fields: Fields, raw: &BookData, unit: Option<Decimal>) -> Result<Book, DecodeError> {
    // It is sent as a signed number; since 2026-05 as 0 on every frame, which says nothing.
    let checksum = raw.checksum.filter(|sum| *sum != 0).map(|sum| sum as u32);
    let update_id = raw.seq.and_then(|id| u64::try_from(id).ok());
    fields.some("checksum or seqId", checksum.map(u64::from).or(update_id))?;
    Ok(Book {
        bids: Some(side_of(fields, "bids", &raw.bids, unit)?),
        asks: Some(side_of(fields, "asks", &raw.asks, unit)?),
        update_id,
        previous_update_id: raw.previous_seq.and_then(|id| u64::try_from(id).ok()),
        // It is over contracts, and says nothing of sizes in base.
        checksum: checksum.filter(|_| unit.is_none()),
        ..Book::default()
    })
}

fn side(fields: Fields, text: &str) -> Result<Side, DecodeError> {
    match text {
        "buy" => Ok(Side::Buy),
        "sell" => Ok(Side::Sell),
        other => Err(fields.wrong("side", format!("is no side: \"{other}\""))),
    }
}

/// A size, of so many units each; an absent or empty field stays absent.
fn sized(
    fields: Fields,
    field: &'static str,
    text: Option<&str>,
    unit: Option<Decimal>,
) -> Result<Option<Decimal>, DecodeError> {
    let size = fields.optional(field, text)?;
    match (size, unit) {
        (Some(size), Some(unit)) => size.times(unit).map(Some).ok_or_else(|| fields.wrong(field, "does not fit")),
        _ => Ok(size),
    }
}

impl Exchange for Okx {
    fn id(&self) -> &'static str {
        ID
    }

    fn market(&self) -> Market {
        self.market
    }

    fn learn(&mut self, instrument: &InstrumentId, described: &Instrument) {
        let Some(size) = described.contract_size.filter(|size| 0 < size.mantissa) else { return };
        if instrument.market == Market::Linear && self.contracts.len() < CONTRACTS_MAX {
            self.contracts.insert(described.native_symbol.clone(), size);
        }
    }

    fn read(&mut self, frame: &str, ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
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
                    Some("subscribe" | "unsubscribe" | "channel-conn-count" | "notice") => return Ok(()),
                    Some(other) => return Err(DecodeError::Unknown(other.into())),
                    None => fields.some("arg", envelope.arg)?.channel,
                }
            }
        };
        match channel {
            "trades" | "trades-all" => self.trades(channel, frame, &whole("trades", frame)?.1, ts_recv, out),
            "books" | "books-l2-tbt" | "books50-l2-tbt" => {
                whole("books", frame).and_then(|(of, updates)| self.books(&of, &updates, ts_recv, out))
            }
            "bbo-tbt" => whole("bbo-tbt", frame).and_then(|(of, updates)| self.best(&of, &updates, ts_recv, out)),
            "tickers" => self.tickers(&whole("tickers", frame)?.1, ts_recv, out),
            "mark-price" => Okx::states("mark-price", &whole("mark-price", frame)?.1, ts_recv, out),
            "index-tickers" => Okx::states("index-tickers", &whole("index-tickers", frame)?.1, ts_recv, out),
            "open-interest" => Okx::states("open-interest", &whole("open-interest", frame)?.1, ts_recv, out),
            "funding-rate" => Okx::states("funding-rate", &whole("funding-rate", frame)?.1, ts_recv, out),
            "candle1m" => whole("candle1m", frame).and_then(|(of, rows)| candles(&of, &rows, ts_recv, out)),
            "liquidation-orders" => self.liquidations(&whole("liquidation-orders", frame)?.1, ts_recv, out),
            other => Err(DecodeError::Unknown(other.into())),
        }
    }
}
