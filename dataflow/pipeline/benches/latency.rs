//! From a trade's receive time to the forming bar that has it, through the log's writer, the log, the merge and the graph;
//! the last line is JSON. `RATE` trades a second (2,000) of `SYMBOLS` (100), for `SECONDS` (10).

use std::{
    str::FromStr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering::Relaxed},
    },
    thread::sleep,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::Result;
use prism_dataflow::{assemble::Plan, forming::Audience, settings::Settings};
use prism_log::{LiveWriter, Log, Pace, SegmentLog, session};
use prism_pipeline::{Live, Pipeline, TOPICS, Tasks};
use prism_schemas::{
    Cell, Decimal, Event, InstrumentId, Market, Table, Ts, Versions,
    event::{Feed, FeedStatus, Side, Trade, event::Body, trade::Id},
    store::MemoryStore,
    table::BARS,
    time::{MILLISECOND, SECOND},
};
use prism_status::Status;

#[global_allocator]
static MEMORY: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[expect(clippy::disallowed_methods, reason = "what is measured is time")]
fn wall() -> Ts {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as i64)
}

fn number<T: FromStr>(name: &str, default: T) -> T {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Rows are not what is measured.
struct Nowhere;

impl Live for Nowhere {
    fn apply(&self, _: &[Versions]) {}
    fn stored_up_to(&self, _: Ts) {}
    fn spooled_up_to(&self, _: Ts) {}
}

/// Follows bars; a trade's price is when it was received, in microseconds since it began.
struct Ages {
    began: Ts,
    /// Before this nothing counts.
    from: AtomicI64,
    of: Mutex<Vec<f64>>,
}

impl Ages {
    fn report(&self) {
        let mut ages = std::mem::take(&mut *self.of.lock().unwrap());
        ages.sort_by(f64::total_cmp);
        let at = |share: f64| ages.get((share * (ages.len().max(1) - 1) as f64) as usize).copied().unwrap_or(f64::NAN);
        let [p50, p90, p99, max] = [0.5, 0.9, 0.99, 1.0].map(at);
        println!(
            "{{\"forming_ms\":{{\"p50\":{p50:.1},\"p90\":{p90:.1},\"p99\":{p99:.1},\"max\":{max:.1}}},\"rows\":{}}}",
            ages.len()
        );
    }
}

impl Audience for Ages {
    fn wants(&self, table: Option<&Table>) -> bool {
        table.is_none_or(|table| *table == BARS)
    }

    fn form(&self, rows: Versions) {
        let now = wall();
        if now < self.from.load(Relaxed) {
            return;
        }
        let mut ages = self.of.lock().unwrap();
        rows.each(|row| {
            if row.get("timeframe") == Some(&Cell::text("1m"))
                && let Some(Cell::Float(close)) = row.get("close")
            {
                ages.push((now - self.began) as f64 / 1e6 - close / 1e3);
            }
        });
    }
}

fn settings() -> Result<Settings> {
    let mut table: toml::Table = include_str!("../../../default.toml").parse()?;
    let of_the_graph = ["time", "timeframes", "bars", "indicators", "score", "relations", "signals"];
    table.retain(|section, _| of_the_graph.contains(&section));
    Ok(toml::Value::Table(table).try_into()?)
}

fn main() -> Result<()> {
    let (rate, symbols, seconds) = (number("RATE", 2_000), number("SYMBOLS", 100), number("SECONDS", 10));
    let dir = tempfile::tempdir()?;
    let log: Arc<dyn Log> = Arc::new(SegmentLog::open(dir.path())?);
    let began = wall();
    let ages = Arc::new(Ages { began, from: AtomicI64::new(Ts::MAX), of: Mutex::default() });
    let mut tasks = Tasks::new();
    let pipeline = Pipeline {
        log: log.clone(),
        plan: Plan { forming: Some(ages.clone()), ..Plan::new(settings()?)? },
        workers: 1,
        store: Box::new(MemoryStore::new("live")),
        flush: Duration::from_secs(1),
        live: Arc::new(Nowhere),
        subscribers: Box::new(|_| {}),
        status: Arc::new(Status::new()),
        clock: Arc::new(wall),
    };
    pipeline.start(&mut tasks)?;
    let ids: Vec<InstrumentId> =
        (0..symbols).map(|n| InstrumentId::new("bench", Market::Linear, &format!("S{n}USDT"))).collect();
    let mut writer = LiveWriter::new(log, &TOPICS, Pace::default(), session(began));
    let event = |ts, body| Event { ts_event: ts, ts_recv: ts, seq: None, index: 0, body: Some(body) };
    for id in &ids {
        let status = FeedStatus { status: Feed::Connected.into(), ..FeedStatus::default() };
        writer.take([(id.clone(), event(began, Body::FeedStatus(status)))])?;
    }
    ages.from.store(began + SECOND, Relaxed);
    let mut n = 0;
    while n < seconds * rate {
        let now = wall();
        while n < seconds * rate && began + n * SECOND / rate <= now {
            let trade = Trade {
                id: Some(Id::Number(n as u64 / ids.len() as u64 + 1)),
                price: Some(Decimal::new((now - began) / 1_000 + 1, 0)),
                size: Some(Decimal::new(1, 0)),
                side: Side::Buy.into(),
                ..Trade::default()
            };
            writer.take([(ids[n as usize % ids.len()].clone(), event(now, Body::Trade(trade)))])?;
            n += 1;
        }
        writer.flush(now)?;
        sleep(Duration::from_nanos(MILLISECOND as u64).min(writer.next(wall())));
    }
    sleep(Duration::from_millis(200));
    tasks.end()?;
    ages.report();
    Ok(())
}
