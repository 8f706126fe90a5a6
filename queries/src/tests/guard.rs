//! What is refused, and what is stopped.

#![expect(clippy::disallowed_methods, reason = "a cancelled statement is timed against its limit")]

use std::time::{Duration, Instant};

use super::*;

/// Statements that must not pass, whatever else is wrong with them.
const REFUSED: &[&str] = &[
    "CREATE TABLE t (a INT)",
    "CREATE TABLE t AS SELECT 1",
    "CREATE OR REPLACE TABLE bars AS SELECT 1",
    "CREATE VIEW v AS SELECT 1",
    "CREATE SCHEMA s",
    "CREATE DATABASE d",
    "CREATE FUNCTION f() RETURNS INT RETURN 1",
    "CREATE INDEX i ON bars (ts)",
    "CREATE EXTERNAL TABLE t STORED AS PARQUET LOCATION '/etc/passwd'",
    "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION 'https://example.com/x.csv'",
    "CREATE UNBOUNDED EXTERNAL TABLE t STORED AS CSV LOCATION '/dev/stdin'",
    "DROP TABLE bars",
    "DROP VIEW v",
    "DROP SCHEMA prism CASCADE",
    "ALTER TABLE bars ADD COLUMN x INT",
    "INSERT INTO bars VALUES (1)",
    "INSERT INTO bars SELECT * FROM bars",
    "INSERT OVERWRITE bars SELECT 1",
    "UPDATE bars SET close = 0",
    "DELETE FROM bars",
    "TRUNCATE TABLE bars",
    "MERGE INTO bars USING bars AS b ON true WHEN MATCHED THEN DELETE",
    "COPY bars TO '/tmp/x.parquet'",
    "COPY (SELECT 1) TO 's3://bucket/x.csv'",
    "COPY bars FROM '/etc/passwd'",
    "SET datafusion.execution.batch_size = 1",
    "SET TIME ZONE 'UTC'",
    "RESET datafusion.execution.batch_size",
    "SHOW ALL",
    "SHOW datafusion.execution.batch_size",
    "PREPARE p AS SELECT 1",
    "EXECUTE p",
    "DEALLOCATE p",
    "BEGIN",
    "START TRANSACTION",
    "COMMIT",
    "ROLLBACK",
    "GRANT SELECT ON bars TO someone",
    "REVOKE SELECT ON bars FROM someone",
    "USE prism",
    "CALL f()",
    "KILL 1",
    "VACUUM",
    "ATTACH DATABASE 'x' AS y",
    "LOAD 'x.so'",
    "EXPLAIN COPY bars TO '/tmp/x.parquet'",
    "EXPLAIN ANALYZE INSERT INTO bars VALUES (1)",
    "EXPLAIN EXPLAIN DELETE FROM bars",
    "EXPLAIN CREATE TABLE t AS SELECT 1",
    "SELECT 1; SELECT 2",
    "SELECT 1; DROP TABLE bars",
    "SELECT * INTO t FROM bars",
    "SELECT * FROM bars FOR UPDATE",
    "WITH gone AS (DELETE FROM bars RETURNING *) SELECT * FROM gone",
    "SELECT * FROM (INSERT INTO bars VALUES (1)) AS t",
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM read_parquet('/etc/passwd')",
    "SELECT * FROM parquet_metadata('/etc/passwd')",
    "SELECT * FROM TABLE(read_csv('/etc/passwd'))",
    "SELECT repeat('x', 2000000000)",
    "SELECT lpad('x', 2000000000)",
    "SELECT * FROM bars WHERE symbol = rpad('x', 2000000000)",
    "SELECT \"repeat\"('x', 2000000000)",
    "SELECT array_agg(symbol) FROM bars",
    "SELECT arrow_cast('x', 'FixedSizeBinary(2000000000)')",
    "SELECT COUNT(*) FROM bars a, bars b, bars c",
    "SELECT COUNT(*) FROM bars a CROSS JOIN generate_series(1, 10)",
    "SELECT COUNT(*) FROM bars a JOIN bars b ON a.close > b.close",
    "SELECT COUNT(*) FROM bars a WHERE EXISTS (SELECT 1 FROM bars b WHERE a.close > b.close)",
    "SELECT 1 FROM bars GROUP BY CUBE (ts, symbol, open, high, low, close, volume, turnover, vwap)",
    "SELECT 1 FROM bars GROUP BY ROLLUP (ts, symbol, open, high, low, close, volume, turnover, vwap)",
    "SELECT 1 FROM bars GROUP BY CUBE (ts, symbol, open, high, low), CUBE (close, volume, turnover, vwap)",
    "SELECT symbol ~ quality FROM bars",
    "SELECT symbol SIMILAR TO quality FROM bars",
    "SELECT symbol ~ '((a{100}){100}){100}' FROM bars",
    "WITH RECURSIVE t AS (SELECT 'a' AS x UNION ALL SELECT x || x FROM t) SELECT * FROM t",
    "WITH a AS (SELECT * FROM bars), b AS (SELECT * FROM a UNION ALL SELECT * FROM a), \
     c AS (SELECT * FROM b UNION ALL SELECT * FROM b), d AS (SELECT * FROM c UNION ALL SELECT * FROM c), \
     e AS (SELECT * FROM d UNION ALL SELECT * FROM d), f AS (SELECT * FROM e UNION ALL SELECT * FROM e), \
     g AS (SELECT * FROM f UNION ALL SELECT * FROM f), h AS (SELECT * FROM g UNION ALL SELECT * FROM g) \
     SELECT * FROM h",
];

