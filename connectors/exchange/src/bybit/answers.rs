//! What Bybit answers to market requests.

use prism_schemas::event::event::Body;
use prism_schemas::event::risk_limit::Tier;
use prism_schemas::event::{
    Book, FundingRate, Instrument, Kline, LongShortRatio, OpenInterest, RiskLimit, Trade, trade,
};
use prism_schemas::{Decimal, Event, InstrumentId, Market, Timeframe, Ts};
use serde::Deserialize;
use sonic_rs::LazyValue;

use super::frames::{Answer, Envelope, InstrumentItem, Pairs, TickerData};
use super::{Bybit, Events, ID, open_interest, side};
use crate::{DecodeError, Fields, Holders, decimals_of, each_row, event_of, intervals, levels, trade_event};

impl Bybit {
    /// The answer to instruments-info: one Instrument event per symbol.
    pub fn decode_instruments(&self, body: &str, ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
        let answer: Answer<'_> = Fields { kind: "instruments-info" }.json(body)?;
        if answer.code != 0 {
            return Err(DecodeError::Refused(answer.message.unwrap_or_default().into()));
        }
        let rows = answer.result.list.iter().map(|one| (one.symbol, self.described(one, ts_recv)));
        out.append(&mut each_row((ID, self.market), ts_recv, rows)?);
        Ok(())
    }

    fn described(&self, one: &InstrumentItem<'_>, ts_recv: Ts) -> Result<(InstrumentId, Event), DecodeError> {
        let fields = Fields { kind: "instruments-info" };
        let tick_size = fields.optional("tickSize", one.price.tick_size)?;
        let lot = &one.lot;
        let lot_size = fields.optional("qtyStep", lot.qty_step.or(lot.base_precision))?;
        let instrument = Instrument {
            price_decimals: decimals_of(tick_size),
            size_decimals: decimals_of(lot_size),
            tick_size,
            lot_size,
            min_size: fields.optional("minOrderQty", lot.min_size)?,
            max_size: fields.optional("maxOrderQty", lot.max_size)?,
            min_notional: fields.optional("minNotionalValue", lot.min_notional.or(lot.min_amount))?,
            // Inverse contracts are worth one quote unit each.
            contract_size: (self.market == Market::Inverse).then_some(Decimal::new(1, 0)),
            contract_type: contract_type(one),
            base: one.base.into(),
            quote: one.quote.into(),
            settlement: one.settlement.unwrap_or_default().into(),
            expiry: fields.optional_millis("deliveryTime", one.expiry)?,
            status: one.status.into(),
            native_symbol: one.symbol.into(),
        };
        let event = event_of(ts_recv, ts_recv, Body::Instrument(instrument.into()));
        Ok((self.instrument(fields, "symbol", one.symbol)?, event))
    }

    pub(super) fn ask_tickers(&self, body: &str, ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
        let fields = Fields { kind: "tickers" };
        let answer: Reply<'_, TickerData<'_>> = read(fields, body)?;
        // As one message of the stream each, at the time of the answer.
        let envelope = Envelope::<()> { ts: Some(answer.time), ..Envelope::default() };
        let rows = answer.result.list.iter().map(|raw| (raw.symbol, self.ticker(&envelope, raw, ts_recv)));
        out.append(&mut each_row((ID, self.market), ts_recv, rows)?);
        Ok(())
    }

