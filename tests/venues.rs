//! The connectors against the emulated venue: whatever goes wrong, books and trades are the venue's, and it is told.

mod api;
mod reached;

use std::{
    io::{BufRead, BufReader},
    process::{Child, ChildStdout, Command, Stdio},
    time::Duration,
};

use crate::support::{command, command_on_a_small_disk, prism};
use api::Api;

/// A role and its output, which must stay open.
struct Process(Child, #[expect(dead_code, reason = "held open")] BufReader<ChildStdout>);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a role that prints its address in its first line.
fn start(mut command: Command) -> (Process, String) {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let (mut line, mut lines) = (String::new(), BufReader::new(child.stdout.take().unwrap()));
    lines.read_line(&mut line).unwrap();
    let (_, rest) = line.split_once("://").unwrap_or_else(|| panic!("no address in {line:?}"));
    let address = rest.split(['/', ',']).next().unwrap().to_string();
    (Process(child, lines), address)
}

/// A command whose feeds are one venue of an emulator.
fn following(args: &[&str], emulator: &str, venue: &str) -> Command {
    let mut command = command();
    command.args(args).env("PRISM__FEEDS__VENUES", format!("[\"{venue}\"]"));
    command.env("PRISM__FEEDS__ADDRESSES", format!("{{ \"{venue}\" = \"http://{emulator}/{venue}\" }}"));
    command.env("PRISM__FEEDS__FEAR_GREED", format!("http://{emulator}/fng/"));
    command
}

fn emulate(more: &[&str]) -> (Process, String) {
    let mut emulate = command();
    emulate.args(["emulate", "--port", "0"]).args(more);
    start(emulate)
}

#[test]
fn whatever_goes_wrong_books_and_trades_are_the_venues() {
    // Each venue once, over TLS, beside other tests.
    let said = prism(["chaos", "--runs", "7", "--seed", "7", "--speed", "30"]);
    assert_eq!((said.code, said.out.as_str()), (0, "7 runs, 0 failed\n"), "{said:?}");
}

#[test]
fn chaos_sees_a_protection_that_is_left_out() {
    for (protection, problem) in
        [("gap", "USDT ends "), ("duplicate", " for whole, and it is "), ("crossed", " was crossed")]
    {
        let said = prism(["chaos", "--runs", "6", "--seed", "7", "--break", protection]);
        assert_eq!(said.code, 1, "{protection}: {said:?}");
        assert!(said.out.contains(problem), "{said:?}");
        assert!(said.out.contains("repeat one with: prism chaos --runs 1 --seed"), "{said:?}");
    }
}

#[test]
fn a_live_venue_is_followed_from_warm_up_to_scores_and_its_troubles_are_told() {
    for venue in ["bybit-linear", "binance-linear"] {
        let dir = tempfile::tempdir().unwrap();
        let (emulator, address) = emulate(&["--garbage", "0.01"]);
        let [log, store] = ["log", "store"].map(|name| dir.path().join(name));
        let mut run = following(&["run", "--port", "0"], &address, venue);
        run.arg("--log").arg(&log).arg("--store").arg(&store);
        let (_run, at) = start(run);
        let api = Api(at.rsplit(':').next().unwrap().parse().unwrap());
        api.until("ready, with a score of every instrument", |api| {
            let rows = api.ask("SELECT count(DISTINCT symbol) AS n FROM confluence WHERE coverage >= 0.15");
            (rows[0][0] == 20 && api.get("/ready").0 == 200).then_some(())
        });
        let connected =
            api.ask("SELECT DISTINCT symbol FROM feed_status WHERE status = 'connected' AND channel IS NULL");
        assert_eq!(connected.len(), 20, "{connected:?}");
        // What was garbled is kept with its reason.
        let garbled = "SELECT rule FROM quarantine WHERE rule = 'malformed_frame' LIMIT 1";
        api.until("a garbled frame", |api| (api.ask(garbled).len() == 1).then_some(()));
        // The venue can be asked beside, within the same budget.
        let (status, body) = api.get("/api/snapshot/btc-usdt");
        let snapshot: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(
            (status, &snapshot["symbol"], &snapshot["missing"]),
            (200, &"BTCUSDT".into(), &serde_json::json!([]))
        );
        assert!(11 <= snapshot["components"].as_array().unwrap().len(), "{body}");
        assert_eq!(api.get("/api/snapshot/BTCUSDT?exchange=nobody").0, 404);
        let metrics = api.until("the budget's gauge", |api| {
            let metrics = api.get("/metrics").1;
            metrics.contains(&format!("prism_requests_left{{venue=\"{venue}\"}}")).then_some(metrics)
        });
        assert!(metrics.contains("prism_feeds{state=\"connected\"}"), "{metrics}");
        // What the venue tells when asked, with its past.
        for (table, column, n) in [
            ("open_interest", "open_interest", 20 * 200),
            ("funding", "funding_rate", 20 * 200),
            ("ratios", "long", 20 * 200),
        ] {
            let sql = format!("SELECT count({column}) AS n, count(DISTINCT symbol) AS symbols FROM {table}");
            api.until(table, |api| {
                let rows = api.ask(&sql);
                (rows[0][1] == 20 && n <= rows[0][0].as_i64().unwrap()).then_some(())
            });
        }
        if venue == "bybit-linear" {
            let tiers = api.ask("SELECT tier, leverage_max FROM risk_limits WHERE symbol = 'BTCUSDT' ORDER BY tier");
            assert_eq!((tiers.len(), &tiers[0][1]), (5, &100.0.into()), "{tiers:?}");
        }
        let index = api.ask("SELECT value, label FROM fear_greed");
        assert!(index.len() == 1 && index[0][0].as_i64().is_some_and(|value| (0..=100).contains(&value)), "{index:?}");
        let settled = "SELECT DISTINCT settlement, quote FROM instruments WHERE expiry IS NULL";
        assert_eq!(api.ask(settled), [serde_json::json!(["USDT", "USDT"])]);
        let left = api.ask("SELECT weight_left, weight, requests FROM quotas WHERE NOT open ORDER BY ts DESC LIMIT 1");
        assert!(left[0][0].as_i64() <= left[0][1].as_i64() && left[0][2].as_i64() > Some(0), "{left:?}");
        // Gone within a moment, in rows, metrics and readiness.
        drop(emulator);
        api.until("the end of the venue in ready", |api| {
            let (status, body) = api.get("/ready");
            (status == 503 && body.contains("disconnected")).then_some(())
        });
    }
}

#[test]
fn a_silent_instrument_is_told_after_idle_in_rows_metrics_and_readiness() {
    let (_emulator, address) = emulate(&["--stall", "BTCUSDT"]);
    let dir = tempfile::tempdir().unwrap();
    let mut run = following(&["run", "--port", "0"], &address, "bybit-linear");
    for (key, value) in
        [("MAINTAINED", "[\"1s\", \"5s\", \"15s\", \"1m\"]"), ("ROLES", "[\"1s\", \"5s\", \"15s\", \"1m\"]")]
    {
        run.env(format!("PRISM__TIMEFRAMES__{key}"), value);
    }
    run.env("PRISM__FEEDS__IDLE", "2500ms");
    run.arg("--log").arg(dir.path().join("log")).arg("--store").arg(dir.path().join("store"));
    let (_run, at) = start(run);
    let api = Api(at.rsplit(':').next().unwrap().parse().unwrap());
    api.until("stale in ready", |api| api.get("/ready").1.contains("BTCUSDT is stale").then_some(()));
    let told =
        api.ask("SELECT symbol, CAST(known_at AS BIGINT) - CAST(ts AS BIGINT) FROM feed_status WHERE status = 'stale'");
    assert!(told.iter().all(|row| row[0] == "BTCUSDT"), "{told:?}");
    let delay = told[0][1].as_i64().unwrap();
    assert!((1..=3_000_000).contains(&delay), "told {delay} us after its last message");
    assert!(api.get("/metrics").1.contains("prism_feeds{state=\"stale\"} 1"));
    // The others' time goes on: seconds that ended long after its last message are bars, on time by their own knowledge.
    let others = "SELECT CAST(min(newest) AS BIGINT), max(late) FROM (SELECT symbol, max(ts_close) AS newest, \
                  median(CAST(known_at AS BIGINT) - CAST(ts_close AS BIGINT)) AS late FROM bars \
                  WHERE timeframe = '1s' AND revision = 0 AND symbol <> 'BTCUSDT' \
                  AND ts > (SELECT max(ts) FROM feed_status WHERE status = 'stale') GROUP BY symbol)";
    let last = "SELECT CAST(max(ts) AS BIGINT) FROM feed_status WHERE status = 'stale'";
    let last = api.ask(last)[0][0].as_i64().unwrap();
    let late = api.until("bars of all others", |api| {
        let row = &api.ask(others)[0];
        (last + 8_000_000 <= row[0].as_i64()?).then(|| row[1].as_f64())?
    });
    // Grace and an epoch.
    assert!((250_000.0..1_000_000.0).contains(&late), "{late} us after the end of a second");
}

#[test]
fn a_venue_whose_clock_is_wrong_is_told_in_rows_metrics_and_ready() {
    let dir = tempfile::tempdir().unwrap();
    let (_emulator, address) = emulate(&["--skew", "4s"]);
    let [log, store] = ["log", "store"].map(|name| dir.path().join(name));
    let mut run = following(&["run", "--port", "0"], &address, "binance-spot");
    run.arg("--log").arg(&log).arg("--store").arg(&store);
    let (_run, at) = start(run);
    let api = Api(at.rsplit(':').next().unwrap().parse().unwrap());
    api.until("skewed in ready", |api| api.get("/ready").1.contains("is skewed").then_some(()));
    let row = "SELECT cause FROM feed_status WHERE status = 'skewed' LIMIT 1";
    let said = api.ask(row);
    assert!(said[0][0].as_str().is_some_and(|cause| cause.contains("before they happened")), "{said:?}");
    let all = "SELECT count(DISTINCT symbol) FROM feed_status WHERE status = 'skewed'";
    api.until("all feeds skewed", |api| (api.ask(all)[0][0] == 20).then_some(()));
    api.until("all in metrics", |api| api.get("/metrics").1.contains("prism_feeds{state=\"skewed\"} 20").then_some(()));
    // The doctor says the same, and what to do.
    let output = following(&["doctor", "--format", "json"], &address, "binance-spot").output().unwrap();
    let checks: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let clock = checks.as_array().unwrap().iter().find(|check| check["what"] == "clock").unwrap();
    assert_eq!((output.status.code(), &clock["health"]), (Some(1), &"broken".into()), "{checks}");
    assert!(clock["advice"].as_str().unwrap().contains("NTP"), "{checks}");
}

#[test]
fn the_doctor_finds_good_feeds_fine_and_absent_ones_broken() {
    let (emulator, address) = emulate(&[]);
    for venue in ["bybit-linear", "binance-linear", "binance-spot"] {
        let output = following(&["doctor"], &address, venue).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let streams = if venue == "binance-linear" { 2 } else { 1 };
        assert_eq!(said.matches("stream /").count(), streams, "{said}");
        assert!(
            ["clock", &format!("{} in ", listed(venue)), "20 instruments", "left within", "port 8000", "GiB free"]
                .iter()
                .all(|text| said.contains(text)),
            "{said}"
        );
        let output = following(&["snapshot", "btc/usdt"], &address, venue).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert!(said.contains("klines_30m") && said.contains("one moment"), "{said}");
        let output = following(&["snapshot", "NOSUCH"], &address, venue).output().unwrap();
        let expected = format!("error: no such symbol NOSUCH at {}\n", venue.replace('-', " "));
        assert_eq!((output.status.code(), &*String::from_utf8_lossy(&output.stderr)), (Some(1), &*expected));
    }
    drop(emulator);
    let output = following(&["doctor"], &address, "bybit-linear").output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("see the port in feeds.addresses"), "{output:?}");
    let output = following(&["snapshot", "BTCUSDT"], &address, "bybit-linear").output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    let expected = format!("error: no connection to {address}: {REFUSED}");
    assert!(said.starts_with(&expected) && said.lines().count() == 1, "{said}");
    // Nothing can be recorded of it either, and no file is left.
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("recording.jsonl.zst").display().to_string();
    let output = following(&["record", "--out", &file, "--for", "5s"], &address, "bybit-linear").output().unwrap();
    assert_eq!((output.status.code(), std::fs::read_dir(dir.path()).unwrap().count()), (Some(1), 0), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), format!("error: no connection to {address}: {REFUSED}\n"));
}