/// Statements that are wrong rather than refused.
const WRONG: &[(&str, Option<(u64, u64)>)] = &[
    ("", None),
    ("   ;  ", None),
    ("-- nothing", None),
    ("SELEC 1", Some((1, 1))),
    ("SELECT 1\nFROM bars WHERE WHERE", Some((2, 17))),
    ("SELECT 'open", Some((1, 8))),
    ("SELECT * FROM nowhere", Some((1, 15))),
    ("SELECT cloze FROM bars", Some((1, 8))),
    ("SELECT nonsense(1)", Some((1, 8))),
    ("SELECT * FROM '/etc/passwd'", None),
    ("SELECT * FROM '/tmp/x.parquet'", None),
    ("SELECT * FROM \"s3://bucket/x.csv\"", None),
    ("SELECT * FROM other.bars", None),
    ("SELECT 1 / 0", None),
    ("SELECT CAST('x' AS INT)", None),
];

#[tokio::test]
async fn hostile_statements_are_refused() {
    let f = fixture();
    for sql in REFUSED {
        match f.sql(sql).await {
            Err(Error::NotAllowed { .. }) => {}
            // What the dialect cannot even read is refused too, and must never run.
            Err(Error::BadSql { .. }) if crate::guard::check(sql).is_err() => {}
            other => panic!("{sql}: {:?}", other.map(|answer| answer.csv())),
        }
    }
    let refused = REFUSED.iter().filter(|sql| matches!(crate::guard::check(sql), Err(Error::NotAllowed { .. })));
    assert!(40 <= refused.count(), "most are refused for what they are, not for their grammar");
}

#[tokio::test]
async fn wrong_statements_name_the_place() {
    let f = fixture();
    for (sql, place) in WRONG {
        match f.sql(sql).await {
            Err(Error::BadSql { line, column, message }) => {
                if place.is_some() {
                    assert_eq!(line.zip(column), *place, "{sql}: {message}");
                }
            }
            other => panic!("{sql}: {:?}", other.map(|answer| answer.csv())),
        }
    }
}

