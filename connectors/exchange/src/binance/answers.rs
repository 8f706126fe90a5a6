//! What Binance answers to market requests.

use prism_schemas::event::event::Body;
use prism_schemas::event::{FundingRate, Instrument, Kline, LongShortRatio, OpenInterest, Ticker, Trade, trade};
use prism_schemas::{Decimal, Event, InstrumentId, Market, Timeframe, Ts};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};

use super::frames::{ExchangeInfo, SymbolInfo};
use super::{Binance, Events, ID};
use crate::{DecodeError, Fields, Holders, decimals_of, each_row, event_of, intervals, taker, trade_event};

impl Binance {
    /// The answer to exchangeInfo: one Instrument event per symbol.
    pub fn decode_instruments(&self, body: &str, ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
        let info: ExchangeInfo<'_> = Fields { kind: "exchangeInfo" }.json(body)?;
        let rows = info.symbols.iter().map(|one| (one.symbol, self.instrument(one, ts_recv)));
        out.append(&mut each_row((ID, self.market), ts_recv, rows)?);
        Ok(())
    }

    fn instrument(&self, one: &SymbolInfo<'_>, ts_recv: Ts) -> Result<(InstrumentId, Event), DecodeError> {
        let fields = Fields { kind: "exchangeInfo" };
        let mut instrument = Instrument {
            contract_type: one.contract_type.unwrap_or(if self.market == Market::Spot { "SPOT" } else { "" }).into(),
            base: one.base_asset.into(),
            quote: one.quote_asset.into(),
            settlement: one.margin_asset.unwrap_or_default().into(),
            // Perpetual contracts are said to end in 2100.
            expiry: one
                .expiry
                .filter(|_| one.contract_type.is_some_and(|kind| !kind.ends_with("PERPETUAL")))
                .map(|millis| fields.millis("deliveryDate", millis))
                .transpose()?,
            status: one.status.or(one.contract_status).unwrap_or_default().into(),
            native_symbol: one.symbol.into(),
            contract_size: one.contract_size.map(|size| Decimal::new(size, 0)),
            ..Instrument::default()
        };
        for filter in &one.filters {
            match filter.kind {
                "PRICE_FILTER" => instrument.tick_size = fields.optional("tickSize", filter.tick_size)?,
                "LOT_SIZE" => {
                    instrument.lot_size = fields.optional("stepSize", filter.step_size)?;
                    instrument.min_size = fields.optional("minQty", filter.min_size)?;
                    instrument.max_size = fields.optional("maxQty", filter.max_size)?;
                }
                "MIN_NOTIONAL" | "NOTIONAL" => {
                    let text = filter.min_notional.or(filter.notional);
                    instrument.min_notional = fields.optional("minNotional", text)?;
                }
                _ => {}
            }
        }
        instrument.price_decimals = decimals_of(instrument.tick_size);
        instrument.size_decimals = decimals_of(instrument.lot_size);
        let event = event_of(ts_recv, ts_recv, Body::Instrument(instrument.into()));
        Ok((InstrumentId::new(ID, self.market, &fields.symbol("symbol", one.symbol)?), event))
    }

    pub(super) fn ask_tickers(&self, tickers: &[DayTicker], ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
        let rows = tickers.iter().map(|raw| (raw.symbol, self.day_ticker(raw, ts_recv)));
        out.append(&mut each_row((ID, self.market), ts_recv, rows)?);
        Ok(())
    }

    fn day_ticker(&self, raw: &DayTicker<'_>, ts_recv: Ts) -> Result<(InstrumentId, Event), DecodeError> {
        let fields = Fields { kind: "ticker/24hr" };
        let ticker = Ticker {
            last: fields.optional("lastPrice", raw.last)?,
            open_24h: fields.optional("openPrice", raw.open)?,
            high_24h: fields.optional("highPrice", raw.high)?,
            low_24h: fields.optional("lowPrice", raw.low)?,
            volume_24h: fields.rounded("volume", raw.volume)?,
            turnover_24h: fields.rounded("quoteVolume", raw.turnover)?,
            ..Ticker::default()
        };
        let event = event_of(fields.millis("closeTime", raw.ts)?, ts_recv, Body::Ticker(ticker.into()));
        Ok((InstrumentId::new(ID, self.market, &fields.symbol("symbol", raw.symbol)?), event))
    }

