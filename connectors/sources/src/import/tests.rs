//! Which files are taken, in which order their events come, and what is said when one fails.

use std::path::{Path, PathBuf};

use prism_schemas::event::event::Body;

use super::examine::examine;
use super::*;

/// BitMEX trades at these milliseconds after a point in time.
fn trades(path: &Path, millis: &[i64]) {
    let rows: Vec<String> = millis.iter().map(|at| format!("{},100.5,{}\n", 1_500_000_000_000 + at, at + 1)).collect();
    std::fs::write(path, format!("timestamp,price,size\n{}", rows.concat())).unwrap();
}

/// What is handed over, and what is reported.
fn written(paths: &[PathBuf], open_max: usize) -> (Vec<(InstrumentId, Event)>, String) {
    let mut events = Vec::new();
    let report = examine(paths, Options::default()).unwrap().write_with(open_max, &mut |_, instrument, event| {
        events.push((instrument.clone(), event));
        Ok(())
    });
    (events, format!("{:?}", report.unwrap()))
}

/// Why a file is refused.
fn refusal(path: &Path, options: Options) -> String {
    let report = examine(&[path.into()], options).unwrap().report;
    report.refused.first().unwrap().1.clone()
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(48))]

    /// Files overlap, follow each other, are out of order, or hold nothing.
    #[test]
    fn the_order_does_not_depend_on_how_many_files_are_open(
        files in proptest::collection::vec(proptest::collection::vec(0i64..60, 0..7), 1..12),
        open_max in 2usize..5,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut paths = Vec::new();
        for (at, millis) in files.iter().enumerate() {
            paths.push(dir.path().join(format!("Bitmex_{at}.csv")));
            trades(&paths[at], millis);
        }
        let (events, report) = written(&paths, usize::MAX);
        let n_trades = events.iter().filter(|(_, event)| matches!(event.body, Some(Body::Trade(_)))).count();
        proptest::prop_assert_eq!(n_trades, files.iter().map(Vec::len).sum::<usize>());
        let (same_events, same_report) = written(&paths, open_max);
        proptest::prop_assert_eq!(events, same_events);
        proptest::prop_assert_eq!(report, same_report);
    }
}

#[test]
fn recordings_that_overlap_are_in_the_order_they_were_received() {
    let dir = tempfile::tempdir().unwrap();
    let paths: Vec<PathBuf> = (0..9).map(|at| dir.path().join(format!("Bitmex_{at}.csv"))).collect();
    for (at, path) in paths.iter().enumerate() {
        trades(path, &[at as i64, at as i64 + 20, at as i64 + 40]);
    }
    let (events, _) = written(&paths, 2);
    assert!(events.is_sorted_by_key(|(_, event)| event.ts_recv));
    assert_eq!(events.len(), 9 * (3 + 4));
}

#[test]
fn only_regular_files_are_opened() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    std::fs::create_dir(at("all")).unwrap();
    trades(&at("all/Bitmex_1.csv"), &[1]);
    trades(&at("elsewhere_xbtusd.csv"), &[2]);
    std::os::unix::fs::symlink(at("elsewhere_xbtusd.csv"), at("all/link_xbtusd.csv")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(at("all/socket")).unwrap();
    // Whoever opens it for reading waits for ever.
    assert!(std::process::Command::new("mkfifo").arg(at("all/pipe.csv")).status().unwrap().success());

    let report = examine(&[at("all")], Options::default()).unwrap().report;
    assert_eq!(report.files.len(), 1);
    let skipped = |name: &str| report.skipped.iter().find(|(path, _)| path.ends_with(name)).unwrap().1.clone();
    assert_eq!(report.skipped.len(), 3);
    assert!(skipped("link_xbtusd.csv").contains("--follow-links"));
    assert!(skipped("pipe.csv").contains("regular file") && skipped("socket").contains("regular file"));
    for (name, word) in [("all/link_xbtusd.csv", "--follow-links"), ("all/pipe.csv", "pipe"), ("all/socket", "socket")]
    {
        let reason = refusal(&at(name), Options::default());
        assert!(reason.contains(word), "{reason}");
    }
    let following = Options { follow_links: true, ..Options::default() };
    assert_eq!(examine(&[at("all")], following.clone()).unwrap().report.files.len(), 2);
    // Two loops would be entered for ever; each file is read once.
    for name in ["all/loop", "all/again"] {
        std::os::unix::fs::symlink(at("all"), at(name)).unwrap();
    }
    let report = examine(&[at("all")], following).unwrap().report;
    assert_eq!(report.files.len(), 2);
    let loops = report.skipped.iter().filter(|(_, reason)| reason.contains("loop"));
    assert_eq!(loops.count(), 2, "{:?}", report.skipped);
    assert_eq!(examine(&[at("all")], Options::default()).unwrap().report.files.len(), 1);
}

#[test]
fn a_failure_says_which_files_are_in_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let paths: Vec<PathBuf> = (0..4).map(|at| dir.path().join(format!("Bitmex_{at}.csv"))).collect();
    paths.iter().enumerate().for_each(|(at, path)| trades(path, &[at as i64 * 10, at as i64 * 10 + 1]));
    let examined = examine(&paths, Options::default()).unwrap();
    std::fs::remove_file(&paths[2]).unwrap();
    let mut n = 0;
    let error = examined.write(&mut |_, _| {
        n += 1;
        Ok(())
    });
    let error = error.unwrap_err();
    let text = error.to_string();
    for words in ["Bitmex_2.csv: No such file", "2 of 4 files are in the log", "Bitmex_2.csv in part", "nothing of"] {
        assert!(text.contains(words), "{words} is not in {text}");
    }
    let ImportError::Stopped { report, .. } = error else { panic!("{text}") };
    assert_eq!(report.files.iter().map(FileReport::events).sum::<u64>(), n);
    // Whatever is wrong from the beginning is found before anything is written.
    let error = read(&paths, Options::default(), &mut |_, _| panic!("written")).unwrap_err();
    assert!(matches!(&error, ImportError::Io { path, .. } if *path == paths[2]), "{error}");
}

#[test]
fn limits_stop_an_import_before_it_begins() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("Bitmex_1.csv");
    trades(&path, &[1, 2, 3]);
    let limits = Limits { line: 20, ..Limits::default() };
    let error = refusal(&path, Options { limits, ..Options::default() });
    assert!(error.contains("line 2 is longer than 20 bytes") && error.contains("--max-line"), "{error}");
}
