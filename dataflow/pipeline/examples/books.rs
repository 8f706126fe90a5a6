//! A log through the whole graph, from memory: what an event costs, and an update of an order book beside the books alone.
//!
//! Run with `make bench-books LOG=data/log`, or `FILES="recording.gz ..."`.

use std::{collections::BTreeMap, error::Error, sync::Arc, time::Instant};

use prism_dataflow::{
    admit::{Admission, Record},
    assemble::{Plan, assemble},
    drive::{Driver, Pace},
    settings::Settings,
    tables::{Sink, tables},
    types::Time,
};
use prism_log::{Log, SegmentLog};
use prism_pipeline::TOPICS;
use prism_schemas::{
    InstrumentId, Market, OrderBook, Topic, Versions,
    book::Rules,
    event::{Batch, event::Body},
    time::MINUTE,
};

/// As in prism itself.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How often each is measured; the median counts.
const TIMES: usize = 7;

/// The defaults.
fn settings() -> Result<Settings, Box<dyn Error>> {
    let mut table: toml::Table = include_str!("../../../default.toml").parse()?;
    table.retain(|section, _| {
        ["time", "timeframes", "bars", "indicators", "score", "relations", "signals"].contains(&section)
    });
    Ok(toml::Value::Table(table).try_into()?)
}

/// Messages by the place of their topic and their partition.
type Messages = BTreeMap<(usize, u32), Vec<Batch>>;

/// The messages of a log.
fn messages(log: &SegmentLog) -> Result<Messages, Box<dyn Error>> {
    let mut messages: Messages = BTreeMap::new();
    for (at, topic) in TOPICS.into_iter().enumerate() {
        for partition in 0..log.partitions(topic) {
            let mut reader = log.read(topic, partition, 0)?;
            while let Some(record) = reader.next()? {
                messages.entry((at, partition)).or_default().push(record.batch.clone());
            }
        }
    }
    Ok(messages)
}

/// Seconds that `work` takes, by the median.
fn timed(mut work: impl FnMut()) -> f64 {
    let mut seconds: Vec<f64> = std::iter::repeat_with(|| {
        #[expect(clippy::disallowed_methods, reason = "a benchmark measures time; no result depends on it")]
        let start = Instant::now();
        work();
        start.elapsed().as_secs_f64()
    })
    .take(TIMES)
    .collect();
    seconds.sort_by(f64::total_cmp);
    seconds[TIMES / 2]
}

/// Admits the messages; records in order of knowledge, with or without books.
fn admitted(plan: &Plan, messages: &Messages, books: bool) -> Vec<Record> {
    let mut records = Vec::new();
    for ((at, partition), batches) in messages.iter().filter(|((at, _), _)| books || TOPICS[*at] != Topic::Books) {
        let mut admission = Admission::new(plan.registry.clone(), &plan.settings, TOPICS[*at], *partition);
        batches.iter().for_each(|batch| admission.admit(batch, &mut records));
    }
    records.sort_by_key(Record::known);
    records
}

/// Seconds for these records through the whole graph, without the copying of them.
fn graph(plan: &Plan, records: &[Record]) -> f64 {
    let mut seconds: Vec<f64> = (0..TIMES)
        .map(|_| {
            let (plan, records) = (plan.clone(), records.to_vec());
            timely::execute_directly(move |worker| {
                let sink: Sink = Arc::new(|rows: Versions| drop(rows));
                let (inputs, probe) =
                    worker.dataflow(|scope| assemble(scope, &plan, |outputs| tables(outputs, &plan, &sink)));
                let pace = Pace { epoch: plan.settings.time.epoch as Time, stride: 600, batch: 0 };
                let mut driver = Driver::new(inputs, probe, pace);
                let newest = records.last().map_or(0, Record::known);
                #[expect(clippy::disallowed_methods, reason = "a benchmark measures time; no result depends on it")]
                let start = Instant::now();
                records.into_iter().for_each(|record| driver.send(worker, record));
                driver.advance(newest + MINUTE as Time);
                driver.drain(worker);
                start.elapsed().as_secs_f64()
            })
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    seconds[TIMES / 2]
}

fn main() -> Result<(), Box<dyn Error>> {
    let log = std::env::args().nth(1).ok_or("usage: books LOG, a directory")?;
    let messages = messages(&SegmentLog::open_read(std::path::Path::new(&log))?)?;
    let plan = Plan::new(settings()?)?;
    let of_books =
        || messages.iter().filter(|((at, _), _)| TOPICS[*at] == Topic::Books).flat_map(|(_, batches)| batches);
    let (mut n_updates, mut n_levels) = (0, 0);
    for event in of_books().flat_map(|batch| &batch.events) {
        let Some(Body::Book(book)) = &event.body else { continue };
        n_updates += 1;
        n_levels += [&book.bids, &book.asks].into_iter().flatten().map(|levels| levels.prices.len()).sum::<usize>();
    }
    let alone = timed(|| {
        let mut books: BTreeMap<InstrumentId, OrderBook> = BTreeMap::new();
        for batch in of_books() {
            let Some(market) = Market::parse(&batch.market) else { continue };
            let id = InstrumentId::new(&batch.exchange, market, &batch.symbol);
            let rules = Rules::of(&id);
            let book = books.entry(id).or_insert_with(|| OrderBook::new(rules));
            for event in &batch.events {
                if let Some(Body::Book(update)) = &event.body {
                    // Trouble is not what is measured.
                    let _ = book.apply(update);
                }
            }
        }
        std::hint::black_box(books);
    });
    let admission = timed(|| drop(std::hint::black_box(admitted(&plan, &messages, true))))
        - timed(|| drop(std::hint::black_box(admitted(&plan, &messages, false))));
    let records = admitted(&plan, &messages, true);
    let n_trades = records.iter().filter(|record| matches!(record, Record::Trade(_))).count();
    let with = graph(&plan, &records);
    let without = graph(&plan, &admitted(&plan, &messages, false));
    let nanos = |seconds: f64| (seconds * 1e9 / n_updates as f64).round();
    let through = with - without;
    println!(
        "{}",
        serde_json::json!({
            "updates": n_updates,
            "levels_per_update": (n_levels as f64 / n_updates as f64 * 10.0).round() / 10.0,
            "book_alone_ns_per_update": nanos(alone),
            "admission_ns_per_update": nanos(admission),
            "graph_ns_per_update": nanos(through),
            "graph_ns_per_level": (through * 1e10 / n_levels as f64).round() / 10.0,
            "updates_per_s": (n_updates as f64 / through).round(),
            "graph_without_books_s": without,
            "trades": n_trades,
            "all_ns_per_event": (with * 1e9 / (n_trades + n_updates) as f64).round(),
            "all_events_per_s": ((n_trades + n_updates) as f64 / with).round(),
        })
    );
    Ok(())
}
