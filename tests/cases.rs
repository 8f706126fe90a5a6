//! Small files whose numbers were wrong once (`tests/cases`).

use std::path::{Path, PathBuf};

use crate::support::{root, run};

fn case(name: &str) -> PathBuf {
    root().join("tests/cases").join(name)
}

/// Rows of a query over what these files make, each imported by itself.
fn ask(files: &[PathBuf], config: Option<&Path>, sql: &str) -> Vec<Vec<String>> {
    let dir = tempfile::tempdir().unwrap();
    for file in files {
        run("import {} --market linear --log {}", &[file, &dir.path().join("log")]).fine();
    }
    answer(dir.path(), config, sql)
}

/// Rows of a query over what these files make, imported together.
fn ask_at_once(files: &[PathBuf], config: Option<&Path>, sql: &str) -> Vec<Vec<String>> {
    let dir = tempfile::tempdir().unwrap();
    let line = format!("import {}--market linear --log {{}}", "{} ".repeat(files.len()));
    let log = dir.path().join("log");
    run(&line, &files.iter().chain([&log]).map(PathBuf::as_path).collect::<Vec<_>>()).fine();
    answer(dir.path(), config, sql)
}

/// Rows of a query over what a log makes.
fn answer(dir: &Path, config: Option<&Path>, sql: &str) -> Vec<Vec<String>> {
    let (log, store) = (dir.join("log"), dir.join("store"));
    let empty = dir.join("prism.toml");
    std::fs::write(&empty, "").unwrap();
    run("replay --log {} --store {} --config {} --seal", &[&log, &store, config.unwrap_or(&empty)]).fine();
    let text = run("sql --store {} --format csv {}", &[&store, Path::new(sql)]).fine();
    text.lines().skip(1).map(|line| line.split(',').map(str::to_string).collect()).collect()
}

fn number(text: &str) -> f64 {
    text.parse().unwrap_or_else(|_| panic!("{text} is no number"))
}

/// Bars of a timeframe by quality and source, over what a case's file makes.
fn bars(file: &str, timeframe: &str) -> Vec<Vec<String>> {
    let sql = format!(
        "SELECT quality, source, COUNT(*) FROM bars WHERE timeframe = '{timeframe}' GROUP BY 1, 2 ORDER BY 1, 2"
    );
    ask(&[case(file)], None, &sql)
}

const RULES: &str = "SELECT rule, COUNT(*) FROM quarantine GROUP BY 1 ORDER BY 1";

#[test]
fn files_are_read_in_order_of_time_and_in_whichever_unit() {
    let trades =
        "SELECT COUNT(*), SUM(n_trades), MIN(ts), SUM(volume) FROM bars WHERE timeframe = '1m' AND 0 < n_trades";
    let newest = [case("newest_first/FFFUSDT-aggTrades-2023-05.csv")];
    assert_eq!(ask(&newest, None, trades)[0][1], "120");
    assert!(ask(&newest, None, RULES).is_empty());
    let ordered = "SELECT first_trade_id, last_trade_id, open, close FROM bars WHERE timeframe = '1m' AND 0 < n_trades ORDER BY ts";
    let rows = ask(&newest, None, ordered);
    assert!(rows.iter().all(|row| number(&row[0]) <= number(&row[1])), "{rows:?}");
    let seconds = ask(&[case("seconds/LLLUSDT-aggTrades-2024-01.csv")], None, trades);
    assert!(seconds[0][1] == "3" && seconds[0][2].starts_with("2024-01-01T00:00:00"), "{seconds:?}");
    let micro = ask(&[case("recv_micro/micro.txt")], None, trades);
    assert!(0.0 < number(&micro[0][1]) && micro[0][2].starts_with("2023-04-0"), "{micro:?}");
}

