//! Stored and live rows as one table.

use prism_schemas::Versions;
use prism_schemas::time::parse_ts;
use serde_json::json;

use super::*;

const ALL: &str = "SELECT ts, close, revision FROM bars ORDER BY ts";

#[tokio::test]
async fn an_empty_catalogue_answers() {
    let f = fixture();
    assert_eq!(f.csv("SELECT COUNT(*) AS n FROM prism.bars").await, "n\n0\n");
    assert_eq!(f.csv("SELECT COUNT(*) AS n FROM live.bars").await, "n\n0\n");
    assert_eq!(f.csv("SELECT close FROM bars").await, "close\n");
}

#[tokio::test]
async fn stored_and_live_rows_unite_by_newest_version() {
    let f = fixture();
    store(f.directory.path(), "2024-08-08", &[bar("2024-08-08T23:59:00Z", 1.0, "2024-08-09T00:00:00.3Z", 0)]);
    store(
        f.directory.path(),
        "2024-08-09",
        &[
            bar("2024-08-09T00:00:00Z", 2.0, "2024-08-09T00:01:00.3Z", 0),
            bar("2024-08-09T00:01:00Z", 3.0, "2024-08-09T00:02:00.3Z", 0),
            bar("2024-08-09T00:02:00Z", 4.0, "2024-08-09T00:09:00.3Z", 3),
            retracted(bar("2024-08-09T00:03:00Z", 5.0, "2024-08-09T00:09:00.3Z", 1)),
        ],
    );
    f.live.apply(
        &Versions::of(&[
            bar("2024-08-09T00:00:00Z", 2.5, "2024-08-09T00:05:00Z", 1), // corrects a stored row
            retracted(bar("2024-08-09T00:01:00Z", 3.0, "2024-08-09T00:05:00Z", 1)), // takes a stored row back
            bar("2024-08-09T00:02:00Z", 3.9, "2024-08-09T00:05:00Z", 2), // older than the stored row
            bar("2024-08-09T00:04:00Z", 6.0, "2024-08-09T00:05:00.3Z", 0), // not stored yet
        ])
        .unwrap(),
    );
    let all = "ts,close,revision\n2024-08-08T23:59:00Z,1.0,0\n2024-08-09T00:00:00Z,2.5,1\n\
               2024-08-09T00:02:00Z,4.0,3\n2024-08-09T00:04:00Z,6.0,0\n";
    assert_eq!(f.csv(ALL).await, all);
    assert_eq!(f.csv("SELECT COUNT(*) AS n FROM bars").await, "n\n4\n");
    // A filter sees the newest version only.
    assert_eq!(f.csv("SELECT COUNT(*) AS n FROM bars WHERE close = 2.0").await, "n\n0\n");
    assert_eq!(f.csv("SELECT COUNT(*) AS n FROM bars WHERE close < 4.0").await, "n\n2\n");
    assert_eq!(
        f.csv("SELECT close FROM bars WHERE symbol = 'BTCUSDT' AND ts >= '2024-08-09T00:04:00Z'").await,
        "close\n6.0\n"
    );
    assert_eq!(f.csv("SELECT close FROM bars WHERE symbol = 'ETHUSDT'").await, "close\n");
    assert_eq!(f.csv("SELECT COUNT(*) AS n FROM (SELECT * FROM bars LIMIT 3)").await, "n\n3\n");
    assert_eq!(
        f.csv("SELECT symbol, SUM(close) AS s FROM bars WHERE n_trades = 1 GROUP BY symbol").await,
        "symbol,s\nBTCUSDT,13.5\n"
    );
}

