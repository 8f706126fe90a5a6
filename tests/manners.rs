//! How commands behave towards whoever started them: pipes, signals, secrets, files, places that are none.

use std::{
    io::Read,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::{
    commands::Place,
    support::{Said, command, free_port, http, prism, run},
};

/// Ends a process if a check fails before it does.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    fn start(command: &mut Command) -> Running {
        Running(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }

    fn signal(&self, name: &str) {
        let id = self.0.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &id]).status().unwrap().success());
    }

    /// Waits until the process answers SIGINT itself.
    fn until_it_answers(&self) {
        let path = format!("/proc/{}/status", self.0.id());
        within(Duration::from_secs(60), "answer to signals", || {
            let status = std::fs::read_to_string(&path).unwrap_or_default();
            let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap_or("0").trim();
            u64::from_str_radix(caught, 16).unwrap_or(0) & 0b10 != 0
        });
    }

    /// Reads standard error up to these words, or its end.
    fn err_up_to(&mut self, words: &str) -> String {
        let (mut err, mut byte) = (String::new(), [0]);
        let stderr = self.0.stderr.as_mut().unwrap();
        while !err.contains(words) && stderr.read(&mut byte).unwrap() == 1 {
            err.push(byte[0] as char);
        }
        err
    }
}

#[expect(clippy::disallowed_methods, reason = "promises about real time")]
fn now() -> Instant {
    Instant::now()
}

fn within(limit: Duration, what: &str, is_so: impl Fn() -> bool) {
    let began = now();
    while !is_so() {
        assert!(began.elapsed() < limit, "no {what} within {limit:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_reader_that_goes_away_ends_a_command_well() {
    let place = Place::get();
    let [log, store, config] = ["log", "store", "prism.toml"].map(|name| place.at(name));
    let csv = place.at("XBTUSD_quiet.csv");
    std::fs::write(&csv, "timestamp,price,size\n1514764800000,13850.5,100\n").unwrap();
    let text = |path: &Path| path.to_str().unwrap().to_string();
    let (imported, stored) = (text(&place.at("quiet-log")), text(&place.at("quiet-store")));
    let (log, store, config, csv) = (text(&log), text(&store), text(&config), text(&csv));
    for line in [
        &["analyze", "ETHUSDT", "--store", &store][..],
        &["analyze", "ETHUSDT", "--store", &store, "--format", "csv"],
        &["analyze", "ETHUSDT", "--store", &store, "--format", "json"],
        &["sql", "--store", &store, "SELECT * FROM bars", "--format", "csv"],
        &["sql", "--store", &store, "SELECT * FROM bars LIMIT 9"],
        &["import", &csv, "--log", &imported, "--format", "csv"],
        &["import", &csv, "--log", &imported],
        &["replay", "--log", &log, "--store", &stored, "--config", &config, "--format", "csv"],
        &["replay", "--log", &log, "--store", &stored, "--config", &config, "--digest"],
        &["emulate", "--port", "0", "--for", "1s"],
        &["doctor", "--log", &log, "--store", &store, "--port", "0"],
    ] {
        let mut command = command();
        // Nobody is there.
        command.env("PRISM__FEEDS__ADDRESSES", "{ \"bybit-linear\" = \"http://127.0.0.1:9\" }");
        let mut child = command.args(line).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let said = Said::of(&child.wait_with_output().unwrap());
        assert_eq!(said.code, 0, "{line:?}: {said:?}");
        assert!(!said.err.contains("error"), "{line:?}: {said:?}");
    }
}

#[test]
fn the_first_interrupt_is_answered_at_once_and_the_second_ends() {
    let place = Place::get();
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        // It waits for a broker that is not there.
        let store = place.at("interrupted");
        let line = ["replay", "--log", "kafka://127.0.0.1:1/x", "--store", store.to_str().unwrap()];
        let mut running = Running::start(command().args(line));
        running.until_it_answers();
        let began = now();
        running.signal(signal);
        let said = running.err_up_to("once more ends at once");
        assert!(said.contains("stopping: rows computed so far are stored"), "{said}");
        assert!(began.elapsed() < Duration::from_secs(10), "answered after {:?}", began.elapsed());
        running.signal(signal);
        assert_eq!(running.0.wait().unwrap().code(), Some(code));
        assert!(began.elapsed() < Duration::from_secs(20), "ended after {:?}", began.elapsed());
    }
    // One at a pace stops at the next record.
    let (log, store) = (place.at("log"), place.at("paced"));
    let mut replay = command();
    replay.arg("replay").arg("--log").arg(log).arg("--store").arg(store).args(["--speed", "0.01"]);
    let mut running = Running::start(&mut replay);
    running.until_it_answers();
    running.signal("TERM");
    let said = running.err_up_to("--resume");
    assert!(said.contains("cancelled") && said.ends_with("--resume"), "{said}");
    assert_eq!(running.0.wait().unwrap().code(), Some(1));
}

#[test]
fn passwords_are_shown_nowhere() {
    let line = |words: &[&str], store: &str| {
        let mut command = command();
        command.args(words).env("PRISM_STORE", store).env("PRISM_LOG", "kafka://ann:hunter2@127.0.0.1:1/ a");
        Said::of(&command.output().unwrap())
    };
    for name in ["run", "ingest", "compute", "serve", "replay", "sql", "analyze", "import", "bench"] {
        let said = line(&[name, "--help"], "questdb://ann:hunter2@127.0.0.1:1");
        assert!(said.code == 0 && !said.out.contains("hunter2"), "{said:?}");
    }
    for words in [
        &["sql", "SELECT 1"][..],
        &["analyze", "BTCUSDT"],
        &["serve", "--port", "0"],
        &["replay"],
        &["ingest", "--synthetic"],
        &["compute", "--port", "0"],
    ] {
        for store in ["questdb://ann:hunter2@127.0.0.1:1", "postgres://ann:hunter2@db", "questdb://ann:hunter2@a b"] {
            if words[0] == "serve" && store.ends_with(":1") {
                continue;
            }
            let said = line(words, store);
            let all = format!("{}{}", said.out, said.err);
            assert!(!all.contains("hunter2"), "{words:?}: {said:?}");
        }
    }
}

#[test]
fn a_server_that_is_away_is_one_plain_line() {
    let said = prism(["sql", "--store", "questdb://127.0.0.1:1", "SELECT count(*) FROM bars"]);
    assert_eq!((said.code, said.err.lines().count()), (1, 1), "{said:?}");
    assert!(said.err.contains("127.0.0.1:1") && !said.err.contains("External"), "{said:?}");
}

#[test]
fn serving_needs_a_store() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let said = run("serve --store {} --port 0 --for 1s", &[&at("nosuch")]);
    assert!(said.code == 2 && said.err.contains("does not exist"), "{said:?}");
    std::fs::create_dir(at("empty")).unwrap();
    let port = free_port();
    let mut serve = command();
    serve.args(["serve", "--port", &port.to_string(), "--store"]).arg(at("empty"));
    let mut running = Running::start(&mut serve);
    let said = running.err_up_to("--store");
    assert!(said.contains("holds no live rows: start the process that fills it"), "{said}");
    let ready = || http(port, "GET", "/ready", "").unwrap_or((0, String::new()));
    within(Duration::from_secs(60), "answer", || ready().1.contains("holds no live rows"));
    assert_eq!(ready().0, 503);
    std::fs::create_dir(at("empty/bars")).unwrap();
    within(Duration::from_secs(60), "rows", || 0 < ready().0 && !ready().1.contains("holds no live rows"));
    running.signal("INT");
    assert_eq!(running.0.wait().unwrap().code(), Some(0));
}