/// What the system says where nobody listens.
const REFUSED: &str = "Connection refused (os error 111)";

/// How many instruments an emulated venue lists: at Bybit there is a contract on a stock, too, which is not followed.
fn listed(venue: &str) -> u64 {
    if venue == "bybit-linear" { 25 } else { 24 }
}

/// Events of a kind that an import counted.
fn imported(file: &str, log: &str, kind: &str) -> (u64, String) {
    let printed = prism(["import", file, "--log", log, "--format", "csv"]).fine();
    let of = printed.lines().filter(|line| line.contains(&format!(",{kind},")));
    (of.filter_map(|line| line.rsplit(',').next()?.parse::<u64>().ok()).sum(), printed)
}

/// The same for each at once: most of it is waiting.
fn side_by_side<T: Send>(all: impl IntoIterator<Item = T>, check: impl Fn(T) + Sync) {
    let check = &check;
    std::thread::scope(|scope| {
        all.into_iter().for_each(|one| drop(scope.spawn(move || check(one))));
    });
}

#[test]
fn a_recording_is_imported_whole_and_can_happen_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    let (_emulator, address) = emulate(&[]);
    side_by_side(["bybit-linear", "binance-linear", "binance-spot"], |venue| {
        let (file, again) = (path(&format!("{venue}.jsonl.zst")), path(&format!("{venue}-again.jsonl.zst")));
        let output = following(&["record", "--out", &file, "--for", "15s"], &address, venue).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let count = |kind: &str| imported(&file, &path(&format!("{venue}-{kind}")), kind).0;
        let (n_klines, printed) = imported(&file, &path(&format!("{venue}-log")), "kline");
        // Twenty instruments with a book each second, and 219 closed bars of eight timeframes.
        assert!(20 * 8 * 200 <= n_klines && 20 * 3 <= count("book_delta") && 20 <= count("book_snapshot"), "{printed}");
        assert!(0 < count("trade") && count("instrument") == listed(venue) && count("quarantined") == 0, "{printed}");
        // It happens again: what is recorded of that is of the same instruments.
        let (_recorded, second) = emulate(&["--from", &file]);
        std::thread::sleep(Duration::from_millis(1_500));
        let mut record = following(&["record", "--out", &again, "--for", "10s"], &second, venue);
        let output = record.env("PRISM__FEEDS__TURNOVER_MIN", "0").output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let (n_deltas, printed) = imported(&again, &path(&format!("{venue}-again")), "book_delta");
        assert!(20 <= n_deltas && printed.contains(",trade,"), "{printed}");
    });
    // A recording is not written over.
    let file = path("bybit-linear.jsonl.zst");
    let output = following(&["record", "--out", &file, "--for", "1s"], &address, "bybit-linear").output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("create "), "{output:?}");
    let output = command().args(["emulate", "--port", "0", "--from", "/etc/hostname"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}

/// What real venues sent, sent again: connectors follow it as it was.
#[test]
fn recordings_of_real_venues_happen_again() {
    let Some(data) = crate::support::shared("recordings_of_real_venues_happen_again", "data") else { return };
    let dir = tempfile::tempdir().unwrap();
    let all = [
        ("cryptofeed_v3_agpl/BYBIT.first25s.jsonl.zst", "linear", "bybit-linear", 1),
        ("cryptofeed_v3_agpl/BYBIT.first25s.jsonl.zst", "spot", "bybit-spot", 1),
        // Of another venue's inverse contract, of which only trades were recorded.
        ("bitmex_1m_trades/Bitmex_XBTUSD_1M.csv.zst", "inverse", "bybit-inverse", 10),
        ("hftbacktest/usdm_btcusdt_20240808.gz", "linear", "binance-linear", 20),
        ("hftbacktest/spot_ethusdt_20240808.gz", "spot", "binance-spot", 5),
    ];
    side_by_side(all, |(recorded, market, venue, n_trades)| {
        let recorded = data.join(recorded).display().to_string();
        let (_recorded, address) = emulate(&["--from", &recorded, "--market", market]);
        std::thread::sleep(Duration::from_millis(1_000));
        let file = dir.path().join(format!("{venue}.jsonl.zst")).display().to_string();
        let mut record = following(&["record", "--out", &file, "--for", "20s"], &address, venue);
        record.env("PRISM__FEEDS__TURNOVER_MIN", "0");
        let is_inverse = market == "inverse";
        if is_inverse {
            record.env("PRISM__FEEDS__QUOTE", "USD");
        }
        let output = record.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let log = dir.path().join(venue).display().to_string();
        let printed = prism(["import", &file, "--log", &log, "--format", "csv"]).fine();
        let count = |kind: &str| -> u64 {
            let of = printed.lines().filter(|line| line.contains(&format!(",{kind},")));
            of.filter_map(|line| line.rsplit(',').next()?.parse::<u64>().ok()).sum()
        };
        let has_books = 20 <= count("book_delta") && 1 <= count("book_snapshot");
        assert!(n_trades <= count("trade") && (has_books || is_inverse), "{printed}");
        assert!(!is_inverse || count("quarantined") == 0, "{printed}");
    });
}

#[test]
fn a_selection_that_fits_nothing_ends_with_its_reason() {
    let dir = tempfile::tempdir().unwrap();
    let (_emulator, address) = emulate(&[]);
    let mut ingest = following(&["ingest", "--for", "60s"], &address, "bybit-linear");
    ingest.arg("--log").arg(dir.path().join("log")).env("PRISM__FEEDS__QUOTE", "EUR");
    let output = ingest.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("no instrument of bybit linear fits"), "{output:?}");
}

