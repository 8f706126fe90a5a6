//! Tests over the router with hand-made rows.

mod documents;
mod door;
mod limits;
mod market;
mod routes;
mod signals;
mod sql;
mod stream;
mod updates;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, HeaderValue, Request, StatusCode};
use prism_queries::{Engine, LiveRows, Options};
use prism_schemas::table::{BARS, COMPONENT_SCORES, CONFLUENCE, DIMENSION_SCORES, INDICATORS, SIGNALS};
use prism_schemas::time::{HOUR, MINUTE, SECOND, parse_ts};
use prism_schemas::{Cell, Table, Version, Versions};
use serde_json::Value;
use tower::ServiceExt;

use crate::{App, Status, Updates, app};

/// The end of the newest bar of the fixture.
const NOW: &str = "2024-08-09T12:00:00Z";

fn ts(text: &str) -> i64 {
    parse_ts(text).unwrap()
}

/// A row of an instrument and bar with these cells and null elsewhere.
fn row(table: &'static Table, symbol: &str, start: i64, length: i64, cells: &[(&str, Cell)]) -> Version {
    let mut version = Version { table, cells: vec![Cell::Null; table.columns.len()] };
    let common = [
        ("ts", Cell::Ts(start)),
        ("ts_close", Cell::Ts(start + length)),
        ("exchange", "bybit".into()),
        ("market", "linear".into()),
        ("symbol", symbol.into()),
        ("known_at", Cell::Ts(start + length + SECOND / 4)),
        ("revision", 0.into()),
        ("retracted", false.into()),
        ("config_hash", "c0ffee".into()),
    ];
    for (name, cell) in common.iter().chain(cells) {
        version.cells[table.position(name).unwrap()] = cell.clone();
    }
    version
}

fn confluence(symbol: &str, start: i64, score: f64) -> Version {
    row(
        &CONFLUENCE,
        symbol,
        start,
        MINUTE,
        &[
            ("profile", "prism".into()),
            ("score", score.into()),
            ("coverage", 0.9.into()),
            ("technical_score", (score + 2.0).into()),
            ("volume_score", (score - 2.0).into()),
            ("consensus", if score > 50.0 { "BUY" } else { "SELL" }.into()),
            ("consensus_strength", 0.7.into()),
            ("reliability", 0.8.into()),
            ("price", (score * 1000.0).into()),
        ],
    )
}

fn signal(symbol: &str, id: &str, start: i64, score: f64, status: &str) -> Version {
    let (name, direction) = if score > 50.0 { ("BULLISH", "long") } else { ("BEARISH", "short") };
    row(
        &SIGNALS,
        symbol,
        start,
        MINUTE,
        &[
            ("timeframe", "1m".into()),
            ("signal_id", id.into()),
            ("profile", "prism".into()),
            ("signal", name.into()),
            ("direction", direction.into()),
            ("status", status.into()),
            ("score", score.into()),
            ("strength", ((score - 50.0).abs() / 50.0).into()),
            ("reliability", 0.8.into()),
            ("price", 60_000.0.into()),
        ],
    )
}

/// Scores of components and dimensions of a symbol at two timeframes.
fn parts(symbol: &str, now: i64) -> Vec<Version> {
    let mut all = Vec::new();
    for (timeframe, length) in [("1m", MINUTE), ("4h", 4 * HOUR)] {
        for (dimension, component) in [("technical", "rsi"), ("technical", "macd"), ("volume", "cmf")] {
            all.push(row(
                &COMPONENT_SCORES,
                symbol,
                now - length,
                length,
                &[
                    ("timeframe", timeframe.into()),
                    ("dimension", dimension.into()),
                    ("component", component.into()),
                    ("raw_value", 61.0.into()),
                    ("raw_score", 72.0.into()),
                    ("div", 0.0.into()),
                    ("div_type", "none".into()),
                    ("score", 72.0.into()),
                    ("weight", 0.5.into()),
                    ("impact", 36.0.into()),
                    ("label", "bullish".into()),
                ],
            ));
        }
        for dimension in ["technical", "volume"] {
            all.push(row(
                &DIMENSION_SCORES,
                symbol,
                now - length,
                length,
                &[("timeframe", timeframe.into()), ("dimension", dimension.into()), ("score", 70.0.into())],
            ));
        }
    }
    all
}