#[test]
fn thousands_of_files_need_few_handles() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("days")).unwrap();
    // All at the same time, so that each is to be merged with each.
    for at in 0..2_000 {
        let row = |row: i64| format!("{},100.5,{}\n", 1_500_000_000_000i64 + at + row * 10_000, row + 1);
        let text = format!("timestamp,price,size\n{}{}", row(0), row(1));
        std::fs::write(dir.path().join(format!("days/Bitmex_{at:04}.csv")), text).unwrap();
    }
    let mut import = Command::new("sh");
    import.args(["-c", "ulimit -n 256; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_prism"), "import"]);
    import.arg(dir.path().join("days")).arg("--log").arg(dir.path().join("log")).args(["--format", "csv"]);
    let said = Said::of(&import.output().unwrap()).fine();
    assert_eq!(said.lines().filter(|line| line.ends_with(",trade,2")).count(), 2_000, "{}", &said[..400]);
}

#[test]
fn an_import_that_fails_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    std::fs::create_dir_all(at("mixed")).unwrap();
    std::fs::write(at("mixed/Bitmex_1.csv"), "timestamp,price,size\n1514764800000,13850.5,100\n").unwrap();
    let whole = zstd::encode_all(&b"timestamp,price,size\n1514764800000,13850.5,100\n".repeat(9_000)[..], 3).unwrap();
    std::fs::write(at("mixed/Bitmex_2.csv.zst"), &whole[..whole.len() / 2]).unwrap();
    let line = "import {} --log {}";
    let said = run(line, &[&at("mixed"), &at("log")]);
    assert!(said.code == 1 && said.err.contains("Bitmex_2.csv.zst"), "{said:?}");
    assert!(said.out.contains("Bitmex_1.csv: whole"), "one that is broken stops only itself: {said:?}");
    let said = run(line, &[&at("mixed/Bitmex_2.csv.zst"), &at("none")]);
    assert!(said.code == 1 && !at("none").exists(), "a log is left: {said:?}");
    // Only what is skipped.
    std::fs::create_dir_all(at("letters")).unwrap();
    std::fs::write(at("letters/a.txt"), "dear").unwrap();
    let said = run(line, &[&at("letters"), &at("none")]);
    assert!(said.code == 2 && said.out.contains("skipped") && !at("none").exists(), "{said:?}");
    // Bounds are options.
    std::fs::write(at("mixed/Bitmex_2.csv.zst"), &whole).unwrap();
    let said = run("import {} --log {} --max-expanded 1KiB", &[&at("mixed/Bitmex_2.csv.zst"), &at("none")]);
    assert!(said.code == 1 && said.err.contains("--max-expanded") && !at("none").exists(), "{said:?}");
    let said = run("import {} --log {} --format json", &[&at("mixed"), &at("log")]).fine();
    assert!(said.contains("\"written\":\"whole\""), "{said}");
}

#[test]
fn a_full_disk_under_what_is_said_ends_nothing() {
    let dir = tempfile::tempdir().unwrap();
    // It warns that there are no rows.
    let mut serve = command();
    serve.args(["serve", "--for", "1s", "--port", "0", "--store"]).arg(dir.path());
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let status = serve.stdout(Stdio::null()).stderr(full).status().unwrap();
    assert!(status.success(), "{status}");
}
