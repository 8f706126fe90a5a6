//! The emulated venue's Bybit v5: the public stream of linear contracts, and market requests.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use axum::Router;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Query, State};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use prism_schemas::time::MILLISECOND;
use prism_schemas::{Decimal, Timeframe};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;

use super::faults::{Fate, Saboteur};
use super::limits::limited;
use super::venue::TIMEFRAMES;
use super::{Sent, Shared};

pub(super) fn routes(shared: &Arc<Shared>) -> Router<Arc<Shared>> {
    let requests = Router::new()
        .route("/v5/market/time", get(time))
        .route("/v5/market/instruments-info", get(instruments))
        .route("/v5/market/tickers", get(tickers))
        .route("/v5/market/kline", get(klines))
        .route("/v5/market/recent-trade", get(trades))
        .route("/v5/market/orderbook", get(orderbook))
        .layer(from_fn_with_state(shared.clone(), limited));
    Router::new().route("/v5/public/linear", get(stream)).merge(requests)
}

async fn stream(State(shared): State<Arc<Shared>>, upgrade: WebSocketUpgrade) -> Response {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Relaxed);
    upgrade.on_upgrade(move |socket| async move {
        // It ends when either side goes away, which is nobody's error.
        let _ = connection(shared, socket, number).await;
    })
}

#[derive(Deserialize)]
struct Request {
    #[serde(default)]
    req_id: Value,
    op: String,
    #[serde(default)]
    args: Vec<String>,
}

async fn connection(shared: Arc<Shared>, mut socket: WebSocket, number: u64) -> Result<(), axum::Error> {
    let mut sent = shared.sent.subscribe();
    let mut saboteur = Saboteur::new(shared.faults, number);
    // Topics, and the update that their snapshot had.
    let mut topics: BTreeMap<String, u64> = BTreeMap::new();
    let conn_id = format!("emulator-{number}");
    loop {
        tokio::select! {
            () = shared.over.cancelled() => return Ok(()),
            received = socket.recv() => {
                let text = match received {
                    None | Some(Err(_)) | Some(Ok(Message::Close(_))) => return Ok(()),
                    Some(Ok(Message::Text(text))) => text,
                    Some(Ok(_)) => continue,
                };
                let Ok(request) = serde_json::from_str::<Request>(&text) else {
                    let answer = json!({"success": false, "ret_msg": "Invalid JSON", "conn_id": conn_id, "op": ""});
                    socket.send(Message::text(answer.to_string())).await?;
                    continue;
                };
                for answer in answers(&shared, &request, &conn_id, &mut topics) {
                    socket.send(Message::text(answer)).await?;
                }
            }
            message = sent.recv() => match message {
                Ok(message) => {
                    for text in wanted(&message, &topics) {
                        match saboteur.fate(text, shared.calm.load(Relaxed)) {
                            Fate::Cut => return Ok(()),
                            Fate::Send(texts) => {
                                for text in texts {
                                    socket.send(Message::text(text)).await?;
                                }
                            }
                        }
                    }
                }
                // Too slow: venues cut such a connection.
                Err(RecvError::Lagged(_)) | Err(RecvError::Closed) => return Ok(()),
            },
        }
    }
}