/// BTCUSDT (linear and spot), ETHUSDT and SOLUSDT: bars, scores and three signals up to `now`.
fn versions(now: i64) -> Vec<Version> {
    let mut all = Vec::new();
    for (symbol, score) in [("BTCUSDT", 72.5), ("ETHUSDT", 48.0), ("SOLUSDT", 27.5)] {
        for n in 1..=10 {
            let start = now - n * MINUTE;
            all.push(row(
                &BARS,
                symbol,
                start,
                MINUTE,
                &[("timeframe", "1m".into()), ("close", (100.0 - n as f64).into()), ("quality", "ok".into())],
            ));
            all.push(row(&INDICATORS, symbol, start, MINUTE, &[("timeframe", "1m".into()), ("rsi_14", 55.0.into())]));
            all.push(confluence(symbol, start, score));
        }
        all.extend(parts(symbol, now));
        all.push(row(
            &DIMENSION_SCORES,
            symbol,
            now - MINUTE,
            MINUTE,
            &[("timeframe", "all".into()), ("dimension", "technical".into()), ("score", 71.0.into())],
        ));
    }
    let mut spot = confluence("BTCUSDT", now - MINUTE, 60.0);
    spot.cells[CONFLUENCE.position("market").unwrap()] = "spot".into();
    all.push(spot);
    all.push(signal("BTCUSDT", "aa01", now - MINUTE, 72.5, "active"));
    all.push(signal("SOLUSDT", "bb02", now - 2 * MINUTE, 27.5, "active"));
    all.push(signal("BTCUSDT", "cc03", now - 30 * MINUTE, 75.0, "closed"));
    all
}

struct Fixture {
    app: App,
    router: Router,
}

impl Fixture {
    fn new() -> Fixture {
        Fixture::with(Options { timeout: Duration::from_secs(20), ..Options::default() })
    }

    fn with(options: Options) -> Fixture {
        let live = Arc::new(LiveRows::new(6 * HOUR));
        live.apply(&Versions::of(&versions(ts(NOW))).unwrap());
        let engine = Arc::new(Engine::new(options, live.clone()).unwrap());
        let state = App::new(engine, Arc::new(Updates::new(live)), Arc::new(Status::new()));
        Fixture::of(state)
    }

    fn of(state: App) -> Fixture {
        Fixture { router: app(state.clone()), app: state }
    }

    /// Applies and tells, as the wiring does.
    fn tell(&self, versions: &[Version]) {
        let versions = Versions::of(versions).unwrap();
        self.app.live.apply(&versions);
        self.app.updates.tell(&versions);
    }

    async fn call(&self, mut request: Request<Body>) -> (StatusCode, HeaderMap, String) {
        request.headers_mut().entry("host").or_insert(HeaderValue::from_static("localhost:8000"));
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, usize::MAX).await.unwrap();
        (parts.status, parts.headers, String::from_utf8(bytes.to_vec()).unwrap())
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        let (status, headers, text) = self.call(Request::get(path).body(Body::empty()).unwrap()).await;
        let value: Value = serde_json::from_str(&text).unwrap_or(Value::String(text));
        if status.is_client_error() || status.is_server_error() && value.get("reasons").is_none() {
            assert_eq!(headers["content-type"], "application/problem+json", "{path}");
            assert_eq!(value["status"], status.as_u16(), "{path}");
        }
        (status.as_u16(), value)
    }

    async fn ok(&self, path: &str) -> Value {
        let (status, value) = self.get(path).await;
        assert_eq!(status, 200, "{path}: {value}");
        value
    }
}
