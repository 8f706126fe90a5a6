//! Statements that want the threads, the memory or the planner for themselves.

#![expect(clippy::disallowed_methods, reason = "what a stopped statement still burns is timed")]

use prism_schemas::Versions;
use std::time::{Duration, Instant};

use super::statements::Random;
use super::*;

const TIMEOUT: Duration = Duration::from_millis(250);

/// Bars enough to make work of: one series each of 40 symbols. Its threads have a name, so that they can be watched.
fn crowded(name: &str, options: Options) -> Fixture {
    let mut f = fixture();
    f.engine = Arc::new(Engine::with_threads(name, options, f.live.clone()).unwrap());
    let rows = (0..4_000).map(|n| {
        let mut row = bar("2024-08-09T00:00:00Z", f64::from(n), "2024-08-09T12:00:00Z", 0);
        let start = parse_ts("2024-08-09T00:00:00Z").unwrap() + i64::from(n / 40) * 60_000_000_000;
        row.cells[0] = Cell::Ts(start);
        row.cells[row.table.position("symbol").unwrap()] = format!("S{}USDT", n % 40).as_str().into();
        row
    });
    f.live.apply(&Versions::of(&rows.collect::<Vec<_>>()).unwrap());
    f
}

/// Processor time of the threads of this name so far, in clock ticks of 10 ms.
fn burnt(name: &str) -> u64 {
    let mut ticks = 0;
    for task in std::fs::read_dir("/proc/self/task").unwrap().flatten() {
        // A thread may end while it is looked at.
        let Ok(stat) = std::fs::read_to_string(task.path().join("stat")) else { continue };
        let (head, rest) = stat.rsplit_once(')').unwrap();
        if head.ends_with(&format!("({name}")) {
            let fields: Vec<&str> = rest.split_whitespace().collect();
            ticks += fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        }
    }
    ticks
}

/// Returns once these threads do nothing, before which they may use a second of a processor.
async fn come_to_rest(name: &str, after: &str) {
    let stopped = burnt(name);
    let mut before = stopped;
    loop {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let now = burnt(name);
        if now == before {
            return;
        }
        assert!(now - stopped < 100, "still running: {after}");
        before = now;
    }
}

/// Heavy, but nothing that is refused.
const HEAVY: &[&str] = &[
    "SELECT COUNT(*) FROM bars a JOIN bars b ON a.retracted = b.retracted JOIN bars c ON b.retracted = c.retracted",
    "SELECT COUNT(*) FROM bars a JOIN bars b ON a.retracted = b.retracted AND a.close > b.close + 1e9 \
     JOIN bars c ON b.retracted = c.retracted",
    "SELECT COUNT(*) FROM generate_series(1, 900000000) a JOIN bars b ON a.value % 2 = b.n_trades % 2 \
     AND a.value + b.close < 0",
    "SELECT COUNT(*) FROM generate_series(1, 60000) a JOIN generate_series(1, 900000000) b \
     ON a.value / 1000000 = b.value / 1000000 AND a.value + b.value < 0",
    "SELECT * FROM generate_series(1, 900000000) a WHERE value % 2 IN (SELECT n_trades FROM bars) ORDER BY value DESC",
    "SELECT COUNT(*) FROM generate_series(1, 900000000) a WHERE NOT EXISTS \
     (SELECT 1 FROM bars b WHERE b.n_trades = a.value % 2 AND b.close > a.value + 10000)",
    "SELECT COUNT(*) FROM generate_series(1, 900000000) a, (SELECT * FROM bars LIMIT 900) b WHERE a.value < b.close",
    "SELECT * FROM generate_series(1, 900000000) ORDER BY value % 1000, value DESC",
    "SELECT value % 1000000 AS x, COUNT(*), SUM(value), MEDIAN(value) FROM generate_series(1, 900000000) GROUP BY x",
    "SELECT COUNT(*) FROM (SELECT DISTINCT value, value + 1 FROM generate_series(1, 900000000))",
    "SELECT COUNT(*) FROM generate_series(1, 900000000) WHERE CAST(value AS VARCHAR) ~ '^(1|2|3)*(a|b)+$'",
    "WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM t) SELECT COUNT(*) FROM t",
    "WITH RECURSIVE t AS (SELECT close FROM bars UNION ALL SELECT t.close + 1 FROM t, (SELECT 1 UNION ALL SELECT 2)) \
     SELECT COUNT(*) FROM t",
    "SELECT MAX(x) FROM (SELECT SUM(value) OVER (ORDER BY value ROWS BETWEEN 900000000 PRECEDING AND CURRENT ROW) AS x \
     FROM generate_series(1, 900000000))",
    "SELECT MAX(x) FROM (SELECT SUM(value) OVER (ORDER BY value ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING) AS x \
     FROM generate_series(1, 900000000))",
    "SELECT a.symbol, COUNT(DISTINCT (a.close, b.close)) FROM bars a JOIN bars b ON a.retracted = b.retracted GROUP BY 1",
    "EXPLAIN ANALYZE SELECT COUNT(*) FROM bars a JOIN bars b ON a.retracted = b.retracted \
     JOIN bars c ON b.retracted = c.retracted",
    "SELECT GREATEST(a.close, b.close) AS x, COUNT(*) FROM bars a JOIN bars b ON a.retracted = b.retracted \
     GROUP BY CUBE (x, a.symbol, b.symbol, a.ts, b.ts)",
];