#[test]
fn a_row_of_another_time_is_set_aside() {
    let (dir, file) = (tempfile::tempdir().unwrap(), case("year_2100/LLLUSDT-aggTrades-2099-01.csv"));
    let counted = "SELECT SUM(n_trades), COUNT(*) FROM bars WHERE timeframe = '1m'";
    assert_eq!(ask(std::slice::from_ref(&file), None, counted), [["3", "3"]]);
    let said = run("import {} --market linear --log {}", &[&file, &dir.path().join("log")]).fine();
    assert!(said.contains("\"4102444800000\" is no time"), "{said}");
    // Long past, but a year after what stands around it.
    let stray = dir.path().join("LLLUSDT-aggTrades-2024-01.csv");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&stray, text.replace("4102444800000", "1735689600000")).unwrap();
    assert_eq!(ask(std::slice::from_ref(&stray), None, counted), [["3", "3"]]);
    assert_eq!(ask(&[stray], None, RULES), [["clock", "1"]]);
    let clock = [case("clock_one_receive_time/rec.txt")];
    assert_eq!(ask(&clock, None, "SELECT SUM(n_trades) FROM bars WHERE timeframe = '1m'"), [["7"]]);
    assert_eq!(ask(&clock, None, RULES), [["clock", "1"]]);
}

#[test]
fn numbers_prove_what_is_missing_and_what_is_whole() {
    let hole = case("id_hole/HHHUSDT-aggTrades-2021-12.csv");
    let rows = bars("id_hole/HHHUSDT-aggTrades-2021-12.csv", "1m");
    assert_eq!(rows[0], ["gap", "trades", "870"], "{rows:?}");
    let told = ask(
        &[hole],
        None,
        "SELECT status, cause FROM feed_status WHERE status IN ('gap', 'resync_finished') ORDER BY ts",
    );
    assert!(told.len() == 2 && told.iter().all(|row| row[1].contains("are missing")), "{told:?}");
    let rows = bars("id_no_hole/HHHUSDT-aggTrades-2021-04.csv", "1m");
    assert_eq!(rows, [["ok", "trades", "284"], ["partial", "trades", "2"]]);
    // Three days in a file each, and in one.
    let days = ["01", "02", "03"].map(|day| case(&format!("daily/WWWUSDT-aggTrades-2024-01-{day}.csv")));
    let month = case("monthly/WWWUSDT-aggTrades-2024-01.csv");
    let sql =
        "SELECT ts, timeframe, open, high, low, close, volume, n_trades, quality FROM bars ORDER BY timeframe, ts";
    let [days, month] = [&days[..], &[month]].map(|files| ask_at_once(files, None, sql));
    assert_eq!(days.len(), month.len());
    for (day, month) in days.iter().zip(&month) {
        assert_eq!(day, month);
    }
    let ok = month.iter().filter(|row| row[1] == "1m" && row[8] == "ok").count();
    assert!(4_300 < ok, "{ok}");
}

#[test]
fn a_first_trade_that_is_late_leaves_no_hole() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("prism.toml");
    std::fs::write(&config, "[timeframes]\nmaintained = [\"1s\", \"1m\", \"5m\", \"30m\", \"4h\"]\n").unwrap();
    let sql = "SELECT n_trades, quality FROM bars WHERE timeframe = '1s' AND ts < '2024-08-09T00:00:20Z' ORDER BY ts";
    let rows = ask(&[case("first_trade_late/late20.txt")], Some(&config), sql);
    assert!(rows.len() == 19 && rows.iter().all(|row| row[1] == "ok"), "{rows:?}");
    assert_eq!(rows.iter().filter(|row| row[0] == "1").count(), 3, "{rows:?}");
}

