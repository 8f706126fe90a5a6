//! What rows in memory cost whoever writes and whoever reads them, alone and at once, beside a tree of rows of cells.
//!
//! `make bench-live`; ends with one JSON line. Rows are components of 100 symbols, three timeframes and six components, a minute
//! after the other in batches of 150; one in a hundred comes again corrected. MINUTES makes it longer.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::ops::RangeInclusive;
use std::sync::RwLock;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use prism_queries::LiveRows;
use prism_schemas::random::Random;
use prism_schemas::table::COMPONENT_SCORES;
use prism_schemas::time::MINUTE;
use prism_schemas::{Cell, Ts, Version, Versions};
use serde_json::{Value, json};

/// As the binary has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SYMBOLS: usize = 100;
const TIMEFRAMES: [&str; 3] = ["1m", "15m", "4h"];
const COMPONENTS: [&str; 6] = ["ema", "macd", "adx", "rsi", "stoch_rsi", "cci"];
/// Rows that come at once.
const AT_ONCE: usize = 150;
/// Rows are kept so long.
const KEPT: i64 = 20 * MINUTE;
/// Between two batches while somebody reads, and half of it between two reads: without it a writer may never come to the tree.
const PACE: Duration = Duration::from_millis(2);
const START: Ts = 1_767_225_600_000_000_000;

fn row(symbol: usize, timeframe: &str, component: &str, minute: i64, revision: i64, random: &mut Random) -> Version {
    let ts = START + minute * MINUTE;
    let cell = |name: &str, random: &mut Random| match name {
        "ts" => Cell::Ts(ts),
        "ts_close" => Cell::Ts(ts + MINUTE),
        "exchange" => "bybit".into(),
        "market" => "linear".into(),
        "symbol" => format!("COIN{symbol}USDT").as_str().into(),
        "timeframe" => timeframe.into(),
        "dimension" => "trend".into(),
        "component" => component.into(),
        "div_type" => "none".into(),
        "label" => "bullish".into(),
        "known_at" => Cell::Ts(ts + MINUTE + revision * MINUTE),
        "revision" => Cell::Int(revision),
        "retracted" => Cell::Bool(false),
        "config_hash" => "0123456789abcdef".into(),
        _ => Cell::Float(random.uniform()),
    };
    Version {
        table: &COMPONENT_SCORES,
        cells: COMPONENT_SCORES.columns.iter().map(|column| cell(column.name, random)).collect(),
    }
}

/// The batches of a minute, and at last the corrections of the one before.
fn minute(minute: i64, random: &mut Random) -> Vec<Vec<Version>> {
    let (mut rows, mut again) = (Vec::new(), Vec::new());
    for symbol in 0..SYMBOLS {
        for (timeframe, component) in TIMEFRAMES.iter().flat_map(|timeframe| COMPONENTS.map(|name| (timeframe, name))) {
            rows.push(row(symbol, timeframe, component, minute, 0, random));
            if 0 < minute && random.below(100) == 0 {
                again.push(row(symbol, timeframe, component, minute - 1, 1, random));
            }
        }
    }
    rows.append(&mut again);
    rows.chunks(AT_ONCE).map(<[Version]>::to_vec).collect()
}

/// Seconds of the clock.
fn time<T>(run: impl FnOnce() -> T) -> (f64, T) {
    #[expect(clippy::disallowed_methods, reason = "a benchmark")]
    let began = Instant::now();
    let made = run();
    (began.elapsed().as_secs_f64(), made)
}

/// The median, the 99th of a hundred and the longest, in microseconds.
fn spread(mut seconds: Vec<f64>) -> Value {
    seconds.sort_by(f64::total_cmp);
    let at =
        |share: f64| seconds.get((seconds.len() as f64 * share) as usize).map(|value| (value * 1e7).round() / 10.0);
    json!({"p50_us": at(0.5), "p99_us": at(0.99), "max_us": seconds.last().map(|value| (value * 1e6).round()), "n": seconds.len()})
}

/// What is measured of both.
trait Rows: Sync {
    type Batch: Send;
    fn batch(rows: &[Version]) -> Self::Batch;
    fn apply(&self, batch: &Self::Batch);
    /// All known before this is stored, and leaves once it is old.
    fn stored(&self, until: Ts);
    /// How many rows of these times there are, each seen as a query does.
    fn read(&self, range: &RangeInclusive<Ts>) -> usize;
    fn latest(&self) -> usize;
    fn len(&self) -> usize;
    /// Bytes of the rows, where they are counted.
    fn bytes(&self) -> Option<usize> {
        None
    }
}

struct Live(LiveRows);

impl Rows for Live {
    type Batch = Vec<Versions>;

    fn batch(rows: &[Version]) -> Vec<Versions> {
        Versions::of(rows).unwrap()
    }

    fn apply(&self, batch: &Vec<Versions>) {
        self.0.apply(batch);
    }

    fn stored(&self, until: Ts) {
        self.0.stored_up_to(until);
    }

    fn read(&self, range: &RangeInclusive<Ts>) -> usize {
        let batches = self.0.batches(&COMPONENT_SCORES, range).unwrap();
        black_box(batches).iter().map(|batch| batch.num_rows()).sum()
    }