#[tokio::test]
async fn a_dropped_statement_stops() {
    let f = crowded("drop-sql", Options { timeout: Duration::from_secs(60), ..Options::default() });
    for sql in &HEAVY[..2] {
        assert!(tokio::time::timeout(Duration::from_millis(200), f.sql(sql)).await.is_err());
        come_to_rest("drop-sql", sql).await;
    }
}

/// The most memory that this process ever had, in MiB.
fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() >> 10
}

/// A statement that tries to be large in one of the known ways, or in two at once.
fn hostile(random: &mut Random) -> String {
    let n = [2, 9, 20, 40, 90][random.below(5)];
    let chain = |first: &str, next: &str, last: &str| {
        let steps: Vec<String> =
            (1..n).map(|at| format!("c{at} AS ({})", next.replace('#', &format!("c{}", at - 1)))).collect();
        let steps = if steps.is_empty() { String::new() } else { format!(", {}", steps.join(", ")) };
        format!("WITH c0 AS ({first}){steps} {}", last.replace('#', &format!("c{}", n - 1)))
    };
    let columns = |text: &str, n: usize| (0..n).map(|at| format!("{text} AS x{at}")).collect::<Vec<_>>().join(", ");
    let from = random.pick(&["bars", "generate_series(1, 9000000)", "information_schema.columns", "live.bars"]);
    let long = "y".repeat(n * 500);
    match random.below(26) {
        0 => chain("SELECT symbol AS x FROM bars", "SELECT x || x AS x FROM #", "SELECT max(length(x)) FROM #"),
        1 => chain("SELECT 'ab' AS x", "SELECT concat(x, x, x) AS x FROM #", "SELECT length(x) FROM #"),
        2 => chain("SELECT 1 AS x", "SELECT a.x + b.x AS x FROM # a, # b", "SELECT * FROM #"),
        3 => chain("SELECT close AS x FROM bars", "SELECT x + x AS x FROM #", "SELECT COUNT(*) FROM # WHERE x > 5"),
        4 => chain("SELECT * FROM bars", "SELECT * FROM #", "SELECT * FROM # ORDER BY ts LIMIT 5"),
        5 => chain("SELECT 1 AS x", "SELECT * FROM # UNION ALL SELECT * FROM #", "SELECT COUNT(*) FROM #"),
        6 => format!("SELECT replace('{long}', 'y', '{long}') FROM {from}"),
        7 => format!("SELECT replace(replace(symbol, '', '{long}'), '', symbol) FROM bars"),
        8 => format!("SELECT '{long}', * FROM {from}"),
        9 => format!("SELECT {} FROM {from}", columns(&format!("'{}'", "z".repeat(n)), 400)),
        10 => format!("SELECT {} FROM {from}", columns("1", n * 30)),
        11 => {
            let names = ["ts", "symbol", "close", "open", "high", "low", "volume", "known_at", "revision", "source"];
            let kind = random.pick(&["CUBE", "ROLLUP"]);
            format!("SELECT COUNT(*) FROM bars GROUP BY {kind} ({})", names[..n.min(10)].join(", "))
        }
        12 => format!("SELECT COUNT(*) FROM {}", (0..n).map(|at| format!("bars b{at}")).collect::<Vec<_>>().join(", ")),
        13 => {
            let joins = (1..n).map(|at| format!(" JOIN bars b{at} ON b0.symbol = b{at}.symbol"));
            format!("SELECT COUNT(*) FROM bars b0{}", joins.collect::<String>())
        }
        14 => format!("SELECT COUNT(*) FROM bars a JOIN bars b ON a.close {} b.close", random.pick(&["<", "<>", ">="])),
        15 => format!("SELECT symbol ~ '(a{{{n}}}){{{n}}}' FROM bars"),
        16 => "SELECT symbol ~ (symbol || '{1000}') FROM bars".into(),
        17 => format!("SELECT {}symbol{} FROM bars", "upper(initcap(".repeat(n / 3), "))".repeat(n / 3)),
        18 => format!("SELECT * FROM bars WHERE n_trades IN ({})", vec!["1"; n * 100].join(",")),
        19 => format!("SELECT {}1{}", "(".repeat(n * 5), ")".repeat(n * 5)),
        20 => format!("SELECT CASE{} END FROM bars", " WHEN close = 1 THEN symbol".repeat(n * 2)),
        21 => {
            format!("SELECT {}(symbol, 2000000000) FROM bars", random.pick(&["repeat", "lpad", "rpad", "array_repeat"]))
        }
        22 => format!("SELECT to_char(ts, '{}') FROM bars", "%c".repeat(n * 200)),
        23 => {
            "WITH RECURSIVE t AS (SELECT 'a' AS x UNION ALL SELECT x || x FROM t) SELECT max(length(x)) FROM t".into()
        }
        24 => format!("SELECT string_agg(symbol, '{long}'), array_agg(symbol) FROM bars"),
        _ => format!("SELECT COUNT(DISTINCT (symbol, '{}', ts, close)) FROM bars", "q".repeat(n)),
    }
}

