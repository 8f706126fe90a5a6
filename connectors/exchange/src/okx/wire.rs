//! OKX v5 on the wire: subscriptions, keep-alive and market requests of spot and USDT swaps.
//!
//! Documented at <https://www.okx.com/docs-v5/en/#overview-websocket> and <https://www.okx.com/docs-v5/en/#public-data-rest-api>:
//! 480 requests for topics an hour on a connection, 64 KB each, and each request's kind has a limit of its own, of an
//! address. Every topic is acknowledged alone. Trades one by one, with the numbers that requests give them, and bars are on
//! the address of business; `trades` on the other one sums trades up and leaves numbers out.

use std::borrow::Cow;

use prism_schemas::{Market, Timeframe, Ts};
use serde_json::json;

use super::answers::read;
use super::frames::{Arg, TimeItem};
use super::{Events, Okx};
use crate::{Answer, Ask, Cap, Channels, DecodeError, Fields, Holders, Limits, Request, Throttled, Wire};

/// Quotes of symbols that nobody told of.
const QUOTES: [&str; 7] = ["USDT", "USDC", "USD", "EUR", "BTC", "ETH", "OKB"];

/// A topic as its request has it: `books:BTC-USDT`.
fn args(topics: &[String]) -> Vec<serde_json::Value> {
    let arg = |(channel, of): (&str, &str)| match channel {
        "liquidation-orders" => json!({"channel": channel, "instType": of}),
        _ => json!({"channel": channel, "instId": of}),
    };
    topics.iter().filter_map(|topic| topic.split_once(':')).map(arg).collect()
}

/// The bars of UTC: without the ending the long ones are of Hong Kong.
fn bar(timeframe: Timeframe) -> Option<&'static str> {
    Some(match timeframe {
        Timeframe::M1 => "1m",
        Timeframe::M3 => "3m",
        Timeframe::M5 => "5m",
        Timeframe::M15 => "15m",
        Timeframe::M30 => "30m",
        Timeframe::H1 => "1H",
        Timeframe::H2 => "2H",
        Timeframe::H4 => "4H",
        Timeframe::H6 => "6Hutc",
        Timeframe::H12 => "12Hutc",
        Timeframe::D1 => "1Dutc",
        Timeframe::W1 => "1Wutc",
        Timeframe::Month => "1Mutc",
        _ => return None,
    })
}

impl Okx {
    fn kind(&self) -> &'static str {
        if self.market == Market::Spot { "SPOT" } else { "SWAP" }
    }
}

impl Wire for Okx {
    fn addresses(&self) -> [&'static str; 2] {
        ["wss://ws.okx.com:8443", "https://www.okx.com"]
    }

    fn regions(&self) -> &'static [(&'static str, [&'static str; 2])] {
        // <https://www.okx.com/docs-v5/en/#overview-production-trading-services>
        &[
            ("okx.eea", ["wss://wseea.okx.com:8443", "https://eea.okx.com"]),
            ("okx.us", ["wss://wsus.okx.com:8443", "https://us.okx.com"]),
        ]
    }

    fn lanes(&self) -> Vec<String> {
        vec!["/ws/v5/business".into(), "/ws/v5/public".into()]
    }

    fn topics(&self, lane: usize, native: &str, channels: Channels) -> Vec<String> {
        let is_swap = self.market != Market::Spot;
        let (mut business, mut public) = (Vec::new(), Vec::new());
        if channels.trades {
            business.push(format!("trades-all:{native}"));
        }
        if channels.klines {
            business.push(format!("candle1m:{native}"));
        }
        if 0 < channels.depth {
            public.extend(self.book_topic(native, channels.depth));
        }
        if channels.tickers {
            public.push(format!("tickers:{native}"));
        }
        if channels.tickers && is_swap {
            public.extend(["mark-price", "open-interest", "funding-rate"].map(|channel| format!("{channel}:{native}")));
            // The index has the pair's name.
            public.extend(native.strip_suffix("-SWAP").map(|pair| format!("index-tickers:{pair}")));
        }
        if channels.liquidations && is_swap {
            public.push("liquidation-orders:SWAP".into());
        }
        if lane == 0 { business } else { public }
    }

    fn book_topic(&self, native: &str, _depth: u32) -> Option<String> {
        Some(format!("books:{native}"))
    }

    fn subscribe(&self, topics: &[String], number: u64) -> Vec<String> {
        vec![json!({"id": number.to_string(), "op": "subscribe", "args": args(topics)}).to_string()]
    }

    fn unsubscribe(&self, topics: &[String], number: u64) -> Vec<String> {
        vec![json!({"id": number.to_string(), "op": "unsubscribe", "args": args(topics)}).to_string()]
    }