#[test]
fn klines_make_longer_ones_of_the_timeframe_they_have() {
    let [day, wrong, odd] = [
        "klines_1m_only/TTTUSDT-1m-2024-01.csv",
        "klines_wrong_interval/OOOUSDT-1m-2024-01-01.csv",
        "klines_2h/TTTUSDT-2h-2024-01.csv",
    ]
    .map(case);
    let text = std::fs::read_to_string(&day).unwrap();
    let minutes: Vec<Vec<f64>> = text.lines().skip(1).map(|line| line.split(',').map(number).collect()).collect();
    for (timeframe, length) in [("3m", 3), ("5m", 5), ("15m", 15), ("1h", 60), ("4h", 240)] {
        let sql = format!(
            "SELECT open, high, low, close, volume, turnover, source FROM bars \
             WHERE timeframe = '{timeframe}' AND quality = 'ok' ORDER BY ts"
        );
        let rows = ask(std::slice::from_ref(&day), None, &sql);
        assert!(minutes[0][0] % (length as f64 * 60_000.0) == 0.0);
        assert_eq!(rows.len(), minutes.len() / length, "{timeframe}");
        for (row, part) in rows.iter().zip(minutes.chunks(length)) {
            let most = |at: usize| part.iter().map(|row| row[at]).fold(f64::MIN, f64::max);
            let least = |at: usize| part.iter().map(|row| row[at]).fold(f64::MAX, f64::min);
            let sum = |at: usize| part.iter().map(|row| row[at]).sum::<f64>();
            let expected = [part[0][1], most(2), least(3), part[length - 1][4], sum(5), sum(7)];
            for (got, expected) in row.iter().zip(expected) {
                assert!((number(got) - expected).abs() <= 1e-9 * expected.abs(), "{timeframe} {row:?} {expected}");
            }
            assert_eq!(row[6], "venue");
        }
    }
    // By its columns no bar of a minute.
    let dir = tempfile::tempdir().unwrap();
    let refused = run("import {} {} --market linear --log {}", &[&wrong, &odd, &dir.path().join("log")]);
    assert!(refused.code == 1 && refused.err.contains("line 2: a bar of 1m that closes 3600 s after"), "{refused:?}");
    assert!(refused.out.contains("3 klines of 2h, which is not maintained"), "{refused:?}");
    assert_eq!(ask(&[odd], None, RULES), [["not_maintained", "3"]]);
}

#[test]
fn a_hole_among_klines_is_a_gap_and_no_window_reaches_over_it_unsaid() {
    let file = [case("klines_hole/IIIUSDT-1m-2019-02.csv")];
    for (timeframe, before, hole, behind) in [("1m", 60, 360, 60), ("5m", 12, 72, 12), ("1h", 1, 6, 1)] {
        let sql = format!("SELECT quality, source FROM bars WHERE timeframe = '{timeframe}' ORDER BY ts");
        let rows = ask(&file, None, &sql);
        let kinds: Vec<(usize, &str)> = rows.chunk_by(|a, b| a == b).map(|rows| (rows.len(), &*rows[0][0])).collect();
        assert_eq!(kinds, [(before, "ok"), (hole, "gap"), (behind, "ok")], "{timeframe}");
    }
    let quality = |table: &str| {
        let sql = format!(
            "SELECT quality, COUNT(*), MIN(ts) FROM {table} WHERE ts_close - ts = INTERVAL '1 minute' GROUP BY 1 ORDER BY 1"
        );
        ask(&file, None, &sql)
    };
    let rows = quality("indicators");
    assert!(rows.len() == 2 && rows[0][1] == "60" && rows[1][1] == "60", "{rows:?}");
    assert!(rows[1][0] == "partial" && rows[1][2].starts_with("2019-02-08T07:00"), "{rows:?}");
    let sql = "SELECT quality, reliability_quality, COUNT(*) FROM confluence WHERE '2019-02-08T07:00:00Z' <= ts GROUP BY 1, 2";
    assert_eq!(ask(&file, None, sql), [["partial", "0.5", "60"]]);
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
    let counted = "SELECT sum(n_trades), max(n_trades) FROM bars WHERE timeframe = '1m' AND NOT retracted";
    assert_eq!(ask(&twice(), None, counted), [["360", "6"]]);
    // The second import wrote nothing.
    assert_eq!(ask(&twice(), None, RULES), Vec::<Vec<String>>::new());
    let twins = || vec![case("kraken_twins/rec.jsonl"); 2];
    assert_eq!(ask(&twins(), None, counted), [["2", "2"]]);
}