    pub(super) fn ask_klines(
        &self,
        native: &str,
        timeframe: Timeframe,
        body: &str,
        ts_recv: Ts,
        out: &mut Events,
    ) -> Result<(), DecodeError> {
        let fields = Fields { kind: "klines" };
        let symbol = fields.symbol("symbol", native)?;
        let bars: Vec<KlineRow<'_>> = fields.json(body)?;
        for KlineRow(start, open, high, low, close, volume, end, turnover, n_trades, buy_volume, ..) in bars {
            let end = fields.millis("close time", end)? + prism_schemas::time::MILLISECOND;
            let kline = Kline {
                timeframe: timeframe.name().into(),
                start: fields.millis("open time", start)?,
                open: Some(fields.decimal("open", open)?),
                high: Some(fields.decimal("high", high)?),
                low: Some(fields.decimal("low", low)?),
                close: Some(fields.decimal("close", close)?),
                volume: Some(fields.decimal("volume", volume)?),
                turnover: fields.rounded("turnover", Some(turnover))?,
                buy_volume: Some(fields.decimal("buy volume", buy_volume)?),
                n_trades: Some(n_trades),
                // The answer has no time of its own.
                closed: end <= ts_recv,
            };
            self.put(out, symbol.clone(), event_of(end.min(ts_recv), ts_recv, Body::Kline(kline.into())));
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
        let fields = Fields { kind: "aggTrades" };
        let symbol = fields.symbol("symbol", native)?;
        let trades: Vec<AggTradeRow<'_>> = fields.json(body)?;
        for (index, raw) in (0..).zip(&trades) {
            let trade = Trade {
                id: Some(trade::Id::Number(raw.id)),
                price: Some(fields.decimal("p", raw.price)?),
                size: Some(fields.decimal("q", raw.size)?),
                side: taker(raw.buyer_is_maker).into(),
                // The same trades as the stream's, with the same ids.
                stream: "aggTrade".into(),
                ..Trade::default()
            };
            let ts_event = fields.millis("T", raw.ts)?;
            self.put(out, symbol.clone(), trade_event(trade, ts_event, ts_recv, Some(raw.id), index, body.as_bytes()));
        }
        Ok(())
    }

    pub(super) fn ask_open_interests(&self, body: &str, ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
        let fields = Fields { kind: "openInterestHist" };
        let rows: Vec<OpenInterestRow<'_>> = fields.json(body)?;
        for raw in &rows {
            let open = OpenInterest {
                size: Some(fields.decimal("sumOpenInterest", raw.size)?),
                value: Some(fields.decimal("sumOpenInterestValue", raw.value)?),
            };
            let event = event_of(fields.millis("timestamp", raw.ts.0)?, ts_recv, Body::OpenInterest(open));
            self.put(out, fields.symbol("symbol", raw.symbol)?, event);
        }
        Ok(())
    }

    pub(super) fn ask_open_interest(&self, body: &str, ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
        let fields = Fields { kind: "openInterest" };
        let raw: OpenInterestAnswer<'_> = fields.json(body)?;
        let open = OpenInterest { size: Some(fields.decimal("openInterest", raw.open_interest)?), value: None };
        let event = event_of(fields.millis("time", raw.ts)?, ts_recv, Body::OpenInterest(open));
        self.put(out, fields.symbol("symbol", raw.symbol)?, event);
        Ok(())
    }

    pub(super) fn ask_funding(&self, body: &str, ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
        let fields = Fields { kind: "fundingRate" };
        let rates: Vec<FundingRow<'_>> = fields.json(body)?;
        for raw in &rates {
            let rate = FundingRate {
                rate: Some(fields.decimal("fundingRate", raw.rate)?),
                mark: fields.optional("markPrice", raw.mark)?,
                ..FundingRate::default()
            };
            let event = event_of(fields.millis("fundingTime", raw.ts)?, ts_recv, Body::FundingRate(rate));
            self.put(out, fields.symbol("symbol", raw.symbol)?, event);
        }
        intervals(out);
        Ok(())
    }

    pub(super) fn ask_ratio(
        &self,
        native: &str,
        of: Holders,
        body: &str,
        ts_recv: Ts,
        out: &mut Events,
    ) -> Result<(), DecodeError> {
        let fields = Fields { kind: "longShortRatio" };
        let rows: Vec<RatioRow<'_>> = fields.json(body)?;
        for raw in &rows {
            let ratio = LongShortRatio {
                kind: of.name().into(),
                period: "5m".into(),
                long: Some(fields.decimal("longAccount", fields.some("longAccount", raw.long.or(raw.bought))?)?),
                short: Some(fields.decimal("shortAccount", fields.some("shortAccount", raw.short.or(raw.sold))?)?),
            };
            let event = event_of(fields.millis("timestamp", raw.ts.0)?, ts_recv, Body::LongShortRatio(ratio));
            self.put(out, fields.symbol("symbol", native)?, event);
        }
        Ok(())
    }
}

#[derive(Deserialize)]
pub(super) struct DayTicker<'a> {
    symbol: &'a str,
    #[serde(rename = "lastPrice")]
    last: Option<&'a str>,
    #[serde(rename = "openPrice")]
    open: Option<&'a str>,
    #[serde(rename = "highPrice")]
    high: Option<&'a str>,
    #[serde(rename = "lowPrice")]
    low: Option<&'a str>,
    volume: Option<&'a str>,
    #[serde(rename = "quoteVolume")]
    turnover: Option<&'a str>,
    #[serde(rename = "closeTime")]
    ts: i64,
}

