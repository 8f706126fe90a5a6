//! Every stored row equals an independent Python recomputation from the same recording (`tests/oracle`).

use std::process::Command;

use crate::support::{python, root, shared};

#[test]
fn every_row_equals_the_independent_recomputation() {
    let Some(data) = shared("oracle", "data") else { return };
    let Some(python) = python("oracle", "pyarrow") else { return };
    let mut oracle = Command::new(python);
    oracle.arg(root().join("tests/oracle/oracle.py"));
    oracle.args(["--prism", env!("CARGO_BIN_EXE_prism")]).arg("--data").arg(data);
    // For a shorter run while developing; `make test` leaves it unset.
    if let Ok(rows) = std::env::var("PRISM_ORACLE_ROWS") {
        oracle.args(["--rows", &rows]);
    }
    let output = oracle.output().unwrap();
    let out = String::from_utf8_lossy(&output.stdout);
    let said = format!("{out}{}", String::from_utf8_lossy(&output.stderr));
    println!("{said}");
    assert!(output.status.success(), "{said}");
    let last = out.lines().last().unwrap_or("");
    let n = last.strip_suffix(" rows compared, 0 differ").and_then(|n| n.parse::<u64>().ok());
    assert!(n.is_some_and(|n| 0 < n), "{last}");
}