    pub(super) fn ask_klines(
        &self,
        native: &str,
        timeframe: Timeframe,
        body: &str,
        ts_recv: Ts,
        out: &mut Events,
    ) -> Result<(), DecodeError> {
        let fields = Fields { kind: "kline" };
        // Start, open, high, low, close, volume, turnover; the newest first.
        let answer: Reply<'_, [&str; 7]> = read(fields, body)?;
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
                turnover: fields.rounded("turnover", Some(turnover))?,
                buy_volume: None,
                n_trades: None,
                closed: end <= now,
            };
            out.push((id.clone(), event_of(end.min(now), ts_recv, Body::Kline(kline.into()))));
        }
        Ok(())
    }

    pub(super) fn ask_trades(&self, body: &str, ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
        let fields = Fields { kind: "recent-trade" };
        let answer: Reply<'_, RecentTrade<'_>> = read(fields, body)?;
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

    pub(super) fn ask_book(&self, body: &str, ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
        let fields = Fields { kind: "orderbook" };
        let answer: BookAnswer<'_> = fields.json(body)?;
        if answer.code != 0 {
            return Err(DecodeError::Refused(answer.message.unwrap_or_default().into()));
        }
        let BookResult { symbol, bids, asks, update_id, ts, cts } = &answer.result;
        let side = |field, pairs: &Pairs| {
            levels(pairs.iter().map(|[price, size]| (*price, *size)))
                .ok_or_else(|| fields.wrong(field, "has a level that is no exact number"))
        };
        let book = Book {
            snapshot: true,
            bids: Some(side("b", bids)?),
            asks: Some(side("a", asks)?),
            update_id: *update_id,
            ..Book::default()
        };
        let event = event_of(fields.millis("ts", cts.unwrap_or(*ts))?, ts_recv, Body::Book(book));
        out.push((self.instrument(fields, "s", symbol)?, event));
        Ok(())
    }

    pub(super) fn ask_open_interest(&self, body: &str, ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
        let fields = Fields { kind: "open-interest" };
        let answer: Reply<'_, OpenInterestRow<'_>> = read(fields, body)?;
        for raw in answer.result.list.iter().rev() {
            let size = open_interest(fields, raw.single, Some(raw.open_interest))?;
            let ts_event = fields.millis("timestamp", fields.integer("timestamp", raw.ts)?)?;
            let event = event_of(ts_event, ts_recv, Body::OpenInterest(OpenInterest { size, value: None }));
            out.push((self.instrument(fields, "symbol", fields.some("symbol", answer.result.symbol)?)?, event));
        }
        Ok(())
    }

    pub(super) fn ask_funding(&self, body: &str, ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
        let fields = Fields { kind: "funding/history" };
        let answer: Reply<'_, FundingRow<'_>> = read(fields, body)?;
        for raw in answer.result.list.iter().rev() {
            let rate = Some(fields.decimal("fundingRate", raw.rate)?);
            let ts_event = fields.millis("fundingRateTimestamp", fields.integer("fundingRateTimestamp", raw.ts)?)?;
            let event = event_of(ts_event, ts_recv, Body::FundingRate(FundingRate { rate, ..FundingRate::default() }));
            out.push((self.instrument(fields, "symbol", raw.symbol)?, event));
        }
        intervals(out);
        Ok(())
    }

    pub(super) fn ask_ratio(&self, of: Holders, body: &str, ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
        let fields = Fields { kind: "account-ratio" };
        let answer: Reply<'_, RatioRow<'_>> = read(fields, body)?;
        for raw in answer.result.list.iter().rev() {
            let ratio = LongShortRatio {
                kind: of.name().into(),
                period: "5m".into(),
                long: Some(fields.decimal("buyRatio", raw.long)?),
                short: Some(fields.decimal("sellRatio", raw.short)?),
            };
            let ts_event = fields.millis("timestamp", fields.integer("timestamp", raw.ts)?)?;
            let event = event_of(ts_event, ts_recv, Body::LongShortRatio(ratio));
            out.push((self.instrument(fields, "symbol", raw.symbol)?, event));
        }
        Ok(())
    }

    pub(super) fn ask_risk_limit(&self, body: &str, ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
        let fields = Fields { kind: "risk-limit" };
        let answer: Reply<'_, TierRow<'_>> = read(fields, body)?;
        let Some(first) = answer.result.list.first() else { return Ok(()) };
        let mut tiers = Vec::with_capacity(answer.result.list.len());
        for raw in &answer.result.list {
            // Margins are numbers or texts.
            let margin = |field, raw: &LazyValue<'_>| fields.decimal(field, raw.as_raw_str().trim_matches('"'));
            let leverage = fields.decimal("maxLeverage", raw.leverage)?;
            let initial = margin("initialMargin", &raw.initial)?;
            let share = |field, margin| {
                let share = as_share(initial, leverage, margin);
                share.ok_or_else(|| fields.wrong(field, format!("has too many decimals: {margin}")))
            };
            tiers.push(Tier {
                limit: Some(fields.decimal("riskLimitValue", raw.limit)?),
                leverage_max: Some(leverage),
                maintenance_margin: Some(share("maintenanceMargin", margin("maintenanceMargin", &raw.maintenance)?)?),
                initial_margin: Some(share("initialMargin", initial)?),
            });
        }
        let ts_event = fields.millis("time", answer.time)?;
        let event = event_of(ts_event, ts_recv, Body::RiskLimit(RiskLimit { tiers }));
        out.push((self.instrument(fields, "symbol", first.symbol)?, event));
        Ok(())
    }
}

/// Margins of inverse contracts come in percent, those of linear ones as shares: both are what the leverage says.
pub(super) fn as_share(initial: Decimal, leverage: Decimal, margin: Decimal) -> Option<Decimal> {
    let is_percent = 10.0 < initial.to_f64() * leverage.to_f64();
    if is_percent { margin.times(Decimal::new(1, 2)) } else { Some(margin) }
}

pub(super) fn read<'a, T: Deserialize<'a>>(fields: Fields, body: &'a str) -> Result<Reply<'a, T>, DecodeError> {
    let answer: Reply<'a, T> = fields.json(body)?;
    match answer.code {
        0 => Ok(answer),
        _ => Err(DecodeError::Refused(answer.message.unwrap_or_default().into())),
    }
}

#[derive(Deserialize)]
pub(super) struct Reply<'a, T> {
    #[serde(rename = "retCode")]
    pub(super) code: i64,
    #[serde(rename = "retMsg")]
    pub(super) message: Option<&'a str>,
    #[serde(borrow)]
    pub(super) result: AnswerList<'a, T>,
    #[serde(default)]
    pub(super) time: i64,
}

