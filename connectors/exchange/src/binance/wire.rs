//! Binance on the wire: subscriptions and market requests of spot and USD-M.
//!
//! Documented at <https://developers.binance.com/docs/binance-spot-api-docs/rest-api/market-data-endpoints> and
//! <https://developers.binance.com/docs/derivatives/usds-margined-futures/market-data/rest-api>, with the weights of
//! requests. USD-M streams have two addresses since 2026-04-23; each acknowledges the other's topics and stays silent:
//! <https://developers.binance.com/docs/derivatives/usds-margined-futures/websocket-market-streams/Important-WebSocket-Change-Notice>.
//! A connection takes 5 (spot) or 10 requests a second and 1,024 (spot) or 200 streams.

use prism_schemas::event::event::Body;
use prism_schemas::event::{FundingRate, Kline, LongShortRatio, OpenInterest, Ticker, Trade, trade};
use prism_schemas::{Market, Timeframe, Ts};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};

use super::{Binance, Events};
use crate::{
    Answer, Ask, Cap, Channels, DecodeError, Exchange, Fields, Holders, Limits, Request, Wire, event_of, taker,
    trade_event,
};

/// Levels of a side that a book's snapshot has at most.
const DEPTH: u32 = 1_000;

impl Binance {
    fn is_spot(&self) -> bool {
        self.market == Market::Spot
    }

    fn ask_tickers(&self, tickers: &[DayTicker], ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
        let fields = Fields { kind: "ticker/24hr" };
        for raw in tickers {
            let ticker = Ticker {
                last: fields.optional("lastPrice", raw.last)?,
                open_24h: fields.optional("openPrice", raw.open)?,
                high_24h: fields.optional("highPrice", raw.high)?,
                low_24h: fields.optional("lowPrice", raw.low)?,
                volume_24h: fields.optional("volume", raw.volume)?,
                turnover_24h: fields.optional("quoteVolume", raw.turnover)?,
                ..Ticker::default()
            };
            let ts_event = fields.millis("closeTime", raw.ts)?;
            self.put(
                out,
                fields.symbol("symbol", raw.symbol)?,
                event_of(ts_event, ts_recv, Body::Ticker(ticker.into())),
            );
        }
        Ok(())
    }

