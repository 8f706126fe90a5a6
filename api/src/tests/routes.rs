//! Routes that read.

use prism_schemas::Timeframe;
use serde_json::json;

use super::*;
use crate::{Clock, Snapshots};

#[tokio::test]
async fn probes_answer() {
    let f = Fixture::new();
    assert_eq!(f.ok("/health").await, json!({"status": "ok"}));
    let (status, body) = f.get("/ready").await;
    assert_eq!((status, &body["ready"]), (503, &json!(false)));
    f.app.status.release("starting");
    assert_eq!(f.ok("/ready").await, json!({"ready": true, "simulated": false, "reasons": {}}));
    f.app.status.hold("feed", "bybit is disconnected");
    assert_eq!(f.get("/ready").await.1["reasons"]["feed"], "bybit is disconnected");
    assert_eq!(f.ok("/api/system/status").await, f.get("/ready").await.1);
    f.app.status.events.store(7, std::sync::atomic::Ordering::Relaxed);
    let metrics = f.ok("/metrics").await;
    for sample in ["prism_events_total 7", "prism_live_rows 1", "prism_streams 0.0", "prism_ready 0.0"] {
        assert!(metrics.as_str().unwrap().contains(&format!("\n{sample}")), "{sample}: {metrics}");
    }
    for (accept, kind) in [("*/*", "text/plain; version=0.0.4"), ("application/openmetrics-text", "application/openm")]
    {
        let asked = Request::get("/metrics").header("accept", accept).body(Body::empty()).unwrap();
        let (_, headers, _) = f.call(asked).await;
        assert!(headers["content-type"].to_str().unwrap().starts_with(kind), "{accept}");
    }
    assert_eq!(f.ok("/version").await["name"], "prism");
}

