//! The page as a browser shows it.

use std::process::Command;

/// Checks the page of a running demo in headless Chromium, or says that it is skipped where there is none.
pub(crate) fn shows_live_scores(port: u16, n_symbols: usize) {
    let found = Command::new("chromium").arg("--version").output();
    if !found.is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED page: no chromium");
        return;
    }
    // A busy machine may draw late: what counts is that the page gets there.
    let mut page = String::new();
    for _ in 0..5 {
        page = dump(port);
        if rows(&page) == n_symbols {
            break;
        }
    }
    assert!(page.contains(&format!("simulated market, {n_symbols} instruments")), "{page}");
    assert_eq!(rows(&page), n_symbols, "{page}");
    assert!(page.contains("BTCUSDT"), "{page}");
}

/// Rows of the table of scores.
fn rows(page: &str) -> usize {
    page.matches("data-at=").count()
}

/// The page after a few seconds, which must not write to the console.
fn dump(port: u16) -> String {
    let profile = tempfile::tempdir().unwrap();
    let output = Command::new("timeout")
        .args(["60", "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .args(["--enable-logging=stderr", "--virtual-time-budget=6000", "--dump-dom"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("http://127.0.0.1:{port}/"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!said.contains(":CONSOLE"), "the page wrote to the console: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
