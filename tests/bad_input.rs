//! Whatever is wrong with what prism is given: a clear error or a quarantined event, never a panic, never a wrong row.

use std::{
    io::Write,
    path::{Path, PathBuf},
};

use flate2::{Compression, write::GzEncoder};
use prism_log::{Log, Options, SegmentLog};
use prism_schemas::{
    Decimal, Topic,
    event::{Side, event::Body, trade::Id},
    table,
    time::{HOUR, MINUTE, SECOND},
};
use prism_store::digest::Mode;

use crate::support::{
    Arrival, How, Random, Rows, SEALED, START, Said, Synthetic, Tape, command, digest, float, in_order, linear,
    rows_of, run, settings, standing, text, trade, ts, write_log,
};

const MARKET: Synthetic = Synthetic { seed: 51, hours: 1, trades: 2_000, late: 0, copies: 0 };

fn small_log(dir: &Path) -> PathBuf {
    let log = dir.join("log");
    write_log(&log, &MARKET.arrivals());
    log
}

/// The only segment of a partition with trades.
fn segment(log: &Path) -> PathBuf {
    let mut found: Vec<PathBuf> = (0..4)
        .map(|partition| log.join(format!("prism.trades/{partition}/{:020}.seg", 0)))
        .filter(|path| path.exists())
        .collect();
    found.sort_by_key(|path| path.metadata().unwrap().len());
    found.pop().unwrap()
}

fn refused(said: &Said, code: i32, words: &[&str]) {
    assert_eq!(said.code, code, "{said:?}");
    assert!(said.err.starts_with("error: ") || code == 2, "{said:?}");
    for word in words {
        assert!(said.err.contains(word), "\"{word}\" is not in {said:?}");
    }
}

#[test]
fn configuration_mistakes_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let (log, store, config) = (small_log(dir.path()), dir.path().join("store"), dir.path().join("prism.toml"));
    for (toml, words) in [
        ("[time]\ngrase = \"1s\"", ["prism.toml", "time.grase", "time.grace"]),
        ("[tyme]\ngrace = \"1s\"", ["prism.toml", "tyme", "time"]),
        ("[time]\ngrace = \"soon\"", ["prism.toml", "soon", "duration"]),
        ("[timeframes]\nroles = [\"1m\", \"7m\"]", ["prism.toml", "7m", "timeframe"]),
        ("[timeframes]\nweights = [1.0]", ["prism.toml", "timeframes.weights", "weight"]),
        ("[indicators]\ncolumns = [\"sma_21\"]", ["indicators.columns", "sma_21", "unknown"]),
        ("[score]\nprofile = \"prysm\"", ["score.profile", "prysm", "balanced"]),
        (
            "[score]\nprofile = \"mine\"\n[score.profiles.mine]\nvolume = { weight = 1.0, components = { rsi = 1.0 } }",
            ["score.profiles.mine.volume", "rsi", "volume_delta"],
        ),
        ("[signals]\nbullish = 20.0", ["prism.toml", "bullish", "bearish"]),
        ("[time", ["prism.toml", "line 1", "["]),
    ] {
        std::fs::write(&config, toml).unwrap();
        refused(&run("replay --log {} --store {} --config {}", &[&log, &store, &config]), 2, &words);
        assert!(!store.join("bars").exists(), "{toml}: rows in spite of it");
    }
    let missing = run("replay --log {} --store {} --config {}", &[&log, &store, &dir.path().join("none.toml")]);
    assert!(missing.code != 0 && missing.err.contains("none.toml"), "{missing:?}");
    for (name, value, word) in [("PRISM__TIME__GRASE", "1s", "time.grase"), ("PRISM__TIME__GRACE", "soon", "duration")]
    {
        let mut replay = command();
        replay.env(name, value).args(["replay", "--log"]).arg(&log).arg("--store").arg(&store);
        refused(&Said::of(&replay.output().unwrap()), 2, &[word]);
    }
}

