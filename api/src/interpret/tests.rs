//! What is said of rows made by hand.

use super::*;

fn row(value: &Value) -> Row {
    value.as_object().unwrap().clone()
}

fn component(name: &str, score: f64, weight: f64) -> Row {
    row(&json!({"component": name, "timeframe": "5m", "dimension": "technical", "label": "moderately overbought",
        "raw_value": 64.0, "score": score, "weight": weight, "impact": weight * score, "div": 0.0}))
}

#[test]
fn sentences_say_the_numbers() {
    let mut rsi = component("rsi", 71.25, 0.2);
    rsi.insert("div".into(), json!(-3.5));
    let told = of_component(&rsi).unwrap();
    assert_eq!(
        told.text,
        "rsi on 5m supports a rise: moderately overbought, score 71.2, which with weight 0.20 adds 14.2 points to \
         technical; higher timeframes score lower, which moved it by -3.5."
    );
    for name in ["score", "weight", "impact", "raw_value", "div", "component", "label"] {
        assert_eq!(told.data[name], rsi[name], "{name}");
    }
    rsi.insert("score".into(), Value::Null);
    assert_eq!(of_component(&rsi), None);
}

fn confluence() -> Row {
    row(&json!({"symbol": "BTCUSDT", "score": 72.5, "coverage": 0.6, "reliability": 0.3, "quality": "partial",
        "reliability_quality": 0.5, "reliability_coverage": 0.7, "reliability_agreement": 0.86,
        "reliability_calibration": 1.0, "consensus": "BUY", "consensus_strength": 0.8, "technical_coverage": 0.8, "volume_coverage": 1.0,
        "sentiment_coverage": 0.0}))
}

#[test]
fn prices_have_eight_digits_and_nothing_has_no_sign() {
    for (number, text) in [
        (3_115.919_399_999_999_8, "3115.9194"),
        (72_500.0, "72500"),
        (0.000_012_345_678_9, "0.000012345679"),
        (123_456_789.0, "123456789"),
        (0.0, "0"),
    ] {
        assert_eq!(price(number), text);
    }
    assert_eq!(spelt(&json!(-0.04), "+1").unwrap() + &spelt(&json!(0.06), "+1").unwrap(), "0.0+0.1");
}

/// Of which the longer weighs more.
fn roles() -> Vec<(String, f64)> {
    vec![("5m".into(), 0.2), ("4h".into(), 0.4)]
}

#[test]
fn what_weighs_most_weighs_in_its_dimension_and_its_role() {
    let of = |dimension: &str, weight: f64| row(&json!({"dimension": dimension, "score": 60.0, "weight": weight}));
    let mut components = [component("fast", 80.0, 0.3), component("slow", 75.0, 0.3), component("small", 90.0, 0.5)];
    components[1].insert("timeframe".into(), json!("4h"));
    components[2].insert("dimension".into(), json!("sentiment"));
    let told = insights(&confluence(), &[of("technical", 0.3), of("sentiment", 0.1)], &components, &roles());
    let named: Vec<&Value> = told.iter().filter_map(|one| one.data.get("component")).collect();
    // .4 x .3 x .3 x 25 = .9, .2 x .1 x .5 x 40 = .4, .2 x .3 x .3 x 30 = .54.
    assert_eq!(named, ["slow", "fast", "small"]);
}

#[test]
fn what_became_of_a_signal_is_said_and_one_that_is_over_is_not_entered() {
    let signal = |status: &str, stop: Value| {
        row(&json!({"status": status, "status_ts": "T2", "stop_ts": stop, "target_1_ts": "T1", "target_2_ts": null}))
    };
    assert_eq!(outcome(&signal("active", Value::Null)), None);
    let told = |status, stop| outcome(&signal(status, stop)).unwrap().text;
    assert_eq!(told("closed", Value::Null), "The signal is closed since T2; its price reached: first target at T1.");
    assert_eq!(
        told("active", json!("T2")),
        "The signal is active, but its price reached: first target at T1, stop at T2. There is nothing to enter."
    );
}

