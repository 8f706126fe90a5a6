//! Files that somebody imports: the first letter names the file, the second what the user says of it, the rest is in it.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::Once;

use prism_schemas::{Event, InstrumentId, Market};
use prism_sources::import::{Limits, Options, examine};

use crate::choice;

/// Names as venues and archives give them; `.zip`, `.gz` and the like are known by what is in them.
const NAMES: [&str; 14] = [
    "anything.csv",
    "futures/um/BTCUSDT-aggTrades-2024-01-01.csv",
    "spot/BTCUSDT-1m-2024-01.csv",
    "BTCUSDT2024-01-01.csv.gz",
    "XBTUSD.csv",
    "XBTUSD_60.csv",
    "Bitmex_20240101.csv",
    "BTC-USDT-trades-2024-01-01.csv",
    "kraken_incremental_book_L2_2024-01-01_XBT-USD.csv.gz",
    "Binance_BTCUSDT_1h.csv",
    "BINANCE_FUTURES.ws.1.0",
    "binance/BTC_USDT-1m.json",
    "rec.jsonl",
    "futures/um/BTCUSDT-metrics-2024-01-01.zip",
];

/// Events of an expanded byte: a row of a book or a ticker is several.
const EVENTS_PER_BYTE: u64 = 4;

thread_local! {
    /// Whether something panicked that is no library, caught or not.
    static PANICKED: Cell<bool> = const { Cell::new(false) };
}

/// An import ends with a report or an error and no panic; what it took it can write, in order and as it was counted.
pub fn run(input: &[u8]) {
    static QUIET: Once = Once::new();
    QUIET.call_once(expect_panics_of_libraries);
    let [name, said, content @ ..] = input else { return };
    let dir = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
    let path = dir.path().join(NAMES[choice(*name, NAMES.len())]);
    let made = path.parent().map_or(Ok(()), std::fs::create_dir_all);
    made.and_then(|()| std::fs::write(&path, content)).unwrap_or_else(|error| panic!("{error}"));
    let options = options(choice(*said, 6));
    let once = imported(&path, &options);
    assert_eq!(once, imported(&path, &options), "twice the same file");
    assert!(!PANICKED.take(), "a panic was caught");
}

/// Panics of the libraries that read files of columns are caught, and are no finding; any other is.
fn expect_panics_of_libraries() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let file = panic.location().map_or("", |location| location.file());
        if !["/arrow-", "/parquet-", "/flatbuffers-", "/alloc/", "/core/"].iter().any(|of| file.contains(of)) {
            PANICKED.set(true);
            before(panic);
        }
    }));
}

fn options(said: usize) -> Options {
    let limits = Limits { line: 1 << 16, expanded: 1 << 20, ratio: 200 };
    // The end of 2026.
    let plain = Options { now: Some(1_798_761_600_000_000_000), limits, ..Options::default() };
    let who = Options {
        exchange: Some("okx".into()),
        market: Some([Market::Linear, Market::Spot, Market::Inverse][said % 3]),
        symbol: Some("BTC-USDT".into()),
        ..plain.clone()
    };
    let columns = |names: [&str; 3]| {
        let [time, price, size] = names.map(|name| Some(name.to_string()));
        Options { time, price, size, ..who.clone() }
    };
    match said {
        0 => plain,
        1 | 2 => who,
        3 => columns(["time", "price", "size"]),
        4 => Options { side: Some("4".into()), id: Some("5".into()), ..columns(["1", "2", "3"]) },
        _ => Options { side: Some("sign".into()), ..columns(["1", "2", "3"]) },
    }
}

/// What is written, or why nothing is.
fn imported(path: &Path, options: &Options) -> Result<Vec<(InstrumentId, Event)>, String> {
    let paths: Vec<PathBuf> = vec![path.into()];
    let examined = examine(&paths, options.clone()).map_err(|error| error.to_string())?;
    let n_files = examined.files();
    if n_files == 0 {
        let report = examined.report();
        return Err(format!("{:?} {:?}", report.refused, report.skipped));
    }
    let mut events = Vec::new();
    let report = examined.write(&mut |instrument, event| {
        events.push((instrument.clone(), event));
        Ok(())
    });
    let report = report.unwrap_or_else(|error| panic!("it was taken, and then: {error}"));
    assert_eq!(report.files.iter().map(|file| file.events()).sum::<u64>(), events.len() as u64);
    assert!(events.len() as u64 <= EVENTS_PER_BYTE * options.limits.expanded, "{} events", events.len());
    assert!(events.is_sorted_by_key(|(_, event)| event.ts_recv), "out of order");
    Ok(events)
}