#[test]
fn a_full_disk_under_the_log_ends_with_its_reason() {
    let dir = tempfile::tempdir().unwrap();
    let mut ingest = command_on_a_small_disk(dir.path(), "1m");
    if !Command::new("unshare").args(["-rm", "true"]).status().is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED a_full_disk_under_the_log_ends_with_its_reason: no user namespaces");
        return;
    }
    let (_emulator, address) = emulate(&[]);
    let venue = "bybit-linear";
    ingest.args(["ingest", "--log"]).arg(dir.path().join("log"));
    let [rest, stream] = ["http", "ws"].map(|scheme| format!("{scheme}://{address}/{venue}"));
    let addresses = format!("{{ \"{venue}\" = {{ rest = \"{rest}\", stream = \"{stream}\" }} }}");
    ingest.env("PRISM__FEEDS__ADDRESSES", addresses);
    ingest.env("PRISM__FEEDS__FEAR_GREED", "");
    let mut running = ingest.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let ended = (0..300).find_map(|_| {
        std::thread::sleep(Duration::from_millis(100));
        running.try_wait().unwrap()
    });
    let _ = running.kill();
    let output = running.wait_with_output().unwrap();
    assert_eq!(ended.and_then(|status| status.code()), Some(1), "it went on with nowhere to write: {output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("No space left"), "{output:?}");
}