    fn answered(&self, frame: &str) -> Option<(u64, Answer)> {
        // {"id":"1","event":"subscribe","arg":{"channel":"tickers","instId":"BTC-USDT"},"connId":"accb8e21"}
        let answer: Acknowledged<'_> = sonic_rs::from_str(frame).ok()?;
        let number = answer.number?.parse().ok()?;
        match (answer.event, answer.arg) {
            ("subscribe", Some(Arg { channel, instrument })) => {
                // Of a kind of instruments, where it is not of one.
                let of = instrument.unwrap_or(self.kind());
                Some((number, Answer::One(format!("{channel}:{of}"), true)))
            }
            ("error", _) if says(frame, &["60014"]) => Some((number, Answer::Later)),
            ("error", _) => {
                Some((number, refused(&answer.message?).map_or(Answer::Refused, |topic| Answer::One(topic, false))))
            }
            _ => None,
        }
    }

    fn ping(&self) -> Option<&'static str> {
        Some("ping")
    }

    fn limits(&self) -> Limits {
        Limits { topics_per_request: 50, topics_per_connection: 240, weight: 20, window: 2, pace: 350, hourly: 450 }
    }

    fn used(&self, _header: &dyn Fn(&str) -> Option<u32>) -> Option<u32> {
        None
    }

    fn throttled(&self, body: &str) -> Option<Throttled> {
        // Each endpoint has its own limit.
        says(body, &["50011"]).then_some(Throttled::Kind)
    }

    fn is_transient(&self, body: &str) -> bool {
        // <https://www.okx.com/docs-v5/en/#error-code-rest-api>: unavailable, timeout, busy, system error.
        says(body, &["50001", "50004", "50013", "50026"])
    }

    fn is_leaving(&self, frame: &str) -> bool {
        // A minute before an upgrade ends the connection.
        frame.contains("\"event\":\"notice\"") && says(frame, &["64008"])
    }

    fn native(&self, symbol: &str) -> String {
        let of = |quote: &&'static str| {
            symbol.strip_suffix(*quote).filter(|base| !base.is_empty()).map(|base| (base, *quote))
        };
        let swap = if self.market == Market::Spot { "" } else { "-SWAP" };
        match QUOTES.iter().find_map(of) {
            Some((base, quote)) => format!("{base}-{quote}{swap}"),
            None => symbol.into(),
        }
    }

    fn is_no_symbol(&self, body: &str) -> bool {
        says(body, &["51001"])
    }

    fn time(&self, body: &str) -> Result<Ts, DecodeError> {
        let fields = Fields { kind: "time" };
        let items: Vec<TimeItem<'_>> = read(fields, body)?;
        fields.millis("ts", fields.integer("ts", fields.some("ts", items.first())?.ts)?)
    }

    fn asked<'a>(&self, url: &'a str) -> Option<Ask<'a>> {
        let (path, query) = url.split_once('?').unwrap_or((url, ""));
        let value = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        let native = value("instId");
        let (_, name) = path.split_once("/api/v5/")?;
        let timeframe = |name: &str| Timeframe::ALL.iter().copied().find(|timeframe| bar(*timeframe) == Some(name));
        Some(match name {
            "public/instruments" => Ask::Instruments,
            "market/tickers" => Ask::Tickers,
            "market/ticker" => Ask::Ticker(native?),
            "market/candles" | "market/history-candles" => {
                Ask::Klines(native?, timeframe(value("bar").unwrap_or("1m"))?, 0)
            }
            "market/trades" | "market/history-trades" => Ask::Trades(native?),
            "market/books" => Ask::Book(native?, 0),
            "public/open-interest" => Ask::OpenInterest(native?, 1),
            "rubik/stat/contracts/open-interest-history" => Ask::OpenInterest(native?, 2),
            "public/funding-rate-history" => Ask::Funding(native?, 0),
            "public/time" => Ask::Time,
            _ => Ask::Ratio(native?, Holders::ALL.into_iter().find(|of| ratio(*of) == name)?, 0),
        })
    }

    fn request(&self, ask: &Ask<'_>) -> Option<Request> {
        let (kind, is_spot) = (self.kind(), self.market == Market::Spot);
        let (path, cap) = match ask {
            Ask::Instruments => (format!("public/instruments?instType={kind}"), None),
            Ask::Launching => return None,
            Ask::Instrument(native) => (format!("public/instruments?instType={kind}&instId={native}"), None),
            Ask::Tickers => (format!("market/tickers?instType={kind}"), None),
            Ask::Ticker(native) => (format!("market/ticker?instId={native}"), None),
            Ask::Klines(native, timeframe, n) => {
                let (bar, n) = (bar(*timeframe)?, (*n).clamp(1, 300));
                (format!("market/candles?instId={native}&bar={bar}&limit={n}"), None)
            }
            Ask::Trades(native) => (format!("market/trades?instId={native}&limit=500"), None),
            // Those before a number.
            Ask::TradesFrom(native, from, n, _) => {
                let n = (*n).clamp(1, 100);
                let after = from.saturating_add(n.into());
                (format!("market/history-trades?instId={native}&type=1&after={after}&limit={n}"), None)
            }
            Ask::Book(native, depth) => (format!("market/books?instId={native}&sz={}", (*depth).clamp(1, 400)), None),
            Ask::Time => ("public/time".into(), Some(("time", 10))),
            _ if is_spot => return None,
            Ask::OpenInterest(native, n) if 1 < *n => {
                let n = (*n).min(100);
                let path = format!("rubik/stat/contracts/open-interest-history?instId={native}&period=5m&limit={n}");
                (path, Some(("open-interest-history", 10)))
            }
            Ask::OpenInterest(native, _) => (format!("public/open-interest?instType=SWAP&instId={native}"), None),
            Ask::Funding(native, n) => {
                let n = (*n).clamp(1, 100);
                (format!("public/funding-rate-history?instId={native}&limit={n}"), Some(("funding-rate-history", 10)))
            }
            Ask::Ratio(native, of, n) => {
                let (name, n) = (ratio(*of), (*n).clamp(1, 100));
                // In coins, as sizes are told.
                let unit = if *of == Holders::Takers { "&unit=0" } else { "" };
                (format!("{name}?instId={native}&period=5m{unit}&limit={n}"), Some((name, 5)))
            }
            // Their limits count contracts, not value.
            Ask::RiskLimit(_) => return None,
        };
        let cap = cap.map(|(of, requests)| Cap { of, requests, window: 2 });
        Some(Request { path: format!("/api/v5/{path}"), weight: 1, cap })
    }

    fn answer(&mut self, ask: &Ask<'_>, body: &str, ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
        let mut events = Events::new();
        match ask {
            Ask::Instruments | Ask::Launching | Ask::Instrument(_) => {
                self.decode_instruments(body, ts_recv, &mut events)
            }
            Ask::Tickers | Ask::Ticker(_) => self.ask_tickers(body, ts_recv, &mut events),
            Ask::Klines(native, timeframe, _) => Okx::ask_klines(native, *timeframe, body, ts_recv, &mut events),
            Ask::Trades(_) | Ask::TradesFrom(..) => self.ask_trades(body, ts_recv, &mut events),
            Ask::Book(native, _) => self.ask_book(native, body, ts_recv, &mut events),
            Ask::OpenInterest(native, n) if 1 < *n => Okx::ask_open_interests(native, body, ts_recv, &mut events),
            Ask::OpenInterest(..) => Okx::ask_open_interest(body, ts_recv, &mut events),
            Ask::Funding(..) => Okx::ask_funding(body, ts_recv, &mut events),
            Ask::Ratio(native, of, _) => Okx::ask_ratio(native, *of, body, ts_recv, &mut events),
            Ask::RiskLimit(_) => Err(DecodeError::Unknown("risk limits".into())),
            Ask::Time => self.time(body).map(drop),
        }?;
        // Swaps are listed whatever they are margined in; nobody asks for others here.
        events.retain(|(id, _)| id.market == self.market);
        out.append(&mut events);
        Ok(())
    }
}

