//! What a live feed costs: decoding beside parsing alone on the same recorded frames, book updates, memory.
//!
//! `make bench-feeds`; ends with one JSON line. Without ../shared the frames are the synthetic market's.

use std::hint::black_box;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::Instant;

use criterion::{Criterion, Throughput};
use prism_exchange::{Exchange, exchange};
use prism_schemas::book::Rules;
use prism_schemas::event::{Book, Levels};
use prism_schemas::{Market, OrderBook};
use prism_sources::synthetic::{MARKET, Market as Synthetic, SYMBOLS};
use serde_json::{Value, json};

/// As the binary has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Rounds of which the median counts.
const ROUNDS: usize = 15;
/// Updates of each symbol in a second, that a book must bear.
const UPDATES: f64 = 50_000.0;
/// Books that are held at once to see what one takes.
const BOOKS: usize = 2_000;

struct Frames {
    name: &'static str,
    id: &'static str,
    market: Market,
    texts: Vec<String>,
}

impl Frames {
    fn decoder(&self) -> Box<dyn Exchange> {
        exchange(self.id, self.market).unwrap()
    }

    fn bytes(&self) -> u64 {
        self.texts.iter().map(|text| text.len() as u64).sum()
    }
}

/// Recorded frames that decode, or the synthetic market's.
fn frames() -> Vec<Frames> {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let data = std::env::var_os("PRISM_DATA").map_or(default, PathBuf::from);
    let files = [
        ("bybit", "bybit", Market::Linear, "cryptofeed_v3_agpl/BYBIT.first25s.jsonl.zst"),
        ("binance_futures", "binance", Market::Linear, "hftbacktest/usdm_btcusdt_20240808.gz"),
        ("binance", "binance", Market::Spot, "hftbacktest/spot_btcusdt_20240808.gz"),
        ("okx", "okx", Market::Spot, "cryptofeed/OKX.jsonl.zst"),
        ("kraken", "kraken", Market::Spot, "cryptofeed/KRAKEN.jsonl.zst"),
    ];
    let mut all = Vec::new();
    for (name, id, market, file) in files {
        let Ok(opened) = std::fs::File::open(data.join(file)) else { continue };
        let reader: Box<dyn Read> = match file.ends_with(".gz") {
            true => Box::new(flate2::read::MultiGzDecoder::new(opened)),
            false => Box::new(zstd::Decoder::new(opened).unwrap()),
        };
        let lines = BufReader::new(reader).lines().take(60_000).map_while(Result::ok);
        let mut frames = Frames { name, id, market, texts: lines.filter_map(|line| frame(&line)).collect() };
        let (mut decoder, mut events) = (frames.decoder(), Vec::new());
        frames.texts.retain(|text| {
            events.clear();
            decoder.decode(text, 1, &mut events).is_ok() && !events.is_empty()
        });
        all.push(frames);
    }
    if all.is_empty() {
        let mut made = Vec::new();
        Synthetic::new(1, SYMBOLS, 0).step(600_000_000_000, &mut made);
        let texts = made.into_iter().map(|frame| frame.text).collect();
        all.push(Frames { name: "synthetic", id: "bybit", market: MARKET, texts });
    }
    all
}

/// The frame in a line of a recording: `{"t":"recv",..,"data":".."}` or `<ns> <frame>`.
fn frame(line: &str) -> Option<String> {
    if let Some((ts, frame)) = line.split_once(' ')
        && ts.parse::<i64>().is_ok()
    {
        return Some(frame.into());
    }
    let line: Value = serde_json::from_str(line).ok()?;
    (line["t"] == "recv").then(|| line["data"].as_str().map(String::from))?
}

fn decode(frames: &Frames) -> usize {
    let (mut decoder, mut events, mut n) = (frames.decoder(), Vec::new(), 0);
    for text in &frames.texts {
        events.clear();
        decoder.decode(text, 1, &mut events).unwrap();
        n += events.len();
    }
    n
}

/// Into a document, which is the least that makes sense of a frame without knowing it.
fn parse(frames: &Frames) -> usize {
    let mut n = 0;
    for text in &frames.texts {
        let value: sonic_rs::Value = sonic_rs::from_str(text).unwrap();
        n += usize::from(black_box(value).is_object());
    }
    n
}

trait IsObject {
    fn is_object(&self) -> bool;
}