#[tokio::test]
async fn what_is_stored_leaves_memory_and_stays_visible() {
    let f = fixture();
    let rows = [
        bar("2024-08-09T00:00:00Z", 1.0, "2024-08-09T00:01:00.3Z", 0),
        bar("2024-08-09T00:01:00Z", 2.0, "2024-08-09T00:02:00.3Z", 0),
        bar("2024-08-09T12:00:00Z", 3.0, "2024-08-09T12:01:00.3Z", 0),
    ];
    f.live.apply(&Versions::of(&rows).unwrap());
    let before = f.csv(ALL).await;
    assert_eq!(f.live.len(), 3, "nothing leaves before it is stored");
    store(f.directory.path(), "2024-08-09", &rows);
    f.live.stored_up_to(parse_ts("2024-08-09T12:02:00Z").unwrap());
    assert_eq!(f.live.len(), 1, "older than 6 h behind the newest");
    assert_eq!(f.csv(ALL).await, before);
    // A row that is not stored yet shows although others are stored.
    f.live.apply(&Versions::of(&[bar("2024-08-09T12:01:00Z", 4.0, "2024-08-09T12:02:00.3Z", 0)]).unwrap());
    assert_eq!(f.csv("SELECT MAX(close) AS c FROM bars").await, "c\n4.0\n");
}

#[tokio::test]
async fn a_history_that_came_at_once_leaves_memory_when_it_is_stored() {
    let f = fixture();
    let rows = [
        bar("2024-08-08T00:00:00Z", 1.0, "2024-08-09T12:01:00.3Z", 0),
        bar("2024-08-09T12:00:00Z", 3.0, "2024-08-09T12:01:00.3Z", 0),
    ];
    f.live.apply(&Versions::of(&rows).unwrap());
    let before = f.csv(ALL).await;
    // Safe on disk is not enough: it is not old by when it became known, and cannot be read elsewhere.
    f.live.spooled_up_to(parse_ts("2024-08-09T12:02:00Z").unwrap());
    assert_eq!(f.live.len(), 2);
    store(f.directory.path(), "2024-08-08", &rows[..1]);
    store(f.directory.path(), "2024-08-09", &rows[1..]);
    f.live.stored_up_to(parse_ts("2024-08-09T12:02:00Z").unwrap());
    assert_eq!((f.live.len(), f.csv(ALL).await), (1, before));
}

#[tokio::test]
async fn live_views_show_the_newest_row_of_each_series() {
    let f = fixture();
    f.live.apply(
        &Versions::of(&[
            bar("2024-08-09T00:01:00Z", 2.0, "2024-08-09T00:02:00.3Z", 0),
            bar("2024-08-09T00:00:00Z", 1.0, "2024-08-09T00:03:00Z", 1),
        ])
        .unwrap(),
    );
    assert_eq!(f.csv("SELECT close FROM live.bars").await, "close\n2.0\n");
    f.live.apply(&Versions::of(&[bar("2024-08-09T00:01:00Z", 9.0, "2024-08-09T00:01:00Z", 0)]).unwrap());
    assert_eq!(f.csv("SELECT close FROM live.bars").await, "close\n2.0\n", "an older version never wins");
    f.live.apply(&Versions::of(&[retracted(bar("2024-08-09T00:01:00Z", 2.0, "2024-08-09T00:04:00Z", 1))]).unwrap());
    assert_eq!(f.csv("SELECT close FROM live.bars").await, "close\n1.0\n", "the one before a retracted row is newest");
    assert_eq!(f.live.instruments().len(), 1);
}

#[tokio::test]
async fn files_of_other_days_and_stray_files_are_not_opened() {
    let f = fixture();
    store(f.directory.path(), "2024-08-09", &[bar("2024-08-09T00:00:00Z", 2.0, "2024-08-09T00:01:00.3Z", 0)]);
    std::fs::write(f.directory.path().join("bars/2024-08-01.parquet"), "not Parquet").unwrap();
    std::fs::write(f.directory.path().join("bars/.2024-08-09.tmp"), "not Parquet").unwrap();
    assert_eq!(f.csv("SELECT close FROM bars WHERE ts > '2024-08-08T12:00:00Z'").await, "close\n2.0\n");
    let error = f.sql("SELECT close FROM bars").await.unwrap_err();
    assert!(matches!(&error, Error::Store(text) if text.contains("2024-08-01")), "{error}");
}

