//! The emulated venue's Binance: spot and USD-M streams.
//!
//! Documented at <https://developers.binance.com/docs/binance-spot-api-docs/web-socket-streams>.

mod market;

pub(super) use market::{LIMIT_LINEAR, LIMIT_SPOT};

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::extract::ws::WebSocketUpgrade;
use axum::routing::get;
use prism_schemas::event::Ticker;
use prism_schemas::time::{MILLISECOND, MINUTE, SECOND};
use prism_schemas::{Decimal, Market, Ts};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Shared;
use super::stream::{Face, upgrade};
use super::venue::{Done, Happened, Sent};

/// The streams, and requests.
pub(super) fn routes(market: Market) -> [Router<Arc<Shared>>; 2] {
    // USD-M has two addresses, and each is silent about what belongs to the other:
    // <https://developers.binance.com/docs/derivatives/usds-margined-futures/websocket-market-streams/Important-WebSocket-Change-Notice>
    let lane = |kinds: &'static [&'static str]| {
        get(async move |State(shared): State<Arc<Shared>>, socket: WebSocketUpgrade| {
            upgrade(shared, &LIMIT_LINEAR, socket, |_| Stream {
                market,
                kinds,
                streams: BTreeSet::new(),
                depths: BTreeMap::new(),
                tickers: BTreeMap::new(),
                next: 0,
                next_second: 0,
            })
        })
    };
    let streams = match market {
        Market::Spot => {
            Router::new().route("/stream", lane(&["aggTrade", "depth", "bookTicker", "ticker", "kline_1m"]))
        }
        _ => Router::new()
            .route("/public/stream", lane(&["depth", "bookTicker"]))
            .route("/market/stream", lane(&["aggTrade", "markPrice", "ticker", "forceOrder", "kline_1m"])),
    };
    [streams, market::routes(market)]
}

/// One connection.
struct Stream {
    market: Market,
    /// Kinds of streams that this address tells; others are acknowledged and stay silent.
    kinds: &'static [&'static str],
    streams: BTreeSet<String>,
    /// By symbol.
    depths: BTreeMap<String, Depth>,
    tickers: BTreeMap<String, Ticker>,
    /// When depths are sent next, and tickers.
    next: Ts,
    next_second: Ts,
}

/// What changed in a book since the last message.
#[derive(Default)]
struct Depth {
    ts: Ts,
    /// First and last update, and the last before them.
    updates: Option<(u64, u64)>,
    before: u64,
    /// By text of the price.
    bids: BTreeMap<String, String>,
    asks: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Request {
    method: String,
    #[serde(default)]
    params: Vec<String>,
    #[serde(default)]
    id: Value,
}

impl Stream {
    /// The names under which a kind is subscribed to.
    fn wanted(&self, symbol: &str, kind: &str) -> Vec<String> {
        if !self.kinds.contains(&kind) {
            return Vec::new();
        }
        let name = format!("{}@{kind}", symbol.to_lowercase());
        let is =
            |stream: &&String| stream.strip_prefix(&name).is_some_and(|rest| rest.is_empty() || rest.starts_with('@'));
        self.streams.iter().filter(is).cloned().collect()
    }

    fn messages(&self, symbol: &str, kind: &str, data: &Value) -> Vec<String> {
        let message = |stream: String| json!({"stream": stream, "data": data}).to_string();
        self.wanted(symbol, kind).into_iter().map(message).collect()
    }

    fn best(&self, symbol: &str, ts: Ts, ticker: &Ticker) -> Vec<String> {
        let ms = ts / MILLISECOND;
        let top = [("b", ticker.bid_price), ("B", ticker.bid_size), ("a", ticker.ask_price), ("A", ticker.ask_size)];
        if top.iter().any(|(_, value)| value.is_none()) {
            return Vec::new();
        }
        let mut data = json!({"u": ms, "s": symbol});
        put(&mut data, top);
        if self.market != Market::Spot {
            (data["e"], data["E"], data["T"]) = ("bookTicker".into(), ms.into(), ms.into());
        }
        self.messages(symbol, "bookTicker", &data)
    }