impl IsObject for sonic_rs::Value {
    fn is_object(&self) -> bool {
        sonic_rs::JsonValueTrait::is_object(self)
    }
}

/// Seconds of the median round.
fn median<T>(mut run: impl FnMut() -> T) -> f64 {
    #[expect(clippy::disallowed_methods, reason = "a benchmark")]
    let mut times: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let began = Instant::now();
            black_box(run());
            began.elapsed().as_secs_f64()
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[ROUNDS / 2]
}

/// A deep book, and updates of a few levels near its best prices each, as venues send them.
fn updates(depth: i64) -> (Book, Vec<Book>) {
    let levels = |prices: &[i64], size: i64| {
        let sizes = prices.iter().map(|price| if size == 0 { 0 } else { size + price % 7 }).collect();
        Some(Levels { prices: prices.to_vec(), sizes, price_decimals: 1, size_decimals: 3 })
    };
    let best = 600_000;
    let side = |sign: i64| (1..=depth).map(|n| best + sign * n).collect::<Vec<_>>();
    let snapshot = Book {
        snapshot: true,
        bids: levels(&side(-1), 5),
        asks: levels(&side(1), 5),
        update_id: Some(0),
        ..Book::default()
    };
    let near = |id: u64, salt: u64| (id.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> salt) as i64 % 20 + 1;
    let of = |id: u64| {
        // Every fourth update takes a level away, and the one after it brings it back.
        let size = if id.is_multiple_of(4) { 0 } else { 9 };
        let id_of_level = if id % 4 == 1 { id - 1 } else { id };
        Book {
            bids: levels(&[best - near(id_of_level, 40), best - 20 - near(id, 32)], size),
            asks: levels(&[best + near(id_of_level, 44), best + 20 + near(id, 36)], size),
            update_id: Some(id),
            ..Book::default()
        }
    };
    (snapshot, (1..=100_000).map(of).collect())
}

fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4_096
}

fn main() {
    let all = frames();
    let mut criterion = Criterion::default().configure_from_args().sample_size(10);
    let mut decoding = serde_json::Map::new();
    for frames in &all {
        let mut group = criterion.benchmark_group(frames.name);
        group.throughput(Throughput::Bytes(frames.bytes()));
        group.bench_function("decode", |bencher| bencher.iter(|| black_box(decode(frames))));
        group.bench_function("sonic-rs", |bencher| bencher.iter(|| black_box(parse(frames))));
        group.finish();
        let ours = median(|| decode(frames));
        let theirs = median(|| parse(frames));
        let n = frames.texts.len() as f64;
        decoding.insert(
            frames.name.into(),
            json!({
                "frames": n, "frames_per_s": (n / ours).round(), "mb_per_s": (frames.bytes() as f64 / ours / 1e6).round(),
                "ratio_to_sonic": (ours / theirs * 100.0).round() / 100.0,
            }),
        );
    }
    let rules = Rules::of(&prism_schemas::InstrumentId::new("bybit", Market::Linear, "BTCUSDT"));
    let (mut costs, mut sizes) = (serde_json::Map::new(), serde_json::Map::new());
    for depth in [50, 1_000] {
        let (snapshot, deltas) = updates(depth);
        let mut book = OrderBook::new(rules);
        let seconds = median(|| {
            book.apply(&snapshot).unwrap();
            for delta in &deltas {
                black_box(book.apply(delta).unwrap());
            }
        });
        let nanos = seconds / deltas.len() as f64 * 1e9;
        let share = nanos * UPDATES / 1e9;
        costs.insert(
            depth.to_string(),
            json!({"ns_per_update": nanos.round(), "share_of_a_core_at_50k_per_s": (share * 1e4).round() / 1e4}),
        );
        let before = resident();
        let books: Vec<OrderBook> = std::iter::repeat_with(|| {
            let mut book = OrderBook::new(rules);
            book.apply(&snapshot).unwrap();
            book
        })
        .take(BOOKS)
        .collect();
        sizes.insert(depth.to_string(), json!(resident().saturating_sub(before) / books.len() as u64));
    }
    criterion.final_summary();
    println!(
        "{}",
        json!({"decode": decoding, "book_by_depth": costs, "bytes_per_book_by_depth": sizes, "levels_per_update": 4})
    );
}
