//! The connectors against the emulated venue: whatever goes wrong, books and trades are the venue's, and it is told.

use std::{
    io::{BufRead, BufReader},
    process::{Child, ChildStdout, Command, Stdio},
    time::Duration,
};

use crate::support::{command, http, prism};

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
    let (_, rest) = line.split_once("http://").unwrap_or_else(|| panic!("no address in {line:?}"));
    let address = rest.split(['/', ',']).next().unwrap().to_string();
    (Process(child, lines), address)
}

#[test]
fn whatever_goes_wrong_books_and_trades_are_the_venues() {
    let said = prism(["chaos", "--runs", "6", "--seed", "7"]);
    assert_eq!((said.code, said.out.as_str()), (0, "6 runs, 0 failed\n"), "{said:?}");
}

#[test]
fn chaos_sees_a_protection_that_is_left_out() {
    for protection in ["gap", "duplicate", "crossed"] {
        let said = prism(["chaos", "--runs", "6", "--seed", "7", "--break", protection]);
        assert_eq!(said.code, 1, "{protection}: {said:?}");
        assert!(said.out.contains("repeat one with: prism chaos --runs 1 --seed"), "{said:?}");
    }
}

#[test]
fn a_live_venue_is_followed_from_warm_up_to_scores() {
    let dir = tempfile::tempdir().unwrap();
    let mut emulate = command();
    emulate.args(["emulate", "--port", "0", "--garbage", "0.01"]);
    let (_venue, address) = start(emulate);
    let mut run = command();
    let [log, store] = ["log", "store"].map(|name| dir.path().join(name));
    run.args(["run", "--port", "0"]).arg("--log").arg(&log).arg("--store").arg(&store);
    run.env("PRISM__FEEDS__ADDRESSES", format!("{{ \"bybit-linear\" = \"http://{address}\" }}"));
    let (_run, address) = start(run);
    let port: u16 = address.rsplit(':').next().unwrap().parse().unwrap();
    let get = |path: &str| http(port, "GET", path, "").unwrap();
    let ask = |sql: &str| {
        let (status, body) = http(port, "POST", "/api/sql", &format!("{{\"sql\": \"{sql}\"}}")).unwrap();
        assert_eq!(status, 200, "{body}");
        let answer: serde_json::Value = serde_json::from_str(&body).unwrap();
        answer["rows"].as_array().unwrap().clone()
    };
    let mut scored = 0;
    for _ in 0..600 {
        if get("/ready").0 == 200 {
            let rows = ask("SELECT count(DISTINCT symbol) AS n FROM confluence WHERE coverage >= 0.5");
            scored = rows[0]["n"].as_u64().unwrap_or_else(|| rows[0][0].as_u64().unwrap());
            if scored == 20 {
                break;
            }
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(scored, 20, "not every instrument has a score: {}", get("/ready").1);
    let connected = ask("SELECT DISTINCT symbol FROM feed_status WHERE status = 'connected'");
    assert_eq!(connected.len(), 20, "{connected:?}");
    // What was garbled is kept with its reason.
    let mut garbled = Vec::new();
    for _ in 0..300 {
        garbled = ask("SELECT rule FROM quarantine WHERE rule = 'malformed_frame' LIMIT 1");
        if !garbled.is_empty() {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(garbled.len(), 1);
}

#[test]
fn a_recording_is_imported_whole() {
    let dir = tempfile::tempdir().unwrap();
    let [file, log] = ["recording.jsonl.zst", "log"].map(|name| dir.path().join(name).display().to_string());
    let mut emulate = command();
    emulate.args(["emulate", "--port", "0"]);
    let (_venue, address) = start(emulate);
    let mut record = command();
    record.args(["record", "--out", &file, "--for", "5s"]);
    record.env("PRISM__FEEDS__ADDRESSES", format!("{{ \"bybit-linear\" = \"http://{address}\" }}"));
    let output = record.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let printed = prism(["import", &file, "--log", &log, "--format", "csv"]).fine();
    let count = |kind: &str| {
        let of = printed.lines().filter(|line| line.contains(&format!(",{kind},")));
        of.filter_map(|line| line.rsplit(',').next()?.parse::<u64>().ok()).sum::<u64>()
    };
    // Twenty instruments with a book each second, and 219 closed bars of eight timeframes or more.
    assert!(20 * 3 <= count("book_delta") && 20 * 8 * 200 <= count("kline"), "{printed}");
    assert!(0 < count("trade") && count("instrument") == 24 && count("quarantined") == 0, "{printed}");
    // A recording is not written over.
    let mut again = command();
    again.args(["record", "--out", &file, "--for", "1s"]);
    let output = again.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("create "), "{output:?}");
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
