//! The demo from its start to its end, as a visitor with a browser and a terminal sees it.

use std::{
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use prism_queries::live::FORMING_VIEWS;
use serde_json::Value;

use crate::support::{Said, command, free_port, http, prism};

/// Kills the demo if a check fails before its end.
struct Running(Option<Child>);

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn json(port: u16, method: &str, path: &str, body: &str) -> Value {
    let (status, text) = http(port, method, path, body).unwrap();
    assert_eq!(status, 200, "{path}: {text}");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}: {text}"))
}

fn sql(port: u16, statement: &str) -> Value {
    json(port, "POST", "/api/sql", &serde_json::json!({ "sql": statement }).to_string())
}

fn latest(port: u16) -> Value {
    json(port, "GET", "/api/signals/latest", "")
}

fn ids(answer: &Value) -> Vec<String> {
    let mut ids = Vec::new();
    collect(answer, "signal_id", &mut ids);
    ids
}

/// Rows of open bars can be asked for, and are of the moment.
fn forms(port: u16, table: &str) {
    let statement = format!("SELECT count(DISTINCT symbol), min(known_at) FROM live.forming_{table}");
    let body = serde_json::json!({ "sql": statement }).to_string();
    let asked = || {
        let mut said = String::new();
        for _ in 0..40 {
            let (status, text) = http(port, "POST", "/api/sql", &body).unwrap();
            match status {
                // Where the market falls behind its clock, no open interval has a trade for a moment.
                200 => {
                    let row = serde_json::from_str::<Value>(&text).unwrap()["rows"][0].clone();
                    if 20 <= row[0].as_i64().unwrap() {
                        return row;
                    }
                }
                503 => assert!(text.contains("not_formed"), "{text}"),
                _ => panic!("{table}: {status} {text}"),
            }
            said = text;
        }
        panic!("{table}: what forms is never told: {said}");
    };
    let [first, second] = [asked(), asked()];
    assert!(first[1].as_str() < second[1].as_str(), "{table}: {first}, {second}");
}

/// Pages, endpoints and SQL answer.
fn answers_what_it_promises(port: u16) {
    for path in ["/", "/health", "/metrics", "/version"] {
        assert_eq!(http(port, "GET", path, "").unwrap().0, 200, "{path}");
    }
    let (_, page) = http(port, "GET", "/", "").unwrap();
    assert!(page.contains("<html") && page.contains("prism"), "{page}");
    let (_, metrics) = http(port, "GET", "/metrics", "").unwrap();
    for operator in prism_dataflow::operator::OPERATORS {
        let name = format!("prism_state_bytes{{operator=\"{operator}\"}} ");
        let bytes = metrics.lines().find_map(|line| line.strip_prefix(&*name)?.parse::<f64>().ok());
        assert!(bytes.is_some_and(|bytes| 1_000.0 < bytes), "{name}{bytes:?}");
    }
    let document = json(port, "GET", "/api/openapi.json", "");
    for path in ["/api/signals/latest", "/api/sql", "/api/bars/{symbol}", "/api/analysis/{symbol}", "/api/top-symbols"]
    {
        assert!(document["paths"].get(path).is_some(), "{path} is not in the OpenAPI document");
    }
    for path in [
        "/api/bars/BTCUSDT?timeframe=1m",
        "/api/indicators/BTCUSDT?timeframe=1m",
        "/api/analysis/BTCUSDT",
        "/api/top-symbols",
        "/api/signals",
    ] {
        json(port, "GET", path, "");
    }
    let snapshot = json(port, "GET", "/api/snapshot/BTCUSDT", "");
    assert_eq!((&snapshot["symbol"], &snapshot["missing"]), (&"BTCUSDT".into(), &serde_json::json!([])), "{snapshot}");
    let misplaced = sql(port, "SELECT count(*) FROM quarantine WHERE rule = 'misplaced_row'");
    assert_eq!(misplaced["rows"][0][0], 0, "{misplaced}");
    let answer = sql(port, "SELECT symbol, score FROM live.confluence ORDER BY score DESC LIMIT 5");
    assert_eq!(answer["columns"].as_array().unwrap().len(), 2, "{answer}");
    assert_eq!(answer["rows"].as_array().unwrap().len(), 5, "{answer}");
    FORMING_VIEWS.into_iter().for_each(|table| forms(port, table));
    let (status, _) = http(port, "POST", "/api/sql", "{\"sql\": \"DROP TABLE bars\"}").unwrap();
    assert!((400..500).contains(&status), "DROP gives {status}");
    let (status, _) = http(port, "GET", "/api/signals/0123456789abcdef", "").unwrap();
    assert_eq!(status, 404);
}

