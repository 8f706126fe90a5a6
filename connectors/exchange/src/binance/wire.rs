//! Binance on the wire: subscriptions and market requests of spot and USD-M.
//!
//! Documented at <https://developers.binance.com/docs/binance-spot-api-docs/rest-api/market-data-endpoints> and
//! <https://developers.binance.com/docs/derivatives/usds-margined-futures/market-data/rest-api>, with the weights of
//! requests. USD-M streams have two addresses since 2026-04-23; each acknowledges the other's topics and stays silent:
//! <https://developers.binance.com/docs/derivatives/usds-margined-futures/websocket-market-streams/Important-WebSocket-Change-Notice>.
//! A connection takes 5 (spot) or 10 requests a second and 1,024 (spot) or 200 streams.

use prism_schemas::event::event::Body;
use prism_schemas::{Market, Timeframe, Ts};
use serde::Deserialize;

use super::answers::DayTicker;
use super::{Binance, Events};
use crate::{Answer, Ask, Cap, Channels, DecodeError, Exchange, Fields, Holders, Limits, Request, Wire};

/// Levels of a side that a book's snapshot has at most.
const DEPTH: u32 = 1_000;

impl Binance {
    fn is_spot(&self) -> bool {
        self.market == Market::Spot
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

    fn regions(&self) -> &'static [(&'static str, [&'static str; 2])] {
        // <https://developers.binance.com/docs/binance-spot-api-docs/faqs/market_data_only>, docs.binance.us
        match self.market {
            Market::Spot => &[
                ("binance.vision", ["wss://data-stream.binance.vision", "https://data-api.binance.vision"]),
                ("binance.us", ["wss://stream.binance.us:9443", "https://api.binance.us"]),
                ("port-443", ["wss://stream.binance.com:443", "https://api.binance.com"]),
            ],
            _ => &[],
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

    fn subscribe(&self, topics: &[String], number: u64) -> Vec<String> {
        vec![serde_json::json!({"method": "SUBSCRIBE", "params": topics, "id": number}).to_string()]
    }

    fn unsubscribe(&self, topics: &[String], number: u64) -> Vec<String> {
        vec![serde_json::json!({"method": "UNSUBSCRIBE", "params": topics, "id": number}).to_string()]
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
        Limits { topics_per_request: 100, topics_per_connection, weight, window: 60, pace: 250, hourly: u32::MAX }
    }

    fn used(&self, header: &dyn Fn(&str) -> Option<u32>) -> Option<u32> {
        header("x-mbx-used-weight-1m")
    }

    fn is_transient(&self, body: &str) -> bool {
        // <https://developers.binance.com/docs/binance-spot-api-docs/errors>: disconnected, timeout, server busy.
        ["{\"code\":-1001,", "{\"code\":-1007,", "{\"code\":-1008,"].iter().any(|code| body.starts_with(code))
    }

    fn is_leaving(&self, frame: &str) -> bool {
        frame.contains("\"e\":\"serverShutdown\"")
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
            Ask::Launching | Ask::Instrument(_) => return None,
            Ask::Tickers => (format!("{base}/ticker/24hr"), of(80, 40)),
            Ask::Ticker(native) => (format!("{base}/ticker/24hr?symbol={native}"), of(2, 1)),
            Ask::Klines(native, timeframe, n) => {
                let interval = interval(*timeframe)?;
                let n = (*n).clamp(1, 1_000);
                let by_length = [(100, 1), (500, 2), (u32::MAX, 5)].into_iter().find(|(more, _)| n < *more)?.1;
                (format!("{base}/klines?symbol={native}&interval={interval}&limit={n}"), of(2, by_length))
            }
            Ask::Trades(native) => (format!("{base}/aggTrades?symbol={native}&limit=100"), of(4, 20)),
            Ask::TradesFrom(native, from, n, _) => {
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
            Ask::Instruments | Ask::Launching | Ask::Instrument(_) => {
                self.decode_instruments(body, ts_recv, &mut events)
            }
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
struct Acknowledged<'a> {
    id: u64,
    #[serde(borrow)]
    error: Option<sonic_rs::LazyValue<'a>>,
}