/// The answers to a request: an acknowledgement, and snapshots of what was subscribed to.
fn answers(shared: &Shared, request: &Request, conn_id: &str, topics: &mut BTreeMap<String, u64>) -> Vec<String> {
    let reply = |success: bool, message: String| {
        json!({"success": success, "ret_msg": message, "conn_id": conn_id, "req_id": request.req_id, "op": request.op})
            .to_string()
    };
    match &*request.op {
        "ping" => vec![reply(true, "pong".into())],
        "unsubscribe" => {
            topics.retain(|topic, _| !request.args.contains(topic));
            vec![reply(true, String::new())]
        }
        "subscribe" => {
            let venue = shared.venue();
            if let Some(unknown) = request.args.iter().find(|topic| !is_known(topic, &venue.instruments)) {
                return vec![reply(false, format!("error:handler not found,topic:{unknown}"))];
            }
            let mut answers = vec![reply(true, String::new())];
            for topic in &request.args {
                let symbol = topic.rsplit('.').next().unwrap_or_default();
                let mut update = 0;
                if topic.starts_with("orderbook.")
                    && let Some(book) = venue.books.get(symbol)
                {
                    update = book.last_update().unwrap_or(0);
                    let (prices, sizes) = book.decimals();
                    let side = |levels: &mut dyn Iterator<Item = (i64, i64)>| -> Vec<[String; 2]> {
                        let text = |mantissa, decimals| Decimal::new(mantissa, decimals).shortest().to_string();
                        levels.map(|(price, size)| [text(price, prices), text(size, sizes)]).collect()
                    };
                    let (bids, asks) = (side(&mut book.bids()), side(&mut book.asks()));
                    let now = (shared.clock)() / MILLISECOND;
                    let data = json!({"s": symbol, "b": bids, "a": asks, "u": update, "seq": update});
                    let message = json!({"topic": topic, "type": "snapshot", "ts": now, "data": data, "cts": now});
                    answers.push(message.to_string());
                }
                if topic.starts_with("tickers.")
                    && let Some(ticker) = venue.tickers.get(symbol)
                {
                    answers.push(ticker.clone());
                }
                topics.insert(topic.clone(), update);
            }
            answers
        }
        other => vec![reply(false, format!("error:unknown op,op:{other}"))],
    }
}

fn is_known(topic: &str, instruments: &BTreeMap<String, prism_schemas::event::Instrument>) -> bool {
    match topic.split('.').collect::<Vec<_>>()[..] {
        ["publicTrade" | "tickers" | "allLiquidation", symbol] => instruments.contains_key(symbol),
        ["orderbook", "50" | "200" | "1000", symbol] => instruments.contains_key(symbol),
        _ => false,
    }
}

/// The message under each name that was subscribed to: the market sends books as 50 levels, which is all it has.
fn wanted(message: &Sent, topics: &BTreeMap<String, u64>) -> Vec<String> {
    let Some(symbol) = message.topic.strip_prefix("orderbook.50.") else {
        return topics.get(&message.topic).map(|_| message.text.clone()).into_iter().collect();
    };
    let names = ["50", "200", "1000"].map(|depth| format!("orderbook.{depth}.{symbol}"));
    let is_new = |name: &&String| topics.get(*name).is_some_and(|from| Some(*from) < message.update);
    names.iter().filter(is_new).map(|name| message.text.replacen(&message.topic, name, 1)).collect()
}

/// The parameters that market requests have.
#[derive(Deserialize)]
struct Asked {
    category: Option<String>,
    symbol: Option<String>,
    interval: Option<String>,
    limit: Option<usize>,
}

fn answer(shared: &Shared, result: &Value) -> Response {
    let now = (shared.clock)() / MILLISECOND;
    Json(json!({"retCode": 0, "retMsg": "OK", "result": result, "retExtInfo": {}, "time": now})).into_response()
}

fn refused(shared: &Shared, message: &str) -> Response {
    let now = (shared.clock)() / MILLISECOND;
    Json(json!({"retCode": 10001, "retMsg": message, "result": {}, "retExtInfo": {}, "time": now})).into_response()
}

async fn time(State(shared): State<Arc<Shared>>) -> Response {
    let now = (shared.clock)();
    answer(&shared, &json!({"timeSecond": (now / 1_000_000_000).to_string(), "timeNano": now.to_string()}))
}

async fn instruments(State(shared): State<Arc<Shared>>, Query(asked): Query<Asked>) -> Response {
    if asked.category.as_deref() != Some("linear") {
        return refused(&shared, "params error: Category is invalid");
    }
    let text = |number: Option<Decimal>| number.map(|number| number.to_string());
    let list: Vec<Value> = shared
        .venue()
        .instruments
        .iter()
        .filter(|(symbol, _)| asked.symbol.as_ref().is_none_or(|wanted| wanted == *symbol))
        .map(|(symbol, one)| {
            json!({
                "symbol": symbol, "contractType": one.contract_type, "status": one.status, "baseCoin": one.base,
                "quoteCoin": one.quote, "settleCoin": one.quote, "priceFilter": {"tickSize": text(one.tick_size)},
                "lotSizeFilter": {"qtyStep": text(one.lot_size), "minOrderQty": text(one.min_size)},
            })
        })
        .collect();
    answer(&shared, &json!({"category": "linear", "list": list, "nextPageCursor": ""}))
}