#[test]
fn missing_and_foreign_files_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    std::fs::write(at("text"), "no market data\n").unwrap();
    std::fs::write(at("nothing"), "").unwrap();
    std::fs::write(at("bytes"), [0u8, 159, 146, 150, 10, 7]).unwrap();
    for (name, code) in [("none.gz", 2), ("text", 1), ("nothing", 1), ("bytes", 1)] {
        refused(&run("import {} --log {}", &[&at(name), &at("log")]), code, &[name]);
    }
    for (line, place) in [
        ("replay --log {} --store {}", "none"),
        ("sql SELECT --store {}", "none"),
        ("analyze BTCUSDT --store {}", "none"),
    ] {
        let said = run(line, &[&at(place), &at("store")]);
        assert!(said.code == 1 || said.code == 2, "{said:?}");
        assert!(said.err.contains("none is no "), "{said:?}");
    }
    std::fs::create_dir(at("empty")).unwrap();
    let said = run("import {} --log {}", &[&at("empty"), &at("log-of-nothing")]);
    assert!(said.err.contains("empty") || said.out.contains("skipped") || said.code != 0, "silent: {said:?}");
    refused(&run("replay --log {} --store {}", &[&at("empty"), &at("store")]), 1, &["empty is no log"]);
}

/// Lines as hftbacktest records them: Binance trades and book tickers.
fn frames(n: i64) -> Vec<String> {
    let of = |at: i64| {
        let millis = START / 1_000_000 + at * 500;
        let frame = match at % 3 {
            0 => format!(
                "{{\"stream\":\"btcusdt@trade\",\"data\":{{\"e\":\"trade\",\"E\":{millis},\"s\":\"BTCUSDT\",\"t\":{at},\
                 \"p\":\"6{:04}.10\",\"q\":\"0.01{}\",\"T\":{millis},\"m\":{},\"M\":true}}}}",
                at % 1_000,
                at % 10,
                at % 2 == 0,
            ),
            1 => format!(
                "{{\"stream\":\"btcusdt@bookTicker\",\"data\":{{\"u\":{at},\"s\":\"BTCUSDT\",\"b\":\"60000.1\",\"B\":\"1.5\",\
                 \"a\":\"60000.2\",\"A\":\"0.3\"}}}}"
            ),
            _ => format!(
                "{{\"stream\":\"btcusdt@depth@100ms\",\"data\":{{\"e\":\"depthUpdate\",\"E\":{millis},\"s\":\"BTCUSDT\",\
                 \"U\":{at},\"u\":{at},\"b\":[[\"60000.1\",\"1.5\"]],\"a\":[]}}}}"
            ),
        };
        format!("{}000000 {frame}\n", millis + 20)
    };
    (0..n).map(of).collect()
}

#[test]
fn a_truncated_archive_is_an_error_that_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut whole = GzEncoder::new(Vec::new(), Compression::default());
    whole.write_all(frames(5_000).concat().as_bytes()).unwrap();
    let whole = whole.finish().unwrap();
    let path = dir.path().join("frames.gz");
    std::fs::write(&path, &whole).unwrap();
    run("import {} --log {}", &[&path, &dir.path().join("log")]).fine();
    for length in [whole.len() - 1, whole.len() / 2, 30, 5, 1] {
        std::fs::write(&path, &whole[..length]).unwrap();
        let said = run("import {} --log {}", &[&path, &dir.path().join("other")]);
        assert!(said.code == 1 || said.code == 2, "{length} bytes: {said:?}");
        assert!(said.err.contains("frames.gz"), "{length} bytes: {said:?}");
    }
}

#[test]
fn damaged_frames_are_quarantined_or_decoded_but_never_panic() {
    for seed in 0..4 {
        let mut random = Random(seed);
        let dir = tempfile::tempdir().unwrap();
        let (path, log, store) = (dir.path().join("frames"), dir.path().join("log"), dir.path().join("store"));
        let mut bytes: Vec<u8> = Vec::new();
        for (at, line) in frames(600).into_iter().enumerate() {
            let mut line = line.into_bytes();
            // The first lines stay, so that the format is recognised.
            if 20 < at {
                let at = random.below(line.len() as i64 - 1) as usize;
                match random.below(3) {
                    0 => line[at] ^= 1 << random.below(7),
                    1 => {
                        line.truncate(at);
                        line.push(b'\n');
                    }
                    _ => {}
                }
            }
            bytes.extend(line);
        }
        std::fs::write(&path, bytes).unwrap();
        let imported = run("import {} --log {} --format json", &[&path, &log]);
        if imported.code != 0 {
            assert!(imported.err.contains("frames"), "SEED={seed} {imported:?}");
            continue;
        }
        let report: serde_json::Value = serde_json::from_str(&imported.out).unwrap();
        assert!(!report["files"][0]["quarantined"].as_array().unwrap().is_empty(), "SEED={seed} {report}");
        run("replay --log {} --store {} --seal", &[&log, &store]).fine();
        let quarantined = run("sql --store {} SELECT*FROM/**/quarantine --format json", &[&store]).fine();
        assert!(2 < quarantined.len(), "SEED={seed} nothing was quarantined");
    }
}

