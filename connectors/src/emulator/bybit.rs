//! The emulated venue's Bybit v5: the public stream of linear contracts, and market requests.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use prism_schemas::event::{Instrument, Ticker};
use prism_schemas::time::{HOUR, MILLISECOND, MINUTE, SECOND};
use prism_schemas::{Decimal, Timeframe, Ts};
use serde::Deserialize;
use serde_json::{Value, json};

use super::limits::Limit;
use super::stream::{Face, upgrade};
use super::venue::{Done, Happened, Level, Moved, Sent, TIMEFRAMES};
use super::{Shared, identity, share};

/// 600 requests in 5 s from one address: <https://bybit-exchange.github.io/docs/v5/rate-limit>.
pub(super) const LIMIT: Limit = Limit {
    weight: 600,
    window: 5 * SECOND,
    of: |_, _| 1,
    beyond: StatusCode::FORBIDDEN,
    banned: StatusCode::FORBIDDEN,
    headers: |_, left, reset| {
        vec![("x-bapi-limit", 600), ("x-bapi-limit-status", left as i64), ("x-bapi-limit-reset-timestamp", reset)]
    },
};

/// The stream, and requests.
pub(super) fn routes() -> [Router<Arc<Shared>>; 2] {
    let requests = Router::new()
        .route("/v5/market/time", get(time))
        .route("/v5/market/instruments-info", get(instruments))
        .route("/v5/market/tickers", get(tickers))
        .route("/v5/market/kline", get(klines))
        .route("/v5/market/recent-trade", get(trades))
        .route("/v5/market/orderbook", get(orderbook))
        .route("/v5/market/open-interest", get(open_interest))
        .route("/v5/market/funding/history", get(funding))
        .route("/v5/market/account-ratio", get(account_ratio))
        .route("/v5/market/risk-limit", get(risk_limit));
    [Router::new().route("/v5/public/linear", get(stream)), requests]
}

async fn stream(State(shared): State<Arc<Shared>>, socket: WebSocketUpgrade) -> Response {
    upgrade(shared, socket, |number| Stream { topics: BTreeMap::new(), name: format!("emulator-{number}") })
}

/// One connection.
struct Stream {
    /// Topics, and the update that their snapshot had.
    topics: BTreeMap<String, u64>,
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

fn ticker_data(symbol: &str, ticker: &Ticker) -> Value {
    let mut data = serde_json::Map::new();
    data.insert("symbol".into(), symbol.into());
    for (name, value) in [
        ("lastPrice", ticker.last),
        ("prevPrice24h", ticker.open_24h),
        ("highPrice24h", ticker.high_24h),
        ("lowPrice24h", ticker.low_24h),
        ("markPrice", ticker.mark),
        ("indexPrice", ticker.index),
        ("openInterest", ticker.open_interest),
        ("openInterestValue", ticker.open_interest_value),
        ("turnover24h", ticker.turnover_24h),
        ("volume24h", ticker.volume_24h),
        ("fundingRate", ticker.funding_rate),
        ("bid1Price", ticker.bid_price),
        ("bid1Size", ticker.bid_size),
        ("ask1Price", ticker.ask_price),
        ("ask1Size", ticker.ask_size),
    ] {
        if let Some(value) = value {
            data.insert(name.into(), value.to_string().into());
        }
    }
    if let Some(next) = ticker.next_funding_ts {
        data.insert("nextFundingTime".into(), (next / MILLISECOND).to_string().into());
    }
    data.into()
}

fn ticker_message(symbol: &str, ts: Ts, ticker: &Ticker) -> String {
    let topic = format!("tickers.{symbol}");
    let ts = ts / MILLISECOND;
    json!({"topic": topic, "type": "snapshot", "data": ticker_data(symbol, ticker), "cs": ts, "ts": ts}).to_string()
}

fn side(buy: bool) -> &'static str {
    if buy { "Buy" } else { "Sell" }
}

