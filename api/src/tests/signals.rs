//! What is advised of a score: setups, sentences, warnings.

use prism_schemas::table::{RUNS, SETUPS, SIGNAL_EVENTS};
use serde_json::json;

use super::*;

const CONFIG: &str =
    r#"{"signals":{"bullish":70.0,"bearish":30.0,"hysteresis":3.0,"cooldown":"5m","risk":0.001,"position_max":5.0}}"#;

/// A setup of this timeframe at the newest close.
fn setup(timeframe: &str, length: i64, [stop, first, second]: [f64; 3]) -> Version {
    row(
        &SETUPS,
        "BTCUSDT",
        ts(NOW) - length,
        length,
        &[
            ("timeframe", timeframe.into()),
            ("long_stop", stop.into()),
            ("long_basis", "swing_low".into()),
            ("long_target_1", first.into()),
            ("long_target_2", second.into()),
        ],
    )
}

/// With settings and setups; the price is 72,500.
fn fixture() -> Fixture {
    let f = Fixture::new();
    let mut run = Version { table: &RUNS, cells: vec![Cell::Null; RUNS.columns.len()] };
    for (name, cell) in [
        ("ts", Cell::Ts(ts(NOW))),
        ("run_id", "live".into()),
        ("config_hash", "c0ffee".into()),
        ("config", CONFIG.into()),
        ("frontier", Cell::Ts(ts(NOW))),
    ] {
        run.cells[RUNS.position(name).unwrap()] = cell;
    }
    let event = row(
        &SIGNAL_EVENTS,
        "BTCUSDT",
        ts(NOW) - MINUTE,
        MINUTE,
        &[("signal_id", "aa01".into()), ("event", "raised".into()), ("event_ts", Cell::Ts(ts(NOW)))],
    );
    let short = setup("1m", MINUTE, [72_000.0, 73_500.0, 74_000.0]);
    let long = setup("4h", 4 * HOUR, [69_600.0, 78_300.0, 81_200.0]);
    f.tell(&[run, event, short, long]);
    f
}

async fn generate(f: &Fixture, body: Value) -> (u16, Value) {
    let request = Request::post("/api/signals/generate").header("content-type", "application/json");
    let (status, _, text) = f.call(request.body(Body::from(body.to_string())).unwrap()).await;
    (status.as_u16(), serde_json::from_str(&text).unwrap())
}

#[tokio::test]
async fn a_signal_is_generated_of_any_symbol_and_says_why() {
    let f = fixture();
    let (status, answer) = generate(&f, json!({"symbols": ["btc/usdt", "ETHUSDT"], "time_horizon_hours": 1})).await;
    assert_eq!(status, 200, "{answer}");
    let [one, other] = &answer["signals"].as_array().unwrap()[..] else { panic!("{answer}") };
    assert_eq!((&one["signal"], &one["level"], &one["timeframe"]), (&json!("BULLISH"), &json!("MEDIUM"), &json!("1m")));
    assert_eq!((&one["entry_price"], &one["stop_loss"]), (&json!(72_500.0), &json!(72_000.0)));
    assert_eq!((&one["targets"], &one["risk_reward"]), (&json!([73_500.0, 74_000.0]), &json!(2.0)));
    // A tenth of a percent at risk over .69 % is more than 5 % of the capital: 5 x reliability .8.
    assert_eq!(one["position_size_percent"], 4.0);
    let texts = |kind: &str| -> Vec<&str> {
        one[kind].as_array().unwrap().iter().map(|told| told["text"].as_str().unwrap()).collect()
    };
    assert_eq!(
        texts("actionable_insights")[0],
        "Enter long near 72500 and give it up at 72000, 0.69 % away, behind the swing low."
    );
    assert!(texts("insights")[0].starts_with("The confluence of BTCUSDT is 72.5 of 100 and supports a rise"));
    assert_eq!(one["insights"][0]["data"]["score"], one["score"]);
    // Between the thresholds, with no setup of its own.
    assert_eq!(
        (&other["signal"], &other["level"], &other["stop_loss"]),
        (&json!("NEUTRAL"), &json!("NEUTRAL"), &json!(null))
    );
    assert_eq!(other["actionable_insights"][0]["about"], "no_position");
}

