//! Bybit v5 on the wire: subscriptions, keep-alive and market requests.
//!
//! Documented at <https://bybit-exchange.github.io/docs/v5/ws/connect> and <https://bybit-exchange.github.io/docs/v5/market/kline>;
//! limits at <https://bybit-exchange.github.io/docs/v5/rate-limit>: 600 requests in 5 s from one address, and on a
//! connection 21,000 characters of arguments, of which spot takes ten at once.

use prism_schemas::event::event::Body;
use prism_schemas::event::risk_limit::Tier;
use prism_schemas::event::{Book, FundingRate, Kline, LongShortRatio, OpenInterest, RiskLimit, Trade, trade};
use prism_schemas::{Decimal, Market, Timeframe, Ts};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{Bybit, Envelope, Events, Pairs, TickerData, is_known, side, timeframe};
use crate::{
    Answer, Ask, Channels, DecodeError, Exchange, Fields, Holders, Limits, Request, Wire, event_of, levels, trade_event,
};

/// Instruments in one answer, at most.
const PAGE: u32 = 1_000;

impl Bybit {
    fn ask_tickers(&self, body: &str, ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
        let fields = Fields { kind: "tickers" };
        let answer: Reply<'_, TickerData<'_>> = read(fields, body)?;
        // As one message of the stream each, at the time of the answer.
        let envelope = Envelope::<()> { ts: Some(answer.time), ..Envelope::default() };
        answer.result.list.iter().try_for_each(|raw| self.ticker(&envelope, raw, ts_recv, out))
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
                turnover: match self.market {
                    Market::Inverse => None,
                    _ => Some(fields.decimal("turnover", turnover)?),
                },
                buy_volume: None,
                n_trades: None,
                closed: end <= now,
            };
            out.push((id.clone(), event_of(end.min(now), ts_recv, Body::Kline(kline.into()))));
        }
        Ok(())
    }

    fn ask_trades(&self, body: &str, ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
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

    fn ask_book(&self, body: &str, ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
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

    fn ask_open_interest(&self, body: &str, ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
        let fields = Fields { kind: "open-interest" };
        let answer: Reply<'_, OpenInterestRow<'_>> = read(fields, body)?;
        for raw in answer.result.list.iter().rev() {
            let size = Some(fields.decimal("openInterest", raw.open_interest)?);
            let ts_event = fields.millis("timestamp", fields.integer("timestamp", raw.ts)?)?;
            let event = event_of(ts_event, ts_recv, Body::OpenInterest(OpenInterest { size, value: None }));
            out.push((self.instrument(fields, "symbol", fields.some("symbol", answer.result.symbol)?)?, event));
        }
        Ok(())
    }

    fn ask_funding(&self, body: &str, ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
        let fields = Fields { kind: "funding/history" };
        let answer: Reply<'_, FundingRow<'_>> = read(fields, body)?;
        for raw in answer.result.list.iter().rev() {
            let rate = Some(fields.decimal("fundingRate", raw.rate)?);
            let ts_event = fields.millis("fundingRateTimestamp", fields.integer("fundingRateTimestamp", raw.ts)?)?;
            let event = event_of(ts_event, ts_recv, Body::FundingRate(FundingRate { rate, mark: None }));
            out.push((self.instrument(fields, "symbol", raw.symbol)?, event));
        }
        Ok(())
    }

    fn ask_ratio(&self, of: Holders, body: &str, ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
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

    fn ask_risk_limit(&self, body: &str, ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
        let fields = Fields { kind: "risk-limit" };
        let answer: Reply<'_, TierRow<'_>> = read(fields, body)?;
        let Some(first) = answer.result.list.first() else { return Ok(()) };
        let mut tiers = Vec::with_capacity(answer.result.list.len());
        for raw in &answer.result.list {
            let leverage = fields.decimal("maxLeverage", raw.leverage)?;
            let initial = fields.decimal("initialMargin", raw.initial)?;
            let share = |margin| as_share(initial, leverage, margin);
            tiers.push(Tier {
                limit: Some(fields.decimal("riskLimitValue", raw.limit)?),
                leverage_max: Some(leverage),
                maintenance_margin: Some(share(fields.decimal("maintenanceMargin", raw.maintenance)?)),
                initial_margin: Some(share(initial)),
            });
        }
        let ts_event = fields.millis("time", answer.time)?;
        let event = event_of(ts_event, ts_recv, Body::RiskLimit(RiskLimit { tiers }));
        out.push((self.instrument(fields, "symbol", first.symbol)?, event));
        Ok(())
    }
}

/// Margins of inverse contracts come in percent, those of linear ones as shares: both are what the leverage says.
fn as_share(initial: Decimal, leverage: Decimal, margin: Decimal) -> Decimal {
    let is_percent = 10.0 < initial.to_f64() * leverage.to_f64();
    if is_percent { Decimal::new(margin.mantissa, margin.decimals + 2) } else { margin }
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

fn read<'a, T: Deserialize<'a>>(fields: Fields, body: &'a str) -> Result<Reply<'a, T>, DecodeError> {
    let answer: Reply<'a, T> = fields.json(body)?;
    match answer.code {
        0 => Ok(answer),
        _ => Err(DecodeError::Refused(answer.message.unwrap_or_default().into())),
    }
}

impl Wire for Bybit {
    fn addresses(&self) -> [&'static str; 2] {
        ["wss://stream.bybit.com", "https://api.bybit.com"]
    }

    fn lanes(&self) -> Vec<String> {
        vec![format!("/v5/public/{}", self.market.name())]
    }

    fn topics(&self, _lane: usize, native: &str, channels: Channels) -> Vec<String> {
        let mut topics = Vec::new();
        if channels.trades {
            topics.push(format!("publicTrade.{native}"));
        }
        if 0 < channels.depth {
            topics.extend(self.book_topic(native, channels.depth));
        }
        if channels.tickers {
            topics.push(format!("tickers.{native}"));
        }
        if channels.liquidations && self.market != Market::Spot {
            topics.push(format!("allLiquidation.{native}"));
        }
        if channels.klines {
            topics.push(format!("kline.1.{native}"));
        }
        topics
    }

    fn book_topic(&self, native: &str, depth: u32) -> Option<String> {
        let depths = [1, 50, 200, 1_000];
        let depth = depths.into_iter().find(|have| depth <= *have).unwrap_or(1_000);
        Some(format!("orderbook.{depth}.{native}"))
    }

    fn subscribe(&self, topics: &[String], number: u64) -> String {
        serde_json::json!({"req_id": number.to_string(), "op": "subscribe", "args": topics}).to_string()
    }

    fn unsubscribe(&self, topics: &[String], number: u64) -> String {
        serde_json::json!({"req_id": number.to_string(), "op": "unsubscribe", "args": topics}).to_string()
    }

    fn answered(&self, frame: &str) -> Option<(u64, Answer)> {
        // {"success":true,"ret_msg":"","conn_id":"cf71f1d6","req_id":"1","op":"subscribe"}
        let answer: Acknowledged<'_> = sonic_rs::from_str(frame).ok()?;
        let said = match answer.success {
            true => Answer::Accepted,
            false if is_known(answer.message) => Answer::Known,
            false => Answer::Refused,
        };
        Some((answer.number.parse().ok()?, said))
    }

    fn ping(&self) -> Option<&'static str> {
        Some("{\"op\":\"ping\"}")
    }

    fn limits(&self) -> Limits {
        Limits { topics_per_request: 10, topics_per_connection: 400, weight: 600, window: 5, pace: 0 }
    }

    fn used(&self, header: &dyn Fn(&str) -> Option<u32>) -> Option<u32> {
        // Of the request's own kind, which has the least left.
        header("x-bapi-limit")?.checked_sub(header("x-bapi-limit-status")?)
    }

    fn is_throttled(&self, body: &str) -> bool {
        // Too many visits, and of all at this address.
        ["{\"retCode\":10006,", "{\"retCode\":10018,"].iter().any(|code| body.starts_with(code))
    }

    fn is_no_symbol(&self, body: &str) -> bool {
        // {"retCode":10001,"retMsg":"params error: symbol invalid NOSUCH","result":{}}
        let is_of_symbol = |said: &Said<'_>| said.code == 10_001 && said.message.to_lowercase().contains("symbol");
        sonic_rs::from_str(body).is_ok_and(|said| is_of_symbol(&said))
    }

    fn time(&self, body: &str) -> Result<Ts, DecodeError> {
        let fields = Fields { kind: "time" };
        let answer: TimeAnswer<'_> = fields.json(body)?;
        fields.integer("timeNano", answer.result.nanos)
    }

    fn asked<'a>(&self, url: &'a str) -> Option<Ask<'a>> {
        let (path, query) = url.split_once('?').unwrap_or((url, ""));
        let value = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        let symbol = value("symbol");
        Some(match path.rsplit('/').next()? {
            "instruments-info" => Ask::Instruments,
            "tickers" => symbol.map_or(Ask::Tickers, Ask::Ticker),
            "kline" => Ask::Klines(symbol?, timeframe(value("interval")?)?, 0),
            "recent-trade" => Ask::Trades(symbol?),
            "orderbook" => Ask::Book(symbol?, 0),
            "open-interest" => Ask::OpenInterest(symbol?, 0),
            "history" => Ask::Funding(symbol?, 0),
            "account-ratio" => Ask::Ratio(symbol?, Holders::Accounts, 0),
            "risk-limit" => Ask::RiskLimit(symbol?),
            "time" => Ask::Time,
            _ => return None,
        })
    }

    fn request(&self, ask: &Ask<'_>) -> Option<Request> {
        let category = self.market.name();
        let is_spot = self.market == Market::Spot;
        let path = match ask {
            Ask::Instruments => format!("/v5/market/instruments-info?category={category}&limit={PAGE}"),
            Ask::Tickers => format!("/v5/market/tickers?category={category}"),
            Ask::Klines(native, timeframe, n) => {
                let interval = interval(*timeframe)?;
                let n = (*n).clamp(1, 1_000);
                format!("/v5/market/kline?category={category}&symbol={native}&interval={interval}&limit={n}")
            }
            Ask::Trades(native) => {
                let n = if is_spot { 60 } else { 1_000 };
                format!("/v5/market/recent-trade?category={category}&symbol={native}&limit={n}")
            }
            Ask::Book(native, depth) => {
                let n = (*depth).clamp(1, if is_spot { 200 } else { 500 });
                format!("/v5/market/orderbook?category={category}&symbol={native}&limit={n}")
            }
            Ask::Ticker(native) => format!("/v5/market/tickers?category={category}&symbol={native}"),
            Ask::Time => "/v5/market/time".into(),
            // Ids are no numbers, and spot has no positions.
            Ask::TradesFrom(..) => return None,
            _ if is_spot => return None,
            Ask::OpenInterest(native, n) => {
                let n = (*n).clamp(1, 200);
                format!("/v5/market/open-interest?category={category}&symbol={native}&intervalTime=5min&limit={n}")
            }
            Ask::Funding(native, n) => {
                let n = (*n).clamp(1, 200);
                format!("/v5/market/funding/history?category={category}&symbol={native}&limit={n}")
            }
            Ask::Ratio(native, Holders::Accounts, n) => {
                let n = (*n).clamp(1, 500);
                format!("/v5/market/account-ratio?category={category}&symbol={native}&period=5min&limit={n}")
            }
            Ask::Ratio(..) => return None,
            Ask::RiskLimit(native) => format!("/v5/market/risk-limit?category={category}&symbol={native}"),
        };
        Some(Request { path, weight: 1, cap: None })
    }

    fn more(&self, ask: &Ask<'_>, body: &str) -> Option<Request> {
        let Ask::Instruments = ask else { return None };
        let answer: Reply<'_, IgnoredAny> = Fields { kind: "instruments-info" }.json(body).ok()?;
        let cursor = answer.result.cursor.filter(|cursor| !cursor.is_empty())?;
        let Request { path, weight, cap } = self.request(ask)?;
        // It comes as it goes into an address.
        Some(Request { path: format!("{path}&cursor={cursor}"), weight, cap })
    }

    fn answer(&mut self, ask: &Ask<'_>, body: &str, ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
        let mut events = Events::new();
        match ask {
            Ask::Instruments => self.decode_instruments(body, ts_recv, &mut events),
            Ask::Tickers | Ask::Ticker(_) => self.ask_tickers(body, ts_recv, &mut events),
            Ask::Klines(native, timeframe, _) => self.ask_klines(native, *timeframe, body, ts_recv, &mut events),
            Ask::Trades(_) | Ask::TradesFrom(..) => self.ask_trades(body, ts_recv, &mut events),
            Ask::Book(..) => self.ask_book(body, ts_recv, &mut events),
            Ask::OpenInterest(..) => self.ask_open_interest(body, ts_recv, &mut events),
            Ask::Funding(..) => self.ask_funding(body, ts_recv, &mut events),
            Ask::Ratio(_, of, _) => self.ask_ratio(*of, body, ts_recv, &mut events),
            Ask::RiskLimit(_) => self.ask_risk_limit(body, ts_recv, &mut events),
            Ask::Time => self.time(body).map(drop),
        }?;
        debug_assert!(events.iter().all(|(id, _)| id.exchange == self.id()));
        out.append(&mut events);
        Ok(())
    }
}

/// What every answer says of itself.
#[derive(Deserialize)]
struct Said<'a> {
    #[serde(rename = "retCode")]
    code: i64,
    #[serde(rename = "retMsg")]
    message: &'a str,
}

