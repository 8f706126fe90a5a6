//! The commands of README that import files are run as they stand there.

use crate::support::{prism, root, run};

/// What the report says of each of them: venue, market, symbol, kind of event, and how many.
const READ: [&str; 10] = [
    "binance linear BTCUSDT trade 60",
    "bybit linear BTCUSDT trade 20",
    "bitmex inverse XBTUSD trade 20",
    "okx spot BTCUSDT trade 20",
    "kraken spot BTCUSD trade 20",
    "kraken spot BTCUSD book_snapshot 1",
    "binance spot BTCUSDT kline 4",
    "binance spot BTCUSDT kline 10",
    "binance linear BTCUSDT trade 10",
    "gemini spot ETHUSD trade 20",
];

#[test]
fn files_of_every_kind_are_imported_as_the_readme_says() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let lines: Vec<&str> = readme.lines().filter(|line| line.starts_with("prism import tests/fixtures/")).collect();
    assert_eq!(lines.len(), 10);
    for (line, expected) in lines.into_iter().zip(READ) {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let words = line.split('#').next().unwrap().split_whitespace().skip(1);
        let words = words.map(|word| if word == "data/log" { log.to_str().unwrap() } else { word });
        let words: Vec<String> = words
            .map(|word| match word.starts_with("tests/fixtures/") {
                true => root().join(word).to_str().unwrap().to_string(),
                false => word.to_string(),
            })
            .collect();
        let said = prism(words.clone()).fine();
        let rows: Vec<String> =
            said.lines().map(|line| line.split_whitespace().skip(1).collect::<Vec<_>>().join(" ")).collect();
        assert!(rows.iter().any(|row| row == expected), "{line}: {expected}: {said}");
        assert!(said.contains(": whole, ") && !said.contains("quarantined"), "{line}: {said}");
        // The same again is told, and nothing is written.
        let again = prism(words).fine();
        assert!(again.contains("in the log already"), "{line}: {again}");
    }
}

#[test]
fn formats_are_listed_and_a_dry_run_writes_nothing() {
    let said = run("import --formats", &[]).fine();
    assert!(said.contains("bybit trades") && said.contains("trdMatchID"), "{said}");
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let file = root().join("tests/fixtures/import/BTCUSDT2024-01-01.csv.gz");
    let said = run("import {} --log {} --dry-run", &[&file, &log]).fine();
    assert!(said.contains("trade") && said.contains("not in the log") && !log.exists(), "{said}");
    let plain = root().join("tests/fixtures/import/anything.csv");
    let refused = run("import {} --log {}", &[&plain, &log]);
    assert!(
        refused.code == 1 && refused.err.contains("--exchange") && refused.err.contains("--formats"),
        "{refused:?}"
    );
}