#[test]
fn a_half_written_segment_costs_its_last_record_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let log = small_log(dir.path());
    let path = segment(&log);
    let whole = std::fs::read(&path).unwrap();
    let partition: u32 = path.parent().unwrap().file_name().unwrap().to_str().unwrap().parse().unwrap();

    // The same log without the last record of that partition.
    let shorter = dir.path().join("shorter");
    let copy = SegmentLog::open_with(&shorter, Options::default()).unwrap();
    let from = SegmentLog::open_read(&log).unwrap();
    for topic in Topic::ALL {
        for number in 0..from.partitions(topic) {
            let mut batches = Vec::new();
            let mut reader = from.read(topic, number, 0).unwrap();
            while let Some(record) = reader.next().unwrap() {
                batches.push(record.batch.clone());
            }
            if topic == Topic::Trades && number == partition {
                batches.pop();
            }
            for batch in &batches {
                copy.append(topic, number, batch).unwrap();
            }
        }
    }
    copy.close().unwrap();
    let expected = run("replay --log {} --store {} --digest --seal", &[&shorter, &dir.path().join("expected")]).fine();
    for cut in [1, 5, 12] {
        std::fs::write(&path, &whole[..whole.len() - cut]).unwrap();
        let store = dir.path().join(format!("store-{cut}"));
        let said = run("replay --log {} --store {} --digest --seal", &[&log, &store]);
        assert!(said.err.contains("unfinished") && said.err.contains(".seg"), "{cut} bytes off: {said:?}");
        assert_eq!(said.fine(), expected, "{cut} bytes off");
    }
}

#[test]
fn a_flipped_byte_is_an_error_that_names_the_segment() {
    let dir = tempfile::tempdir().unwrap();
    let log = small_log(dir.path());
    let path = segment(&log);
    let whole = std::fs::read(&path).unwrap();
    for at in [3, 12, 25, whole.len() / 3, whole.len() / 2] {
        let mut damaged = whole.clone();
        damaged[at] ^= 4;
        std::fs::write(&path, damaged).unwrap();
        let said = run("replay --log {} --store {} --seal", &[&log, &dir.path().join("store")]);
        refused(&said, 1, &[&path.display().to_string(), "damaged"]);
    }
}

#[test]
fn an_empty_segment_holds_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let log = small_log(dir.path());
    let expected = run("replay --log {} --store {} --digest --seal", &[&log, &dir.path().join("expected")]).fine();
    for partition in 0..4 {
        let place = log.join(format!("prism.quarantine/{partition}"));
        std::fs::create_dir_all(&place).unwrap();
        std::fs::write(place.join(format!("{:020}.seg", 0)), "").unwrap();
    }
    let said = run("replay --log {} --store {} --digest --seal", &[&log, &dir.path().join("store")]);
    assert_eq!(said.fine(), expected);

    let none = dir.path().join("none");
    SegmentLog::open(&none).unwrap().close().unwrap();
    let said = run("replay --log {} --store {} --digest --seal", &[&none, &dir.path().join("store-of-none")]).fine();
    assert!(said.lines().all(|line| line.contains(" 0 ")), "{said}");
}

fn replay(arrivals: &[Arrival]) -> Rows {
    standing(Tape::of(arrivals, &settings("")).replay(SEALED))
}

fn rules(rows: &Rows) -> Vec<String> {
    let mut rules: Vec<String> = rows_of(rows, &table::QUARANTINE).map(|row| text(row, "rule").to_string()).collect();
    rules.sort();
    rules
}

#[test]
fn an_absurd_price_is_kept_and_marked() {
    let mut arrivals = MARKET.arrivals();
    let id = linear("BTCUSDT");
    let at = arrivals
        .iter()
        .position(|a| a.id == id && a.trade().is_some() && START + 30 * MINUTE < a.event.ts_event)
        .unwrap();
    arrivals[at].trade_mut().price.as_mut().unwrap().mantissa *= 1_000;
    let time = arrivals[at].event.ts_event;
    let price = arrivals[at].trade().unwrap().price.unwrap().to_f64();
    let rows = replay(&arrivals);
    let containing = rows_of(&rows, &table::BARS).filter(|row| {
        text(row, "symbol") == "BTCUSDT"
            && ts(row, "ts") <= time
            && time < ts(row, "ts_close")
            && text(row, "timeframe") == "1m"
    });
    let bars: Vec<_> = containing.collect();
    assert_eq!(bars.len(), 1);
    assert_eq!((text(bars[0], "quality"), float(bars[0], "high")), ("suspect", Some(price)));
    assert_eq!(rules(&rows), Vec::<String>::new());
}

