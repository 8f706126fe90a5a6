//! Commands, their options, formats and exit codes, as a user meets them.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use prism_schemas::table::TABLES;
use serde_json::Value;

use crate::{
    determinism::CONFIG,
    support::{Synthetic, prism, run, write_log},
};

/// A log, and the store of its replay, made once.
pub(crate) struct Place {
    dir: tempfile::TempDir,
    /// What the replay printed.
    printed: String,
}

impl Place {
    pub(crate) fn get() -> &'static Place {
        static PLACE: OnceLock<Place> = OnceLock::new();
        PLACE.get_or_init(|| {
            let dir = tempfile::tempdir().unwrap();
            let at = |name: &str| dir.path().join(name);
            write_log(&at("log"), &Synthetic { seed: 61, hours: 3, trades: 6_000, late: 0, copies: 0 }.arrivals());
            std::fs::write(at("prism.toml"), CONFIG).unwrap();
            let line = "replay --log {} --store {} --config {} --seal --format json";
            let printed = run(line, &[&at("log"), &at("store"), &at("prism.toml")]).fine();
            Place { dir, printed }
        })
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

fn sql(store: &Path, statement: &str, format: &str) -> crate::support::Said {
    prism(["sql", "--store", store.to_str().unwrap(), statement, "--format", format])
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn every_command_has_help() {
    let help = prism(["--help"]).fine();
    let commands: Vec<&str> = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    for command in ["demo", "import", "replay", "sql", "analyze", "liquidations"] {
        assert!(commands.contains(&command), "{command} is not in {help}");
    }
    for (command, options) in [
        ("demo", &["--port", "--for"][..]),
        ("import", &["--log", "--format"]),
        ("replay", &["--log", "--store", "--workers", "--stride", "--seal", "--config", "--digest", "--format"]),
        ("sql", &["--store", "--format"]),
        ("analyze", &["--store", "--timeframe", "--format"]),
    ] {
        let help = prism([command, "--help"]).fine();
        assert!(help.contains("Usage: prism"), "{help}");
        for option in options {
            assert!(help.contains(option), "{option} is not in {help}");
        }
    }
    assert!(prism(["--version"]).fine().starts_with("prism "));
}

#[test]
fn misuse_exits_with_2_and_failure_with_1() {
    let store = Place::get().at("store");
    for (line, paths, code) in [
        ("", &[][..], 2),
        ("fly", &[], 2),
        ("replay", &[], 2),
        ("replay --log {} --store {} --workers 0", &[&*store, &store], 2),
        ("replay --log {} --store {} --stride 0", &[&*store, &store], 2),
        ("replay --log {} --store {} --digest=rows", &[&*store, &store], 2),
        ("import", &[], 2),
        ("sql --store {} SELEKT", &[&*store], 2),
        ("sql --store {} DROP/**/TABLE/**/bars", &[&*store], 2),
        ("sql --store {} DELETE/**/FROM/**/bars", &[&*store], 2),
        ("sql --store {} SELECT/**/nothing/**/FROM/**/bars", &[&*store], 2),
        ("sql --store {} SELECT/**/1 --format xml", &[&*store], 2),
        ("demo --for soon", &[], 2),
        ("demo --port 70000", &[], 2),
        // Names of runs are paths, tables and parts of URLs.
        ("replay --log {} --store {} --run ", &[&*store, &store], 2),
        ("replay --log {} --store {} --run a/b", &[&*store, &store], 2),
        ("replay --log {} --store {} --run ../x", &[&*store, &store], 2),
        ("replay --log {} --store questdb://127.0.0.1:1 --run live", &[&*store], 2),
        ("sql --store {} SELECT/**/1 --run A", &[&*store], 2),
        ("replay --log {} --store {} --from yesterday", &[&*store, &store], 2),
        // The store's directory is no log.
        ("replay --log {} --store {}", &[&*store, &store], 1),
    ] {
        let said = run(line, paths);
        assert_eq!(said.code, code, "{line}: {said:?}");
        assert!(!said.err.is_empty(), "{line}");
        assert!(said.out.is_empty(), "{line}: {said:?}");
    }
}

#[test]
fn import_counts_and_replay_prints_rows() {
    let place = Place::get();
    let printed = json(&place.printed);
    let names: BTreeSet<&str> = printed.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, TABLES.iter().map(|table| table.name).collect());
    assert!(1_000 < printed["bars"].as_u64().unwrap(), "{printed}");

    let csv = place.at("Bitmex_XBTUSD.csv");
    let rows = "timestamp,price,size\n1514764800000,13850.5,100\n1514764801000,13851,-2500\n1514764802000,oops,5\n";
    std::fs::write(&csv, rows).unwrap();
    let said = json(&run("import {} --log {} --format json", &[&csv, &place.at("imported-json")]).fine());
    let file = &said["files"][0];
    let n_trades = file["counts"].as_array().unwrap().iter().find(|count| count["event"] == "trade").unwrap();
    assert_eq!((&n_trades["symbol"], &n_trades["count"]), (&Value::from("XBTUSD"), &Value::from(2)), "{said}");
    assert_eq!(file["quarantined"][0]["count"], 1, "{said}");
    let said = run("import {} --log {} --format csv", &[&csv, &place.at("imported-csv")]).fine();
    assert!(said.starts_with("file,exchange,market,symbol,event,count\n"), "{said}");
    let said = run("import {} --log {}", &[&csv, &place.at("imported-table")]).fine();
    assert!(said.contains("XBTUSD") && said.contains("trade"), "{said}");
}

#[test]
fn replay_with_digest_prints_sorted_lines_and_nothing_else() {
    let place = Place::get();
    let derived: Vec<&str> = {
        let mut names: Vec<&str> = TABLES.iter().filter(|table| table.derived).map(|table| table.name).collect();
        names.sort_unstable();
        names
    };
    let mut said = Vec::new();
    for mode in ["--digest", "--digest=full", "--digest=values"] {
        let line = format!("replay --log {{}} --store {{}} --config {{}} --seal {mode}");
        let store = place.at(&format!("digest{mode}"));
        let out = run(&line, &[&place.at("log"), &store, &place.at("prism.toml")]).fine();
        let lines: Vec<Vec<&str>> = out.lines().map(|line| line.split(' ').collect()).collect();
        assert_eq!(lines.iter().map(|line| line[0]).collect::<Vec<_>>(), derived, "{out}");
        for line in &lines {
            let [name, rows, digest] = line[..] else { panic!("{out}") };
            // A book that turns out to be suspect takes readings back, and scores are made again.
            let (stand, written) = (rows.parse::<u64>().unwrap(), json(&place.printed)[name].as_u64().unwrap());
            let is_exact = ["bars", "indicators", "relations"].contains(&name);
            let most = if is_exact { 0 } else { 200 };
            assert!(stand <= written && written - stand <= most, "{name}: {stand} of {written}");
            assert!(digest.len() == 32 && digest.chars().all(|c| c.is_ascii_hexdigit()), "{out}");
        }
        said.push(out);
    }
    assert_eq!(said[0], said[1]);
    assert_ne!(said[0], said[2]);
}

#[test]
fn sql_answers_in_three_formats() {
    let store = Place::get().at("store");
    let statement = "SELECT symbol, count(*) AS n, max(close) AS highest FROM bars WHERE timeframe = '1m' GROUP BY symbol ORDER BY symbol";
    let table = sql(&store, statement, "table").fine();
    assert!(table.contains("symbol") && table.contains("BTCUSDT"), "{table}");
    let csv = sql(&store, statement, "csv").fine();
    assert_eq!(csv.lines().next(), Some("symbol,n,highest"));
    let rows = json(&sql(&store, statement, "json").fine());
    let rows = rows.as_array().unwrap();
    assert_eq!((rows.len(), csv.lines().count()), (7, 8), "{csv}");
    for (row, line) in rows.iter().zip(csv.lines().skip(1)) {
        assert!(line.starts_with(row["symbol"].as_str().unwrap()), "{line} {row}");
        assert_eq!(line.split(',').nth(1), Some(&*row["n"].to_string()));
    }
    let error = sql(&store, "SELECT symbol\nFROM baars", "table");
    assert!(error.code == 2 && error.err.contains("baars"), "{error:?}");
}

#[test]
fn liquidations_tell_who_was_forced_out() {
    let store = Place::get().at("store");
    let asked = |more: &str| run(&format!("liquidations --store {{}} {more}"), &[&store]);
    let answer = json(&asked("--duration 6h --alert-threshold 1000 --format json").fine());
    let bars = answer["bars"].as_array().unwrap();
    assert!(20 < bars.len(), "{answer}");
    let sum: f64 = bars.iter().map(|bar| bar["long_turnover"].as_f64().unwrap()).sum();
    assert!((answer["total"]["long_turnover"].as_f64().unwrap() - sum).abs() < 1e-6 * sum && 0.0 < sum);
    let is_loud =
        |bar: &&Value| 1_000.0 <= ["long_turnover", "short_turnover"].map(|of| bar[of].as_f64().unwrap()).iter().sum();
    assert_eq!(answer["total"]["alerts"], bars.iter().filter(is_loud).count());
    // SOLUSDT's venue leaves some out.
    assert_eq!(answer["total"]["completeness"], "at_least");
    let one = asked("--symbol btc-usdt --duration 6h").fine();
    assert!(one.contains("BTCUSDT (bybit linear)") && !one.contains("SOLUSDT") && !one.contains(">="), "{one}");
    assert!(one.contains("orders, ") && one.lines().last().unwrap().ends_with("alerts"), "{one}");
    let csv = asked("--duration 6h --format csv").fine();
    assert_eq!(csv.lines().count(), bars.len() + 1);
    let unknown = asked("--symbol S99USDT");
    assert_eq!((unknown.code, unknown.err.contains("no bar of S99USDT")), (2, true), "{}", unknown.err);
}

#[test]
fn analyze_prints_the_breakdown() {
    let store = Place::get().at("store");
    for spelling in ["ETHUSDT", "eth/usdt", "ETH-USDT"] {
        let out = run(&format!("analyze {spelling} --store {{}}"), &[&store]).fine();
        for word in [
            "ETHUSDT",
            "COMPONENT",
            "SCORE",
            "WEIGHT",
            "IMPACT",
            "DIV",
            "GAUGE",
            "TECHNICAL",
            "VOLUME",
            "rsi",
            "CONFLUENCE",
        ] {
            assert!(out.contains(word), "{word} is not in {out}");
        }
    }
    let answer = json(&run("analyze ETHUSDT --store {} --format json", &[&store]).fine());
    let components = answer["components"].as_array().unwrap();
    let (mut weight, mut impact) = (0.0, 0.0);
    for row in components.iter().filter(|row| row["dimension"] == "technical") {
        weight += row["weight"].as_f64().unwrap();
        impact += row["impact"].as_f64().unwrap();
        let product = row["weight"].as_f64().unwrap() * row["score"].as_f64().unwrap();
        assert!((row["impact"].as_f64().unwrap() - product).abs() < 1e-9, "{row}");
    }
    assert!((weight - 1.0).abs() < 1e-9 && 0.0 < impact && impact < 100.0, "{weight} {impact}");
    let csv = run("analyze ETHUSDT --store {} --format csv", &[&store]).fine();
    assert_eq!(csv.lines().next(), Some("dimension,component,score,weight,impact,div,label"));
    assert_eq!(csv.lines().count(), components.len() + 1);

    let unknown = run("analyze ETHUSTD --store {}", &[&store]);
    assert_eq!(unknown.code, 2, "{unknown:?}");
    assert!(unknown.err.contains("ETHUSTD") && unknown.err.contains("ETHUSDT"), "{unknown:?}");
}

#[test]
fn nothing_is_said_of_what_is_not_there() {
    let place = Place::get();
    let (store, log) = (place.at("store"), place.at("log"));
    let empty = place.at("empty-store");
    std::fs::create_dir_all(&empty).unwrap();
    for (line, paths, words) in [
        ("analyze ETHUSDT --store {} --timeframe 7m", &[&*store][..], &["7m", "1m, 5m"][..]),
        ("analyze ETHUSDT --store {} --timeframe 1d", &[&*store], &["1d", "1m, 5m"]),
        ("analyze ETHUSTD --store {}", &[&*store], &["did you mean ETHUSDT?", "It has"]),
        ("analyze ETHUSDT --store {} --market spot", &[&*store], &["on that exchange and market"]),
        ("analyze ETHUSDT --store {} --run what-if", &[&*store], &["no run what-if"]),
        ("sql --store {} SELECT/**/count(*)/**/FROM/**/bars --run what-if", &[&*store], &["no run what-if"]),
        ("sql --store {} SELECT/**/count(*)/**/FROM/**/bars", &[&*empty], &["is empty", "prism replay"]),
        ("sql --store {} SELECT/**/count(*)/**/FROM/**/bars", &[&*log], &["is a log"]),
        ("sql --store {} SELECT/**/count(*)/**/FROM/**/bars", &[Path::new("/usr/bin")], &["no tables"]),
        ("sql --store {} SELECT/**/count(*)/**/FROM/**/bars", &[Path::new("/nosuch")], &["does not exist"]),
        ("analyze ETHUSDT --store {}", &[&*empty], &["is empty"]),
        (
            "replay --log {} --store {} --from 2026-01-02T00:00:00Z --to 2026-01-01T00:00:00Z",
            &[&*log, &empty],
            &["--from 2026-01-02", "not before --to 2026-01-01"],
        ),
    ] {
        let said = run(line, paths);
        assert!(said.code == 2 && said.out.is_empty(), "{line}: {said:?}");
        words.iter().for_each(|word| assert!(said.err.contains(word), "{word} is not in {said:?}"));
    }
    assert_eq!(std::fs::read_dir(&empty).unwrap().count(), 0, "an error left something behind");
}

#[test]
fn a_symbol_list_that_is_cut_says_so() {
    let place = Place::get();
    let dir = place.at("many");
    std::fs::create_dir_all(dir.join("confluence")).unwrap();
    let mut store = prism_store::Store::open(&dir, "live").unwrap();
    let table = prism_schemas::table::table("confluence").unwrap();
    let day = 1_700_000_000_000_000_000;
    let rows = (0..25).map(|at| {
        let cell = |column: &prism_schemas::table::Column| match column.name {
            "ts" | "ts_close" | "known_at" => prism_schemas::Cell::Ts(day),
            "exchange" | "market" => prism_schemas::Cell::text("spot"),
            "symbol" => prism_schemas::Cell::text(format!("S{at:02}USDT")),
            "retracted" => prism_schemas::Cell::Bool(false),
            _ => prism_schemas::Cell::Null,
        };
        prism_schemas::Version { table, cells: table.columns.iter().map(cell).collect() }
    });
    let rows: Vec<_> = rows.collect();
    store.write(prism_schemas::Versions::of(&rows).unwrap()).unwrap();
    store.flush().unwrap();
    let said = run("analyze S99USDT --store {}", &[&dir]);
    assert!(said.err.contains("S19USDT and 5 more") && !said.err.contains("S20USDT"), "{said:?}");
}

#[test]
fn the_roles_lead_from_components_to_the_confluence() {
    let store = Place::get().at("store");
    let answer = json(&run("analyze ETHUSDT --store {} --format json", &[&store]).fine());
    let number = |row: &Value, name: &str| row[name].as_f64().unwrap();
    let mut confluence = 0.0;
    for dimension in answer["dimensions"].as_array().unwrap() {
        let all = answer["roles"].as_array().unwrap().iter();
        let roles: Vec<&Value> = all.filter(|row| row["dimension"] == dimension["dimension"]).collect();
        assert!(!roles.is_empty(), "{dimension}");
        let weight: f64 = roles.iter().map(|row| number(row, "role_weight")).sum();
        let score: f64 = roles.iter().map(|row| number(row, "role_weight") * number(row, "score")).sum();
        assert!((score / weight - number(dimension, "score")).abs() < 1e-6, "{roles:?} {dimension}");
        confluence += number(dimension, "impact");
    }
    assert!((confluence - number(&answer["confluence"], "score")).abs() < 1e-6, "{answer}");
    let base = &answer["roles"][0];
    let sum: f64 = answer["components"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|row| row["dimension"] == base["dimension"])
        .map(|row| number(row, "impact"))
        .sum();
    assert!((sum - number(base, "score")).abs() < 1e-6, "{base}");
    let out = run("analyze ETHUSDT --store {}", &[&store]).fine();
    let position = |word: &str| out.find(word).unwrap_or_else(|| panic!("{word} is not in {out}"));
    assert!(position("TECHNICAL at 1m") < position("TECHNICAL over the roles"));
    assert!(position("TECHNICAL over the roles") < position("CONFLUENCE") && out.contains("ROLE"));
}