#[tokio::test]
async fn the_horizon_chooses_the_setup() {
    let f = fixture();
    let (_, answer) = generate(&f, json!({"symbols": ["BTCUSDT"], "time_horizon_hours": 48})).await;
    let one = &answer["signals"][0];
    assert_eq!((&one["timeframe"], &one["stop_loss"]), (&json!("4h"), &json!(69_600.0)));
    // Stop 4 % away.
    assert!((one["position_size_percent"].as_f64().unwrap() - 2.0).abs() < 1e-9, "{one}");
    // Price has gone beyond the stop of a longer bar since, or nearly: nothing is advised by it.
    f.tell(&[setup("4h", 4 * HOUR, [72_000.0, 78_300.0, 81_200.0])]);
    let (_, answer) = generate(&f, json!({"symbols": ["BTCUSDT"], "time_horizon_hours": 48})).await;
    assert_eq!(answer["signals"][0]["stop_loss"], Value::Null);
    f.tell(&[setup("4h", 4 * HOUR, [73_000.0, 78_300.0, 81_200.0])]);
    let (_, answer) = generate(&f, json!({"symbols": ["BTCUSDT"], "time_horizon_hours": 48})).await;
    assert_eq!(answer["signals"][0]["stop_loss"], Value::Null);
}

#[tokio::test]
async fn what_is_not_advised_is_skipped_with_its_reason_and_mistakes_are_named() {
    let f = fixture();
    let (_, answer) = generate(&f, json!({"symbols": ["BTCUSDT"], "confidence_threshold": 0.9})).await;
    assert_eq!((&answer["signals"], &answer["skipped"][0]["symbol"]), (&json!([]), &json!("BTCUSDT")));
    assert!(answer["skipped"][0]["reason"].as_str().unwrap().contains("reliability of 0.80"));
    // Nobody knows what raises a signal.
    let (_, answer) = generate(&Fixture::new(), json!({"symbols": ["BTCUSDT"]})).await;
    assert!(answer["skipped"][0]["reason"].as_str().unwrap().contains("settings"), "{answer}");
    for (body, status, word) in [
        (json!({"symbols": []}), 400, "symbols"),
        (json!({"symbols": ["BTCUSDT"], "confidence_threshold": 2}), 400, "confidence_threshold"),
        (json!({"symbols": ["BTCUSDT"], "time_horizon_hours": 0}), 400, "time_horizon_hours"),
        (json!({"symbols": ["BTCUSDT"], "horizon": 1}), 400, "horizon"),
        (json!({"symbols": ["NOTHING"]}), 404, "unknown"),
        (json!({"symbols": ["NOTHING", "BTCUSDT"]}), 200, "unknown symbol"),
    ] {
        let (had, answer) = generate(&f, body.clone()).await;
        assert!(had == status && answer.to_string().contains(word), "{body}: {answer}");
    }
}

#[tokio::test]
async fn a_stored_signal_tells_what_happened_and_what_it_rests_on() {
    let f = fixture();
    let one = f.ok("/api/signals/aa01").await;
    assert_eq!(one["events"][0]["event"], "raised");
    assert_eq!((&one["confluence"]["score"], &one["dimensions"][0]["dimension"]), (&json!(72.5), &json!("technical")));
    assert_eq!(one["insights"][0]["about"], "confluence");
    // It has no setup: only when it ends is said.
    assert_eq!(one["actionable_insights"][0]["text"], "The signal ends when the score falls below 67.");
    assert!(one["components"][0]["interpretation"].as_str().is_some());
}

#[tokio::test]
async fn a_score_that_is_old_advises_nothing() {
    let f = fixture();
    let run = |name: &str| {
        let mut run = Version { table: &RUNS, cells: vec![Cell::Null; RUNS.columns.len()] };
        for (column, cell) in [
            ("ts", Cell::Ts(ts(NOW) + SECOND)),
            ("run_id", name.into()),
            ("config_hash", "decaf".into()),
            ("frontier", Cell::Ts(ts(NOW) + HOUR)),
        ] {
            run.cells[RUNS.position(column).unwrap()] = cell;
        }
        run
    };
    // How far another run is says nothing of this one.
    f.tell(&[run("other")]);
    let (_, answer) = generate(&f, json!({"symbols": ["BTCUSDT"]})).await;
    assert_eq!(answer["signals"][0]["stop_loss"], 72_000.0);
    f.tell(&[run("live")]);
    let (_, answer) = generate(&f, json!({"symbols": ["BTCUSDT"]})).await;
    let one = &answer["signals"][0];
    assert_eq!((&one["stop_loss"], &one["actionable_insights"]), (&Value::Null, &json!([])));
    assert_eq!(one["warnings"][0]["data"]["minutes"], 60.0);
}

#[tokio::test]
async fn a_signal_that_is_over_is_not_entered() {
    let f = fixture();
    let one = f.ok("/api/signals/cc03").await;
    let told = one["actionable_insights"].as_array().unwrap();
    assert!(told.len() == 1 && told[0]["about"] == "over", "{told:?}");
}
