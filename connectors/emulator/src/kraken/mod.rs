//! The emulated venue's Kraken: the spot streams (v2).
//!
//! Documented at <https://docs.kraken.com/api/docs/guides/spot-ws-intro> and
//! <https://docs.kraken.com/api/docs/websocket-v2/book>; refusals as recorded from the venue in 2026.

mod book;
mod market;
mod pairs;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::extract::ws::WebSocketUpgrade;
use axum::http::StatusCode;
use axum::routing::get;
use prism_schemas::event::{Instrument, Ticker};
use prism_schemas::time::SECOND;
use prism_schemas::{Decimal, Ts};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::Shared;
use super::limits::{COUNTRY, Limit};
use super::stream::{Face, upgrade};
use super::venue::{Done, Happened, Known, Level, Sent, Venue};
use book::{Book, DEPTHS};
use pairs::{Pair, instant, volume};

/// As measured: some thirty at once, then one a second. That it was too much is said with the status of a good answer.
pub(super) const LIMIT: Limit = Limit {
    weight: 30,
    window: 30 * SECOND,
    leaks: true,
    of: |_, _| 1,
    caps: &[],
    beyond: (StatusCode::OK, r#"{"error":["EGeneral:Too many requests"]}"#),
    banned: StatusCode::FORBIDDEN,
    blocked: COUNTRY,
    headers: |_, _, _| Vec::new(),
};

/// Who hears nothing else for so long is told that the connection lives.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// Trades that are told at first to who wants them.
const TRADES: usize = 50;

/// The stream, and requests.
pub(super) fn routes() -> [Router<Arc<Shared>>; 2] {
    let stream = get(async move |State(shared): State<Arc<Shared>>, socket: WebSocketUpgrade| {
        upgrade(shared, &LIMIT, socket, |number| Stream {
            pairs: BTreeMap::new(),
            books: BTreeMap::new(),
            trades: BTreeSet::new(),
            tickers: BTreeMap::new(),
            moved: BTreeMap::new(),
            traded: BTreeSet::new(),
            best: BTreeMap::new(),
            heard: Instant::now(),
            number,
        })
    });
    [Router::new().route("/v2", stream), market::routes()]
}

/// One connection; all is by symbol.
struct Stream {
    pairs: BTreeMap<String, Pair>,
    books: BTreeMap<String, Book>,
    trades: BTreeSet<String>,
    /// Whether best prices make a message, or trades do.
    tickers: BTreeMap<String, bool>,
    /// Books that changed since they were told, and when.
    moved: BTreeMap<String, Ts>,
    /// What was traded since its ticker was told.
    traded: BTreeSet<String>,
    /// The best levels as they were told last.
    best: BTreeMap<String, [Vec<Level>; 2]>,
    /// When anything was told.
    heard: Instant,
    number: u64,
}

#[derive(Deserialize)]
struct Request {
    method: String,
    #[serde(default)]
    params: Value,
    req_id: Option<i64>,
}

/// What was asked of one channel.
struct Wanted<'a> {
    request: &'a Request,
    channel: &'a str,
    has_snapshot: bool,
    now: Ts,
}

impl Wanted<'_> {
    fn depth(&self) -> Option<usize> {
        let depth = &self.request.params["depth"];
        let depth = if depth.is_null() { Some(DEPTHS[0] as u64) } else { depth.as_u64() };
        depth.map(|depth| depth as usize).filter(|depth| DEPTHS.contains(depth))
    }

    fn by_best(&self) -> Option<bool> {
        match self.request.params["event_trigger"].as_str() {
            Some("bbo") => Some(true),
            None | Some("trades") => Some(false),
            Some(_) => None,
        }
    }

    /// What the channel was taken as.
    fn result(&self, name: &str) -> Value {
        let mut result = json!({"channel": self.channel, "symbol": name});
        if self.channel == "book" {
            result["depth"] = self.depth().into();
        }
        if self.request.method == "subscribe" {
            result["snapshot"] = self.has_snapshot.into();
            if self.channel == "ticker" {
                let by_best = self.by_best().unwrap_or_default();
                result["event_trigger"] = if by_best { "bbo" } else { "trades" }.into();
            }
        }
        result
    }

    fn accepted(&self, name: &str) -> String {
        answer(self.request, self.now, json!({"result": self.result(name), "success": true}))
    }

    fn refused(&self, name: &str, error: &str) -> String {
        answer(self.request, self.now, json!({"error": error, "symbol": name, "success": false}))
    }
}

/// With its method, its number, and when it came and went.
fn answer(request: &Request, now: Ts, mut answer: Value) -> String {
    let method = if request.method == "ping" { "pong" } else { &request.method };
    (answer["method"], answer["time_in"], answer["time_out"]) =
        (method.into(), instant(now).into(), instant(now).into());
    if let Some(number) = request.req_id {
        answer["req_id"] = number.into();
    }
    answer.to_string()
}

/// A message with its rows.
fn message(channel: &str, kind: &str, rows: &[String]) -> String {
    format!("{{\"channel\":\"{channel}\",\"type\":\"{kind}\",\"data\":[{}]}}", rows.join(","))
}

