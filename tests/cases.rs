//! Small files whose numbers were wrong once (`tests/cases`).

use std::path::{Path, PathBuf};

use crate::support::{root, run};

fn case(name: &str) -> PathBuf {
    root().join("tests/cases").join(name)
}

/// Rows of a query over what these files make.
fn ask(files: &[PathBuf], config: Option<&Path>, sql: &str) -> Vec<Vec<String>> {
    let dir = tempfile::tempdir().unwrap();
    let (log, store) = (dir.path().join("log"), dir.path().join("store"));
    for file in files {
        run("import {} --market linear --log {}", &[file, &log]).fine();
    }
    let empty = dir.path().join("prism.toml");
    std::fs::write(&empty, "").unwrap();
    run("replay --log {} --store {} --config {} --seal", &[&log, &store, config.unwrap_or(&empty)]).fine();
    let text = run("sql --store {} --format csv {}", &[&store, Path::new(sql)]).fine();
    text.lines().skip(1).map(|line| line.split(',').map(str::to_string).collect()).collect()
}

fn number(text: &str) -> f64 {
    text.parse().unwrap_or_else(|_| panic!("{text} is no number"))
}

#[test]
fn equal_typical_prices_are_no_flow() {
    let file = case("mfi/BINANCE_UM_ALGOUSDT_5m_futures.csv");
    let rows = ask(&[file], None, "SELECT mfi_14 FROM indicators WHERE timeframe = '5m' ORDER BY ts DESC LIMIT 1");
    // By exact decimals.
    assert!((number(&rows[0][0]) - 7.39).abs() < 0.005, "{rows:?}");
}

#[test]
fn directions_that_tie_do_not_depend_on_the_unit_of_the_price() {
    const SQL: &str = "SELECT adx_14, plus_di_14, minus_di_14 FROM indicators WHERE timeframe = '1m' \
                       AND adx_14 IS NOT NULL ORDER BY ts";
    let file = case("adx_ties/PPPUSDT-1m-2024-01.csv");
    // In units of 1e-8 all prices are whole, and nothing is rounded.
    let dir = tempfile::tempdir().unwrap();
    let whole = dir.path().join(file.file_name().unwrap());
    let text = std::fs::read_to_string(&file).unwrap();
    let scaled = text.lines().enumerate().map(|(row, line)| {
        let scale = |(column, cell): (usize, &str)| match (row, column) {
            (1.., 1..=4) => format!("{}", (number(cell) * 1e8).round()),
            _ => cell.into(),
        };
        line.split(',').enumerate().map(scale).collect::<Vec<_>>().join(",")
    });
    std::fs::write(&whole, scaled.collect::<Vec<_>>().join("\n")).unwrap();
    let [got, exact] = [file, whole].map(|file| ask(&[file], None, SQL));
    assert!(250 < got.len() && got.len() == exact.len());
    for (row, (got, exact)) in got.iter().zip(&exact).enumerate() {
        for (got, exact) in got.iter().zip(exact) {
            assert!((number(got) - number(exact)).abs() < 1e-6, "row {row}: {got} for {exact}");
        }
    }
}

/// The files' regressions of QQQUSDT, with the case's settings.
fn relations(name: &str) -> Vec<Vec<String>> {
    let files = ["BTCUSDT", "QQQUSDT"].map(|symbol| case(name).join(format!("{symbol}-1m-2024-01.csv")));
    let sql = "SELECT beta, correlation FROM relations WHERE symbol = 'QQQUSDT' ORDER BY ts";
    ask(&files, Some(&case(name).join("w10.toml")), sql)
}

#[test]
fn returns_are_paired_over_equal_spans_only() {
    let rows = relations("relations_missing_bars");
    assert!(20 < rows.len(), "{rows:?}");
    for row in &rows {
        // The second symbol's prices are rounded to ticks.
        assert!(row.iter().all(|value| (number(value) - 1.0).abs() < 0.01), "{rows:?}");
    }
}

#[test]
fn what_only_rounding_moves_explains_nothing() {
    let name = "relations_constant_benchmark";
    assert_eq!(relations(name), Vec::<Vec<String>>::new());
    let files = ["BTCUSDT", "QQQUSDT"].map(|symbol| case(name).join(format!("{symbol}-1m-2024-01.csv")));
    let sql = "SELECT symbol, count(*) FROM bars WHERE timeframe = '1m' AND quality = 'ok' GROUP BY 1 ORDER BY 1";
    let counted = ask(&files, None, sql);
    assert!(counted.len() == 2 && counted.iter().all(|row| 20.0 < number(&row[1])), "{counted:?}");
}

#[test]
fn what_the_horizon_accepts_identity_recognises() {
    let told_again = [case("again_after_15min/rec.jsonl")];
    let sql = "SELECT sum(volume) FROM bars WHERE timeframe = '1m' AND NOT retracted";
    assert_eq!(number(&ask(&told_again, None, sql)[0][0]), 4.0);
    let twice = || vec![case("imported_twice/VVVUSDT-aggTrades-2024-01-01.csv"); 2];
    let rows =
        ask(&twice(), None, "SELECT sum(n_trades), max(n_trades) FROM bars WHERE timeframe = '1m' AND NOT retracted");
    assert_eq!(rows, [["360", "6"]]);
    let told = ask(&twice(), None, "SELECT rule, count(*) FROM quarantine GROUP BY rule");
    assert_eq!(told, [["duplicate", "360"]]);
}