#[test]
fn impossible_trades_are_quarantined_and_make_no_bar() {
    let arrivals = MARKET.arrivals();
    let expected = digest(&replay(&arrivals), Mode::Full);
    let id = linear("BTCUSDT");
    let time = START + 40 * MINUTE;
    let make = |price: Decimal, size: Decimal, ts_event: i64| {
        let mut arrival = Arrival::new(&id, ts_event, time + SECOND, trade(1, 1, Side::Buy, 7_000_000));
        arrival.trade_mut().price = Some(price);
        arrival.trade_mut().size = Some(size);
        arrival
    };
    let (price, size) = (Decimal::new(6_000_000, 2), Decimal::new(5, 3));
    for (rule, bad) in [
        ("non_positive", make(Decimal::new(0, 2), size, time)),
        ("non_positive", make(Decimal::new(-1, 2), size, time)),
        ("non_positive", make(price, Decimal::new(0, 0), time)),
        ("non_positive", make(price, Decimal::new(i64::MIN, 0), time)),
        ("ahead_of_clock", make(price, size, time + HOUR)),
        ("ahead_of_clock", make(price, size, time + 12 * SECOND)),
        ("out_of_range", make(Decimal::new(i64::MAX, 0), Decimal::new(i64::MAX, 0), time)),
        ("out_of_range", make(Decimal::new(1, 19), size, time)),
        ("out_of_range", make(Decimal::new(1, 200), size, time)),
        ("out_of_range", make(price, Decimal::new(i64::MAX, 0), time)),
        ("incomplete_trade", make(Decimal::new(1, 300), size, time)),
    ] {
        let label = format!("{rule} {:?}", bad.event);
        let mut with = arrivals.clone();
        with.push(bad);
        in_order(&mut with);
        let rows = replay(&with);
        assert_eq!(rules(&rows), [rule], "{label}");
        assert_eq!(digest(&rows, Mode::Full), expected, "{label}: rows changed");
    }
    let mut without_price = make(price, size, time);
    without_price.trade_mut().price = None;
    let mut with = arrivals.clone();
    with.push(without_price);
    in_order(&mut with);
    let rows = replay(&with);
    assert_eq!(rules(&rows), ["incomplete_trade"]);
    assert_eq!(digest(&rows, Mode::Full), expected);
}

#[test]
fn extreme_event_times_are_refused_not_fatal() {
    let arrivals = MARKET.arrivals();
    let expected = digest(&replay(&arrivals), Mode::Full);
    for ts_event in [i64::MIN, i64::MIN + 1, -1, 0, START - 30 * 24 * HOUR, i64::MAX - 1, i64::MAX] {
        let mut with = arrivals.clone();
        let body = trade(6_000_000, 1, Side::Buy, 7_000_001);
        with.push(Arrival::new(&linear("BTCUSDT"), ts_event, START + 40 * MINUTE, body));
        in_order(&mut with);
        let rows = standing(Tape::of(&with, &settings("")).replay(How { seal: false, ..SEALED }));
        let refused = rules(&rows).len() + rows_of(&rows, &table::LATE_EVENTS).count();
        assert_eq!(refused, 1, "{ts_event}");
        let sealed = replay(&with);
        assert_eq!(digest(&sealed, Mode::Full), expected, "{ts_event}: sealed rows changed");
    }
}

#[test]
fn ids_and_texts_of_any_kind_are_only_texts() {
    let mut arrivals = MARKET.arrivals();
    let texts = ["", "'; DROP TABLE bars; --", "\u{0}", "ä-ß-\u{1F600}", &"x".repeat(10_000)];
    let of = arrivals.iter_mut().filter(|arrival| arrival.id == linear("BTCUSDT"));
    for (arrival, text) in of.filter(|arrival| matches!(arrival.event.body, Some(Body::Trade(_)))).zip(texts) {
        arrival.trade_mut().id = Some(Id::Text(text.into()));
    }
    let rows = replay(&arrivals);
    assert_eq!(rules(&rows), Vec::<String>::new());
}
