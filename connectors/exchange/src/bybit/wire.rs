//! Bybit v5 on the wire: subscriptions, keep-alive and market requests.
//!
//! Documented at <https://bybit-exchange.github.io/docs/v5/ws/connect> and <https://bybit-exchange.github.io/docs/v5/market/kline>;
//! limits at <https://bybit-exchange.github.io/docs/v5/rate-limit>: 600 requests in 5 s from one address, and on a
//! connection 21,000 characters of arguments, of which spot takes ten at once.

use prism_schemas::{Market, Timeframe, Ts};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::answers::{Reply, TimeAnswer};
use super::{Bybit, Events, is_known, timeframe};
use crate::{Answer, Ask, Channels, DecodeError, Exchange, Fields, Holders, Limits, Request, Throttled, Wire};

/// Instruments in one answer, at most.
const PAGE: u32 = 1_000;

const MONTHS: [&str; 12] = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];

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

impl Wire for Bybit {
    fn addresses(&self) -> [&'static str; 2] {
        ["wss://stream.bybit.com", "https://api.bybit.com"]
    }

    fn regions(&self) -> &'static [(&'static str, [&'static str; 2])] {
        // <https://bybit-exchange.github.io/docs/v5/guide>
        &[
            ("bybit.eu", ["wss://stream.bybit.eu", "https://api.bybit.eu"]),
            ("bytick.com", ["wss://stream.bybit.com", "https://api.bytick.com"]),
        ]
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

    fn subscribe(&self, topics: &[String], number: u64) -> Vec<String> {
        vec![serde_json::json!({"req_id": number.to_string(), "op": "subscribe", "args": topics}).to_string()]
    }

    fn unsubscribe(&self, topics: &[String], number: u64) -> Vec<String> {
        vec![serde_json::json!({"req_id": number.to_string(), "op": "unsubscribe", "args": topics}).to_string()]
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
        Limits { topics_per_request: 10, topics_per_connection: 400, weight: 600, window: 5, pace: 0, hourly: u32::MAX }
    }

    fn used(&self, header: &dyn Fn(&str) -> Option<u32>) -> Option<u32> {
        // Of the request's own kind, which has the least left.
        header("x-bapi-limit")?.checked_sub(header("x-bapi-limit-status")?)
    }

    fn throttled(&self, body: &str) -> Option<Throttled> {
        // <https://bybit-exchange.github.io/docs/v5/error>: of an endpoint; of an address, and of everybody.
        let says = |code: &&str| body.strip_prefix("{\"retCode\":").is_some_and(|rest| rest.starts_with(code));
        if says(&"10006,") {
            return Some(Throttled::Kind);
        }
        ["10018,", "10429,"].iter().any(says).then_some(Throttled::All)
    }

    fn is_transient(&self, body: &str) -> bool {
        // The server timed out, or failed: <https://bybit-exchange.github.io/docs/v5/error>.
        ["{\"retCode\":10000,", "{\"retCode\":10016,"].iter().any(|code| body.starts_with(code))
    }

    fn native(&self, symbol: &str) -> String {
        // Dated contracts have a dash: BTCUSDT-25SEP26.
        let dated = || {
            let (head, tail) = symbol.split_at_checked(symbol.len().checked_sub(5)?)?;
            let (month, year) = tail.split_at_checked(3)?;
            let (name, day) = head.split_at(head.trim_end_matches(|c: char| c.is_ascii_digit()).len());
            let is_date = (1..=2).contains(&day.len()) && MONTHS.contains(&month) && year.parse::<u8>().is_ok();
            (is_date && !name.is_empty() && self.market != Market::Spot).then(|| format!("{name}-{day}{tail}"))
        };
        dated().unwrap_or_else(|| symbol.into())
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
            // <https://bybit-exchange.github.io/docs/v5/market/instrument>: only those that trade, unless asked; spot has no others.
            Ask::Launching if !is_spot => {
                format!("/v5/market/instruments-info?category={category}&status=PreLaunch&limit={PAGE}")
            }
            Ask::Launching | Ask::Instrument(_) => return None,
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
        if !matches!(ask, Ask::Instruments | Ask::Launching) {
            return None;
        }
        let answer: Reply<'_, IgnoredAny> = Fields { kind: "instruments-info" }.json(body).ok()?;
        let cursor = answer.result.cursor.filter(|cursor| !cursor.is_empty())?;
        let Request { path, weight, cap } = self.request(ask)?;
        // It comes as it goes into an address.
        Some(Request { path: format!("{path}&cursor={cursor}"), weight, cap })
    }

    fn answer(&mut self, ask: &Ask<'_>, body: &str, ts_recv: Ts, out: &mut Events) -> Result<(), DecodeError> {
        let mut events = Events::new();
        match ask {
            Ask::Instruments | Ask::Launching | Ask::Instrument(_) => {
                self.decode_instruments(body, ts_recv, &mut events)
            }
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
struct Acknowledged<'a> {
    #[serde(rename = "req_id")]
    number: &'a str,
    success: bool,
    #[serde(rename = "ret_msg")]
    message: &'a str,
}