    fn latest(&self) -> usize {
        black_box(self.0.latest_batch(&COMPONENT_SCORES).unwrap()).num_rows()
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn bytes(&self) -> Option<usize> {
        Some(self.0.bytes())
    }
}

/// As rows were kept before they were columns: cells by key, made a batch when they are read.
#[derive(Default)]
struct Tree(RwLock<BTreeMap<(Ts, String), Version>>);

impl Rows for Tree {
    type Batch = Vec<Version>;

    fn batch(rows: &[Version]) -> Vec<Version> {
        rows.to_vec()
    }

    fn apply(&self, batch: &Vec<Version>) {
        let mut rows = self.0.write().unwrap();
        for row in batch {
            let Some(Cell::Ts(ts)) = row.get("ts") else { continue };
            rows.insert((*ts, row.key()), row.clone());
        }
    }

    fn stored(&self, until: Ts) {
        let mut rows = self.0.write().unwrap();
        *rows = rows.split_off(&(until - KEPT, String::new()));
    }

    fn read(&self, range: &RangeInclusive<Ts>) -> usize {
        let rows = self.0.read().unwrap();
        let of = rows.range((*range.start(), String::new())..=(*range.end(), "~".into()));
        let cells: Vec<&[Cell]> = of.map(|(_, row)| row.cells.as_slice()).collect();
        black_box(COMPONENT_SCORES.batch(&cells.into_iter()).unwrap()).num_rows()
    }

    fn latest(&self) -> usize {
        let rows = self.0.read().unwrap();
        let mut newest: BTreeMap<&str, &Version> = BTreeMap::new();
        for ((_, key), row) in rows.iter() {
            newest.insert(key.split_once('|').map_or("", |(_, series)| series), row);
        }
        let cells: Vec<&[Cell]> = newest.into_values().map(|row| row.cells.as_slice()).collect();
        black_box(COMPONENT_SCORES.batch(&cells.into_iter()).unwrap()).num_rows()
    }

    fn len(&self) -> usize {
        self.0.read().unwrap().len()
    }
}

/// Writes all alone, then again beside who reads all the time.
fn measure<R: Rows>(make: impl Fn() -> R, minutes: i64) -> Value {
    let write = |rows: &R, pause: Duration| {
        let (mut random, mut times, mut n) = (Random::new(1, "live rows"), Vec::new(), 0);
        for at in 0..minutes {
            for rows_at_once in minute(at, &mut random) {
                let batch = R::batch(&rows_at_once);
                n += rows_at_once.len();
                times.push(time(|| rows.apply(&batch)).0);
                std::thread::sleep(pause);
            }
            times.push(time(|| rows.stored(START + at * MINUTE)).0);
        }
        (times, n)
    };
    let alone = make();
    let (times, n) = write(&alone, Duration::ZERO);
    let rate = n as f64 / times.iter().sum::<f64>();
    let (kept, bytes) = (alone.len(), alone.bytes());
    let lately = START + (minutes - 10) * MINUTE..=Ts::MAX;
    let (first, n_read) = time(|| alone.read(&lately));
    assert!(10 * SYMBOLS * 18 <= n_read, "{n_read}");
    assert_eq!(alone.latest(), SYMBOLS * 18);
    let again: Vec<R::Batch> =
        minute(minutes, &mut Random::new(2, "live rows")).iter().map(|rows| R::batch(rows)).collect();
    let after = |look: &dyn Fn() -> usize| {
        let looked = again.iter().cycle().take(100).map(|batch| {
            alone.apply(batch);
            time(look).0
        });
        spread(looked.collect())
    };
    let (read_after, latest_after) = (after(&|| alone.read(&lately)), after(&|| alone.latest()));
    drop(alone);
    let (rows, is_over) = (make(), AtomicBool::new(false));
    let (written, [reads, latests]) = std::thread::scope(|scope| {
        let reading = scope.spawn(|| {
            let mut times = [Vec::new(), Vec::new()];
            while !is_over.load(Relaxed) {
                times[0].push(time(|| rows.read(&lately)).0);
                times[1].push(time(|| rows.latest()).0);
                std::thread::sleep(PACE / 2);
            }
            times
        });
        let written = write(&rows, PACE).0;
        is_over.store(true, Relaxed);
        (written, reading.join().unwrap())
    });
    json!({
        "rows_per_s": rate.round(),
        "rows_kept": kept,
        "bytes_per_row": bytes.map(|bytes| bytes / kept.max(1)),
        "first_read_us": (first * 1e6).round(),
        "read_after_change": read_after,
        "latest_after_change": latest_after,
        "write_beside_reader": spread(written),
        "read_beside_writer": spread(reads),
        "latest_beside_writer": spread(latests),
    })
}

fn main() {
    let minutes = std::env::var("MINUTES").ok().and_then(|text| text.parse().ok()).unwrap_or(120).max(20);
    let live = measure(|| Live(LiveRows::new(KEPT)), minutes);
    println!("columns: {live}");
    let tree = measure(Tree::default, minutes);
    println!("tree of cells: {tree}");
    println!("{}", json!({"live": {"columns": live, "tree_of_cells": tree}, "minutes": minutes}));
}