/// Set in a process that runs one test.
const ALONE: &str = "PRISM_TEST_ALONE";

#[test]
fn hostile_statements_are_refused_or_stopped_and_memory_stays_bounded() {
    // Memory is counted by process, and other tests use it too.
    if std::env::var_os(ALONE).is_none() {
        let name = std::thread::current().name().unwrap().to_string();
        let mut alone = std::process::Command::new(std::env::current_exe().unwrap());
        let output = alone.args(["--exact", &name, "--nocapture"]).env(ALONE, "1").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(attack());
}

async fn attack() {
    const N: usize = 200;
    const MEMORY_MIB: usize = 64;
    let options = Options { timeout: TIMEOUT, memory_bytes: MEMORY_MIB << 20, ..Options::default() };
    let f = crowded("bomb-sql", options);
    assert_eq!(f.csv("SELECT COUNT(*) AS n FROM bars").await, "n\n4000\n");
    let before = peak();
    let random = &mut Random::new(3);
    let bombs: Vec<String> = (0..N).map(|_| hostile(random)).collect();
    let (mut refused, mut stopped) = (0, 0);
    for (at, sql) in HEAVY.iter().copied().chain(bombs.iter().map(String::as_str)).enumerate() {
        let shown: String = sql.chars().take(160).collect();
        let started = Instant::now();
        match f.sql(sql).await {
            Ok(answer) => assert!(HEAVY.len() <= at, "{shown}: {} rows", answer.n_rows()),
            Err(Error::Timeout { .. } | Error::OutOfMemory { .. }) => {
                stopped += 1;
                come_to_rest("bomb-sql", &shown).await;
            }
            Err(Error::NotAllowed { .. } | Error::BadSql { .. }) if HEAVY.len() <= at => refused += 1,
            Err(error) => panic!("{shown}: {error:?}"),
        }
        assert!(started.elapsed() < TIMEOUT + Duration::from_secs(10), "{shown}: {:?}", started.elapsed());
        assert!(peak() < before + MEMORY_MIB + 100, "{} MiB more: {shown}", peak() - before);
    }
    assert!(N / 4 < refused && refused < N * 3 / 4, "{refused} of {N} refused");
    assert!(HEAVY.len() < stopped, "{stopped} stopped");
    assert_eq!(f.csv("SELECT 1 AS x").await, "x\n1\n");
}

#[tokio::test]
async fn named_queries_are_not_delayed() {
    let f = crowded("side-sql", Options { timeout: Duration::from_secs(60), ..Options::default() });
    let users: Vec<_> = HEAVY[..4]
        .iter()
        .map(|sql| {
            let engine = f.engine.clone();
            tokio::spawn(async move { engine.query(sql, &Parameters::new()).await })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let limit = Parameters::from([("limit".to_string(), 10.into())]);
    for _ in 0..20 {
        let started = Instant::now();
        f.engine.named(&crate::named::TOP_SYMBOLS, &limit).await.unwrap();
        assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    }
    for user in &users {
        assert!(!user.is_finished(), "they ran all the while");
        user.abort();
    }
}

#[tokio::test]
async fn a_named_query_waits_no_longer_than_its_time() {
    static LONG: crate::Named =
        crate::Named { name: "long", sql: "SELECT SUM(value) FROM generate_series(1, 900000000000)", parameters: &[] };
    let f = fixture_with(Options { timeout: 6 * TIMEOUT, threads: 1, ..Options::default() });
    let started = Instant::now();
    let running: Vec<_> = (0..5)
        .map(|_| {
            let engine = f.engine.clone();
            tokio::spawn(async move { engine.named(&LONG, &Parameters::new()).await })
        })
        .collect();
    for task in running {
        let error = task.await.unwrap().unwrap_err();
        assert!(matches!(error, Error::Busy { limit: 2 } | Error::Timeout { .. }), "{error}");
    }
    assert!(started.elapsed() < 11 * TIMEOUT, "{:?}", started.elapsed());
}

#[tokio::test]
async fn what_operators_keep_is_counted() {
    let options = Options { memory_bytes: 4 << 20, timeout: Duration::from_secs(60), ..Options::default() };
    let f = crowded("kept-sql", options);
    let pairs = "FROM bars a JOIN bars b ON a.retracted = b.retracted";
    for sql in [
        format!("SELECT a.symbol, MEDIAN(a.close + b.close) {pairs} GROUP BY 1"),
        format!("SELECT a.symbol, COUNT(DISTINCT (a.close, b.close)) {pairs} GROUP BY 1"),
        format!(
            "SELECT a.symbol, COUNT(DISTINCT a.close - b.close), COUNT(DISTINCT a.close / b.close) {pairs} GROUP BY 1"
        ),
    ] {
        let error = f.sql(&sql).await.unwrap_err();
        // Whoever asks for the last bytes: what is kept, or the aggregate that keeps it.
        let is_counted = |message: &str| message.contains("has to keep") || message.contains("HashAggregateStream");
        assert!(matches!(&error, Error::OutOfMemory { message } if is_counted(message)), "{sql}: {error}");
        let plan = f.csv(&format!("EXPLAIN {sql}")).await;
        assert!(plan.contains("mode=SinglePartitioned") && !plan.contains("mode=Partial"), "{plan}");
    }
    let sql = format!("SELECT COUNT(*) {pairs} JOIN bars c ON b.retracted = c.retracted");
    let error = f.sql(&sql).await.unwrap_err();
    assert!(matches!(&error, Error::OutOfMemory { message } if message.contains("batches#")), "{sql}: {error}");
}

#[tokio::test]
async fn aggregates_that_keep_values_are_whole() {
    let f = crowded("whole-sql", Options::default());
    let from = "FROM bars a JOIN live.bars b ON a.symbol = b.symbol";
    let kept = "MEDIAN(a.close) AS m, COUNT(DISTINCT a.close) AS d, COUNT(DISTINCT b.close) AS e, COUNT(*) AS n";
    for (sql, expected) in [
        (
            format!("SELECT a.symbol, {kept} {from} GROUP BY 1 ORDER BY m LIMIT 2"),
            "symbol,m,d,e,n\nS0USDT,1980.0,100,1,100\nS1USDT,1981.0,100,1,100\n",
        ),
        (format!("SELECT {kept} {from}"), "m,d,e,n\n1999.5,4000,40,4000\n"),
        (
            format!(
                "SELECT a.symbol, {kept} {from} GROUP BY GROUPING SETS ((a.symbol), ()) ORDER BY n DESC, m LIMIT 2"
            ),
            "symbol,m,d,e,n\n,1999.5,4000,40,4000\nS0USDT,1980.0,100,1,100\n",
        ),
        (
            format!(
                "SELECT a.symbol, MEDIAN(a.close) FILTER (WHERE a.close > 3900) AS m {from} GROUP BY 1 ORDER BY 2 LIMIT 1"
            ),
            "symbol,m\nS0USDT,3940.0\n",
        ),
        (format!("SELECT a.symbol, {kept} {from} WHERE a.close < 0 GROUP BY 1"), "symbol,m,d,e,n\n"),
    ] {
        assert_eq!(f.csv(&sql).await, expected, "{sql}");
    }
}

#[tokio::test]
async fn distinct_tuples_are_counted_in_little_memory() {
    let f = crowded("tuple-sql", Options { memory_bytes: 8 << 20, ..Options::default() });
    let sql = "SELECT COUNT(*) AS n, COUNT(DISTINCT (symbol, ts, timeframe)) AS d, \
               COUNT(DISTINCT (symbol, timeframe)) AS s FROM bars";
    assert_eq!(f.csv(sql).await, "n,d,s\n4000,4000,40\n");
    let sql = "SELECT COUNT(DISTINCT CASE WHEN close > 10 THEN (symbol, quality) END) AS d FROM bars";
    assert_eq!(f.csv(sql).await, "d\n40\n");
}

#[tokio::test]
async fn what_is_large_but_bounded_runs() {
    let f = crowded("calm-sql", Options::default());
    let literal = "l".repeat(60_000);
    let sql = format!("SELECT COUNT(*) AS n FROM (SELECT '{literal}' || symbol AS x FROM bars) WHERE x > ''");
    assert_eq!(f.csv(&sql).await, "n\n4000\n");
    let error = f.sql(&format!("SELECT '{literal}' || symbol FROM bars")).await.unwrap_err();
    assert!(matches!(&error, Error::OutOfMemory { message } if message.contains("64 MiB")), "{error}");
    for (sql, expected) in [
        ("SELECT COUNT(*) AS n FROM bars a JOIN bars b ON a.ts = b.ts AND a.symbol < b.symbol", "n\n78000\n"),
        ("SELECT COUNT(*) AS n FROM live.bars a, live.bars b", "n\n1600\n"),
        ("SELECT COUNT(*) AS n FROM bars WHERE close > (SELECT AVG(close) FROM bars)", "n\n2000\n"),
        ("SELECT COUNT(*) AS n FROM bars WHERE symbol NOT IN (SELECT symbol FROM live.bars WHERE close > 0)", "n\n0\n"),
        (
            "SELECT symbol || '-' || timeframe AS s, COUNT(*) AS n FROM bars GROUP BY CUBE (symbol, timeframe) \
             ORDER BY n DESC, s LIMIT 1",
            "s,n\n,4000\n",
        ),
        (
            "WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM t WHERE n < 50) SELECT SUM(n) AS s FROM t",
            "s\n1275\n",
        ),
        (
            "SELECT MAX(m) AS m FROM (SELECT AVG(close) OVER (PARTITION BY symbol ORDER BY ts) AS m FROM bars)",
            "m\n2019.0\n",
        ),
    ] {
        assert_eq!(f.csv(sql).await, expected, "{sql}");
    }
}
