//! `prism signal`, over a replayed store: its numbers are those of stored rows, its sentences say them, and profiles of one's own
//! score with their weights.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::{
    commands::Place,
    determinism::CONFIG,
    support::{prism, run},
};

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// The first row of an answer.
fn row(store: &Path, statement: &str) -> Value {
    let out = prism(["sql", "--store", store.to_str().unwrap(), statement, "--format", "json"]).fine();
    json(&out)[0].take()
}

fn close(a: &Value, b: f64) -> bool {
    a.as_f64().is_some_and(|a| (a - b).abs() <= 1e-9 * b.abs().max(1.0))
}

#[test]
fn a_signal_is_what_rows_say_and_its_sentences_say_their_numbers() {
    let store = Place::get().at("store");
    let answer = json(&run("signal eth/usdt --store {} --horizon 1m --format json", &[&store]).fine());
    let one = &answer[0];
    let score = row(&store, "SELECT * FROM confluence WHERE symbol = 'ETHUSDT' ORDER BY ts DESC LIMIT 1");
    assert_eq!(
        (&one["score"], &one["at"], &one["entry_price"]),
        (&score["score"], &score["ts_close"], &score["price"])
    );
    let long = 50.0 <= score["score"].as_f64().unwrap();
    let side = if long { "long" } else { "short" };
    let statement = format!(
        "SELECT * FROM setups WHERE symbol = 'ETHUSDT' AND timeframe = '1m' AND ts = '{}'",
        score["ts"].as_str().unwrap()
    );
    let setup = row(&store, &statement);
    let [stop, first, second] = ["stop", "target_1", "target_2"].map(|name| &setup[format!("{side}_{name}")]);
    assert_eq!((&one["stop_loss"], &one["targets"]), (stop, &serde_json::json!([first, second])));
    // At its own close a first target is at twice the distance of the stop at least.
    let (entry, stop) = (one["entry_price"].as_f64().unwrap(), stop.as_f64().unwrap());
    let distance = (entry - stop).abs();
    assert!(close(&one["risk_reward"], (first.as_f64().unwrap() - entry).abs() / distance));
    assert!(2.0 - 1e-9 <= one["risk_reward"].as_f64().unwrap(), "{one}");
    let size = (0.1 * entry / distance).min(5.0) * score["reliability"].as_f64().unwrap();
    assert!(close(&one["position_size_percent"], size), "{size}: {one}");
    // Each number that is said of a component or dimension is a stored one.
    let insights = one["insights"].as_array().unwrap();
    assert_eq!(insights[0]["data"]["score"], score["score"]);
    let mut n_said = 0;
    for said in insights.iter().filter(|said| said["about"] == "component") {
        let data = &said["data"];
        let statement = format!(
            "SELECT score, weight, impact, raw_value FROM component_scores WHERE symbol = 'ETHUSDT' AND timeframe = '{}' AND component = '{}'
             AND ts_close <= '{}' ORDER BY ts DESC LIMIT 1",
            data["timeframe"].as_str().unwrap(),
            data["component"].as_str().unwrap(),
            score["ts_close"].as_str().unwrap(),
        );
        for (name, value) in row(&store, &statement).as_object().unwrap() {
            assert_eq!(&data[name], value, "{name} of {said}");
        }
        n_said += 1;
    }
    assert!(2 <= n_said, "{insights:?}");
}

#[test]
fn signals_are_written_whole_and_again_and_again() {
    let place = Place::get();
    let (store, file) = (place.at("store"), place.at("signals.json"));
    run("signal BTCUSDT ETHUSDT --store {} --format json --output {}", &[&store, &file]).fine();
    assert_eq!(json(&std::fs::read_to_string(&file).unwrap()).as_array().unwrap().len(), 2);
    let text = run("signal BTCUSDT ETHUSDT --store {}", &[&store]).fine();
    for word in ["BTCUSDT (bybit linear) at", "ETHUSDT", "reliability", "RATIONALE", "TO DO", "CONFLUENCE"] {
        assert!(text.contains(word), "{word} is not in {text}");
    }
    let mut child = Command::new(env!("CARGO_BIN_EXE_prism"))
        .args(["signal", "BTCUSDT", "--continuous", "--interval", "1", "--format", "json", "--store"])
        .arg(&store)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let is_running = child.try_wait().unwrap().is_none();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(is_running && json(&line)[0]["symbol"] == "BTCUSDT", "{line}");
    for (line, word) in [
        ("signal BTCUSTD --store {}", "did you mean BTCUSDT?"),
        ("signal BTCUSDT --store {} --horizon soon", "--horizon"),
        ("signal BTCUSDT --store {} --interval 0", "--interval"),
    ] {
        let said = run(line, &[&store]);
        assert!(said.code == 2 && said.err.contains(word), "{line}: {said:?}");
    }
}

#[test]
fn a_profile_of_ones_own_scores_with_its_weights() {
    let place = Place::get();
    let (log, store, file) = (place.at("log"), place.at("mine"), place.at("mine.toml"));
    let mine = "[score]\nprofile = \"mine\"\n[score.profiles.mine]\n\
                technical = { weight = 3, components = { rsi = 1, macd = 1 } }\nvolume = { weight = 1.0 }\n";
    std::fs::write(&file, format!("{CONFIG}\n{mine}")).unwrap();
    run("replay --log {} --store {} --config {} --seal", &[&log, &store, &file]).fine();
    let own = row(
        &store,
        "SELECT count(DISTINCT component) AS n, min(weight) AS least, max(weight) AS most FROM component_scores WHERE dimension = 'technical'",
    );
    assert!(own["n"] == 2 && 0.5 <= own["least"].as_f64().unwrap(), "{own}");
    let whole = "SELECT profile, config_hash, technical_weight AS technical, volume_weight AS volume, orderflow_weight AS orderflow, coverage,
        score - technical_contribution - volume_contribution AS rest FROM confluence WHERE coverage = 1.0 ORDER BY ts DESC LIMIT 1";
    let own = row(&store, whole);
    assert!(own["profile"] == "mine" && own["orderflow"].is_null(), "{own}");
    assert!(close(&own["technical"], 0.75) && close(&own["volume"], 0.25) && close(&own["rest"], 0.0), "{own}");
    // What is below the scores is the same.
    let bars = "SELECT count(*) AS n, sum(close * volume) AS sum FROM bars";
    assert_eq!(row(&store, bars), row(&place.at("store"), bars));
    let hash = "SELECT config_hash FROM confluence LIMIT 1";
    assert_ne!(row(&store, hash), row(&place.at("store"), hash));
}