fn trade_row(pair: &Pair, done: &Done) -> String {
    format!(
        "{{\"symbol\":\"{}\",\"side\":\"{}\",\"price\":{},\"qty\":{},\"ord_type\":\"{}\",\"trade_id\":{},\"timestamp\":\"{}\"}}",
        pair.name,
        if done.buy { "buy" } else { "sell" },
        pair.price(done.price),
        volume(done.size),
        if done.number.is_multiple_of(3) { "limit" } else { "market" },
        done.number,
        instant(done.ts),
    )
}

/// The best prices and the last day; nothing until all of it is known.
fn ticker_row(pair: &Pair, ticker: &Ticker, [bids, asks]: &[Vec<Level>; 2], ts: Ts) -> Option<String> {
    let best = |levels: &[Level], price: Option<Decimal>, size| levels.first().copied().or_else(|| price.zip(size));
    let (bid, bid_size) = best(bids, ticker.bid_price, ticker.bid_size)?;
    let (ask, ask_size) = best(asks, ticker.ask_price, ticker.ask_size)?;
    let (last, open, sum) = (ticker.last?, ticker.open_24h?, ticker.volume_24h?);
    let mean = ticker.turnover_24h?.to_f64() / sum.to_f64().max(f64::MIN_POSITIVE);
    let change = last.to_f64() - open.to_f64();
    let percent = 100.0 * change / open.to_f64().max(f64::MIN_POSITIVE);
    let decimals = pair.decimals as usize;
    Some(format!(
        "{{\"symbol\":\"{}\",\"bid\":{},\"bid_qty\":{},\"ask\":{},\"ask_qty\":{},\"last\":{},\"volume\":{},\
         \"vwap\":{mean:.decimals$},\"low\":{},\"high\":{},\"change\":{change:.decimals$},\"change_pct\":{percent:.2},\
         \"timestamp\":\"{}\"}}",
        pair.name,
        pair.price(bid),
        volume(bid_size),
        pair.price(ask),
        volume(ask_size),
        pair.price(last),
        volume(sum),
        pair.price(ticker.low_24h?),
        pair.price(ticker.high_24h?),
        instant(ts),
    ))
}

impl Stream {
    /// The answer for one symbol, and what is told of it at once.
    fn subscribe(&mut self, wanted: &Wanted<'_>, name: &str, shared: &Shared) -> Vec<String> {
        let refused = |error: &str| vec![wanted.refused(name, error)];
        let found = self.pairs.iter().find(|(_, pair)| pair.name == name);
        let found = found.filter(|_| shared.refused(&[format!("{}:{name}", wanted.channel)]).is_none());
        let Some((symbol, pair)) = found.map(|(symbol, pair)| (symbol.clone(), pair.clone())) else {
            return refused(&format!("Currency pair not supported {name}"));
        };
        let venue = shared.venue();
        let is_known = match wanted.channel {
            "book" => self.books.contains_key(&symbol),
            "trade" => self.trades.contains(&symbol),
            _ => self.tickers.contains_key(&symbol),
        };
        if is_known {
            return refused("Already subscribed");
        }
        let mut answers = vec![wanted.accepted(name)];
        let first = match wanted.channel {
            "book" => {
                let Some(depth) = wanted.depth() else { return refused("Subscription depth not supported") };
                let mut book = Book::new(depth);
                let first = venue.books.get(&symbol).and_then(|known| book.told(&pair, known, wanted.now));
                self.books.insert(symbol, book);
                first
            }
            "trade" => {
                let trades = venue.trades.get(&symbol).into_iter().flatten();
                let skip = trades.clone().count().saturating_sub(TRADES);
                let rows: Vec<String> = trades.skip(skip).map(|done| trade_row(&pair, done)).collect();
                self.trades.insert(symbol);
                (!rows.is_empty()).then(|| message("trade", "snapshot", &rows))
            }
            _ => {
                let Some(by_best) = wanted.by_best() else { return refused("Event trigger not supported") };
                self.tickers.insert(symbol.clone(), by_best);
                self.ticker(&symbol, "snapshot", wanted.now, &venue)
            }
        };
        answers.extend(first.filter(|_| wanted.has_snapshot));
        answers
    }

    fn unsubscribe(&mut self, wanted: &Wanted<'_>, name: &str) -> String {
        let Some(symbol) = self.pairs.iter().find(|(_, pair)| pair.name == name).map(|(symbol, _)| symbol.clone())
        else {
            return wanted.refused(name, &format!("Currency pair not supported {name}"));
        };
        let is_gone = match wanted.channel {
            "book" => {
                let is_it = self.books.get(&symbol).is_some_and(|book| Some(book.depth) == wanted.depth());
                is_it && self.books.remove(&symbol).is_some()
            }
            "trade" => self.trades.remove(&symbol),
            _ => self.tickers.remove(&symbol).is_some(),
        };
        if is_gone { wanted.accepted(name) } else { wanted.refused(name, "Subscription Not Found") }
    }

