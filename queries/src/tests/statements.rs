//! Rows with all that stores treat differently, and seeded statements whose answers must not depend on the store.
//!
//! Nothing here knows how statements are run: a test over a real server may include this file.

use prism_schemas::table::BARS;
use prism_schemas::time::format_ts;
use prism_schemas::{Cell, Ts, Version};

/// 2024-08-08T23:50:00Z: rows lie on both sides of midnight, so in two partitions.
pub(crate) const START: Ts = 1_723_161_000_000_000_000;
const STEP: i64 = 20_000_000_000;
const N_ROWS: i64 = 90;
const SYMBOLS: [&str; 3] = ["BTCUSDT", "ETHUSDT", "O'USDT"];
/// Around zero and around the tolerance that QuestDB compares doubles with.
const CLOSES: [f64; 12] =
    [0.0, -0.0, 1e-11, -1e-11, 1e-10, 2e-10, -3e-10, 1e-9, 0.1 + 0.2, 0.3, 64_123.5, 9_007_199_254_740_993.0];

/// Random numbers (xorshift64*), the same on every machine.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % n
    }

    pub(crate) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}

/// The row's designated timestamp; no two rows have the same, and some differ by a microsecond.
fn ts(n: i64) -> Ts {
    START + n / 3 * STEP + n % 3 * 1_000
}

/// A bar; `revision` 0 is the first version, 1 a correction.
fn bar(n: i64, revision: i64, random: &mut Random) -> Version {
    let text = |text: &str| if text.is_empty() { Cell::Null } else { Cell::text(text) };
    let known_at = ts(n) + 60_000_000_000 + revision * 30_000_000_000;
    let cells = [
        ("ts", Cell::Ts(ts(n))),
        ("ts_close", Cell::Ts(ts(n) + STEP)),
        ("exchange", text("bybit")),
        ("market", text(["linear", "spot", ""][n as usize % 3])),
        ("symbol", text(SYMBOLS[n as usize / 2 % 3])),
        ("timeframe", text(["1m", "5m"][n as usize % 2])),
        ("open", random.pick(&CLOSES).into()),
        ("close", if n % 11 == 0 { Cell::Null } else { random.pick(&CLOSES).into() }),
        ("n_trades", if n % 7 == 0 { Cell::Null } else { Cell::Int(random.below(9) as i64 - 4) }),
        ("first_trade_id", text(random.pick(&["", "a", "é", "it's"]))),
        ("quality", text(random.pick(&["", "ok", "partial"]))),
        ("known_at", Cell::Ts(known_at)),
        ("revision", revision.into()),
        ("retracted", (revision == 1 && n % 4 == 0).into()),
    ];
    let mut version = Version { table: &BARS, cells: vec![Cell::Null; BARS.columns.len()] };
    for (name, cell) in cells {
        version.cells[BARS.position(name).expect("a column of bars")] = cell;
    }
    version
}

/// First versions of all rows, and corrections of some, a quarter of which take their row back.
pub(crate) fn rows() -> (Vec<Version>, Vec<Version>) {
    let mut random = Random::new(7);
    let first = (0..N_ROWS).map(|n| bar(n, 0, &mut random)).collect();
    let corrected = (0..N_ROWS).filter(|n| n % 5 == 0 || N_ROWS - 10 < *n).map(|n| bar(n, 1, &mut random)).collect();
    (first, corrected)
}