#[derive(Deserialize)]
pub(super) struct AnswerList<'a, T> {
    #[serde(default = "Vec::new")]
    pub(super) list: Vec<T>,
    pub(super) symbol: Option<&'a str>,
    #[serde(rename = "nextPageCursor")]
    pub(super) cursor: Option<&'a str>,
}

// {"retCode":0,"retMsg":"OK","result":{"timeSecond":"1688639403","timeNano":"1688639403423213947"},"time":1688639403423}
#[derive(Deserialize)]
pub(super) struct TimeAnswer<'a> {
    #[serde(borrow)]
    pub(super) result: TimeResult<'a>,
}

#[derive(Deserialize)]
pub(super) struct TimeResult<'a> {
    #[serde(rename = "timeNano")]
    pub(super) nanos: &'a str,
}

// {"retCode":0,"retMsg":"OK","result":{"s":"BTCUSDT","a":[["65557.7","16.606555"]],"b":[["65485.47","47.081829"]],
// "ts":1716863719031,"u":230704,"seq":1432604333,"cts":1716863718905},"time":1716863719382}
#[derive(Deserialize)]
pub(super) struct BookAnswer<'a> {
    #[serde(rename = "retCode")]
    code: i64,
    #[serde(rename = "retMsg")]
    message: Option<&'a str>,
    #[serde(borrow)]
    result: BookResult<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct BookResult<'a> {
    #[serde(rename = "s")]
    symbol: &'a str,
    #[serde(rename = "b", borrow)]
    bids: Pairs<'a>,
    #[serde(rename = "a", borrow)]
    asks: Pairs<'a>,
    #[serde(rename = "u")]
    update_id: Option<u64>,
    ts: i64,
    cts: Option<i64>,
}

// {"openInterest":"63910691","singleOpenInterest":"31955346","timestamp":"1669571400000"}, of the symbol beside the list
#[derive(Deserialize)]
pub(super) struct OpenInterestRow<'a> {
    #[serde(rename = "openInterest")]
    open_interest: &'a str,
    #[serde(rename = "singleOpenInterest")]
    single: Option<&'a str>,
    #[serde(rename = "timestamp")]
    ts: &'a str,
}

// {"symbol":"ETHPERP","fundingRate":"0.0001","fundingRateTimestamp":"1672041600000"}
#[derive(Deserialize)]
pub(super) struct FundingRow<'a> {
    symbol: &'a str,
    #[serde(rename = "fundingRate")]
    rate: &'a str,
    #[serde(rename = "fundingRateTimestamp")]
    ts: &'a str,
}

// {"symbol":"BTCUSDT","buyRatio":"0.49","sellRatio":"0.51","timestamp":"1696831200000"}
#[derive(Deserialize)]
pub(super) struct RatioRow<'a> {
    symbol: &'a str,
    #[serde(rename = "buyRatio")]
    long: &'a str,
    #[serde(rename = "sellRatio")]
    short: &'a str,
    #[serde(rename = "timestamp")]
    ts: &'a str,
}

// {"id":1,"symbol":"BTCUSD","riskLimitValue":"150","maintenanceMargin":"0.5","initialMargin":"1","isLowestRisk":1,
// "maxLeverage":"100.00"}
#[derive(Deserialize)]
pub(super) struct TierRow<'a> {
    symbol: &'a str,
    #[serde(rename = "riskLimitValue")]
    limit: &'a str,
    #[serde(rename = "maintenanceMargin", borrow)]
    maintenance: LazyValue<'a>,
    #[serde(rename = "initialMargin", borrow)]
    initial: LazyValue<'a>,
    #[serde(rename = "maxLeverage")]
    leverage: &'a str,
}

// {"execId":"2100000000007764263","symbol":"BTCUSDT","price":"16618.49","size":"0.00012","side":"Buy","time":"1672052955758",
// "isBlockTrade":false,"seq":"123456"}
#[derive(Deserialize)]
pub(super) struct RecentTrade<'a> {
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

/// As Binance names it, where a contract is on something else than crypto: `symbolType` is one of these zones then, or a kind of asset
/// (stock, commodity, forex, etf, xstocks, mstocks; `BybitSymbolType` of nautilus_bybit, and a live list of 2026-08).
fn contract_type(one: &InstrumentItem<'_>) -> String {
    let contract = one.contract_type.unwrap_or("SPOT");
    let is_crypto = matches!(one.zone.unwrap_or_default(), "" | "innovation" | "adventure");
    if is_crypto { contract.into() } else { format!("TRADIFI_{contract}") }
}