#[tokio::test]
async fn long_and_deep_statements_do_not_reach_the_stack() {
    let f = fixture();
    let chain = |n: usize, link: &str| format!("SELECT 1{}", link.repeat(n));
    for link in ["+1", " AND true", "::INT", " IS NULL", " UNION ALL SELECT 1", "||'x'"] {
        assert!(matches!(f.sql(&chain(100_000, link)).await, Err(Error::NotAllowed { .. })), "{link}");
    }
    for link in ["+1", " UNION ALL SELECT 1"] {
        f.sql(&chain(90, link)).await.unwrap_or_else(|error| panic!("{link}: {error}"));
    }
    f.sql(&chain(190, "+1")).await.unwrap();
    for (open, close) in [("(", ")"), ("NOT (", ")"), ("(SELECT ", ")"), ("coalesce(", ")")] {
        let deep = format!("SELECT {}1{}", open.repeat(5_000), close.repeat(5_000));
        assert!(f.sql(&deep).await.is_err(), "{open}");
    }
    let ctes: Vec<String> = (1..60).map(|n| format!("c{n} AS (SELECT * FROM c{})", n - 1)).collect();
    f.sql(&format!("WITH c0 AS (SELECT 1 AS x), {} SELECT * FROM c59", ctes.join(", "))).await.unwrap();
}

const HEAVY: &str = "SELECT COUNT(*) FROM generate_series(1, 3000000) a JOIN generate_series(1, 3000000) b \
                     ON a.value % 2 = b.value % 2";

#[tokio::test]
async fn a_heavy_join_is_stopped_and_the_engine_goes_on() {
    let f = fixture_with(Options { timeout: Duration::from_millis(600), memory_bytes: 64 << 20, ..Options::default() });
    let started = Instant::now();
    let error = f.sql(HEAVY).await.unwrap_err();
    assert!(matches!(error, Error::Timeout { .. } | Error::OutOfMemory { .. }), "{error}");
    assert!(started.elapsed() < Duration::from_secs(5));
    assert_eq!(f.csv("SELECT 1 AS x").await, "x\n1\n");
}

#[tokio::test]
async fn memory_is_bounded() {
    let f = fixture_with(Options { memory_bytes: 4 << 20, ..Options::default() });
    let error = f
        .sql("SELECT COUNT(*) FROM (SELECT a.value, COUNT(*) FROM generate_series(1, 2000000) a GROUP BY a.value)")
        .await
        .unwrap_err();
    assert!(matches!(error, Error::OutOfMemory { .. }), "{error}");
    assert_eq!(f.csv("SELECT 1 AS x").await, "x\n1\n");
}

#[tokio::test]
async fn rows_are_capped() {
    let f = fixture_with(Options { rows_max: 10, ..Options::default() });
    let answer = f.sql("SELECT * FROM generate_series(1, 1000000000000)").await.unwrap();
    assert_eq!((answer.n_rows(), answer.truncated), (10, true));
    let answer = f.sql("SELECT * FROM generate_series(1, 10)").await.unwrap();
    assert_eq!((answer.n_rows(), answer.truncated), (10, false));
}

#[tokio::test]
async fn too_many_statements_are_refused_and_dropped_ones_make_room() {
    let f = fixture_with(Options { concurrency: 2, timeout: Duration::from_secs(30), ..Options::default() });
    let heavy = "SELECT SUM(a.value) FROM generate_series(1, 1000000000000) a";
    let running: Vec<_> = (0..2)
        .map(|_| {
            let engine = f.engine.clone();
            tokio::spawn(async move { engine.query(heavy, &Parameters::new()).await })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(matches!(f.sql("SELECT 1").await, Err(Error::Busy { limit: 2 })));
    for task in running {
        task.abort();
        assert!(task.await.is_err());
    }
    for _ in 0..50 {
        match f.sql("SELECT 1").await {
            Err(Error::Busy { .. }) => tokio::time::sleep(Duration::from_millis(100)).await,
            other => return assert_eq!(other.unwrap().n_rows(), 1),
        }
    }
    panic!("cancelled statements still run");
}
