//! Every stored row equals an independent Python recomputation from the same recordings (`tests/oracle`).

use std::process::Command;

use crate::support::{python, root, shared};

/// Runs one of the recomputations; what it compared must be equal.
fn equals(script: &str, more: &[&str]) {
    let Some(data) = shared(script, "data") else { return };
    let Some(python) = python(script, "pyarrow") else { return };
    let mut oracle = Command::new(python);
    oracle.arg(root().join("tests/oracle").join(script));
    oracle.args(["--prism", env!("CARGO_BIN_EXE_prism")]).arg("--data").arg(data).args(more);
    let output = oracle.output().unwrap();
    let out = String::from_utf8_lossy(&output.stdout);
    let said = format!("{out}{}", String::from_utf8_lossy(&output.stderr));
    println!("{said}");
    assert!(output.status.success(), "{said}");
    let last = out.lines().last().unwrap_or("");
    let n = last.strip_suffix(" rows compared, 0 differ").and_then(|n| n.parse::<u64>().ok());
    assert!(n.is_some_and(|n| 0 < n), "{last}");
}

#[test]
fn every_row_equals_the_independent_recomputation() {
    // For a shorter run while developing; `make test` leaves it unset.
    let rows = std::env::var("PRISM_ORACLE_ROWS");
    let more: Vec<&str> = rows.iter().flat_map(|rows| ["--rows", rows]).collect();
    equals("oracle.py", &more);
}

#[test]
fn every_row_of_order_books_equals_the_independent_recomputation() {
    equals("books.py", &["--seeds", "1"]);
}