    fn every_second(&self, symbol: &str, now: Ts, ticker: &Ticker) -> Vec<String> {
        let (ms, mut messages) = (now / MILLISECOND, Vec::new());
        if let Some(mark) = ticker.mark {
            let mut data = json!({"e": "markPriceUpdate", "E": ms, "s": symbol, "p": mark.to_string()});
            put(&mut data, [("i", ticker.index), ("r", ticker.funding_rate)]);
            data["T"] = (ticker.next_funding_ts.unwrap_or(0) / MILLISECOND).into();
            messages.extend(self.messages(symbol, "markPrice", &data));
        }
        let day = [
            ("c", ticker.last),
            ("o", ticker.open_24h),
            ("h", ticker.high_24h),
            ("l", ticker.low_24h),
            ("v", ticker.volume_24h),
            ("q", ticker.turnover_24h),
        ];
        if day.iter().all(|(_, value)| value.is_some()) {
            let mut data = json!({"e": "24hrTicker", "E": ms, "s": symbol});
            put(&mut data, day);
            messages.extend(self.messages(symbol, "ticker", &data));
        }
        messages
    }

    /// What changed in a symbol's book, in one message.
    fn flush(&mut self, symbol: &str) -> Vec<String> {
        let Some(depth) = self.depths.get_mut(symbol) else { return Vec::new() };
        let Some((first, last)) = depth.updates.take() else { return Vec::new() };
        let side = |levels: &mut BTreeMap<String, String>| -> Vec<[String; 2]> {
            std::mem::take(levels).into_iter().map(|(price, size)| [price, size]).collect()
        };
        let (bids, asks) = (side(&mut depth.bids), side(&mut depth.asks));
        let (ts, before) = (depth.ts / MILLISECOND, std::mem::replace(&mut depth.before, last));
        let mut data =
            json!({"e": "depthUpdate", "E": ts + 1, "s": symbol, "U": first, "u": last, "b": bids, "a": asks});
        if self.market != Market::Spot {
            data["T"] = ts.into();
            data["pu"] = before.into();
        }
        self.messages(symbol, "depth", &data)
    }
}

impl Face for Stream {
    /// As documented, 2026-11: <https://developers.binance.com/docs/binance-spot-api-docs/web-socket-streams> and
    /// <https://developers.binance.com/docs/derivatives/usds-margined-futures/websocket-market-streams>.
    fn pings(&self) -> Option<[Ts; 2]> {
        Some(if self.market == Market::Spot { [20 * SECOND, MINUTE] } else { [3 * MINUTE, 10 * MINUTE] })
    }

    fn answers(&mut self, text: &str, shared: &Shared) -> Vec<String> {
        let Ok(request) = serde_json::from_str::<Request>(text) else {
            return vec![json!({"error": {"code": 3, "msg": "Invalid JSON: expected value"}, "id": null}).to_string()];
        };
        match &*request.method {
            "SUBSCRIBE" if shared.refused(&request.params).is_some() => {
                let error = json!({"code": 2, "msg": "Invalid request: invalid stream"});
                return vec![json!({"error": error, "id": request.id}).to_string()];
            }
            "SUBSCRIBE" => {
                self.streams.extend(request.params);
                let venue = shared.venue();
                self.tickers.extend(venue.tickers.iter().map(|(symbol, (_, ticker))| (symbol.clone(), *ticker)));
            }
            "UNSUBSCRIBE" => self.streams.retain(|stream| !request.params.contains(stream)),
            other => {
                let message = format!("Invalid request: unknown variant `{other}`");
                return vec![json!({"error": {"code": 2, "msg": message}, "id": request.id}).to_string()];
            }
        }
        vec![json!({"result": null, "id": request.id}).to_string()]
    }