    fn ask_klines(
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
                turnover: Some(fields.decimal("turnover", turnover)?),
                buy_volume: Some(fields.decimal("buy volume", buy_volume)?),
                n_trades: Some(n_trades),
                // The answer has no time of its own.
                closed: end <= ts_recv,
            };
            self.put(out, symbol.clone(), event_of(end.min(ts_recv), ts_recv, Body::Kline(kline.into())));
        }
        Ok(())
    }

    fn ask_trades(&self, native: &str, body: &str, ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
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

    fn ask_open_interests(&self, body: &str, ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
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

    fn ask_open_interest(&self, body: &str, ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
        let fields = Fields { kind: "openInterest" };
        let raw: OpenInterestAnswer<'_> = fields.json(body)?;
        let open = OpenInterest { size: Some(fields.decimal("openInterest", raw.open_interest)?), value: None };
        let event = event_of(fields.millis("time", raw.ts)?, ts_recv, Body::OpenInterest(open));
        self.put(out, fields.symbol("symbol", raw.symbol)?, event);
        Ok(())
    }

    fn ask_funding(&self, body: &str, ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
        let fields = Fields { kind: "fundingRate" };
        let rates: Vec<FundingRow<'_>> = fields.json(body)?;
        for raw in &rates {
            let rate = FundingRate {
                rate: Some(fields.decimal("fundingRate", raw.rate)?),
                mark: fields.optional("markPrice", raw.mark)?,
            };
            let event = event_of(fields.millis("fundingTime", raw.ts)?, ts_recv, Body::FundingRate(rate));
            self.put(out, fields.symbol("symbol", raw.symbol)?, event);
        }
        Ok(())
    }

    fn ask_ratio(
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

impl Wire for Binance {
    fn addresses(&self) -> [&'static str; 2] {
        match self.market {
            Market::Spot => ["wss://stream.binance.com:9443", "https://api.binance.com"],
            Market::Linear => ["wss://fstream.binance.com", "https://fapi.binance.com"],
            Market::Inverse => ["wss://dstream.binance.com", "https://dapi.binance.com"],
        }
    }

    fn lanes(&self) -> Vec<String> {
        match self.market {
            Market::Linear => vec!["/market/stream".into(), "/public/stream".into()],
            _ => vec!["/stream".into()],
        }
    }

    fn topics(&self, lane: usize, native: &str, channels: Channels) -> Vec<String> {
        let native = native.to_lowercase();
        let [mut market, mut public] = [const { Vec::new() }; 2];
        if channels.trades {
            market.push(format!("{native}@aggTrade"));
        }
        if channels.tickers {
            market.push(format!("{native}@ticker"));
            public.push(format!("{native}@bookTicker"));
        }
        if channels.tickers && !self.is_spot() {
            market.push(format!("{native}@markPrice@1s"));
        }
        if channels.klines {
            market.push(format!("{native}@kline_1m"));
        }
        if channels.liquidations && !self.is_spot() {
            market.push(format!("{native}@forceOrder"));
        }
        if 0 < channels.depth {
            public.push(format!("{native}@depth@100ms"));
        }
        match (self.market, lane) {
            (Market::Linear, 0) => market,
            (Market::Linear, _) => public,
            _ => [market, public].concat(),
        }
    }

    fn book_topic(&self, _native: &str, _depth: u32) -> Option<String> {
        None
    }

    fn subscribe(&self, topics: &[String], number: u64) -> String {
        serde_json::json!({"method": "SUBSCRIBE", "params": topics, "id": number}).to_string()
    }

    fn unsubscribe(&self, topics: &[String], number: u64) -> String {
        serde_json::json!({"method": "UNSUBSCRIBE", "params": topics, "id": number}).to_string()
    }

    fn answered(&self, frame: &str) -> Option<(u64, Answer)> {
        // {"result":null,"id":1} or {"error":{"code":2,"msg":"Invalid request: invalid stream"},"id":1}
        let answer: Acknowledged<'_> = sonic_rs::from_str(frame).ok()?;
        Some((answer.id, if answer.error.is_none() { Answer::Accepted } else { Answer::Refused }))
    }

    fn ping(&self) -> Option<&'static str> {
        None
    }

    fn limits(&self) -> Limits {
        let weight = if self.is_spot() { 6_000 } else { 2_400 };
        let topics_per_connection = if self.is_spot() { 1_000 } else { 200 };
        Limits { topics_per_request: 100, topics_per_connection, weight, window: 60, pace: 250 }
    }

    fn used(&self, header: &dyn Fn(&str) -> Option<u32>) -> Option<u32> {
        header("x-mbx-used-weight-1m")
    }

    fn is_no_symbol(&self, body: &str) -> bool {
        body.starts_with("{\"code\":-1121,")
    }

    fn time(&self, body: &str) -> Result<Ts, DecodeError> {
        let fields = Fields { kind: "time" };
        let answer: TimeAnswer = fields.json(body)?;
        fields.millis("serverTime", answer.ts)
    }

    fn asked<'a>(&self, url: &'a str) -> Option<Ask<'a>> {
        let (path, query) = url.split_once('?').unwrap_or((url, ""));
        let value = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        let symbol = value("symbol");
        Some(match path.rsplit('/').next()? {
            "exchangeInfo" => Ask::Instruments,
            "24hr" => symbol.map_or(Ask::Tickers, Ask::Ticker),
            "klines" => Ask::Klines(symbol?, value("interval")?.parse().ok()?, 0),
            "aggTrades" => Ask::Trades(symbol?),
            "depth" => Ask::Book(symbol?, 0),
            "openInterest" | "openInterestHist" => Ask::OpenInterest(symbol?, 0),
            "fundingRate" => Ask::Funding(symbol?, 0),
            "globalLongShortAccountRatio" => Ask::Ratio(symbol?, Holders::Accounts, 0),
            "topLongShortAccountRatio" => Ask::Ratio(symbol?, Holders::TopAccounts, 0),
            "topLongShortPositionRatio" => Ask::Ratio(symbol?, Holders::TopPositions, 0),
            "takerlongshortRatio" => Ask::Ratio(symbol?, Holders::Takers, 0),
            "time" => Ask::Time,
            _ => return None,
        })
    }

    fn request(&self, ask: &Ask<'_>) -> Option<Request> {
        let spot = self.is_spot();
        let of = |spot_weight: u32, weight: u32| if spot { spot_weight } else { weight };
        let base = match self.market {
            Market::Spot => "/api/v3",
            Market::Linear => "/fapi/v1",
            Market::Inverse => "/dapi/v1",
        };
        let (path, weight) = match ask {
            Ask::Instruments if spot => (format!("{base}/exchangeInfo?showPermissionSets=false"), 20),
            Ask::Instruments => (format!("{base}/exchangeInfo"), 1),
            Ask::Tickers => (format!("{base}/ticker/24hr"), of(80, 40)),
            Ask::Ticker(native) => (format!("{base}/ticker/24hr?symbol={native}"), of(2, 1)),
            Ask::Klines(native, timeframe, n) => {
                let interval = interval(*timeframe)?;
                let n = (*n).clamp(1, 1_000);
                let weight = of(
                    2,
                    if n < 100 {
                        1
                    } else if n < 500 {
                        2
                    } else {
                        5
                    },
                );
                (format!("{base}/klines?symbol={native}&interval={interval}&limit={n}"), weight)
            }
            Ask::Trades(native) => (format!("{base}/aggTrades?symbol={native}&limit=100"), of(4, 20)),
            Ask::TradesFrom(native, from, n) => {
                let n = (*n).clamp(1, 1_000);
                (format!("{base}/aggTrades?symbol={native}&fromId={from}&limit={n}"), of(4, 20))
            }
            // Deltas reach farther than what is wanted, so the snapshot does too.
            Ask::Book(native, _) => (format!("{base}/depth?symbol={native}&limit={DEPTH}"), of(50, 20)),
            Ask::Time => (format!("{base}/time"), 1),
            _ if spot => return None,
            Ask::OpenInterest(native, n) if 1 < *n && self.market == Market::Linear => {
                let n = (*n).min(500);
                (format!("/futures/data/openInterestHist?symbol={native}&period=5m&limit={n}"), 0)
            }
            Ask::OpenInterest(native, _) => (format!("{base}/openInterest?symbol={native}"), 1),
            Ask::Funding(native, n) => {
                let n = (*n).clamp(1, 1_000);
                (format!("{base}/fundingRate?symbol={native}&limit={n}"), 0)
            }
            Ask::Ratio(native, of, n) => {
                let n = (*n).clamp(1, 500);
                let name = match of {
                    Holders::Accounts => "globalLongShortAccountRatio",
                    Holders::TopAccounts => "topLongShortAccountRatio",
                    Holders::TopPositions => "topLongShortPositionRatio",
                    Holders::Takers => "takerlongshortRatio",
                };
                (format!("/futures/data/{name}?symbol={native}&period=5m&limit={n}"), 0)
            }
            // Brackets need a key.
            Ask::RiskLimit(_) => return None,
        };
        let cap = match ask {
            Ask::Funding(..) => Some(Cap { of: "fundingRate", requests: 500, window: 300 }),
            _ if path.starts_with("/futures/data/") => Some(Cap { of: "futures/data", requests: 1_000, window: 300 }),
            _ => None,
        };
        Some(Request { path, weight, cap })
    }

    fn answer(&mut self, ask: &Ask<'_>, body: &str, ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
        if body.starts_with("{\"code\":") {
            return Err(DecodeError::Refused(body.chars().take(300).collect()));
        }
        let mut events = Events::new();
        let fields = Fields { kind: ask.name() };
        match ask {
            Ask::Instruments => self.decode_instruments(body, ts_recv, &mut events),
            Ask::Tickers => self.ask_tickers(&fields.json::<Vec<DayTicker<'_>>>(body)?, ts_recv, &mut events),
            Ask::Ticker(_) => self.ask_tickers(&[fields.json(body)?], ts_recv, &mut events),
            Ask::Klines(native, timeframe, _) => self.ask_klines(native, *timeframe, body, ts_recv, &mut events),
            Ask::Trades(native) | Ask::TradesFrom(native, ..) => self.ask_trades(native, body, ts_recv, &mut events),
            Ask::Book(native, _) => self.decode_depth(native, body, ts_recv, &mut events),
            Ask::OpenInterest(..) if body.starts_with('[') => self.ask_open_interests(body, ts_recv, &mut events),
            Ask::OpenInterest(..) => self.ask_open_interest(body, ts_recv, &mut events),
            Ask::Funding(..) => self.ask_funding(body, ts_recv, &mut events),
            Ask::Ratio(native, of, _) => self.ask_ratio(native, *of, body, ts_recv, &mut events),
            Ask::RiskLimit(_) => Err(DecodeError::Unknown("risk limits".into())),
            Ask::Time => self.time(body).map(drop),
        }?;
        for (_, event) in &mut events {
            if let Some(Body::Book(book)) = &mut event.body {
                // Where it is cut.
                book.depth = Some(DEPTH);
            }
        }
        debug_assert!(events.iter().all(|(id, _)| id.exchange == self.id()));
        out.append(&mut events);
        Ok(())
    }
}

/// Binance names intervals as we do, and months `1M`.
fn interval(timeframe: Timeframe) -> Option<&'static str> {
    match timeframe {
        Timeframe::Month => Some("1M"),
        other => ["1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d", "1w"]
            .into_iter()
            .find(|name| *name == other.name()),
    }
}

