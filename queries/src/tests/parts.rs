//! Days in parts, and runs apart.

use std::path::Path;

use prism_schemas::table::RUNS;

use super::{at, bar, fixture, retracted, row, store};
use crate::error::Error;

/// Writes a part of a day of bars.
fn part(directory: &Path, day: &str, number: u64, rows: &[prism_schemas::Version]) {
    let name = format!("{number:06}");
    store(directory, &name, rows);
    let folder = directory.join("bars").join(day);
    std::fs::create_dir_all(&folder).unwrap();
    let file = format!("{name}.parquet");
    std::fs::rename(directory.join("bars").join(&file), folder.join(&file)).unwrap();
}

#[tokio::test]
async fn a_day_in_parts_has_each_key_once_in_order_and_its_newest_version() {
    let f = fixture();
    let dir = f.directory.path();
    let minute =
        |minute: u32, close: f64| bar(&format!("2024-05-01T00:{minute:02}:00Z"), close, "2024-05-01T01:00:00Z", 0);
    store(dir, "2024-05-01", &[minute(0, 1.0), minute(1, 1.0), minute(3, 1.0)]);
    part(dir, "2024-05-01", 1, &[minute(1, 2.0), minute(4, 2.0)]);
    part(dir, "2024-05-01", 2, &[minute(1, 3.0), minute(2, 3.0), retracted(minute(3, 3.0))]);
    store(dir, "2024-05-02", &[bar("2024-05-02T00:00:00Z", 9.0, "2024-05-02T01:00:00Z", 0)]);
    let closes = |csv: String| csv.lines().skip(1).map(|line| line.parse::<f64>().unwrap()).collect::<Vec<_>>();
    assert_eq!(closes(f.csv("SELECT close FROM bars ORDER BY ts").await), [1.0, 3.0, 3.0, 2.0, 9.0]);
    assert_eq!(closes(f.csv("SELECT close FROM bars ORDER BY ts LIMIT 3").await), [1.0, 3.0, 3.0]);
    assert_eq!(closes(f.csv("SELECT close FROM bars WHERE ts = '2024-05-01T00:01:00Z'").await), [3.0]);
    assert_eq!(closes(f.csv("SELECT close FROM bars WHERE close < 2.5 ORDER BY ts").await), [1.0, 2.0]);
    assert_eq!(closes(f.csv("SELECT count(*) FROM bars WHERE symbol = 'BTCUSDT'").await), [5.0]);
}

#[tokio::test]
async fn runs_are_apart_and_a_store_of_one_run_shows_it() {
    let f = fixture();
    let dir = f.directory.path();
    let one = |close: f64| bar("2024-05-01T00:00:00Z", close, "2024-05-01T01:00:00Z", 0);
    let known = |run: &str| row(&RUNS, &[("ts", at("2024-05-01T00:00:00Z")), ("run_id", run.into())]);
    let write = |run: &str, close: f64| {
        let home = dir.join(format!("run_id={run}"));
        store(&home, "2024-05-01", &[one(close)]);
        store(&home, "2024-05-01", &[known(run)]);
    };
    write("replay", 1.0);
    assert_eq!(f.csv("SELECT close FROM bars").await, "close\n1.0\n");
    assert_eq!(f.csv("SELECT run_id, close FROM runs.bars").await, "run_id,close\nreplay,1.0\n");
    write("what-if", 2.0);
    let Err(error) = f.sql("SELECT close FROM bars").await else { panic!("which run?") };
    assert!(error.to_string().contains("ask runs.bars WHERE run_id"), "{error}");
    assert!(!matches!(error, Error::Internal(_)), "{error:?}");
    let by_run = "SELECT run_id, close, symbol FROM runs.bars ORDER BY run_id";
    assert_eq!(f.csv(by_run).await, "run_id,close,symbol\nreplay,1.0,BTCUSDT\nwhat-if,2.0,BTCUSDT\n");
    assert_eq!(f.csv("SELECT close FROM runs.bars WHERE run_id = 'what-if'").await, "close\n2.0\n");
    assert_eq!(f.csv("SELECT count(*) AS n FROM runs.bars WHERE run_id <> 'x'").await, "n\n2\n");
    assert_eq!(f.csv("SELECT run_id FROM runs ORDER BY run_id").await, "run_id\nreplay\nwhat-if\n");
    store(dir, "2024-05-01", &[one(3.0)]);
    assert_eq!(f.csv("SELECT close FROM bars").await, "close\n3.0\n");
    assert_eq!(f.csv("SELECT count(*) AS n FROM runs.bars").await, "n\n2\n");
}
