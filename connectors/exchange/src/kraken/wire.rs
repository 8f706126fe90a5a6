//! Kraken spot on the wire: subscriptions of version 2 of its stream, and market requests.
//!
//! Documented at <https://docs.kraken.com/api/docs/websocket-v2/book>, <https://docs.kraken.com/api/docs/rest-api/get-ohlc-data>
//! and, for limits, <https://docs.kraken.com/api/docs/guides/spot-rest-ratelimits>; measured by others in 2026-10: some 30
//! requests at once, one a second for long, and status 200 on those beyond. One request to the stream is of one channel.

use prism_schemas::time::SECOND;
use prism_schemas::{Timeframe, Ts};
use serde::Deserialize;
use serde_json::{Value, json};

use super::answers::{read, request_name};
use super::{Events, Kraken};
use crate::{Answer, Ask, Channels, DecodeError, Fields, Limits, Request, Throttled, Wire};

/// Depths of books that can be subscribed to.
const DEPTHS: [u32; 5] = [10, 25, 100, 500, 1_000];

/// Kinds of topics: where one is refused, the number of the request tells of which kind it was.
const KINDS: [&str; 7] = ["trade", "ticker", "book-10", "book-25", "book-100", "book-500", "book-1000"];
const KINDS_MAX: u64 = 10;

/// The texts of a request for topics, one for each kind.
fn requests(method: &str, topics: &[String], number: u64) -> Vec<String> {
    let of = |kind: &str| {
        let of_kind =
            |topic: &'_ String| topic.split_once(':').filter(|(its, _)| *its == kind).map(|(_, pair)| pair.into());
        topics.iter().filter_map(of_kind).collect::<Vec<String>>()
    };
    let text = |(at, kind): (u64, &&str)| {
        let pairs = of(kind);
        if pairs.is_empty() {
            return None;
        }
        let mut asked = match kind.split_once('-') {
            Some((channel, depth)) => json!({"channel": channel, "depth": depth.parse::<u32>().unwrap_or(10)}),
            None => json!({"channel": kind}),
        };
        asked["symbol"] = pairs.into();
        if method == "subscribe" {
            // The trades before a subscription are asked for where they are owed.
            asked["snapshot"] = Value::from(*kind != "trade");
        }
        if *kind == "ticker" {
            asked["event_trigger"] = "bbo".into();
        }
        Some(json!({"method": method, "params": asked, "req_id": number * KINDS_MAX + at}).to_string())
    };
    (0..).zip(&KINDS).filter_map(text).collect()
}

/// Kraken's minutes; its weeks begin on Thursdays, and are no weeks of ours.
fn interval(timeframe: Timeframe) -> Option<u32> {
    Some(match timeframe {
        Timeframe::M1 => 1,
        Timeframe::M5 => 5,
        Timeframe::M15 => 15,
        Timeframe::M30 => 30,
        Timeframe::H1 => 60,
        Timeframe::H4 => 240,
        Timeframe::D1 => 1_440,
        _ => return None,
    })
}

impl Wire for Kraken {
    fn addresses(&self) -> [&'static str; 2] {
        ["wss://ws.kraken.com", "https://api.kraken.com"]
    }

    fn lanes(&self) -> Vec<String> {
        vec!["/v2".into()]
    }

    fn topics(&self, _lane: usize, native: &str, channels: Channels) -> Vec<String> {
        let mut topics = Vec::new();
        if channels.trades {
            topics.push(format!("trade:{native}"));
        }
        if 0 < channels.depth {
            topics.extend(self.book_topic(native, channels.depth));
        }
        if channels.tickers {
            topics.push(format!("ticker:{native}"));
        }
        // Its bars are not told to be over, and its trades are numbered without a hole.
        topics
    }

    fn book_topic(&self, native: &str, depth: u32) -> Option<String> {
        let depth = DEPTHS.into_iter().find(|have| depth <= *have).unwrap_or(1_000);
        Some(format!("book-{depth}:{native}"))
    }

    fn subscribe(&self, topics: &[String], number: u64) -> Vec<String> {
        requests("subscribe", topics, number)
    }

    fn unsubscribe(&self, topics: &[String], number: u64) -> Vec<String> {
        requests("unsubscribe", topics, number)
    }

    fn answered(&self, frame: &str) -> Option<(u64, Answer)> {
        let answer: Acknowledged<'_> = sonic_rs::from_str(frame).ok()?;
        if answer.method != "subscribe" {
            return None;
        }
        let (number, kind) = (answer.number / KINDS_MAX, *KINDS.get((answer.number % KINDS_MAX) as usize)?);
        let pair = answer.symbol.or(answer.result.and_then(|result| result.symbol))?;
        // {"error":"Already subscribed","method":"subscribe","req_id":1,"success":false,"symbol":"BTC/USD"}
        let is_sent = answer.success || answer.error.is_some_and(|error| error.starts_with("Already subscribed"));
        Some((number, Answer::One(format!("{kind}:{pair}"), is_sent)))
    }