/// The path of a ratio.
const fn ratio(of: Holders) -> &'static str {
    match of {
        Holders::Accounts => "rubik/stat/contracts/long-short-account-ratio-contract",
        Holders::TopAccounts => "rubik/stat/contracts/long-short-account-ratio-contract-top-trader",
        Holders::TopPositions => "rubik/stat/contracts/long-short-position-ratio-contract-top-trader",
        Holders::Takers => "rubik/stat/taker-volume-contract",
    }
}

/// Whether a body has one of these codes; its members come in any order.
fn says(body: &str, codes: &[&str]) -> bool {
    let said = body.split_once("\"code\":\"").and_then(|(_, rest)| rest.split_once('"'));
    said.is_some_and(|(code, _)| codes.contains(&code))
}

/// The topic that a refusal names, in words.
fn refused(message: &str) -> Option<String> {
    // Wrong URL or channel:books,instId:BTC-USDTX doesn't exist. Please use the correct URL, channel and parameters ...
    let (_, rest) = message.split_once("channel:")?;
    let (channel, rest) = rest.split_once(',')?;
    let (_, rest) = rest.split_once(':')?;
    let (of, _) = rest.split_once(" doesn't exist")?;
    Some(format!("{channel}:{of}"))
}

#[derive(serde::Deserialize)]
struct Acknowledged<'a> {
    #[serde(rename = "id")]
    number: Option<&'a str>,
    event: &'a str,
    #[serde(borrow)]
    arg: Option<Arg<'a>>,
    #[serde(rename = "msg", borrow)]
    message: Option<Cow<'a, str>>,
}