async fn tickers(State(shared): State<Arc<Shared>>, Query(asked): Query<Asked>) -> Response {
    let venue = shared.venue();
    let of = |(symbol, text): (&String, &String)| {
        let wanted = asked.symbol.as_ref().is_none_or(|wanted| wanted == symbol);
        let message: Value = serde_json::from_str(text).ok()?;
        wanted.then(|| message["data"].clone())
    };
    let list: Vec<Value> = venue.tickers.iter().filter_map(of).collect();
    drop(venue);
    answer(&shared, &json!({"category": "linear", "list": list}))
}

async fn klines(State(shared): State<Arc<Shared>>, Query(asked): Query<Asked>) -> Response {
    let timeframe = match asked.interval.as_deref() {
        Some("D") => Some(Timeframe::D1),
        Some("W") => Some(Timeframe::W1),
        Some(minutes) => TIMEFRAMES
            .into_iter()
            .find(|timeframe| minutes.parse() == Ok(timeframe.length() / prism_schemas::time::MINUTE)),
        None => None,
    };
    let (Some(symbol), Some(timeframe)) = (asked.symbol, timeframe) else {
        return refused(&shared, "params error: symbol or interval is invalid");
    };
    let limit = asked.limit.unwrap_or(200).clamp(1, 1_000);
    let venue = shared.venue();
    let bars = venue.bars.get(&(symbol.clone(), timeframe));
    let Some(bars) = bars else {
        drop(venue);
        return refused(&shared, "params error: symbol invalid");
    };
    let list: Vec<[String; 7]> = bars
        .iter()
        .rev()
        .take(limit)
        .map(|(start, bar)| {
            [
                (start / MILLISECOND).to_string(),
                bar.open.to_string(),
                bar.high.to_string(),
                bar.low.to_string(),
                bar.close.to_string(),
                format!("{:.6}", bar.volume),
                format!("{:.4}", bar.turnover),
            ]
        })
        .collect();
    drop(venue);
    answer(&shared, &json!({"category": "linear", "symbol": symbol, "list": list}))
}

async fn trades(State(shared): State<Arc<Shared>>, Query(asked): Query<Asked>) -> Response {
    let (symbol, limit) = (asked.symbol.unwrap_or_default(), asked.limit.unwrap_or(500).clamp(1, 1_000));
    let list: Vec<Value> = shared.venue().trades.get(&symbol).map_or(Vec::new(), |trades| {
        let json = |done: &super::venue::Done| {
            json!({
                "execId": done.id, "symbol": symbol, "price": done.price.to_string(), "size": done.size.to_string(),
                "side": if done.buy { "Buy" } else { "Sell" }, "time": (done.ts / MILLISECOND).to_string(),
                "isBlockTrade": false, "seq": done.seq.to_string(),
            })
        };
        trades.iter().rev().take(limit).map(json).collect()
    });
    answer(&shared, &json!({"category": "linear", "list": list}))
}

async fn orderbook(State(shared): State<Arc<Shared>>, Query(asked): Query<Asked>) -> Response {
    let (symbol, limit) = (asked.symbol.unwrap_or_default(), asked.limit.unwrap_or(25).clamp(1, 500));
    let Some(book) = shared.venue().books.get(&symbol).cloned() else {
        return refused(&shared, "params error: symbol invalid");
    };
    let (prices, sizes) = book.decimals();
    let level = |(price, size): (i64, i64)| {
        [Decimal::new(price, prices).shortest().to_string(), Decimal::new(size, sizes).shortest().to_string()]
    };
    let bids: Vec<_> = book.bids().take(limit).map(level).collect();
    let asks: Vec<_> = book.asks().take(limit).map(level).collect();
    let now = (shared.clock)() / MILLISECOND;
    answer(&shared, &json!({"s": symbol, "b": bids, "a": asks, "ts": now, "u": book.last_update(), "cts": now}))
}
