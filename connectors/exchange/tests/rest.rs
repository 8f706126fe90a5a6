//! Answers to requests as venues gave them, recorded by others: every one decodes, or is the refusal it is.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use prism_exchange::wire;
use prism_schemas::event::event::Body;
use serde_json::Value;

fn mocks(name: &str) -> Option<Value> {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let path = std::env::var_os("PRISM_DATA").map_or(default, PathBuf::from).join("rest_mocks").join(name);
    let Ok(file) = std::fs::File::open(&path) else {
        eprintln!("SKIPPED rest: no {}", path.display());
        return None;
    };
    Some(serde_json::from_reader(zstd::Decoder::new(file).unwrap()).unwrap())
}

/// Answers by question: how many decoded, their events, and how many were refused.
fn decode(mocks: &Value, venue: &str, base: &[&str]) -> BTreeMap<&'static str, (usize, usize, usize)> {
    let mut counts: BTreeMap<&'static str, (usize, usize, usize)> = BTreeMap::new();
    for (path, methods) in mocks["routes"].as_object().unwrap() {
        if !base.iter().any(|base| path.starts_with(base)) {
            continue;
        }
        for recorded in methods["GET"].as_array().into_iter().flatten() {
            let url = format!("{path}?{}", recorded["queryString"].as_str().unwrap());
            let mut wire = wire(venue).unwrap();
            let Some(ask) = wire.asked(&url) else { continue };
            // One of its ratios was recorded with the trades of another request, and some answers are null.
            if recorded["data"].is_null() || (url.contains("LongShort") && !url.contains("period=")) {
                continue;
            }
            let (body, mut events) = (recorded["data"].to_string(), Vec::new());
            let count = counts.entry(ask.name()).or_default();
            match wire.answer(&ask, &body, i64::MAX / 2, &mut events) {
                Ok(()) => {
                    count.0 += 1;
                    count.1 += events.len();
                    assert!(events.iter().all(|(id, _)| !id.symbol.is_empty()), "{url}");
                    assert!(!events.iter().any(|(_, event)| matches!(event.body, Some(Body::Quarantined(_)))), "{url}");
                }
                // One name of a field was emptied by whoever kept them.
                Err(_) if body.contains("\"\":") => {}
                Err(error) => {
                    assert_eq!(error.rule(), "refused_request", "{url}: {error}: {}", &body[..body.len().min(300)]);
                    count.2 += 1;
                }
            }
        }
    }
    counts
}

#[test]
fn binance_answers_decode() {
    let Some(mocks) = mocks("binance_http.json.zst") else { return };
    let counts = decode(&mocks, "binance-linear", &["/fapi/v1/", "/futures/data/"]);
    for name in [
        "klines",
        "book",
        "trades",
        "open_interest",
        "funding",
        "instruments",
        "account",
        "top_account",
        "top_position",
        "taker",
    ] {
        let (n, events, _) = counts[name];
        assert!(1 <= n && n <= events, "{name}: {counts:?}");
    }
    let spot = decode(&mocks, "binance-spot", &["/api/v3/"]);
    for name in ["klines", "book", "trades", "instruments", "ticker"] {
        let (n, events, _) = spot[name];
        assert!(1 <= n && n <= events, "{name}: {spot:?}");
    }
    println!("{counts:?}\n{spot:?}");
}

#[test]
fn bybit_answers_decode() {
    let Some(mocks) = mocks("bybit_http_mock.json.zst") else { return };
    for venue in ["bybit-spot", "bybit-linear"] {
        let counts = decode(&mocks, venue, &["/v5/market/"]);
        assert!(1 <= counts["tickers"].0 && 100 <= counts["tickers"].1, "{venue}: {counts:?}");
    }
}

/// Of Bybit's own figures: linear contracts' margins come as shares, inverse ones' in percent.
#[test]
fn margins_are_shares_whatever_the_contract() {
    for (venue, maintenance, initial, leverage) in
        [("bybit-linear", "0.005", "0.01", "100.00"), ("bybit-inverse", "0.5", "1", "100.00")]
    {
        let body = format!(
            "{{\"retCode\":0,\"retMsg\":\"OK\",\"result\":{{\"list\":[{{\"id\":1,\"symbol\":\"BTCUSD\",\"riskLimitValue\":\"150\",\
             \"maintenanceMargin\":\"{maintenance}\",\"initialMargin\":\"{initial}\",\"maxLeverage\":\"{leverage}\"}}]}},\"time\":1672054488010}}"
        );
        let (mut wire, mut events) = (wire(venue).unwrap(), Vec::new());
        let ask = wire.asked("/v5/market/risk-limit?category=x&symbol=BTCUSD").unwrap();
        wire.answer(&ask, &body, 0, &mut events).unwrap();
        let Some(Body::RiskLimit(limit)) = &events[0].1.body else { panic!("{events:?}") };
        let tier = &limit.tiers[0];
        assert_eq!(tier.maintenance_margin.unwrap().to_f64(), 0.005, "{venue}");
        assert_eq!(tier.initial_margin.unwrap().to_f64(), 0.01, "{venue}");
    }
}

#[test]
fn a_margin_in_percent_of_too_many_decimals_is_no_margin() {
    let body = r#"{"retCode":0,"result":{"list":[{"symbol":"BTCUSD","riskLimitValue":"1","maintenanceMargin":"0.123456789012345678","initialMargin":"1","maxLeverage":"100"}]},"time":1}"#;
    let ask = prism_exchange::Ask::RiskLimit("BTCUSD");
    let error = wire("bybit-inverse").unwrap().answer(&ask, body, 0, &mut Vec::new()).unwrap_err();
    assert!(error.to_string().contains("too many decimals"), "{error}");
}

#[test]
fn a_time_behind_which_none_fits_is_no_time() {
    let bar = r#""1","1","1","1","1""#;
    for (venue, body) in [
        ("bybit-linear", format!(r#"{{"retCode":0,"result":{{"list":[["9223372036854",{bar},"1"]]}},"time":1}}"#)),
        ("binance-linear", format!(r#"[[1,{bar},9223372036854,"1",1,"1","1","0"]]"#)),
    ] {
        let ask = prism_exchange::Ask::Klines("BTCUSDT", prism_schemas::Timeframe::M1, 1);
        let error = wire(venue).unwrap().answer(&ask, &body, 0, &mut Vec::new()).unwrap_err();
        assert_eq!(error.rule(), "invalid_field", "{venue}: {error}");
        assert!(error.to_string().contains("is no time"), "{venue}: {error}");
    }
}

#[test]
fn a_symbol_that_a_venue_does_not_have_is_told_from_other_refusals() {
    for (venue, body, expected) in [
        ("bybit-linear", r#"{"retCode":10001,"retMsg":"params error: symbol invalid NOSUCH","result":{}}"#, true),
        ("bybit-spot", r#"{"result":{},"retCode":10001,"retMsg":"Not supported symbols","time":1}"#, true),
        ("bybit-linear", r#"{"retCode":10001,"retMsg":"Invalid period","result":{}}"#, false),
        ("bybit-linear", r#"{"retCode":10006,"retMsg":"Too many visits!","result":{}}"#, false),
        ("binance-linear", r#"{"code":-1121,"msg":"Invalid symbol."}"#, true),
        ("binance-spot", r#"{"code":-1120,"msg":"Invalid interval."}"#, false),
        ("binance-spot", "<html>", false),
    ] {
        assert_eq!(wire(venue).unwrap().is_no_symbol(body), expected, "{venue}: {body}");
    }
}