    fn ping(&self) -> Option<&'static str> {
        Some("{\"method\":\"ping\"}")
    }

    fn limits(&self) -> Limits {
        Limits {
            topics_per_request: 100,
            topics_per_connection: 600,
            weight: 30,
            window: 30,
            pace: 250,
            hourly: u32::MAX,
        }
    }

    fn used(&self, _header: &dyn Fn(&str) -> Option<u32>) -> Option<u32> {
        None
    }

    fn throttled(&self, body: &str) -> Option<Throttled> {
        // <https://docs.kraken.com/api/docs/guides/spot-errors>.
        let errors = [
            "EGeneral:Too many requests",
            "EAPI:Rate limit exceeded",
            "EService: Throttled",
            "EGeneral:Temporary lockout",
        ];
        says(body, &errors).then_some(Throttled::All)
    }

    fn is_transient(&self, body: &str) -> bool {
        says(body, &["EService:Unavailable", "EService:Busy", "EService:Timeout", "EGeneral:Internal error"])
    }

    fn native(&self, symbol: &str) -> String {
        self.native_of(symbol).map_or_else(|| symbol.into(), Into::into)
    }

    fn is_no_symbol(&self, body: &str) -> bool {
        says(body, &["EQuery:Unknown asset pair"])
    }

    fn time(&self, body: &str) -> Result<Ts, DecodeError> {
        let fields = Fields { kind: "Time" };
        let now: Now = read(fields, body)?;
        let ts = now.seconds.checked_mul(SECOND).filter(|ts| 0 < *ts);
        // Whole seconds: it is somewhere within this one.
        ts.map(|ts| ts + SECOND / 2).ok_or_else(|| fields.wrong("unixtime", "is no time"))
    }

    fn asked<'a>(&self, url: &'a str) -> Option<Ask<'a>> {
        let (path, query) = url.split_once('?').unwrap_or((url, ""));
        let value = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        let pair = value("pair");
        let timeframe = || {
            let minutes = value("interval").map_or(Some(1), |text| text.parse().ok())?;
            Timeframe::ALL.iter().copied().find(|timeframe| interval(*timeframe) == Some(minutes))
        };
        Some(match path.rsplit('/').next()? {
            "AssetPairs" => Ask::Instruments,
            "Ticker" => pair.filter(|pair| !pair.contains(',')).map_or(Ask::Tickers, Ask::Ticker),
            "OHLC" => Ask::Klines(pair?, timeframe()?, 0),
            "Trades" => Ask::Trades(pair?),
            "Depth" => Ask::Book(pair?, 0),
            "Time" => Ask::Time,
            _ => return None,
        })
    }

    fn request(&self, ask: &Ask<'_>) -> Option<Request> {
        let named = |native: &str| request_name(native).unwrap_or_else(|| native.into());
        let path = match ask {
            Ask::Instruments => "/0/public/AssetPairs".into(),
            Ask::Tickers => "/0/public/Ticker".into(),
            Ask::Ticker(native) => format!("/0/public/Ticker?pair={}", named(native)),
            Ask::Klines(native, timeframe, _) => {
                format!("/0/public/OHLC?pair={}&interval={}", named(native), interval(*timeframe)?)
            }
            Ask::Trades(native) | Ask::TradesFrom(native, _, _, None) => {
                format!("/0/public/Trades?pair={}&count=1000", named(native))
            }
            // Those after the instant of the trade before, and a second more: numbers may follow each other where times do not.
            Ask::TradesFrom(native, _, _, Some(since)) => {
                format!("/0/public/Trades?pair={}&count=1000&since={}", named(native), since.saturating_sub(SECOND))
            }
            Ask::Book(native, depth) => {
                format!("/0/public/Depth?pair={}&count={}", named(native), (*depth).clamp(1, 500))
            }
            Ask::Time => "/0/public/Time".into(),
            // Spot has no positions.
            Ask::Launching | Ask::Instrument(_) => return None,
            Ask::OpenInterest(..) | Ask::Funding(..) | Ask::Ratio(..) | Ask::RiskLimit(_) => return None,
        };
        Some(Request { path, weight: 1, cap: None })
    }

    fn answer(&mut self, ask: &Ask<'_>, body: &str, ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
        let mut events = Events::new();
        match ask {
            Ask::Instruments | Ask::Launching | Ask::Instrument(_) => {
                self.decode_instruments(body, ts_recv, &mut events)
            }
            Ask::Tickers | Ask::Ticker(_) => self.ask_tickers(body, ts_recv, &mut events),
            Ask::Klines(native, timeframe, n) => self.ask_klines((native, *timeframe, *n), body, ts_recv, &mut events),
            Ask::Trades(native) | Ask::TradesFrom(native, ..) => self.ask_trades(native, body, ts_recv, &mut events),
            Ask::Book(native, _) => self.ask_book(native, body, ts_recv, &mut events),
            Ask::Time => self.time(body).map(drop),
            other => Err(DecodeError::Unknown(other.name().into())),
        }?;
        out.append(&mut events);
        Ok(())
    }
}

/// Whether an answer is one of these errors.
fn says(body: &str, errors: &[&str]) -> bool {
    let said = body.trim_start().strip_prefix("{\"error\":[\"");
    said.is_some_and(|said| errors.iter().any(|error| said.starts_with(error)))
}

// {"method":"subscribe","result":{"channel":"ticker","symbol":"BTC/USD","snapshot":true},"success":true,"req_id":11}
// {"error":"Currency pair not supported BTC/ABC","method":"subscribe","req_id":11,"success":false,"symbol":"BTC/ABC"}
#[derive(Deserialize)]
struct Acknowledged<'a> {
    method: &'a str,
    success: bool,
    #[serde(rename = "req_id")]
    number: u64,
    #[serde(borrow)]
    error: Option<std::borrow::Cow<'a, str>>,
    symbol: Option<&'a str>,
    #[serde(borrow)]
    result: Option<Subscribed<'a>>,
}

#[derive(Deserialize)]
struct Subscribed<'a> {
    symbol: Option<&'a str>,
}

// {"unixtime":1688669448,"rfc1123":"Thu, 06 Jul 23 18:50:48 +0000"}
#[derive(Deserialize)]
struct Now {
    #[serde(rename = "unixtime")]
    seconds: i64,
}