// [1499040000000,"0.01634790","0.80000000","0.01575800","0.01577100","148976.11427815",1499644799999,"2434.19055334",308,
// "1756.87402397","28.46694368","0"]
#[derive(Deserialize)]
pub(super) struct KlineRow<'a>(
    i64,
    &'a str,
    &'a str,
    &'a str,
    &'a str,
    &'a str,
    i64,
    &'a str,
    u64,
    &'a str,
    #[expect(dead_code, reason = "taker buy turnover")] &'a str,
    #[expect(dead_code, reason = "unused by the venue")] &'a str,
);

// {"a":26129,"p":"0.01633102","q":"4.70443515","f":27781,"l":27781,"T":1498793709153,"m":true}
#[derive(Deserialize)]
pub(super) struct AggTradeRow<'a> {
    #[serde(rename = "a")]
    id: u64,
    #[serde(rename = "p")]
    price: &'a str,
    #[serde(rename = "q")]
    size: &'a str,
    #[serde(rename = "T")]
    ts: i64,
    #[serde(rename = "m")]
    buyer_is_maker: bool,
}

// {"openInterest":"10659.509","symbol":"BTCUSDT","time":1589437530011}
#[derive(Deserialize)]
pub(super) struct OpenInterestAnswer<'a> {
    symbol: &'a str,
    #[serde(rename = "openInterest")]
    open_interest: &'a str,
    #[serde(rename = "time")]
    ts: i64,
}

// {"symbol":"BTCUSDT","sumOpenInterest":"20403.63700000","sumOpenInterestValue":"150570784.07809979","timestamp":"1583127900000"}
#[derive(Deserialize)]
pub(super) struct OpenInterestRow<'a> {
    symbol: &'a str,
    #[serde(rename = "sumOpenInterest")]
    size: &'a str,
    #[serde(rename = "sumOpenInterestValue")]
    value: &'a str,
    #[serde(rename = "timestamp")]
    ts: Millis,
}

// {"symbol":"BTCUSDT","fundingRate":"-0.03750000","fundingTime":1570608000000,"markPrice":"34287.54619963"}
#[derive(Deserialize)]
pub(super) struct FundingRow<'a> {
    symbol: &'a str,
    #[serde(rename = "fundingRate")]
    rate: &'a str,
    #[serde(rename = "fundingTime")]
    ts: i64,
    #[serde(rename = "markPrice")]
    mark: Option<&'a str>,
}

// {"symbol":"BTCUSDT","longShortRatio":"1.4342","longAccount":"0.5891","shortAccount":"0.4108","timestamp":1583139600000} and
// {"buySellRatio":"1.5586","buyVol":"387.3300","sellVol":"248.5030","timestamp":1585614900000}
#[derive(Deserialize)]
pub(super) struct RatioRow<'a> {
    #[serde(rename = "longAccount")]
    long: Option<&'a str>,
    #[serde(rename = "shortAccount")]
    short: Option<&'a str>,
    #[serde(rename = "buyVol")]
    bought: Option<&'a str>,
    #[serde(rename = "sellVol")]
    sold: Option<&'a str>,
    #[serde(rename = "timestamp")]
    ts: Millis,
}

/// Milliseconds, which come as a number, and in the documentation as text.
pub(super) struct Millis(i64);

impl<'de> Deserialize<'de> for Millis {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Millis, D::Error> {
        struct Either;
        impl Visitor<'_> for Either {
            type Value = Millis;

            fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                out.write_str("milliseconds")
            }

            fn visit_u64<E: Error>(self, millis: u64) -> Result<Millis, E> {
                i64::try_from(millis).map(Millis).map_err(E::custom)
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Millis, E> {
                text.parse().map(Millis).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Either)
    }
}
