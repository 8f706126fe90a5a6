//! The emulated venue's Bybit v5: the public streams, one category each.
//!
//! Documented at <https://bybit-exchange.github.io/docs/v5/ws/connect>.

mod market;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::extract::ws::WebSocketUpgrade;
use axum::http::StatusCode;
use axum::routing::get;
use prism_schemas::event::{Instrument, Ticker};
use prism_schemas::time::{MILLISECOND, MINUTE, SECOND};
use prism_schemas::{Decimal, Market, Ts};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::Shared;
use super::limits::{Limit, TOO_OFTEN};
use super::stream::{Face, upgrade};
use super::venue::{Done, Happened, Level, Moved, Sent};

/// Topics that spot takes in one request.
const SPOT_ARGS: usize = 10;

/// 600 requests in 5 s from one address: <https://bybit-exchange.github.io/docs/v5/rate-limit>.
pub(super) const LIMIT: Limit = Limit {
    weight: 600,
    window: 5 * SECOND,
    leaks: false,
    of: |_, _| 1,
    caps: &[],
    beyond: (StatusCode::FORBIDDEN, TOO_OFTEN),
    banned: StatusCode::FORBIDDEN,
    blocked: (
        StatusCode::FORBIDDEN,
        "<HTML><HEAD><TITLE>ERROR: The request could not be satisfied</TITLE></HEAD><BODY><H1>403 ERROR</H1>\
         The Amazon CloudFront distribution is configured to block access from your country.</BODY></HTML>",
    ),
    headers: |_, left, reset| {
        vec![("x-bapi-limit", 600), ("x-bapi-limit-status", left as i64), ("x-bapi-limit-reset-timestamp", reset)]
    },
};

/// The stream of a category, and requests.
pub(super) fn routes(market: Market) -> [Router<Arc<Shared>>; 2] {
    let stream = get(async move |State(shared): State<Arc<Shared>>, socket: WebSocketUpgrade| {
        upgrade(shared, &LIMIT, socket, |number| Stream {
            market,
            topics: BTreeMap::new(),
            updates: BTreeMap::new(),
            told: BTreeMap::new(),
            name: format!("emulator-{number}"),
        })
    });
    [Router::new().route(&format!("/v5/public/{}", market.name()), stream), market::routes(market)]
}

/// One connection.
struct Stream {
    market: Market,
    /// Topics, and the update that their snapshot had.
    topics: BTreeMap<String, u64>,
    /// The newest update of each symbol's book, as venues number it.
    updates: BTreeMap<String, u64>,
    /// The ticker of each symbol as it was told last.
    told: BTreeMap<String, Map<String, Value>>,
    name: String,
}

#[derive(Deserialize)]
struct Request {
    #[serde(default)]
    req_id: Value,
    op: String,
    #[serde(default)]
    args: Vec<String>,
}

fn pairs(levels: &[Level]) -> Vec<[String; 2]> {
    levels.iter().map(|(price, size)| [price.to_string(), size.to_string()]).collect()
}

fn book_message(topic: &str, symbol: &str, moved: &Moved) -> String {
    let kind = if moved.whole { "snapshot" } else { "delta" };
    let (ts, u) = (moved.ts / MILLISECOND, moved.number - moved.origin);
    let data = json!({"s": symbol, "b": pairs(&moved.bids), "a": pairs(&moved.asks), "u": u, "seq": moved.number});
    json!({"topic": topic, "type": kind, "ts": ts + 1, "data": data, "cts": ts}).to_string()
}

/// Spot says less, and has best prices only where they are asked for.
fn ticker_data(market: Market, symbol: &str, ticker: &Ticker, has_best: bool) -> Map<String, Value> {
    let mut data = Map::new();
    data.insert("symbol".into(), symbol.into());
    let of_all = [
        ("lastPrice", ticker.last),
        ("prevPrice24h", ticker.open_24h),
        ("highPrice24h", ticker.high_24h),
        ("lowPrice24h", ticker.low_24h),
        ("turnover24h", ticker.turnover_24h),
        ("volume24h", ticker.volume_24h),
    ];
    let of_contracts = [
        ("markPrice", ticker.mark),
        ("indexPrice", ticker.index),
        ("openInterest", ticker.open_interest.map(both)),
        ("openInterestValue", ticker.open_interest_value.map(both)),
        ("singleOpenInterest", ticker.open_interest),
        ("singleOpenInterestValue", ticker.open_interest_value),
        ("fundingRate", ticker.funding_rate),
    ];
    let best = [
        ("bid1Price", ticker.bid_price),
        ("bid1Size", ticker.bid_size),
        ("ask1Price", ticker.ask_price),
        ("ask1Size", ticker.ask_size),
    ];
    let is_spot = market == Market::Spot;
    for (name, value) in of_all
        .into_iter()
        .chain(best.into_iter().filter(|_| has_best))
        .chain(of_contracts.into_iter().filter(|_| !is_spot))
    {
        if let Some(value) = value {
            data.insert(name.into(), value.to_string().into());
        }
    }
    if let Some(next) = ticker.next_funding_ts.filter(|_| !is_spot) {
        data.insert("nextFundingTime".into(), (next / MILLISECOND).to_string().into());
        data.insert("fundingIntervalHour".into(), "8".into());
    }
    data
}