#[tokio::test]
async fn a_pipeline_that_died_is_not_ready() {
    let f = Fixture::of(Fixture::new().app.with_clock(Clock(Arc::new(|| ts(NOW)))));
    f.app.status.release("starting");
    f.app.status.watch(10 * SECOND);
    f.app.status.frontier_ts.store(ts(NOW) - 4 * SECOND, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(f.ok("/ready").await["ready"], true);
    assert!(f.ok("/metrics").await.as_str().unwrap().contains("\nprism_lag_seconds 4.0\n"));
    // Nobody sets the frontier any more, and nobody says so.
    f.app.status.frontier_ts.store(ts(NOW) - 34 * SECOND, std::sync::atomic::Ordering::Relaxed);
    let (status, body) = f.get("/ready").await;
    assert_eq!(
        (status, &body["reasons"]["frontier"]),
        (503, &json!("results are 34 s behind the clock, more than 10 s"))
    );
    assert!(f.ok("/metrics").await.as_str().unwrap().contains("\nprism_ready 0.0\n"));
}

#[tokio::test]
async fn bars_that_are_not_maintained_are_refused_with_those_that_are() {
    let f = Fixture::of(Fixture::new().app.with_timeframes(&[Timeframe::M1, Timeframe::H1]));
    for kind in ["bars", "indicators"] {
        let (status, problem) = f.get(&format!("/api/{kind}/BTCUSDT?timeframe=1s")).await;
        assert_eq!((status, &problem["code"]), (422, &json!("timeframe_not_maintained")), "{problem}");
        assert_eq!((&problem["field"], &problem["allowed"]), (&json!("timeframe"), &json!(["1m", "1h"])));
        assert_eq!(problem["detail"], "bars of 1s are not maintained, but 1m 1h");
        assert_eq!(f.get(&format!("/api/{kind}/BTCUSDT?timeframe=1h")).await.0, 200);
    }
}

#[tokio::test]
async fn a_store_that_does_not_answer_is_asked_for_unknown_symbols_once_in_a_while() {
    let f = Fixture::new();
    f.app.shared.stored_instruments.lock().await.asked = Some((tokio::time::Instant::now(), false));
    let request = Request::get("/api/bars/NOPE").body(Body::empty()).unwrap();
    let (status, headers, text) = f.call(request).await;
    assert_eq!((status.as_u16(), headers["retry-after"].to_str().unwrap()), (503, "5"), "{text}");
    assert!(text.contains("\"store_away\""), "{text}");
    assert_eq!(f.get("/api/bars/BTCUSDT").await.0, 200, "what is in memory needs no store");
    let long_ago = tokio::time::Instant::now().checked_sub(Duration::from_secs(11)).unwrap();
    f.app.shared.stored_instruments.lock().await.asked = Some((long_ago, false));
    assert_eq!(f.get("/api/bars/NOPE").await.0, 404);
    assert!(f.app.shared.stored_instruments.lock().await.told.is_some());
    f.app.shared.stored_instruments.lock().await.asked = Some((tokio::time::Instant::now(), false));
    assert_eq!(f.get("/api/bars/NOPE").await.0, 404, "what it told before is kept");
}

#[tokio::test]
async fn a_store_that_is_away_is_said_and_when_to_come_back() {
    // Nobody listens there.
    let address = prism_schemas::QuestDbAddress::parse("questdb://127.0.0.1:1").unwrap();
    let f = Fixture::with(Options { store: Some(prism_queries::Place::QuestDb(address)), ..Options::default() });
    for path in ["/api/signals/latest", "/api/bars/BTCUSDT", "/api/signals/aa01", "/api/bars/NOPE"] {
        let (status, headers, text) = f.call(Request::get(path).body(Body::empty()).unwrap()).await;
        assert_eq!(
            (status.as_u16(), headers.get("retry-after").map(|s| s.as_bytes())),
            (503, Some(&b"5"[..])),
            "{path}: {text}"
        );
        assert!(text.contains("\"store_away\"") && !text.contains("127.0.0.1"), "{path}: {text}");
    }
    assert_eq!(f.get("/api/top-symbols").await.0, 200, "what is in memory needs no store");
}

#[tokio::test]
async fn a_snapshot_needs_a_header_that_no_image_sends() {
    let taken = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let snapshots = Snapshots(Arc::new({
        let taken = taken.clone();
        move |of| {
            taken.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            Box::pin(async move { (of.market.as_deref() != Some("spot")).then(|| json!({"symbol": of.symbol})) })
        }
    }));
    let f = Fixture::of(Fixture::new().app.with_snapshots(Some(snapshots)));
    let (status, problem) = f.get("/api/snapshot/BTCUSDT").await;
    assert_eq!((status, &problem["code"]), (403, &json!("header_missing")));
    assert_eq!(taken.load(std::sync::atomic::Ordering::Relaxed), 0);
    for (path, status) in [("/api/snapshot/btc-usdt", 200), ("/api/snapshot/BTCUSDT?market=spot", 404)] {
        let request = Request::get(path).header("x-prism", "1").body(Body::empty()).unwrap();
        let (got, headers, text) = f.call(request).await;
        assert_eq!(got, status, "{text}");
        assert!(status != 200 || (text == r#"{"symbol":"BTCUSDT"}"# && headers["content-type"] == "application/json"));
    }
}

#[tokio::test]
async fn signals_by_filter_and_page() {
    let f = Fixture::new();
    let ids = |value: &Value| -> Vec<String> {
        value["signals"].as_array().unwrap().iter().map(|row| row["signal_id"].as_str().unwrap().into()).collect()
    };
    for (path, expected) in [
        ("/api/signals/latest", vec!["aa01", "bb02", "cc03"]),
        ("/api/signals/latest?limit=1", vec!["aa01"]),
        ("/api/signals/active", vec!["aa01", "bb02"]),
        ("/api/signals/symbol/btc-usdt", vec!["aa01", "cc03"]),
        ("/api/signals/symbol/BTCUSDT?market=spot", vec![]),
        ("/api/signals?symbol=btc/usdt", vec!["aa01", "cc03"]),
        ("/api/signals?signal_type=BEARISH", vec!["bb02"]),
        ("/api/signals?min_score=73", vec!["cc03"]),
        ("/api/signals?from_date=2024-08-09T11:50:00Z", vec!["aa01", "bb02"]),
        ("/api/signals?to_date=2024-08-09T13:40:00%2B02:00", vec!["cc03"]),
        ("/api/signals?sort=-score", vec!["cc03", "aa01", "bb02"]),
        ("/api/signals?sort=score", vec!["bb02", "aa01", "cc03"]),
        ("/api/signals?sort=timestamp", vec!["cc03", "bb02", "aa01"]),
        ("/api/signals?sort=symbol&size=1&page=3", vec!["bb02"]),
        ("/api/signals?symbol=%27%20OR%201=1--", vec![]),
    ] {
        assert_eq!(ids(&f.ok(path).await), expected, "{path}");
    }
    let page = f.ok("/api/signals?size=2&page=2").await;
    assert_eq!(
        (&page["total"], &page["pages"], &page["page"], &page["size"]),
        (&json!(3), &json!(2), &json!(2), &json!(2))
    );
    let row = &f.ok("/api/signals/latest").await["signals"][0];
    assert_eq!(row["timestamp"], json!(ts("2024-08-09T11:59:00Z") / 1_000_000));
    assert_eq!(row["known_at"], "2024-08-09T12:00:00.250Z");
}

#[tokio::test]
async fn a_signal_is_explained_by_its_components() {
    let f = Fixture::new();
    let one = f.ok("/api/signals/aa01").await;
    assert_eq!(one["signal"]["score"], 72.5);
    let components = one["components"].as_array().unwrap();
    assert_eq!(components.len(), 6);
    assert_eq!(
        components[0]["interpretation"],
        "macd on 1m supports a rise: bullish, score 72.0, which with weight 0.50 adds 36.0 points to technical."
    );
    assert_eq!(f.get("/api/signals/nothing").await.0, 404);
}

#[tokio::test]
async fn bars_and_indicators_are_oldest_first() {
    let f = Fixture::new();
    for kind in ["bars", "indicators"] {
        let answer = f.ok(&format!("/api/{kind}/btc%2Fusdt?limit=3")).await;
        assert_eq!(answer["symbol"], "BTCUSDT");
        let starts: Vec<&str> =
            answer[kind].as_array().unwrap().iter().map(|row| row["ts"].as_str().unwrap()).collect();
        assert_eq!(starts, ["2024-08-09T11:57:00Z", "2024-08-09T11:58:00Z", "2024-08-09T11:59:00Z"], "{kind}");
        let some = f.ok(&format!("/api/{kind}/BTCUSDT?from=2024-08-09T11:55:00Z&to=1723204620000")).await;
        assert_eq!(some[kind].as_array().unwrap().len(), 2);
        assert_eq!(f.ok(&format!("/api/{kind}/BTCUSDT?timeframe=1h")).await[kind], json!([]));
    }
}

#[tokio::test]
async fn an_analysis_takes_the_score_apart() {
    let f = Fixture::new();
    let answer = f.ok("/api/analysis/btcusdt").await;
    assert_eq!((&answer["market"], &answer["confluence"]["score"]), (&json!("linear"), &json!(72.5)));
    assert_eq!(answer["dimensions"]["all"][0]["score"], 71.0);
    assert_eq!(answer["components"]["4h"].as_array().unwrap().len(), 3);
    assert_eq!(answer["components"]["1m"][0]["raw_value"], 61.0);
    assert_eq!(answer["metadata"]["data_points"], 10);
    assert_eq!(answer["metadata"]["last_bar"], NOW);
    let spot = f.ok("/api/analysis/BTCUSDT?market=spot").await;
    assert_eq!((&spot["confluence"]["score"], &spot["components"]), (&json!(60.0), &json!({})));
}

#[tokio::test]
async fn top_symbols_are_sorted() {
    let f = Fixture::new();
    let scores = |value: Value| -> Vec<f64> {
        value["symbols"].as_array().unwrap().iter().map(|row| row["score"].as_f64().unwrap()).collect()
    };
    assert_eq!(scores(f.ok("/api/top-symbols").await), [72.5, 60.0, 48.0, 27.5]);
    assert_eq!(scores(f.ok("/api/top-symbols?limit=1").await), [72.5]);
}

#[tokio::test]
async fn tables_are_described() {
    let f = Fixture::new();
    assert_eq!(f.ok("/api/tables").await["tables"].as_array().unwrap().len(), prism_schemas::table::TABLES.len());
    assert_eq!(f.ok("/api/tables/bars").await["columns"][0]["type"], "ts");
}

#[tokio::test]
async fn wrong_requests_name_the_field() {
    let f = Fixture::new();
    for (path, field) in [
        ("/api/signals/latest?limit=21", "limit"),
        ("/api/signals/latest?limit=0", "limit"),
        ("/api/signals/latest?limit=-1", "limit"),
        ("/api/signals/latest?limit=many", "limit"),
        ("/api/signals/latest?limits=1", "limits"),
        ("/api/signals/symbol/BTCUSDT?limit=101", "limit"),
        ("/api/signals?size=101", "size"),
        ("/api/signals?page=0", "page"),
        ("/api/signals?sort=price", "sort"),
        ("/api/signals?signal_type=SIDEWAYS", "signal_type"),
        ("/api/signals?min_score=NaN", "min_score"),
        ("/api/signals?from_date=yesterday", "from_date"),
        ("/api/signals?page=1&page=2", "page"),
        ("/api/bars/BTCUSDT?timeframe=7m", "timeframe"),
        ("/api/bars/BTCUSDT?market=margin", "market"),
        ("/api/indicators/BTCUSDT?to=x", "to"),
        ("/api/top-symbols?limit=1001", "limit"),
        ("/api/analysis/BTCUSDT?limit=1", "limit"),
    ] {
        let (status, problem) = f.get(path).await;
        assert_eq!(
            (status, &problem["code"], &problem["field"]),
            (400, &json!("bad_field"), &json!(field)),
            "{path}: {problem}"
        );
    }
}

#[tokio::test]
async fn unknown_things_are_problems() {
    let f = Fixture::new();
    let (status, problem) = f.get("/api/bars/BTCUSD").await;
    assert_eq!((status, &problem["code"], &problem["near"][0]), (404, &json!("unknown_symbol"), &json!("BTCUSDT")));
    assert_eq!(f.get("/api/analysis/BTCUSDT?exchange=nowhere").await.0, 404);
    assert_eq!(f.get("/api/nothing").await.1["code"], "not_found");
    assert_eq!(f.get("/api/tables/nothing").await.0, 404);
    let (status, headers, _) = f.call(Request::delete("/api/signals").body(Body::empty()).unwrap()).await;
    assert_eq!((status.as_u16(), &headers["content-type"]), (405, &"application/problem+json".parse().unwrap()));
}

#[tokio::test]
async fn the_page_needs_nothing_from_elsewhere() {
    let f = Fixture::new();
    for path in
        ["/", "/assets/app.js", "/assets/heat.js", "/assets/symbol.js", "/assets/style.css", "/health", "/nothing"]
    {
        let (_, headers, text) = f.call(Request::get(path).body(Body::empty()).unwrap()).await;
        assert!(headers["content-security-policy"].to_str().unwrap().contains("script-src 'self'"), "{path}");
        assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
        let outside = text.replace("http://www.w3.org/2000/svg", "").contains("://") && path != "/assets/app.js";
        assert!(!outside, "{path} names another place");
        assert!(!headers.contains_key("access-control-allow-origin"));
    }
}