    fn ticker(&mut self, symbol: &str, kind: &str, ts: Ts, venue: &Venue) -> Option<String> {
        let best = venue.books.get(symbol).map(|known| known.levels(1)).unwrap_or_default();
        let (_, ticker) = venue.tickers.get(symbol)?;
        let row = ticker_row(self.pairs.get(symbol)?, ticker, &best, ts)?;
        self.best.insert(symbol.into(), best);
        Some(message("ticker", kind, &[row]))
    }

    /// Books as they are now, and the tickers that wait for that or for a trade.
    fn tell_moved(&mut self, shared: &Shared) -> Vec<String> {
        let (moved, traded) = (std::mem::take(&mut self.moved), std::mem::take(&mut self.traded));
        if moved.is_empty() && traded.is_empty() {
            return Vec::new();
        }
        let (stalled, now) = (shared.stalled().clone(), (shared.clock)());
        let venue = shared.venue();
        let mut messages = Vec::new();
        let mut due: BTreeSet<&String> =
            traded.iter().filter(|symbol| self.tickers.get(*symbol) == Some(&false)).collect();
        for (symbol, ts) in &moved {
            let here = self.pairs.get(symbol).zip(venue.books.get(symbol)).filter(|_| !stalled.contains(symbol));
            let Some((pair, known)): Option<(&Pair, &Known)> = here else { continue };
            messages.extend(self.books.get_mut(symbol).and_then(|book| book.told(pair, known, *ts)));
            if self.tickers.get(symbol) == Some(&true) && self.best.get(symbol) != Some(&known.levels(1)) {
                due.insert(symbol);
            }
        }
        for symbol in due.into_iter().filter(|symbol| !stalled.contains(*symbol)) {
            messages.extend(self.ticker(symbol, "update", now, &venue));
        }
        messages
    }
}

impl Face for Stream {
    /// An answer for each symbol.
    fn answers(&mut self, text: &str, shared: &Shared) -> Vec<String> {
        let now = (shared.clock)();
        let Ok(request) = serde_json::from_str::<Request>(text) else {
            let none = Request { method: String::new(), params: Value::Null, req_id: None };
            return vec![answer(&none, now, json!({"error": "Malformed request", "success": false}))];
        };
        if request.method == "ping" {
            return vec![answer(&request, now, json!({}))];
        }
        let refused = |error: &str| vec![answer(&request, now, json!({"error": error, "success": false}))];
        if !["subscribe", "unsubscribe"].contains(&&*request.method) {
            return refused("Unsupported method");
        }
        let channel = request.params["channel"].as_str().unwrap_or_default().to_string();
        if !["book", "trade", "ticker"].contains(&&*channel) {
            return refused("Unsupported channel");
        }
        let names = request.params["symbol"].as_array().cloned().unwrap_or_default();
        let names: Vec<&str> = names.iter().filter_map(Value::as_str).collect();
        if names.is_empty() {
            return refused("Pair(s) not found");
        }
        let spell = |(symbol, one): (&String, &Instrument)| (symbol.clone(), Pair::of(symbol, one));
        self.pairs = shared.venue().instruments.iter().map(spell).collect();
        let has_snapshot = request.params["snapshot"].as_bool().unwrap_or(channel != "trade");
        let wanted = Wanted { request: &request, channel: &channel, has_snapshot, now };
        self.heard = Instant::now();
        match &*request.method {
            "subscribe" => names.into_iter().flat_map(|name| self.subscribe(&wanted, name, shared)).collect(),
            _ => names.into_iter().map(|name| self.unsubscribe(&wanted, name)).collect(),
        }
    }

    fn tell(&mut self, sent: &Sent) -> Vec<String> {
        let symbol = &*sent.symbol;
        match &sent.happened {
            Happened::Traded(done) => {
                if self.tickers.contains_key(symbol) {
                    self.traded.insert(symbol.into());
                }
                let pair = self.pairs.get(symbol).filter(|_| self.trades.contains(symbol));
                let Some(pair) = pair else { return Vec::new() };
                self.heard = Instant::now();
                vec![message("trade", "update", &[trade_row(pair, done)])]
            }
            Happened::Moved(moved) => {
                if self.books.contains_key(symbol) || self.tickers.contains_key(symbol) {
                    self.moved.insert(symbol.into(), moved.ts);
                }
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    fn due(&mut self, shared: &Shared) -> Vec<String> {
        let mut messages = self.tell_moved(shared);
        let is_anything = !(self.books.is_empty() && self.trades.is_empty() && self.tickers.is_empty());
        if is_anything && messages.is_empty() && HEARTBEAT <= self.heard.elapsed() {
            messages.push(json!({"channel": "heartbeat"}).to_string());
        }
        if !messages.is_empty() {
            self.heard = Instant::now();
        }
        messages
    }

    fn greets(&self) -> Vec<String> {
        let status = json!({
            "version": "2.0.10", "system": "online", "api_version": "v2",
            "connection_id": 18_125_794_168_470_749_634_u64.wrapping_add(self.number),
        });
        vec![json!({"channel": "status", "type": "update", "data": [status]}).to_string()]
    }
}
