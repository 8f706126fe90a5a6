//! How much memory and time a long replay's rows take in the Parquet store: 480 days of bars and indicators of one
//! symbol, unless other numbers of days and rows a day are given: `cargo run -p prism-store --example days -- 480 2400`.

use std::error::Error;
use std::time::Instant;

use prism_schemas::table::{BARS, INDICATORS, Kind};
use prism_schemas::time::DAY;
use prism_schemas::{Cell, Table, Version, Versions};
use prism_store::Store;

/// A row whose numbers look like prices.
fn row(table: &'static Table, ts: i64, n: i64) -> Version {
    let number = |at: usize| 100.0 + ((n * 7919 + at as i64 * 104_729) % 1_000_003) as f64 / 997.0;
    let cell = |(at, column): (usize, &prism_schemas::table::Column)| match (column.name, column.kind) {
        ("known_at", _) => Cell::Ts(ts + DAY / 288),
        ("revision", _) => Cell::Int(0),
        (_, Kind::Ts) => Cell::Ts(ts),
        (_, Kind::F64) => Cell::from(number(at)),
        (_, Kind::I64) => Cell::Int(n % 1_000),
        (_, Kind::Bool) => Cell::Bool(false),
        (name, Kind::Symbol | Kind::Text) => Cell::from(name),
    };
    Version { table, cells: table.columns.iter().enumerate().map(cell).collect() }
}

/// A number of kilobytes of this process by its name in `/proc/self/status`, in MiB.
fn memory(name: &str) -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap_or("0");
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().unwrap_or(0);
    format!("{} MiB", kilobytes / 1_024)
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut numbers = std::env::args().skip(1).map(|text| text.parse::<i64>());
    let (days, per_day) = (numbers.next().transpose()?.unwrap_or(480), numbers.next().transpose()?.unwrap_or(2_400));
    let dir = std::env::temp_dir().join(format!("prism-days-{}", std::process::id()));
    let mut store = Store::open(&dir, "replay")?;
    #[expect(clippy::disallowed_methods, reason = "this measures time")]
    let now = Instant::now;
    let began = now();
    for day in 0..days {
        for n in 0..per_day / 2 {
            let ts = day * DAY + n * (DAY / (per_day / 2).max(1));
            store.write(Versions::of(&[row(&BARS, ts, n), row(&INDICATORS, ts, n)])?)?;
        }
    }
    let written = began.elapsed();
    store.flush()?;
    let flushed = began.elapsed();
    store.finish()?;
    let finished = began.elapsed();
    println!("{days} days, {} rows", days * (per_day / 2) * 2);
    println!("written {written:.1?}, last flush {:.1?}, finish {:.1?}", flushed - written, finished - flushed);
    println!("memory at most {}, now {}", memory("VmHWM"), memory("VmRSS"));
    let (mut n_rows, mut n_files) = (0_u64, 0);
    for table in [&BARS, &INDICATORS] {
        store.scan(table, |_| n_rows += 1)?;
        n_files += store.files(table)?.len();
    }
    println!("{n_rows} rows in {n_files} files, read in {:.1?}", began.elapsed() - finished);
    std::fs::remove_dir_all(&dir)?;
    Ok(())
}