#[derive(Deserialize)]
struct TimeAnswer {
    #[serde(rename = "serverTime")]
    ts: i64,
}

// {"symbol":"BTCUSDT","lastPrice":"4.00000200","openPrice":"99.0","highPrice":"100.0","lowPrice":"0.1","volume":"8913.3",
// "quoteVolume":"15.3","openTime":1499783499040,"closeTime":1499869899040}
#[derive(Deserialize)]
struct DayTicker<'a> {
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
struct KlineRow<'a>(
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
struct AggTradeRow<'a> {
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
struct OpenInterestAnswer<'a> {
    symbol: &'a str,
    #[serde(rename = "openInterest")]
    open_interest: &'a str,
    #[serde(rename = "time")]
    ts: i64,
}

// {"symbol":"BTCUSDT","sumOpenInterest":"20403.63700000","sumOpenInterestValue":"150570784.07809979","timestamp":"1583127900000"}
#[derive(Deserialize)]
struct OpenInterestRow<'a> {
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
struct FundingRow<'a> {
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
struct RatioRow<'a> {
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
struct Millis(i64);

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

#[derive(Deserialize)]
struct Acknowledged<'a> {
    id: u64,
    #[serde(borrow)]
    error: Option<sonic_rs::LazyValue<'a>>,
}