#[derive(Deserialize)]
struct Reply<'a, T> {
    #[serde(rename = "retCode")]
    code: i64,
    #[serde(rename = "retMsg")]
    message: Option<&'a str>,
    #[serde(borrow)]
    result: AnswerList<'a, T>,
    #[serde(default)]
    time: i64,
}

#[derive(Deserialize)]
struct AnswerList<'a, T> {
    #[serde(default = "Vec::new")]
    list: Vec<T>,
    symbol: Option<&'a str>,
    #[serde(rename = "nextPageCursor")]
    cursor: Option<&'a str>,
}

// {"retCode":0,"retMsg":"OK","result":{"timeSecond":"1688639403","timeNano":"1688639403423213947"},"time":1688639403423}
#[derive(Deserialize)]
struct TimeAnswer<'a> {
    #[serde(borrow)]
    result: TimeResult<'a>,
}

#[derive(Deserialize)]
struct TimeResult<'a> {
    #[serde(rename = "timeNano")]
    nanos: &'a str,
}

// {"retCode":0,"retMsg":"OK","result":{"s":"BTCUSDT","a":[["65557.7","16.606555"]],"b":[["65485.47","47.081829"]],
// "ts":1716863719031,"u":230704,"seq":1432604333,"cts":1716863718905},"time":1716863719382}
#[derive(Deserialize)]
struct BookAnswer<'a> {
    #[serde(rename = "retCode")]
    code: i64,
    #[serde(rename = "retMsg")]
    message: Option<&'a str>,
    #[serde(borrow)]
    result: BookResult<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct BookResult<'a> {
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