fn condition(random: &mut Random, depth: usize) -> String {
    let near = |random: &mut Random| {
        let at = ts(random.below(N_ROWS as usize) as i64) + [-1_000, 0, 1_000, 500][random.below(4)];
        format!("TIMESTAMP '{}'", format_ts(at))
    };
    let sign = random.pick(&["=", "<", "<=", ">", ">="]);
    match random.below(if depth == 0 { 17 } else { 20 }) {
        0 => format!("symbol = '{}'", random.pick(&["BTCUSDT", "ETHUSDT", "O''USDT", "NOPE", ""])),
        1 => "symbol IN ('BTCUSDT', 'O''USDT', '', 'x', 'y')".into(),
        2 => format!("timeframe {} '1m'", random.pick(&["=", "<>", ">"])),
        3 | 4 => {
            let value = random.pick(&CLOSES);
            let beside = value + random.pick(&[0.0, 0.0, 5e-11, -5e-11, 2e-10]);
            format!("{} {sign} {beside:e}", random.pick(&["close", "open"]))
        }
        5 => format!("close BETWEEN {:e} AND {:e}", -random.pick(&CLOSES).abs(), random.pick(&CLOSES)),
        6 => format!("n_trades {sign} {}", random.below(9) as i64 - 4),
        7 => "n_trades IN (1, 2, -3)".into(),
        8 | 9 => format!("ts {sign} {}", near(random)),
        10 => format!("ts BETWEEN {} AND {}", near(random), near(random)),
        11 => format!("known_at {sign} {}", near(random)),
        12 => format!("quality {}", random.pick(&["= ''", "<> ''", "= 'ok'", "IS NULL", "IS NOT NULL"])),
        13 => format!("market {}", random.pick(&["= ''", "= 'spot'", "IS NULL", "IN ('spot', '')", "IS NOT NULL"])),
        14 => format!("first_trade_id {}", random.pick(&["= 'é'", "= 'it''s'", "IS NULL", "> 'a'", "LIKE '%t%'"])),
        15 => random.pick(&["retracted", "NOT retracted", "retracted = false", "retracted IS NULL"]).into(),
        16 => "coalesce(quality, '') = ''".into(),
        17 => format!("NOT ({})", condition(random, depth - 1)),
        _ => {
            let (left, right) = (condition(random, depth - 1), condition(random, depth - 1));
            format!("({left} {} {right})", random.pick(&["AND", "OR", "OR"]))
        }
    }
}

fn conditions(random: &mut Random) -> String {
    let n = random.below(4);
    let all: Vec<String> = (0..n).map(|_| condition(random, 2)).collect();
    if all.is_empty() { String::new() } else { format!(" WHERE {}", all.join(" AND ")) }
}

/// Seeded statements whose answers, and the order of whose rows where they say one, are determined by the rows.
pub(crate) fn statements(n: usize) -> Vec<String> {
    let random = &mut Random::new(11);
    let columns = "ts, market, symbol, timeframe, close, n_trades, quality, first_trade_id, known_at, revision";
    let statement = |random: &mut Random| {
        let (filter, n, m) = (conditions(random), random.below(30) + 1, random.below(12) + 1);
        let (one, two) = random.pick(&[("", " DESC"), (" DESC", ""), ("", ""), (" DESC", " DESC")]);
        match random.below(10) {
            0 | 1 => format!("SELECT {columns} FROM bars{filter} ORDER BY ts{one}"),
            2 => format!("SELECT {columns} FROM bars{filter} ORDER BY ts{one} LIMIT {n}"),
            3 => format!("SELECT {columns} FROM bars{filter} ORDER BY ts{one} LIMIT {n} OFFSET {m}"),
            4 => format!(
                "SELECT * FROM (SELECT ts, close FROM bars{filter} ORDER BY ts{one} LIMIT {n}) ORDER BY ts{two}"
            ),
            5 => format!(
                "SELECT * FROM (SELECT ts, symbol FROM bars{filter} ORDER BY ts{one} LIMIT {n}) \
                 ORDER BY ts{two} LIMIT {m}"
            ),
            6 => format!(
                "WITH last AS (SELECT * FROM bars{filter} ORDER BY ts{one} LIMIT {n}) \
                 SELECT {columns} FROM last{} ORDER BY ts{two}",
                conditions(random)
            ),
            7 => format!(
                "SELECT symbol, market, COUNT(*) AS n, SUM(n_trades) AS s, MIN(close + 0.0) AS low, MAX(ts) AS newest \
                 FROM bars{filter} GROUP BY symbol, market ORDER BY symbol, market"
            ),
            8 => format!("SELECT COUNT(*) AS n FROM (SELECT * FROM bars{filter} LIMIT {n})"),
            _ => format!("SELECT DISTINCT symbol, quality FROM bars{filter} ORDER BY symbol, quality LIMIT {n}"),
        }
    };
    (0..n).map(|_| statement(random)).collect()
}