#[tokio::test]
async fn a_restart_restores_the_newest_rows() {
    let f = fixture();
    store(f.directory.path(), "2024-08-08", &[bar("2024-08-08T01:00:00Z", 1.0, "2024-08-08T01:01:00.3Z", 0)]);
    store(
        f.directory.path(),
        "2024-08-09",
        &[
            bar("2024-08-09T10:00:00Z", 2.0, "2024-08-09T10:01:00.3Z", 0),
            bar("2024-08-09T10:01:00Z", 3.0, "2024-08-09T10:02:00.3Z", 0),
        ],
    );
    assert_eq!(f.engine.catalogue().restore().unwrap(), 3);
    assert_eq!(f.live.len(), 2);
    assert_eq!(f.csv("SELECT close FROM live.bars").await, "close\n3.0\n");
    assert_eq!(f.csv("SELECT COUNT(*) AS n FROM bars").await, "n\n3\n");
}

#[tokio::test]
async fn a_restart_restores_bars_that_began_weeks_ago() {
    let f = fixture();
    let of = |timeframe: &str, close: f64| {
        let mut row = bar("2024-07-29T00:00:00Z", close, "2024-08-05T00:00:00.3Z", 0);
        row.cells[row.table.position("timeframe").unwrap()] = timeframe.into();
        row
    };
    store(f.directory.path(), "2024-07-29", &[of("1w", 7.0), of("1m", 1.0), of("1d", 2.0)]);
    store(f.directory.path(), "2024-08-09", &[bar("2024-08-09T10:00:00Z", 3.0, "2024-08-09T10:01:00.3Z", 0)]);
    assert_eq!(f.engine.catalogue().refresh().unwrap(), 1, "the newest days alone");
    assert_eq!(f.engine.catalogue().restore().unwrap(), 2);
    assert_eq!(
        f.csv("SELECT timeframe, close FROM live.bars ORDER BY timeframe").await,
        "timeframe,close\n1m,3.0\n1w,7.0\n"
    );
}

#[tokio::test]
async fn files_replaced_while_queries_run_never_break_one() {
    let f = fixture();
    let rows: Vec<_> =
        (0..50).map(|n| bar(&format!("2024-08-09T00:{n:02}:00Z"), 1.0, "2024-08-09T01:00:00Z", 0)).collect();
    store(f.directory.path(), "2024-08-09", &rows);
    let directory = f.directory.path().to_path_buf();
    let writer = std::thread::spawn(move || {
        for n in 10..50 {
            store(&directory, "2024-08-09", &rows[..n]);
        }
    });
    for _ in 0..20 {
        let n = f.csv("SELECT COUNT(*) AS n FROM bars WHERE close = 1.0").await;
        let n: usize = n.trim_start_matches("n\n").trim().parse().unwrap();
        assert!((10..=50).contains(&n), "{n}");
    }
    writer.join().unwrap();
}

#[tokio::test]
async fn answers_have_json_csv_and_text() {
    let f = fixture();
    let sql = "SELECT TIMESTAMP '2024-08-09T00:00:00.25' AS t, 'a\"b,c' AS s, CAST('NaN' AS DOUBLE) AS nan, NULL AS nothing, 1 AS i, true AS b";
    let answer = f.sql(sql).await.unwrap();
    assert_eq!(
        answer.rows().unwrap(),
        [[json!("2024-08-09T00:00:00.250Z"), json!("a\"b,c"), json!(null), json!(null), json!(1), json!(true),]]
    );
    assert_eq!(answer.csv().unwrap(), "t,s,nan,nothing,i,b\n2024-08-09T00:00:00.250Z,\"a\"\"b,c\",,,1,true\n");
    assert_eq!(
        f.sql("SELECT 1 AS x, 'yes' AS word").await.unwrap().pretty().unwrap(),
        "+---+------+\n| x | word |\n+---+------+\n| 1 | yes  |\n+---+------+\n"
    );
}