impl Face for Stream {
    /// An acknowledgement, and snapshots of what was subscribed to.
    fn answers(&mut self, text: &str, shared: &Shared) -> Vec<String> {
        let name = &self.name;
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
                let unknown = request.args.iter().find(|topic| !is_known(topic, &venue.instruments));
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
                        answers.push(book_message(topic, symbol, &known.whole((shared.clock)())));
                    }
                    if topic.starts_with("tickers.")
                        && let Some((ts, ticker)) = venue.tickers.get(symbol)
                    {
                        answers.push(ticker_message(symbol, *ts, ticker));
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
            Happened::Moved(moved) => ["50", "200", "1000"]
                .iter()
                .map(|depth| format!("orderbook.{depth}.{symbol}"))
                .filter(|topic| self.topics.get(topic).is_some_and(|from| *from < moved.number))
                .map(|topic| book_message(&topic, symbol, moved))
                .collect(),
            Happened::Ticked(ts, ticker) => {
                let topic = format!("tickers.{symbol}");
                if wanted(&topic) { vec![ticker_message(symbol, *ts, ticker)] } else { Vec::new() }
            }
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

fn is_known(topic: &str, instruments: &BTreeMap<String, Instrument>) -> bool {
    match topic.split('.').collect::<Vec<_>>()[..] {
        ["publicTrade" | "tickers" | "allLiquidation", symbol] => instruments.contains_key(symbol),
        ["orderbook", "50" | "200" | "1000", symbol] | ["kline", "1", symbol] => instruments.contains_key(symbol),
        _ => false,
    }
}

/// The parameters that market requests have.
#[derive(Deserialize)]
struct Asked {
    category: Option<String>,
    #[serde(default)]
    symbol: String,
    interval: Option<String>,
    #[serde(rename = "intervalTime")]
    interval_time: Option<String>,
    period: Option<String>,
    limit: Option<usize>,
}

type Answered = Result<Value, &'static str>;

/// As Bybit answers, refusals too.
fn answer(shared: &Shared, asked: Option<&Asked>, of: impl FnOnce() -> Answered) -> Response {
    let now = (shared.clock)() / MILLISECOND;
    let result = match asked {
        Some(asked) if asked.category.as_deref() != Some("linear") => Err("params error: Category is invalid"),
        _ => of(),
    };
    let body = match result {
        Ok(result) => json!({"retCode": 0, "retMsg": "OK", "result": result, "retExtInfo": {}, "time": now}),
        Err(message) => json!({"retCode": 10001, "retMsg": message, "result": {}, "retExtInfo": {}, "time": now}),
    };
    Json(body).into_response()
}

/// A list as Bybit answers it.
fn listed(list: impl Iterator<Item = Value>) -> Answered {
    Ok(json!({"category": "linear", "list": list.collect::<Vec<_>>(), "nextPageCursor": ""}))
}

const NO_SYMBOL: &str = "params error: symbol invalid";

async fn time(State(shared): State<Arc<Shared>>) -> Response {
    let now = (shared.clock)();
    answer(&shared, None, || Ok(json!({"timeSecond": (now / SECOND).to_string(), "timeNano": now.to_string()})))
}

async fn instruments(State(shared): State<Arc<Shared>>, Query(asked): Query<Asked>) -> Response {
    let text = |number: Option<Decimal>| number.map(|number| number.to_string());
    let one = |(symbol, one): (&String, &Instrument)| {
        let (base, quote, is_open) = identity(symbol, one);
        json!({
            "symbol": symbol, "contractType": "LinearPerpetual", "status": if is_open { "Trading" } else { "Closed" },
            "baseCoin": base, "quoteCoin": quote, "settleCoin": quote, "priceFilter": {"tickSize": text(one.tick_size)},
            "lotSizeFilter": {"qtyStep": text(one.lot_size), "minOrderQty": text(one.min_size)},
        })
    };
    answer(&shared, Some(&asked), || {
        let venue = shared.venue();
        let of = venue.instruments.iter().filter(|(symbol, _)| asked.symbol.is_empty() || asked.symbol == **symbol);
        listed(of.map(one))
    })
}

async fn tickers(State(shared): State<Arc<Shared>>, Query(asked): Query<Asked>) -> Response {
    answer(&shared, Some(&asked), || {
        let venue = shared.venue();
        let of = venue.tickers.iter().filter(|(symbol, _)| asked.symbol.is_empty() || asked.symbol == **symbol);
        listed(of.map(|(symbol, (_, ticker))| ticker_data(symbol, ticker)))
    })
}

async fn klines(State(shared): State<Arc<Shared>>, Query(asked): Query<Asked>) -> Response {
    let timeframe = match asked.interval.as_deref() {
        Some("D") => Some(Timeframe::D1),
        Some("W") => Some(Timeframe::W1),
        Some(minutes) => TIMEFRAMES.into_iter().find(|timeframe| minutes.parse() == Ok(timeframe.length() / MINUTE)),
        None => None,
    };
    answer(&shared, Some(&asked), || {
        let timeframe = timeframe.ok_or("params error: interval is invalid")?;
        let venue = shared.venue();
        let bars = venue.bars(&asked.symbol, timeframe).ok_or(NO_SYMBOL)?;
        let row = |(start, bar): (&Ts, &super::venue::Bar)| {
            let [open, high, low, close] = [bar.open, bar.high, bar.low, bar.close].map(|price| price.to_string());
            let (volume, turnover) = (format!("{:.6}", bar.volume), format!("{:.4}", bar.turnover));
            json!([(start / MILLISECOND).to_string(), open, high, low, close, volume, turnover])
        };
        listed(bars.rev().take(asked.limit.unwrap_or(200).clamp(1, 1_000)).map(row))
    })
}

async fn trades(State(shared): State<Arc<Shared>>, Query(asked): Query<Asked>) -> Response {
    let row = |done: &Done| {
        json!({
            "execId": done.id, "symbol": asked.symbol, "price": done.price.to_string(), "size": done.size.to_string(),
            "side": side(done.buy), "time": (done.ts / MILLISECOND).to_string(), "isBlockTrade": false,
            "seq": done.number.to_string(),
        })
    };
    answer(&shared, Some(&asked), || {
        let venue = shared.venue();
        let trades = venue.trades.get(&asked.symbol).into_iter().flatten();
        listed(trades.rev().take(asked.limit.unwrap_or(500).clamp(1, 1_000)).map(row))
    })
}

async fn orderbook(State(shared): State<Arc<Shared>>, Query(asked): Query<Asked>) -> Response {
    answer(&shared, Some(&asked), || {
        let venue = shared.venue();
        let known = venue.books.get(&asked.symbol).ok_or(NO_SYMBOL)?;
        let [bids, asks] = known.levels(asked.limit.unwrap_or(25).clamp(1, 500));
        let (now, u) = ((shared.clock)() / MILLISECOND, known.number - known.origin);
        let (bids, asks) = (pairs(&bids), pairs(&asks));
        Ok(json!({"s": asked.symbol, "b": bids, "a": asks, "ts": now, "u": u, "seq": known.number, "cts": now}))
    })
}

async fn open_interest(State(shared): State<Arc<Shared>>, Query(asked): Query<Asked>) -> Response {
    answer(&shared, Some(&asked), || {
        if asked.interval_time.as_deref() != Some("5min") {
            return Err("params error: intervalTime invalid");
        }
        let now = Timeframe::M5.start((shared.clock)()) / MILLISECOND;
        let venue = shared.venue();
        let (_, ticker) = venue.tickers.get(&asked.symbol).ok_or(NO_SYMBOL)?;
        let row = |open: Decimal| json!({"openInterest": open.to_string(), "timestamp": now.to_string()});
        Ok(json!({
            "category": "linear", "symbol": asked.symbol, "list": ticker.open_interest.map(row).into_iter().collect::<Vec<_>>(),
            "nextPageCursor": "",
        }))
    })
}

async fn funding(State(shared): State<Arc<Shared>>, Query(asked): Query<Asked>) -> Response {
    answer(&shared, Some(&asked), || {
        let venue = shared.venue();
        let (_, ticker) = venue.tickers.get(&asked.symbol).ok_or(NO_SYMBOL)?;
        let settled = ticker.next_funding_ts.map(|next| ((next - 8 * HOUR) / MILLISECOND).to_string());
        let row = |(rate, ts): (Decimal, String)| json!({"symbol": asked.symbol, "fundingRate": rate.to_string(), "fundingRateTimestamp": ts});
        listed(ticker.funding_rate.zip(settled).map(row).into_iter())
    })
}

/// Of the newest trades: the market has no accounts.
async fn account_ratio(State(shared): State<Arc<Shared>>, Query(asked): Query<Asked>) -> Response {
    answer(&shared, Some(&asked), || {
        if asked.period.as_deref() != Some("5min") {
            return Err("params error: period invalid");
        }
        let venue = shared.venue();
        let trades = venue.trades.get(&asked.symbol).ok_or(NO_SYMBOL)?;
        let n_bought = trades.iter().filter(|done| done.buy).count();
        let [buy, sell] = [n_bought, trades.len() - n_bought].map(|part| share(part, trades.len()));
        let ts = (Timeframe::M5.start((shared.clock)()) / MILLISECOND).to_string();
        listed(std::iter::once(json!({"symbol": asked.symbol, "buyRatio": buy, "sellRatio": sell, "timestamp": ts})))
    })
}

async fn risk_limit(State(shared): State<Arc<Shared>>, Query(asked): Query<Asked>) -> Response {
    answer(&shared, Some(&asked), || {
        if !shared.venue().instruments.contains_key(&asked.symbol) {
            return Err(NO_SYMBOL);
        }
        let tier = |n: i64| {
            let margin = |part: i64| Decimal::new(part * n, 4).to_string();
            json!({
                "id": n, "symbol": asked.symbol, "riskLimitValue": (2_000_000 * n).to_string(),
                "maintenanceMargin": margin(50), "initialMargin": margin(100), "isLowestRisk": i32::from(n == 1),
                "maxLeverage": Decimal::new(10_000 / n, 2).to_string(),
            })
        };
        listed((1..=5).map(tier))
    })
}
