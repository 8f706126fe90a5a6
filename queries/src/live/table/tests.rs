//! Rows in memory against a plain map.

use prism_schemas::random::Random;
use prism_schemas::table::{CONFLUENCE, FEED_STATUS, SIGNALS};
use prism_schemas::{Cell, Version, Versions, each_row};

use super::*;

fn row(table: &'static Table, random: &mut Random, known: Ts) -> Version {
    let cell = |name: &str, random: &mut Random| match name {
        "ts" => Cell::Ts(random.below(40) as i64 * 60_000_000_000),
        "symbol" | "signal_id" => Cell::from(["A", "B", ""][random.below(3) as usize]),
        "score" => Cell::Float(random.below(1_000) as f64),
        "status" => Cell::from(["active", "closed"][random.below(2) as usize]),
        "known_at" => Cell::Ts((known - random.below(3) as i64) * 1_000_000),
        "revision" => Cell::Int(random.below(3) as i64),
        "retracted" => Cell::Bool(random.below(4) == 0),
        _ => Cell::Null,
    };
    Version { table, cells: table.columns.iter().map(|column| cell(column.name, random)).collect() }
}

fn apply(live: &LiveTable, rows: &[Version]) {
    Versions::of(rows).unwrap().iter().for_each(|versions| live.apply(versions.rows()));
}

fn int(version: &Version, column: &str) -> i64 {
    match version.get(column) {
        Some(Cell::Ts(value) | Cell::Int(value)) => *value,
        _ => 0,
    }
}

fn standing(table: &'static Table, seen: &Sight) -> Vec<String> {
    let mut rows = Vec::new();
    for batch in seen.batches(&(Ts::MIN..=Ts::MAX)).unwrap() {
        each_row(table, &batch, |row| rows.push(row.to_json().to_string()));
    }
    rows.sort();
    rows
}

/// What should stand: by key the newest, less what was forgotten.
#[derive(Default)]
struct Plain(BTreeMap<String, Version>);

impl Plain {
    fn apply(&mut self, version: &Version) {
        let age = |version: &Version| (int(version, "known_at"), int(version, "revision"));
        if self.0.get(&version.key()).is_none_or(|have| age(have) <= age(version)) {
            self.0.insert(version.key(), version.clone());
        }
    }

    /// The newest row of each series that is not retracted.
    fn latest(&self) -> Vec<Version> {
        let mut newest: BTreeMap<String, &Version> = BTreeMap::new();
        for row in self.0.values().filter(|row| row.get("retracted") != Some(&Cell::Bool(true))) {
            // Keys begin with `ts`.
            let series = row.key().split_once('|').unwrap().1.to_string();
            let series = newest.entry(series).or_insert(row);
            if int(series, "ts") < int(row, "ts") {
                *series = row;
            }
        }
        newest.into_values().cloned().collect()
    }

    fn forget(&mut self, before: Ts, past: (Ts, Ts)) {
        let newest: Vec<String> = self.latest().iter().map(Version::key).collect();
        self.0.retain(|key, row| {
            let is_kept = match row.table.name {
                "signals" => {
                    row.get("status") == Some(&"active".into()) && row.get("retracted") != Some(&Cell::Bool(true))
                }
                "confluence" => newest.contains(key),
                _ => false,
            };
            let known = int(row, "known_at");
            is_kept || before <= known && (past.0 < int(row, "ts") || past.1 <= known)
        });
    }
}

