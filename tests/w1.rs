//! Workload W1 equals its reference, punctual and with late trades, at every stride.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::support::{python, root, shared};

/// Delays 50 trades that share their symbol's millisecond with no other: they stand where they arrive, and say when.
const DELAY: &str = "
import random, sys
import pyarrow as pa, pyarrow.parquet as pq
table = pq.read_table(sys.argv[1])
ts, symbol = table['ts_ms'].to_pylist(), table['symbol'].to_pylist()
count = {}
for key in zip(symbol, ts):
    count[key] = count.get(key, 0) + 1
alone = [i for i, key in enumerate(zip(symbol, ts)) if count[key] == 1 and ts[i] + 6_600_000 < max(ts)]
late = random.Random(7).sample(alone, 50)
recv = list(ts)
for n, i in enumerate(late):
    recv[i] += [2_500, 30_000, 600_000, 3_600_000, 6_500_000][n % 5]
# A row arrives when the newest time before it has come; the late ones when theirs has.
newest, arrival, chosen = 0, [], set(late)
for i in range(len(ts)):
    newest = newest if i in chosen else max(newest, ts[i])
    arrival.append((recv[i] if i in chosen else newest, i))
order = [i for _, i in sorted(arrival)]
table = table.append_column('ts_recv_ms', pa.array(recv, pa.int64())).take(pa.array(order))
pq.write_table(table, sys.argv[2])
";

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{command:?}: {said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

/// The example that runs W1, built if this is its first use.
fn example() -> PathBuf {
    let place = Path::new(env!("CARGO_BIN_EXE_prism")).parent().unwrap().join("examples/w1");
    run(Command::new(env!("CARGO")).current_dir(root()).args([
        "build",
        "--quiet",
        "-p",
        "prism-dataflow",
        "--example",
        "w1",
    ]));
    assert!(place.exists(), "{} was not built", place.display());
    place
}

#[test]
fn outputs_equal_the_reference() {
    let Some(w1) = shared("w1", "w1") else { return };
    let Some(python) = python("w1", "numpy, pandas, pyarrow") else { return };
    let example = example();
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    run(Command::new(&python).arg(w1.join("gen.py")).arg(dir.path()).arg("50000"));
    run(Command::new(&python).args(["-c", DELAY]).arg(at("trades_50000.parquet")).arg(at("late.parquet")));
    for trades in ["trades_50000.parquet", "late.parquet"] {
        for stride in ["1", "10", "600"] {
            let out = at(&format!("{trades}-{stride}"));
            let said = run(Command::new(&example).arg(at(trades)).arg(&out).args(["1", stride]));
            let last: serde_json::Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
            assert_eq!(last["trades"], 50_000, "{said}");
            for table in ["bars", "indicators", "cross", "score"] {
                let reference = w1.join(format!("ref_{table}_50000.parquet"));
                let ours = out.join(format!("{table}.parquet"));
                let said = run(Command::new(&python).arg(w1.join("compare.py")).arg(reference).arg(ours));
                is_equal(&said, &format!("{trades} stride {stride} {table}"));
            }
        }
    }
}

/// What compare.py says: no row missing or extra, and no value beyond 1e-9 + 1e-7 |ref|.
fn is_equal(said: &str, label: &str) {
    let mut columns = 0;
    for (at, line) in said.lines().enumerate() {
        let words = if at == 0 { ["missing=0", "extra=0"] } else { ["null_mismatch=0", "beyond_tol=0"] };
        let fine = words.iter().all(|word| line.split_whitespace().any(|have| have == *word));
        assert!(fine, "{label}: {line}\n{said}");
        columns += usize::from(0 < at);
    }
    assert!(0 < columns, "{label}: nothing was compared");
}