    fn tell(&mut self, sent: &Sent) -> Vec<String> {
        let symbol = &*sent.symbol;
        match &sent.happened {
            Happened::Traded(done) => {
                let mut data = agg_trade(done);
                data["e"] = "aggTrade".into();
                data["E"] = (done.ts / MILLISECOND + 1).into();
                data["s"] = symbol.into();
                self.messages(symbol, "aggTrade", &data)
            }
            Happened::Moved(moved) => {
                if self.wanted(symbol, "depth").is_empty() {
                    return Vec::new();
                }
                // What cannot be told as changes is not told: the next message does not follow.
                let messages = if moved.whole { self.flush(symbol) } else { Vec::new() };
                let depth = self.depths.entry(symbol.into()).or_default();
                depth.ts = moved.ts;
                if moved.whole {
                    depth.before = moved.number;
                    return messages;
                }
                let (first, _) = depth.updates.unwrap_or((moved.number, moved.number));
                if depth.before == 0 {
                    depth.before = moved.number - 1;
                }
                depth.updates = Some((first, moved.number));
                for (side, levels) in [(&mut depth.bids, &moved.bids), (&mut depth.asks, &moved.asks)] {
                    side.extend(levels.iter().map(|(price, size)| (price.to_string(), size.to_string())));
                }
                messages
            }
            Happened::Ticked(ts, ticker) => {
                self.tickers.insert(symbol.into(), **ticker);
                self.best(symbol, *ts, ticker)
            }
            Happened::Closed(start, bar) => {
                let (from, to) = (start / MILLISECOND, (start + MINUTE) / MILLISECOND);
                let [open, high, low, close] = [bar.open, bar.high, bar.low, bar.close].map(|price| price.to_string());
                let (volume, turnover) = (format!("{:.6}", bar.volume), format!("{:.4}", bar.turnover));
                let bought = format!("{:.6}", bar.bought);
                let bar = json!({
                    "t": from, "T": to - 1, "s": symbol, "i": "1m", "o": open, "c": close, "h": high, "l": low, "v": volume,
                    "n": bar.n_trades, "x": true, "q": turnover, "V": bought, "Q": "0", "B": "0",
                });
                self.messages(symbol, "kline_1m", &json!({"e": "kline", "E": to, "s": symbol, "k": bar}))
            }
            Happened::Liquidated(ts, buy, price, size) => {
                let (ms, side) = (ts / MILLISECOND, if *buy { "BUY" } else { "SELL" });
                let order = json!({
                    "s": symbol, "S": side, "o": "LIMIT", "f": "IOC", "q": size.to_string(), "p": price.to_string(),
                    "ap": price.to_string(), "X": "FILLED", "l": size.to_string(), "z": size.to_string(), "T": ms,
                });
                self.messages(symbol, "forceOrder", &json!({"e": "forceOrder", "E": ms, "o": order}))
            }
        }
    }

    /// Depths every 100 ms, marks and tickers of the day every second.
    fn due(&mut self, shared: &Shared) -> Vec<String> {
        let now = (shared.clock)();
        let mut messages = Vec::new();
        if self.next <= now {
            self.next = now + 100 * MILLISECOND;
            let symbols: Vec<String> = self.depths.keys().cloned().collect();
            messages.extend(symbols.iter().flat_map(|symbol| self.flush(symbol)));
        }
        if self.next_second <= now {
            self.next_second = now + SECOND;
            let stalled = shared.stalled();
            let told = self.tickers.iter().filter(|(symbol, _)| !stalled.contains(*symbol));
            messages.extend(told.flat_map(|(symbol, ticker)| self.every_second(symbol, now, ticker)));
        }
        messages
    }
}

/// Sets texts of the numbers that are there.
fn put<const N: usize>(data: &mut Value, numbers: [(&str, Option<Decimal>); N]) {
    for (name, number) in numbers {
        if let Some(number) = number {
            data[name] = number.to_string().into();
        }
    }
}

fn agg_trade(done: &Done) -> Value {
    let (price, size, ts) = (done.price.to_string(), done.size.to_string(), done.ts / MILLISECOND);
    let Done { number, buy, .. } = done;
    json!({"a": number, "p": price, "q": size, "f": number, "l": number, "T": ts, "m": !buy})
}