#[test]
fn equals_a_plain_map_whatever_comes() {
    for (seed, table) in [(1, &CONFLUENCE), (2, &SIGNALS), (3, &FEED_STATUS), (4, &CONFLUENCE), (5, &SIGNALS)] {
        let mut random = Random::new(seed, "live rows");
        let (live, mut plain) = (LiveTable::new(table), Plain::default());
        let mut held: Option<(Arc<Sight>, Vec<String>, Vec<Version>)> = None;
        for known in 0..200 {
            let rows: Vec<Version> = (0..random.below(6)).map(|_| row(table, &mut random, known)).collect();
            apply(&live, &rows);
            rows.iter().for_each(|row| plain.apply(row));
            if random.below(5) == 0 {
                let before = (known - random.below(20) as i64) * 1_000_000;
                let past = (random.below(40) as i64 * 60_000_000_000, before + random.below(20) as i64 * 1_000_000);
                live.forget(before, past);
                plain.forget(before, past);
            }
            let mut expected: Vec<String> = plain
                .0
                .values()
                .map(|row| {
                    let mut rows = Vec::new();
                    let batch = table.batch(&std::iter::once(row.cells.as_slice())).unwrap();
                    each_row(table, &batch, |row| rows.push(row.to_json().to_string()));
                    rows.remove(0)
                })
                .collect();
            expected.sort();
            assert_eq!(standing(table, &live.seen()), expected, "seed {seed} at {known}");
            assert_eq!(live.seen().len(), expected.len());
            let segments = live.rows.lock().unwrap().segments.len();
            assert!(segments <= 2 * SMALL_MAX, "{segments} segments");
            // Who looked before sees what was there then, whatever came since.
            if let Some((seen, rows, newest)) = &held {
                assert_eq!(standing(table, seen), *rows, "seed {seed} at {known}");
                assert_eq!(seen.latest().unwrap(), *newest, "seed {seed} at {known}");
            }
            if known % 7 == 0 {
                let seen = Arc::new(live.rows.lock().unwrap().sight());
                held = Some((seen, expected, live.seen().latest().unwrap()));
            }
            let keys = |rows: Vec<Version>| {
                let mut keys: Vec<String> = rows.iter().map(Version::key).collect();
                keys.sort();
                keys
            };
            assert_eq!(keys(live.seen().latest().unwrap()), keys(plain.latest()), "seed {seed} at {known}");
        }
    }
}

#[test]
fn series_that_are_over_leave_memory() {
    let mut random = Random::new(1, "live rows");
    let live = LiveTable::new(&SIGNALS);
    for known in 0..500 {
        let mut one = row(&SIGNALS, &mut random, known);
        one.cells[SIGNALS.position("signal_id").unwrap()] = Cell::text(format!("{known:016x}"));
        one.cells[SIGNALS.position("status").unwrap()] = Cell::from("closed");
        apply(&live, &[one]);
        live.forget((known - 20) * 1_000_000, (Ts::MIN, Ts::MIN));
        let (n_latest, rows) = (live.seen().latest().unwrap().len(), live.rows.lock().unwrap());
        let (n_series, n_names) = (rows.series.len(), rows.numbers.len());
        assert!(live.seen().len() <= 25 && n_series <= 25 && n_names <= 25, "{n_series} series");
        assert!(n_latest <= n_names);
    }
}

#[test]
fn who_reads_while_rows_come_sees_each_key_once() {
    let live = LiveTable::new(&CONFLUENCE);
    let all = |known: i64| -> Vec<Version> {
        let mut random = Random::new(known as u64, "live rows");
        let mut rows: Vec<Version> = (0..40).map(|_| row(&CONFLUENCE, &mut random, known)).collect();
        for (at, row) in rows.iter_mut().enumerate() {
            row.cells[CONFLUENCE.position("ts").unwrap()] = Cell::Ts(at as i64 * 60_000_000_000);
            row.cells[CONFLUENCE.position("symbol").unwrap()] = Cell::from("A");
            row.cells[CONFLUENCE.position("known_at").unwrap()] = Cell::Ts(known * 1_000_000);
            row.cells[CONFLUENCE.position("revision").unwrap()] = Cell::Int(known);
            row.cells[CONFLUENCE.position("retracted").unwrap()] = Cell::Bool(false);
        }
        rows
    };
    apply(&live, &all(0));
    let is_over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| {
            loop {
                let is_last = is_over.load(std::sync::atomic::Ordering::Relaxed);
                let (mut revisions, seen) = (Vec::new(), live.seen());
                for batch in seen.batches(&(Ts::MIN..=Ts::MAX)).unwrap() {
                    each_row(&CONFLUENCE, &batch, |row| revisions.push(int(&row, "revision")));
                }
                // All forty, of one change: neither a version that was replaced nor one that is to come.
                assert_eq!(revisions.len(), 40);
                assert!(revisions.iter().all(|revision| *revision == revisions[0]), "{revisions:?}");
                assert_eq!(seen.latest_batch().unwrap().num_rows(), 1);
                if is_last {
                    return;
                }
            }
        });
        for known in 1..300 {
            apply(&live, &all(known));
        }
        is_over.store(true, std::sync::atomic::Ordering::Relaxed);
        reading.join().unwrap();
    });
}