/// Open contracts of both sides together.
fn both(one: Decimal) -> Decimal {
    Decimal::new(one.mantissa * 2, one.decimals)
}

fn side(buy: bool) -> &'static str {
    if buy { "Buy" } else { "Sell" }
}

impl Face for Stream {
    /// An acknowledgement, and snapshots of what was subscribed to.
    fn answers(&mut self, text: &str, shared: &Shared) -> Vec<String> {
        let name = self.name.clone();
        let Ok(request) = serde_json::from_str::<Request>(text) else {
            return vec![json!({"success": false, "ret_msg": "Invalid JSON", "conn_id": name, "op": ""}).to_string()];
        };
        let reply = |success: bool, message: String| {
            let Request { req_id, op, .. } = &request;
            json!({"success": success, "ret_msg": message, "conn_id": name, "req_id": req_id, "op": op}).to_string()
        };
        match &*request.op {
            "ping" => vec![reply(true, "pong".into())],
            "unsubscribe" => {
                self.topics.retain(|topic, _| !request.args.contains(topic));
                vec![reply(true, String::new())]
            }
            "subscribe" => {
                let venue = shared.venue();
                if self.market == Market::Spot && SPOT_ARGS < request.args.len() {
                    return vec![reply(false, "error:args size >10".into())];
                }
                let unknown = request.args.iter().find(|topic| !is_known(self.market, topic, &venue.instruments));
                if let Some(unknown) = unknown.or_else(|| shared.refused(&request.args)) {
                    return vec![reply(false, format!("error:handler not found,topic:{unknown}"))];
                }
                if let Some(known) = request.args.iter().find(|topic| self.topics.contains_key(*topic)) {
                    return vec![reply(false, format!("error:already subscribed,topic:{known}"))];
                }
                let mut answers = vec![reply(true, String::new())];
                for topic in &request.args {
                    let symbol = topic.rsplit('.').next().unwrap_or_default();
                    let mut update = 0;
                    if topic.starts_with("orderbook.")
                        && let Some(known) = venue.books.get(symbol)
                    {
                        update = known.number;
                        self.updates.insert(symbol.into(), known.number - known.origin);
                        let mut moved = known.whole((shared.clock)());
                        if topic.starts_with("orderbook.1.") {
                            [moved.bids, moved.asks] = known.levels(1);
                        }
                        answers.push(book_message(topic, symbol, &moved));
                    }
                    if topic.starts_with("tickers.")
                        && let Some((ts, ticker)) = venue.tickers.get(symbol)
                    {
                        self.told.remove(symbol);
                        answers.extend(self.ticker(symbol, *ts, ticker));
                    }
                    self.topics.insert(topic.clone(), update);
                }
                answers
            }
            other => vec![reply(false, format!("error:unknown op,op:{other}"))],
        }
    }