#[test]
fn numbers_count_however_they_are_written() {
    let sum = "SELECT sum(volume), sum(n_trades) FROM bars WHERE timeframe = '1m'";
    let decimals = [case("many_decimals/KKKUSDT-aggTrades-2024-01.csv")];
    let rows = ask(&decimals, None, sum);
    assert!((number(&rows[0][0]) - 338.8).abs() < 1e-9 && rows[0][1] == "7", "{rows:?}");
    let odd = ask(&decimals, None, "SELECT detail FROM quarantine");
    assert!(odd.len() == 1 && odd[0].join(",").contains("12345678901234567.89"), "{odd:?}");
    let noise =
        ask(&[case("parquet_t_noise/t.parquet")], None, "SELECT volume FROM bars WHERE timeframe = '1m' ORDER BY ts");
    assert_eq!(noise, [["242.3"], ["100.0"]]);
    let huge = "SELECT turnover FROM bars WHERE timeframe = '1d' ORDER BY ts";
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("prism.toml");
    std::fs::write(&config, "[timeframes]\nmaintained = [\"1m\", \"5m\", \"30m\", \"4h\", \"1d\"]\n").unwrap();
    let rows = ask(&[case("kline_huge/KKKTRY-1d-2024-01.csv")], Some(&config), huge);
    assert!(rows.len() == 2 && (number(&rows[0][0]) - 130_000_000_000.123_46).abs() < 1e-3, "{rows:?}");
}

#[test]
fn bars_of_inverse_klines_count_base_and_quote() {
    let file = case("inverse_klines_cm/klines/BTCUSD_PERP/1m/BTCUSD_PERP-1m-2025-03-03.csv");
    let dir = tempfile::tempdir().unwrap();
    run("import {} --log {}", &[&file, &dir.path().join("log")]).fine();
    let sql = "SELECT volume, turnover, count(*) FROM bars WHERE timeframe = '1m' AND quality = 'ok' GROUP BY 1, 2";
    assert_eq!(answer(dir.path(), None, sql), [["1000.0", "64011000.0", "30"]]);
}

#[test]
fn what_is_no_match_of_the_book_is_in_no_bar() {
    let file = [case("insurance_fund/insurance.txt")];
    let rows = ask(&file, None, "SELECT n_trades, high FROM bars WHERE timeframe = '1m'");
    assert!(rows.len() == 1 && rows[0][0] == "1" && number(&rows[0][1]) < 28_500.0, "{rows:?}");
    assert_eq!(ask(&file, None, RULES), [["off_book", "1"]]);
    let streams = [case("two_streams/rec.txt")];
    assert_eq!(ask(&streams, None, "SELECT sum(volume) FROM bars WHERE timeframe = '1m'"), [["180.0"]]);
}

#[test]
fn klines_that_cannot_be_are_quarantined_by_rule() {
    let file = [case("klines_impossible/IIIUSDT-1m-2019-02.csv")];
    let rules = [
        ["close_outside", "1"],
        ["high_below_low", "1"],
        ["negative_volume", "1"],
        ["nonpositive_price", "2"],
        ["open_outside", "1"],
    ];
    assert_eq!(ask(&file, None, RULES), rules);
    let ok = "SELECT count(*) FROM bars WHERE timeframe = '1m' AND quality = 'ok'";
    assert_eq!(ask(&file, None, ok), [["2"]]);
}

#[test]
fn trades_without_a_taker_have_no_flow() {
    let file = [root().join("tests/fixtures/import/XBTUSD.csv")];
    let sql = "SELECT n_trades, volume, n_buys, buy_volume FROM bars WHERE timeframe = '1m' AND 0 < n_trades";
    let dir = tempfile::tempdir().unwrap();
    run("import {} --log {}", &[&file[0], &dir.path().join("log")]).fine();
    assert_eq!(answer(dir.path(), None, sql), [["20", "0.02", "", ""]]);
}

#[test]
fn symbols_end_in_their_quote() {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(case("base_quote")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let rows = ask_at_once(&files, None, "SELECT symbol, base, quote, native_symbol FROM instruments ORDER BY symbol");
    assert_eq!(rows.len(), files.len());
    for row in rows {
        assert!(
            !row[1].is_empty() && row[3] == row[0] && row[0].starts_with(&format!("{}{}", row[1], row[2])),
            "{row:?}"
        );
    }
}

#[test]
fn older_pages_of_funding_lose_nothing_and_intervals_are_those_of_the_page() {
    let sql = "SELECT COUNT(*), COUNT(funding_interval), MIN(funding_interval), MAX(funding_interval), MIN(source) FROM funding";
    let rows = ask(&[case("funding_two_pages/rec.jsonl")], None, sql);
    assert_eq!(rows, [["8", "6", "1.0", "8.0", "history"]]);
}