#[test]
fn what_weighs_most_is_told_first_and_what_is_absent_is_not() {
    let dimensions = [row(&json!({"dimension": "technical", "score": 80.0, "weight": 0.4}))];
    let components: Vec<Row> = [("a", 60.0), ("b", 90.0), ("c", 40.0), ("d", 55.0), ("e", 80.0), ("f", 50.0)]
        .map(|(name, score)| component(name, score, 0.2))
        .into();
    let told = insights(&confluence(), &dimensions, &components, &roles());
    let about: Vec<&str> = told.iter().map(|one| one.about).collect();
    assert_eq!(about, ["confluence", "dimension", "consensus", "component", "component", "component", "component"]);
    let named: Vec<&Value> = told.iter().filter_map(|one| one.data.get("component")).collect();
    assert_eq!(named, ["b", "e", "a", "c"]);
    assert!(told[0].text.contains("72.5") && told[0].text.contains("60 %") && told[0].text.contains("0.30"));
    assert!((told[1].data["points"].as_f64().unwrap() - 12.0).abs() < 1e-9 && told[1].text.contains("+12.0 points"));
    let mut without = confluence();
    without.insert("consensus".into(), Value::Null);
    assert!(insights(&without, &[], &[], &[]).iter().all(|one| one.about == "confluence"));
}

#[test]
fn a_plan_is_said_in_prices_and_shares() {
    let plan = |direction, position| Plan {
        direction,
        score: 72.5,
        bullish: 70.0,
        bearish: 30.0,
        hysteresis: 3.0,
        position,
        size: Some(4.0),
    };
    let long = Some(Position { entry: 100.0, stop: 98.0, basis: "swing_low", targets: [104.0, 107.0] });
    let told: Vec<String> = actionable(&plan("BULLISH", long)).into_iter().map(|one| one.text).collect();
    assert_eq!(
        told,
        [
            "Enter long near 100 and give it up at 98, 2.00 % away, behind the swing low.",
            "Close a part at 104, 2.0 times the risk, and the rest at 107, 3.5 times.",
            "Take 4.00 % of the capital: the stop costs 0.080 % of it.",
            "The signal ends when the score falls below 67.",
        ]
    );
    assert_eq!(actionable(&plan("BEARISH", None)).len(), 1);
    let none = actionable(&plan("NEUTRAL", long));
    assert_eq!((none.len(), none[0].about), (1, "no_position"));
}

#[test]
fn what_speaks_against_it_is_told() {
    let state = row(
        &json!({"atr_14": 3.0, "atr_50": 1.5, "spread_bps": 7.0, "slippage_buy_100k": 30.0, "slippage_sell_100k": null}),
    );
    let about = |told: Vec<Sentence>| -> Vec<&str> { told.into_iter().map(|one| one.about).collect() };
    let near = Position { entry: 100.0, stop: 98.0, basis: "atr", targets: [103.0, 107.0] };
    let told = warnings_of_market(Some(&state), Some(&near));
    assert_eq!(told[2].text, "A side of the book holds less than 100,000 near the price.");
    assert_eq!(about(told), ["volatility", "liquidity", "liquidity", "structure", "risk_reward"]);
    let dear = row(&json!({"spread_bps": 1.0, "slippage_buy_100k": 5.0, "slippage_sell_100k": 30.0}));
    let told = warnings_of_market(Some(&dear), None);
    assert!(told.len() == 1 && told[0].text.contains("costs 30.0 basis points"), "{told:?}");
    let whole = Position { targets: [104.0, 107.0], basis: "swing_low", ..near };
    assert_eq!(warnings_of_market(None, Some(&whole)), []);
    let told = warnings_of_data(&confluence());
    assert_eq!(about(told.clone()), ["data_quality", "coverage", "reliability"]);
    assert_eq!(told[1].text, "Only 60 % of the score's weight is present: technical 80 %, sentiment 0 %.");
    assert_eq!(told[2].text, "Reliability is 0.30, held down most by quality (0.50).");
}

#[test]
fn a_row_is_current_until_the_next_bar_closes() {
    let row = json!({"timeframe": "5m", "ts_close": "2024-08-09T00:05:00Z"});
    let at = |text: &str| is_current(row.as_object().unwrap(), parse_ts(text).unwrap());
    assert!(!at("2024-08-09T00:04:59Z") && at("2024-08-09T00:05:00Z") && at("2024-08-09T00:09:00Z"));
    assert!(!at("2024-08-09T00:10:00Z"));
}