// {"openInterest":"461134384.00000000","timestamp":"1669571400000"}, of the symbol beside the list
#[derive(Deserialize)]
struct OpenInterestRow<'a> {
    #[serde(rename = "openInterest")]
    open_interest: &'a str,
    #[serde(rename = "timestamp")]
    ts: &'a str,
}

// {"symbol":"ETHPERP","fundingRate":"0.0001","fundingRateTimestamp":"1672041600000"}
#[derive(Deserialize)]
struct FundingRow<'a> {
    symbol: &'a str,
    #[serde(rename = "fundingRate")]
    rate: &'a str,
    #[serde(rename = "fundingRateTimestamp")]
    ts: &'a str,
}

// {"symbol":"BTCUSDT","buyRatio":"0.49","sellRatio":"0.51","timestamp":"1696831200000"}
#[derive(Deserialize)]
struct RatioRow<'a> {
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
struct TierRow<'a> {
    symbol: &'a str,
    #[serde(rename = "riskLimitValue")]
    limit: &'a str,
    #[serde(rename = "maintenanceMargin")]
    maintenance: &'a str,
    #[serde(rename = "initialMargin")]
    initial: &'a str,
    #[serde(rename = "maxLeverage")]
    leverage: &'a str,
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

#[derive(Deserialize)]
struct Acknowledged<'a> {
    #[serde(rename = "req_id")]
    number: &'a str,
    success: bool,
    #[serde(rename = "ret_msg")]
    message: &'a str,
}