fn query(store: &std::path::Path, statement: &str) -> String {
    prism(["sql", "--store", store.to_str().unwrap(), statement, "--format", "csv"]).fine()
}

/// How long the demo's bars wait at its usual speed.
const GRACE: &str = "1800ms";

const SIGNALS: &str = "SELECT signal_id, known_at, status FROM signals ORDER BY signal_id";

/// The signals that a demo's log gives up to when its store ends: what is known later takes some back.
fn replayed(place: &std::path::Path, again: &std::path::Path) -> String {
    let rows =
        ["bars", "confluence", "signals"].map(|table| format!("SELECT known_at FROM {table}")).join(" UNION ALL ");
    let last = format!("SELECT max(known_at) + INTERVAL '1 millisecond' AS t FROM ({rows})");
    let until = query(&place.join("store"), &last);
    // The demo's bars wait longer, since its time passes faster.
    let (log, config) = (place.join("log"), again.with_extension("toml"));
    std::fs::write(&config, format!("[time]\ngrace = \"{GRACE}\"\n")).unwrap();
    let [log, store, config] = [&*log, again, &config].map(|path| path.to_str().unwrap());
    let until = until.lines().nth(1).unwrap();
    prism(["replay", "--log", log, "--store", store, "--config", config, "--to", until]).fine();
    let hashes = [&place.join("store"), again].map(|store| query(store, "SELECT DISTINCT config_hash FROM bars"));
    assert_eq!(hashes[0], hashes[1], "other settings");
    query(again, SIGNALS)
}

#[test]
fn first_scores_come_at_once_and_stay_in_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("demo");
    let port = free_port();
    let mut demo = command();
    demo.args(["demo", "--port", &port.to_string(), "--for", "10m", "--dir"]).arg(&place);
    let began = began();
    let child = demo.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut running = Running(Some(child));

    // Ready, scores of every symbol, and a signal: within 10 s by promise; a busy machine may take long.
    let wait_until = |what: &str, is_so: &dyn Fn() -> bool| {
        while !is_so() {
            assert!(began.elapsed() < Duration::from_secs(120), "no {what} after two minutes");
            std::thread::sleep(Duration::from_millis(100));
        }
        println!("{what} after {:.1} s", began.elapsed().as_secs_f64());
    };
    wait_until("readiness", &|| http(port, "GET", "/ready", "").is_ok_and(|(status, _)| status == 200));
    let n_symbols = prism_sources::synthetic::SYMBOLS.len();
    assert!(20 <= n_symbols);
    wait_until("score of every symbol", &|| {
        let answer = sql(port, "SELECT count(DISTINCT symbol) FROM live.confluence");
        answer["rows"][0][0].as_u64() == Some(n_symbols as u64)
    });
    wait_until("signal", &|| !ids(&latest(port)).is_empty());

    crate::page::shows_live_scores(port, n_symbols);
    answers_what_it_promises(port);
    let seen = ids(&latest(port));
    for id in seen.iter().take(3) {
        let (status, said) = http(port, "GET", &format!("/api/signals/{id}"), "").unwrap();
        // One that a correction took back meanwhile is gone from everywhere.
        let is_gone = status == 404 && !ids(&latest(port)).contains(id);
        assert!(is_gone || status == 200 && said.contains(id.as_str()), "{status}: {said}");
    }
    let seen: Vec<String> = ids(&latest(port)).into_iter().filter(|id| seen.contains(id)).collect();

    // It ends when told, and what was shown is in the store.
    let id = running.0.as_ref().unwrap().id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    let ended = (0..300).any(|_| {
        std::thread::sleep(Duration::from_millis(100));
        running.0.as_mut().unwrap().try_wait().unwrap().is_some()
    });
    assert!(ended, "it goes on after an interrupt");
    let output = running.0.take().unwrap().wait_with_output().unwrap();
    println!("it ended after {:.1} s", began.elapsed().as_secs_f64());
    let said = Said::of(&output).fine();
    assert!(said.contains("stopped"), "{said}");
    let stored = |statement: &str| query(&place.join("store"), statement);
    let signals = stored(SIGNALS);
    if !seen.iter().all(|id| signals.contains(&**id)) {
        assert_eq!(replayed(&place, &dir.path().join("again")), signals, "shown were {seen:?}");
    }
    assert_eq!(stored("SELECT count(DISTINCT symbol) AS n FROM confluence"), format!("n\n{n_symbols}\n"));
}