    fn tell(&mut self, sent: &Sent) -> Vec<String> {
        let symbol = &*sent.symbol;
        let wanted = |topic: &str| self.topics.contains_key(topic);
        match &sent.happened {
            Happened::Traded(done) => {
                let topic = format!("publicTrade.{symbol}");
                if !wanted(&topic) {
                    return Vec::new();
                }
                let Done { id, number, price, size, buy, .. } = done;
                let ts = done.ts / MILLISECOND;
                let data = json!([{
                    "T": ts, "s": symbol, "S": side(*buy), "v": size.to_string(), "p": price.to_string(), "L": "ZeroPlusTick",
                    "i": id, "BT": false, "seq": number,
                }]);
                vec![json!({"topic": topic, "type": "snapshot", "ts": ts + 1, "data": data}).to_string()]
            }
            // The market's book is told whole whatever the depth: it has no more levels than that.
            Happened::Moved(moved) => {
                let topics = ["50", "200", "1000"].map(|depth| format!("orderbook.{depth}.{symbol}"));
                let due =
                    topics.iter().filter(|topic| self.topics.get(*topic).is_some_and(|from| *from < moved.number));
                let messages = due.map(|topic| book_message(topic, symbol, moved)).collect();
                if wanted(&format!("orderbook.1.{symbol}")) {
                    self.updates.insert(symbol.into(), moved.number - moved.origin);
                }
                messages
            }
            Happened::Ticked(ts, ticker) => self.ticked(symbol, *ts, ticker),
            Happened::Closed(start, bar) => {
                let topic = format!("kline.1.{symbol}");
                if !wanted(&topic) {
                    return Vec::new();
                }
                let (from, to) = (start / MILLISECOND, (start + MINUTE) / MILLISECOND);
                let [open, high, low, close] = [bar.open, bar.high, bar.low, bar.close].map(|price| price.to_string());
                let (volume, turnover) = (format!("{:.6}", bar.volume), format!("{:.4}", bar.turnover));
                let data = json!([{
                    "start": from, "end": to - 1, "interval": "1", "open": open, "close": close, "high": high, "low": low,
                    "volume": volume, "turnover": turnover, "confirm": true, "timestamp": to,
                }]);
                vec![json!({"topic": topic, "type": "snapshot", "ts": to, "data": data}).to_string()]
            }
            Happened::Liquidated(ts, buy, price, size) => {
                let topic = format!("allLiquidation.{symbol}");
                if !wanted(&topic) {
                    return Vec::new();
                }
                // S is the position's side.
                let (ts, price, size) = (ts / MILLISECOND, price.to_string(), size.to_string());
                let data = json!([{"T": ts, "s": symbol, "S": side(!buy), "v": size, "p": price}]);
                vec![json!({"topic": topic, "type": "snapshot", "ts": ts, "data": data}).to_string()]
            }
        }
    }
}

impl Stream {
    /// The ticker: whole at first, then of contracts what changed (`v5/websocket/public/ticker`: "If a response param is not
    /// found in the message, then its value has not changed"; 467 of 471 recorded frames).
    fn ticker(&mut self, symbol: &str, ts: Ts, ticker: &Ticker) -> Option<String> {
        let is_spot = self.market == Market::Spot;
        let mut data = ticker_data(self.market, symbol, ticker, !is_spot);
        let before = self.told.insert(symbol.into(), data.clone()).filter(|_| !is_spot);
        if let Some(before) = &before {
            data.retain(|name, value| name == "symbol" || before.get(name) != Some(value));
        }
        let kind = if before.is_some() { "delta" } else { "snapshot" };
        let (topic, ts) = (format!("tickers.{symbol}"), ts / MILLISECOND);
        let is_new = before.is_none() || 1 < data.len();
        is_new.then(|| json!({"topic": topic, "type": kind, "data": data, "cs": ts, "ts": ts}).to_string())
    }

    /// The ticker, and the best levels, which are whole every time.
    fn ticked(&mut self, symbol: &str, ts: Ts, ticker: &Ticker) -> Vec<String> {
        let [topic, best] = ["tickers", "orderbook.1"].map(|kind| format!("{kind}.{symbol}"));
        let mut messages = Vec::new();
        if self.topics.contains_key(&topic) {
            messages.extend(self.ticker(symbol, ts, ticker));
        }
        if self.topics.contains_key(&best) {
            let level = |price: Option<Decimal>, size| price.zip(size).into_iter().collect();
            let [bids, asks] = [level(ticker.bid_price, ticker.bid_size), level(ticker.ask_price, ticker.ask_size)];
            let number = self.updates.get(symbol).copied().unwrap_or_default();
            let moved = Moved { ts, number, origin: 0, whole: true, bids, asks };
            messages.push(book_message(&best, symbol, &moved));
        }
        messages
    }
}

fn is_known(market: Market, topic: &str, instruments: &BTreeMap<String, Instrument>) -> bool {
    match topic.split('.').collect::<Vec<_>>()[..] {
        ["allLiquidation", _] if market == Market::Spot => false,
        ["publicTrade" | "tickers" | "allLiquidation", symbol] => instruments.contains_key(symbol),
        ["orderbook", "1" | "50" | "200" | "1000", symbol] | ["kline", "1", symbol] => instruments.contains_key(symbol),
        _ => false,
    }
}