#[test]
fn a_venue_nobody_knows_is_named() {
    let mut run = command();
    run.args(["run"]).env("PRISM__FEEDS__VENUES", "[\"bibyt-linear\"]");
    let output = run.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("no venue \"bibyt-linear\"; known are bybit-linear"), "{said}");
}

#[test]
fn a_script_of_faults_is_read_and_what_is_wrong_with_one_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("faults.toml");
    let run = |text: &str| {
        std::fs::write(&path, text).unwrap();
        prism(["emulate", "--port", "0", "--for", "1s", "--script", path.to_str().unwrap()])
    };
    let said = run(
        "[[fault]]\nat = \"0s\"\nfor = \"500ms\"\nstall = [\"BTCUSDT\"]\nshares = { drop = 0.5, slow = \"10ms\" }\n\n\
         [[fault]]\nat = \"500ms\"\ndisconnect_all = true\nreset_books = [\"ETHUSDT\"]\nskew = \"3s\"\n",
    );
    assert_eq!(said.code, 0, "{said:?}");
    for (text, problem) in [
        ("[[fault]]\nat = \"0s\"\nstal = [\"BTCUSDT\"]\n", "unknown field `stal`"),
        ("[[fault]]\nat = \"soon\"\n", "\"soon\" is no duration such as 10s"),
        ("[[fault]]\nshares = { dropp = 1.0 }\n", "unknown field `dropp`"),
    ] {
        let said = run(text);
        assert!(said.code == 2 && said.err.contains(problem) && said.err.contains("faults.toml"), "{said:?}");
    }
}