#[test]
fn a_second_demo_leaves_the_first_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (place, port) = (dir.path().join("demo"), free_port());
    let demo = |place: &std::path::Path, port: u16| {
        let mut demo = command();
        demo.args(["demo", "--port", &port.to_string(), "--for", "5m", "--dir"]).arg(place);
        demo.stdout(Stdio::piped()).stderr(Stdio::piped());
        demo
    };
    let running = Running(Some(demo(&place, port).spawn().unwrap()));
    let segments = || {
        let topics = std::fs::read_dir(place.join("log")).into_iter().flatten();
        let partitions = topics.flatten().flat_map(|topic| std::fs::read_dir(topic.path())).flatten().flatten();
        partitions.flat_map(|partition| std::fs::read_dir(partition.path())).flatten().count()
    };
    let began = began();
    while segments() == 0 || http(port, "GET", "/health", "").is_err() {
        assert!(began.elapsed() < Duration::from_secs(120), "the first demo does not start");
        std::thread::sleep(Duration::from_millis(50));
    }
    let before = segments();
    // The directory is taken.
    let said = Said::of(&demo(&place, free_port()).output().unwrap());
    assert!(said.code == 1 && said.err.contains("a running demo has"), "{said:?}");
    assert!(before <= segments() && place.join("store").exists(), "the first demo's rows are gone");
    // The port is taken: what an earlier demo left elsewhere stays.
    let other = dir.path().join("earlier");
    std::fs::create_dir_all(other.join("store")).unwrap();
    std::fs::write(other.join("made-by-prism-demo"), "").unwrap();
    std::fs::write(other.join("store/kept"), "").unwrap();
    let said = Said::of(&demo(&other, port).output().unwrap());
    assert!(said.code == 1 && said.err.contains(&format!("127.0.0.1:{port}")), "{said:?}");
    assert_eq!(said.err.lines().count(), 1, "{said:?}");
    assert!(other.join("store/kept").exists());
    assert_eq!(http(port, "GET", "/health", "").unwrap().0, 200);
    drop(running);
    // Once the first is gone its directory is made anew.
    let said = prism(["demo", "--port", "0", "--for", "1s", "--dir", other.to_str().unwrap()]);
    assert!(said.code == 0 && !other.join("store/kept").exists(), "{said:?}");
}

#[test]
fn the_synthetic_market_in_one_process_becomes_ready() {
    let dir = tempfile::tempdir().unwrap();
    let port = free_port();
    let mut run = command();
    run.args(["run", "--synthetic", "--port", &port.to_string(), "--for", "5m"]);
    run.arg("--log").arg(dir.path().join("log")).arg("--store").arg(dir.path().join("store"));
    let _running = Running(Some(run.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()));
    let began = began();
    let ready = || http(port, "GET", "/ready", "").unwrap_or_default();
    while ready().0 != 200 {
        assert!(began.elapsed() < Duration::from_secs(120), "not ready: {}", ready().1);
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(ready().1.contains("\"simulated\":true"));
}

#[test]
fn a_directory_of_others_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("letters.txt"), "dear").unwrap();
    let said = prism(["demo", "--port", "0", "--for", "1s", "--dir", dir.path().to_str().unwrap()]);
    assert_eq!(said.code, 2, "{said:?}");
    assert_eq!(std::fs::read_to_string(dir.path().join("letters.txt")).unwrap(), "dear");
}

#[expect(clippy::disallowed_methods, reason = "the promise is one about real time")]
fn began() -> Instant {
    Instant::now()
}

/// Texts under a key anywhere in an answer.
fn collect(value: &Value, key: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => map.iter().for_each(|(name, value)| match value {
            Value::String(text) if name == key => found.push(text.clone()),
            value => collect(value, key, found),
        }),
        Value::Array(list) => list.iter().for_each(|value| collect(value, key, found)),
        _ => {}
    }
}
