//! What an import of Binance's public files costs, stage by stage, beside `polars.read_csv` on the same files and core.
//!
//! `make bench-import`; ends with one JSON line. Rates are plain text by processor time of the whole process, and by the
//! clock; IMPORT_MB and ROUNDS make it longer. Without polars (PYTHON) its figures are null.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use prism_log::{LogWriter, SegmentLog};
use prism_schemas::Market;
use prism_sources::import::{Options, examine, import, read};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

/// As the binary has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// 2024-01-01 in ms.
const BEGIN: u64 = 1_704_067_200_000;

/// Reads a file twice, and says the second time's seconds by processor and by clock, and the rows.
const POLARS: &str = "
import sys, time, polars
for _ in range(2):
    cpu, wall = time.process_time(), time.perf_counter()
    n = polars.read_csv(sys.argv[1], has_header=sys.argv[2] == 'true').height
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
print(cpu, wall, n)
";

/// The same numbers on every machine.
struct Digits(u64);

impl Digits {
    /// The next number below `n`.
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }

    /// Of trades two in three come within the millisecond of the one before them.
    fn wait(&mut self) -> u64 {
        if self.below(3) < 2 { 0 } else { self.below(250) }
    }

    /// A price in cents that wanders.
    fn step(&mut self, cents: u64) -> u64 {
        (cents + self.below(201)).saturating_sub(100).max(100_000)
    }

    fn truth(&mut self) -> bool {
        self.below(2) == 0
    }
}

struct Made {
    name: &'static str,
    path: PathBuf,
    market: Market,
    is_headed: bool,
    bytes: u64,
    rows: u64,
}

