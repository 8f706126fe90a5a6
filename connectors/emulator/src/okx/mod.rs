//! The emulated venue's OKX v5: the public and business streams of USDT swaps and of spot.
//!
//! Documented at <https://www.okx.com/docs-v5/en/#overview-websocket>.

mod books;
mod market;
mod spelling;
mod statistics;
mod trades;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::extract::ws::WebSocketUpgrade;
use axum::http::StatusCode;
use axum::routing::get;
use prism_schemas::event::{Instrument, Ticker};
use prism_schemas::time::{HOUR, MINUTE, SECOND};
use prism_schemas::{Decimal, Market, Timeframe, Ts};
use serde::Deserialize;
use serde_json::{Value, json};

use super::limits::{COUNTRY, Limit};
use super::stream::{Face, upgrade};
use super::venue::{Done, Happened, Sent, Venue};
use super::{Shared, millis};
use books::Books;
use spelling::Spelled;
use trades::together;

/// Each address has a limit of its own, nothing is said in headers: <https://www.okx.com/docs-v5/en/#overview-rate-limits>.
pub(super) const LIMIT: Limit = Limit {
    weight: 0,
    window: SECOND,
    leaks: false,
    of: |_, _| 0,
    caps: &market::CAPS,
    beyond: (StatusCode::TOO_MANY_REQUESTS, r#"{"msg":"Too Many Requests","code":"50011"}"#),
    banned: StatusCode::FORBIDDEN,
    blocked: COUNTRY,
    headers: |_, _, _| Vec::new(),
};

/// Between two settlements.
const FUNDING: i64 = 8 * HOUR;
/// Requests for topics on one connection within an hour.
const REQUESTS: usize = 480;
/// Bytes of one request.
const BYTES: usize = 64 << 10;
/// A connection on which nobody says anything for so long is cut.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two messages of open interest, of funding and of a bar that is not over.
const EVERY: [(&str, i64); 3] = [("open-interest", 3 * SECOND), ("funding-rate", MINUTE), ("candle1m", SECOND)];

/// What the public address tells of swaps, by instrument; the first five of spot, too.
const PUBLIC: [&str; 8] =
    ["books", "bbo-tbt", "trades", "tickers", "index-tickers", "mark-price", "open-interest", "funding-rate"];
const N_SPOT: usize = 5;
/// What the business address tells.
const BUSINESS: [&str; 2] = ["trades-all", "candle1m"];

/// The streams, and requests.
pub(super) fn routes(market: Market) -> [Router<Arc<Shared>>; 2] {
    let lane = |is_business| {
        get(async move |State(shared): State<Arc<Shared>>, socket: WebSocketUpgrade| {
            upgrade(shared, &LIMIT, socket, |number| Stream {
                market,
                is_business,
                topics: BTreeSet::new(),
                spelled: BTreeMap::new(),
                books: Books::default(),
                traded: BTreeMap::new(),
                marks: BTreeMap::new(),
                requests: VecDeque::new(),
                next: EVERY.map(|_| 0),
                name: format!("{:08x}", 0xa4d3_ae55_u32.wrapping_add(number as u32)),
            })
        })
    };
    let streams = Router::new().route("/ws/v5/public", lane(false)).route("/ws/v5/business", lane(true));
    [streams, market::routes(market)]
}

/// One connection.
struct Stream {
    market: Market,
    is_business: bool,
    /// Channels, and of which instrument or kind of instruments.
    topics: BTreeSet<(String, String)>,
    /// By symbol.
    spelled: BTreeMap<String, Spelled>,
    books: Books,
    /// What was traded and is not told yet, by symbol.
    traded: BTreeMap<String, Vec<Done>>,
    /// Mark and index as they were told last, by symbol.
    marks: BTreeMap<String, [Option<Decimal>; 2]>,
    /// When topics were asked for.
    requests: VecDeque<Ts>,
    /// When each of what comes every now and then is next.
    next: [Ts; 3],
    name: String,
}

#[derive(Deserialize)]
struct Request {
    id: Option<String>,
    op: String,
    args: Vec<Value>,
}

impl Stream {
    /// The topic of an argument, if this address has it.
    fn topic(&self, arg: &Value, venue: &Venue) -> Option<(String, String)> {
        let text = |name: &str| arg[name].as_str();
        let channel = text("channel")?;
        if channel == "liquidation-orders" {
            let kind = text("instType").filter(|kind| *kind == "SWAP" && !self.is_business)?;
            return (self.market != Market::Spot).then(|| (channel.into(), kind.into()));
        }
        let here: &[&str] = match (self.is_business, self.market) {
            (true, _) => &BUSINESS,
            (false, Market::Spot) => &PUBLIC[..N_SPOT],
            _ => &PUBLIC,
        };
        let inst = text("instId").filter(|_| here.contains(&channel))?;
        let is_index = channel == "index-tickers";
        // An index has the name of the pair, whatever is traded on it.
        let market = if is_index { Market::Spot } else { self.market };
        Spelled::find(market, venue, inst).map(|_| (channel.into(), inst.into()))
    }

    fn has(&self, channel: &str, of: &str) -> bool {
        self.topics.contains(&(channel.to_string(), of.to_string()))
    }

    /// How a symbol is called.
    fn spelled(&self, symbol: &str) -> Spelled {
        let guess = || Spelled::of(self.market, symbol, &Instrument::default());
        self.spelled.get(symbol).cloned().unwrap_or_else(guess)
    }

    /// The symbols whose instruments a channel was asked for.
    fn symbols_of(&self, channel: &str) -> Vec<(String, Spelled)> {
        let all = self.spelled.iter().filter(|(_, spelled)| self.has(channel, &spelled.inst));
        all.map(|(symbol, spelled)| (symbol.clone(), spelled.clone())).collect()
    }

    fn error(&self, id: Option<&str>, code: &str, message: &str) -> String {
        let mut error = json!({"event": "error", "code": code, "msg": message, "connId": self.name});
        if let Some(id) = id {
            error["id"] = id.into();
        }
        error.to_string()
    }

    /// The answer to one argument, and what is told of it at once.
    fn answer(&mut self, request: &Request, arg: &Value, shared: &Shared) -> Vec<String> {
        let venue = shared.venue();
        let topic = self.topic(arg, &venue);
        let topic = topic.filter(|(channel, of)| shared.refused(&[format!("{channel}:{of}")]).is_none());
        let Some(topic) = topic else {
            let text = |name: &str| arg[name].as_str().unwrap_or_default();
            let of = if arg["instId"].is_null() && !arg["instType"].is_null() { "instType" } else { "instId" };
            let message = format!(
                "Wrong URL or channel:{},{of}:{} doesn't exist. Please use the correct URL, channel and parameters \
                 referring to API document.",
                text("channel"),
                text(of)
            );
            return vec![self.error(request.id.as_deref(), "60018", &message)];
        };
        let mut reply = json!({"event": request.op, "arg": arg, "connId": self.name});
        if let Some(id) = &request.id {
            reply["id"] = id.as_str().into();
        }
        let mut answers = vec![reply.to_string()];
        if request.op == "unsubscribe" {
            self.books.forget(&topic.0, &topic.1);
            self.topics.remove(&topic);
            return answers;
        }
        let of = |one: &(&String, &Spelled)| [&one.1.inst, &one.1.family].contains(&&topic.1);
        if let Some((symbol, spelled)) = self.spelled.iter().find(of) {
            let first = self.first(&topic.0, symbol, spelled, &venue, (shared.clock)());
            answers.extend(first.map(|data| message(&topic.0, &topic.1, &data)));
            answers.extend(self.books.begin(&topic.0, symbol, spelled, &venue, (shared.clock)()));
        }
        self.topics.insert(topic);
        answers
    }

    /// What who asks for a channel is told first.
    fn first(&self, channel: &str, symbol: &str, spelled: &Spelled, venue: &Venue, now: Ts) -> Option<Value> {
        if channel == "candle1m" {
            let bars = venue.bars.get(&(symbol.to_string(), Timeframe::M1))?;
            // A minute that is over but not told to be is not followed by the next one yet.
            let (start, bar) = bars.get_key_value(&venue.open).or_else(|| bars.last_key_value())?;
            return Some(spelled.bar(*start, bar, false));
        }
        let (ts, ticker) = venue.tickers.get(symbol)?;
        match channel {
            "tickers" => Some(spelled.ticker(*ts, ticker)),
            "mark-price" => mark(spelled, *ts, ticker),
            "index-tickers" => index(spelled, *ts, ticker),
            "open-interest" => {
                let [open, base, value] = spelled.open_interest(ticker.open_interest?, ticker.mark);
                let ts = millis(now).to_string();
                Some(json!({
                    "instType": spelled.kind(), "instId": spelled.inst, "oi": open, "oiCcy": base, "oiUsd": value, "ts": ts,
                }))
            }
            "funding-rate" => spelled.funding(now, ticker),
            _ => None,
        }
    }

    /// What was traded since the last time.
    fn tell_trades(&mut self) -> Vec<String> {
        let mut messages = Vec::new();
        for (symbol, done) in std::mem::take(&mut self.traded) {
            let spelled = self.spelled(&symbol);
            messages.extend(together(&done).into_iter().map(|(done, n)| {
                let mut data = spelled.trade(&done);
                (data["count"], data["seqId"]) = (n.to_string().into(), done.number.into());
                message("trades", &spelled.inst, &data)
            }));
        }
        messages
    }

    /// The state of the market, and mark and index if they are others.
    fn ticked(&mut self, symbol: &str, ts: Ts, ticker: &Ticker) -> Vec<String> {
        let spelled = self.spelled(symbol);
        let before = self.marks.insert(symbol.into(), [ticker.mark, ticker.index]).unwrap_or_default();
        let mut messages = Vec::new();
        if self.has("tickers", &spelled.inst) {
            messages.push(message("tickers", &spelled.inst, &spelled.ticker(ts, ticker)));
        }
        if before[0] != ticker.mark && self.has("mark-price", &spelled.inst) {
            messages.extend(mark(&spelled, ts, ticker).map(|data| message("mark-price", &spelled.inst, &data)));
        }
        if before[1] != ticker.index && self.has("index-tickers", &spelled.family) {
            messages.extend(index(&spelled, ts, ticker).map(|data| message("index-tickers", &spelled.family, &data)));
        }
        messages
    }
}

fn mark(spelled: &Spelled, ts: Ts, ticker: &Ticker) -> Option<Value> {
    let (mark, ts) = (ticker.mark?.to_string(), millis(ts).to_string());
    Some(json!({"instType": spelled.kind(), "instId": spelled.inst, "markPx": mark, "ts": ts}))
}

/// Of spot what was traded last stands in for the index.
fn index(spelled: &Spelled, ts: Ts, ticker: &Ticker) -> Option<Value> {
    let text = |number: Option<Decimal>| number.map_or(String::new(), |number| number.to_string());
    let price = ticker.index.or(ticker.last)?.to_string();
    Some(json!({
        "instId": spelled.family, "idxPx": price, "high24h": text(ticker.high_24h), "low24h": text(ticker.low_24h),
        "open24h": text(ticker.open_24h), "sodUtc0": text(ticker.open_24h), "sodUtc8": text(ticker.open_24h),
        "ts": millis(ts).to_string(),
    }))
}

/// A message of one row.
fn message(channel: &str, inst: &str, data: &Value) -> String {
    json!({"arg": {"channel": channel, "instId": inst}, "data": [data]}).to_string()
}

impl Face for Stream {
    /// An answer to each argument: what cannot be had keeps nobody from having the others.
    fn answers(&mut self, text: &str, shared: &Shared) -> Vec<String> {
        if text == "ping" {
            return vec!["pong".into()];
        }
        let request = serde_json::from_str::<Request>(text).ok();
        let request = request.filter(|request| ["subscribe", "unsubscribe"].contains(&&*request.op));
        let Some(request) = request.filter(|request| !request.args.is_empty() && text.len() <= BYTES) else {
            return vec![self.error(None, "60012", &format!("Invalid request: {text}"))];
        };
        let now = (shared.clock)();
        self.requests.retain(|at| now < at + HOUR);
        if REQUESTS <= self.requests.len() {
            return vec![self.error(request.id.as_deref(), "60014", "Requests too frequent")];
        }
        self.requests.push_back(now);
        let spell = |(symbol, one): (&String, &Instrument)| (symbol.clone(), Spelled::of(self.market, symbol, one));
        let spelled: BTreeMap<_, _> = shared.venue().instruments.iter().map(spell).collect();
        self.spelled = spelled;
        request.args.iter().flat_map(|arg| self.answer(&request, arg, shared)).collect()
    }

    fn tell(&mut self, sent: &Sent) -> Vec<String> {
        let symbol = &*sent.symbol;
        match &sent.happened {
            Happened::Traded(done) => {
                let spelled = self.spelled(symbol);
                if self.has("trades", &spelled.inst) {
                    self.traded.entry(symbol.into()).or_default().push(done.clone());
                }
                let is_told = self.has("trades-all", &spelled.inst);
                is_told.then(|| message("trades-all", &spelled.inst, &spelled.trade(done))).into_iter().collect()
            }
            Happened::Moved(moved) => {
                self.books.moved(symbol, moved.ts);
                Vec::new()
            }
            Happened::Ticked(ts, ticker) => self.ticked(symbol, *ts, ticker),
            Happened::Closed(start, bar) => {
                let spelled = self.spelled(symbol);
                if !self.has("candle1m", &spelled.inst) {
                    return Vec::new();
                }
                vec![message("candle1m", &spelled.inst, &spelled.bar(*start, bar, true))]
            }
            Happened::Liquidated(ts, buy, price, size) => {
                if !self.has("liquidation-orders", "SWAP") {
                    return Vec::new();
                }
                let data = [self.spelled(symbol).liquidation(*ts, *buy, *price, *size)];
                let arg = json!({"channel": "liquidation-orders", "instType": "SWAP"});
                vec![json!({"arg": arg, "data": data}).to_string()]
            }
        }
    }

    /// Trades and books, and what comes every now and then.
    fn due(&mut self, shared: &Shared) -> Vec<String> {
        let mut messages = self.tell_trades();
        let now = (shared.clock)();
        let stalled = shared.stalled().clone();
        let venue = shared.venue();
        messages.extend(self.books.due(&venue, &stalled, now));
        for (at, (channel, every)) in EVERY.into_iter().enumerate() {
            if now < self.next[at] || venue.frozen {
                continue;
            }
            self.next[at] = now + every;
            let symbols = self.symbols_of(channel);
            for (symbol, spelled) in symbols.iter().filter(|(symbol, _)| !stalled.contains(symbol)) {
                let data = self.first(channel, symbol, spelled, &venue, now);
                messages.extend(data.map(|data| message(channel, &spelled.inst, &data)));
            }
        }
        messages
    }

    fn leaves(&self) -> Option<String> {
        let message = "The connection will soon be closed for a service upgrade. Please reconnect.";
        let notice = json!({"event": "notice", "code": "64008", "msg": message, "connId": self.name});
        // As documented the business address does not say so.
        (!self.is_business).then(|| notice.to_string())
    }

    fn patience(&self) -> Option<Duration> {
        Some(PATIENCE)
    }
}