/// Writes rows until a file has so many bytes.
fn make(
    (name, market, header): (&'static str, Market, &str),
    path: PathBuf,
    bytes: usize,
    mut row: impl FnMut(&mut String),
) -> Made {
    let (mut text, mut rows) = (header.to_string(), 0);
    while text.len() < bytes {
        row(&mut text);
        rows += 1;
    }
    std::fs::write(&path, &text).unwrap();
    Made { name, path, market, is_headed: !header.is_empty(), bytes: text.len() as u64, rows }
}

/// Aggregated trades of USD-M with a header, trades of spot with times in us, and bars of spot.
fn files(dir: &Path, bytes: usize) -> [Made; 3] {
    let (mut digits, mut ts, mut cents, mut id) = (Digits(1), BEGIN, 4_300_000, 1_958_000_000);
    let header = "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker\n";
    let of = ("aggTrades", Market::Linear, header);
    let aggregated = make(of, dir.join("BTCUSDT-aggTrades-2024-01-01.csv"), bytes, |text| {
        (ts, cents, id) = (ts + digits.wait(), digits.step(cents), id + 1);
        let (size, first, taken) = (digits.below(900) + 1, 2 * id, digits.below(3));
        let (whole, part) = (cents / 100, cents % 100 / 10);
        let (last, maker) = (first + taken, digits.truth());
        writeln!(text, "{id},{whole}.{part},{}.{:03},{first},{last},{ts},{maker}", size / 900, size).unwrap();
    });
    let (mut ts, mut cents, mut id) = (1_735_689_600_000_000, 9_300_000, 4_359_100_000u64);
    let trades = make(("trades", Market::Spot, ""), dir.join("BTCUSDT-trades-2025-01-01.csv"), bytes, |text| {
        (ts, cents, id) = (ts + digits.wait() * 1_000 + digits.below(900), digits.step(cents), id + 1);
        let (size, maker) = (digits.below(90_000) + 1, if digits.truth() { "True" } else { "False" });
        let quote = u128::from(cents) * u128::from(size) * 10;
        writeln!(
            text,
            "{id},{}.{:02}000000,0.{size:05}000,{}.{:08},{ts},{maker},True",
            cents / 100,
            cents % 100,
            quote / 100_000_000,
            quote % 100_000_000
        )
        .unwrap();
    });
    let (mut start, mut cents) = (BEGIN - 800 * 86_400_000, 4_300_000);
    let bars = make(("klines", Market::Spot, ""), dir.join("BTCUSDT-1m-2024-01.csv"), bytes, |text| {
        let open = cents;
        cents = digits.step(cents);
        let (high, low) = (open.max(cents) + digits.below(500), open.min(cents) - digits.below(500));
        let (volume, n) = (digits.below(9_000_000) + 100_000, digits.below(3_000) + 100);
        let bought = volume / 2 + digits.below(40_000);
        write!(text, "{start}").unwrap();
        for cents in [open, high, low, cents] {
            write!(text, ",{}.{:02}000000", cents / 100, cents % 100).unwrap();
        }
        let end = start + 59_999;
        let base = |text: &mut String, size: u64| {
            write!(text, "{}.{:05}000", size / 100_000, size % 100_000).unwrap();
        };
        let quote = |text: &mut String, size: u64| {
            let quote = u128::from(cents) * u128::from(size) * 10;
            write!(text, "{}.{:08}", quote / 100_000_000, quote % 100_000_000).unwrap();
        };
        text.push(',');
        base(text, volume);
        write!(text, ",{end},").unwrap();
        quote(text, volume);
        write!(text, ",{n},").unwrap();
        base(text, bought);
        text.push(',');
        quote(text, bought);
        text.push_str(",0\n");
        start += 60_000;
    });
    [aggregated, trades, bars]
}

/// Seconds of all threads of this process, and of the clock.
fn time(run: impl FnOnce()) -> [f64; 2] {
    let processor = || {
        let time = clock_gettime(ClockId::ProcessCPUTime);
        time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
    };
    #[expect(clippy::disallowed_methods, reason = "a benchmark")]
    let began = Instant::now();
    let before = processor();
    run();
    [processor() - before, began.elapsed().as_secs_f64()]
}

/// The stages of an import, each with all before it.
fn stages(made: &Made, log: &Path) -> [(&'static str, [f64; 2]); 3] {
    let paths = [made.path.clone()];
    let options = || Options { market: Some(made.market), ..Options::default() };
    let mut n = 0;
    let decoded = time(|| n = examine(&paths, options()).unwrap().files());
    assert_eq!(n, 1);
    let (mut events, mut refused) = (0, 0);
    let handed = time(|| {
        let report = read(&paths, options(), &mut |_, _| Ok(())).unwrap();
        (events, refused) = (report.files[0].events(), report.files[0].quarantined.len());
    });
    assert!(made.rows <= events && refused == 0, "{events} events of {} rows", made.rows);
    drop(std::fs::remove_dir_all(log));
    let written = time(|| {
        let mut writer = LogWriter::new(Arc::new(SegmentLog::open(log).unwrap()));
        import(&paths, options(), &mut writer).unwrap();
    });
    drop(std::fs::remove_dir_all(log));
    [("decoded", decoded), ("handed_on", handed), ("in_the_log", written)]
}

/// Seconds of polars, if it is there.
fn polars(made: &Made) -> Option<[f64; 2]> {
    let mut python = Command::new(std::env::var_os("PYTHON")?);
    python.args(["-c", POLARS]).arg(&made.path).arg(made.is_headed.to_string()).env("POLARS_MAX_THREADS", "1");
    let output = python.output().ok().filter(|output| output.status.success())?;
    let said: Vec<f64> =
        String::from_utf8(output.stdout).ok()?.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [processor, clock, rows] = said[..] else { return None };
    assert_eq!(rows, made.rows as f64);
    Some([processor, clock])
}

fn median(times: &[[f64; 2]], at: usize) -> Option<f64> {
    let mut times: Vec<f64> = times.iter().map(|pair| pair[at]).collect();
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied()
}

fn main() {
    let setting =
        |name: &str, default: usize| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    let (bytes, rounds) = (setting("IMPORT_MB", 120) * 1_000_000, setting("ROUNDS", 5));
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-import");
    std::fs::create_dir_all(&dir).unwrap();
    let mut all = serde_json::Map::new();
    for made in files(&dir, bytes) {
        let mut times = std::collections::BTreeMap::<&str, Vec<[f64; 2]>>::new();
        for _ in 0..rounds {
            for (stage, pair) in stages(&made, &dir.join("log")) {
                times.entry(stage).or_default().push(pair);
            }
            times.entry("polars").or_default().extend(polars(&made));
        }
        let rate = |stage: &str, at: usize| Some((made.bytes as f64 / median(&times[stage], at)? / 1e6).round());
        let theirs = rate("polars", 0);
        let mut said = serde_json::Map::from_iter([
            ("bytes_per_row".to_string(), json!(made.bytes / made.rows)),
            ("rows".to_string(), json!(made.rows)),
        ]);
        for stage in ["decoded", "handed_on", "in_the_log", "polars"] {
            let ours = rate(stage, 0);
            let ratio = ours.zip(theirs).map(|(ours, theirs)| (ours / theirs * 100.0).round() / 100.0);
            said.insert(
                stage.into(),
                json!({"mb_per_s": ours, "mb_per_s_by_clock": rate(stage, 1), "ratio_to_polars": ratio}),
            );
        }
        println!("{}: {}", made.name, Value::Object(said.clone()));
        all.insert(made.name.into(), Value::Object(said));
        drop(std::fs::remove_file(&made.path));
    }
    println!("{}", json!({"import": all, "rounds": rounds}));
}
