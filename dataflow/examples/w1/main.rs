//! Workload W1 through prism's own graph: trades in memory to bars, indicators, relations and scores in memory.
//!
//! Run with `make bench-w1 TRADES=FILE.parquet OUT=DIR [WORKERS=1] [STRIDE=600]`. Times from the first trade in memory to the last result in memory.

mod files;

use std::{cell::RefCell, collections::BTreeMap, error::Error, path::Path, rc::Rc, sync::Arc, time::Instant};

use differential_dataflow::AsCollection;
use prism_dataflow::{
    admit::Clock,
    analyse::{Analysed, analyse},
    assemble::{Inputs, Plan, assemble},
    bar::Bar,
    bars::{Seal, Spare, bars},
    drive::{Driver, Pace},
    interval::Interval,
    operator::Watch,
    relation::{Relation, relations},
    score::{
        confluence::confluence,
        rows::{Confluence, Score},
    },
    settings::Settings,
    signals::signals,
    types::{Diff, Rows, Time},
};
use timely::{
    container::CapacityContainerBuilder,
    dataflow::{
        channels::pact::Pipeline,
        operators::{Input, generic::operator::Operator, probe::Handle as Probe},
    },
    worker::Worker,
};

use files::{Row, read, save};

/// As in prism itself.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// W1's rules as settings: no flat bars, lateness 2 s, its own score.
fn settings() -> Result<Settings, serde_json::Error> {
    serde_json::from_value(serde_json::json!({
        "time": { "epoch": "100ms", "grace": "2s", "horizon": "2h", "max_ahead": "10s" },
        "timeframes": {
            "maintained": ["1m", "5m", "15m", "1h"], "roles": ["1m", "5m", "15m", "1h"], "weights": [0.1, 0.2, 0.3, 0.4],
        },
        "bars": { "empty": "omit", "streams": [], "jump": 2.0, "gap_max": "1h" },
        "indicators": { "columns": [
            "ema_12", "ema_26", "macd_line", "rsi_14", "bollinger_middle", "atr_14", "obv", "cvd", "talib_macd",
        ] },
        "score": { "profile": "w1", "divergence_threshold": 10.0, "divergence_max": 10.0 },
        "relations": { "benchmark": "BTCUSDT", "window": 60 },
        "signals": { "bullish": 70.0, "bearish": 30.0, "hysteresis": 3.0, "cooldown": "5m", "risk": 0.001, "position_max": 5.0 },
    }))
}

/// Updates in the containers they left the graph in.
type Containers<D> = Vec<Vec<(D, Time, Diff)>>;

/// Results of one worker.
#[derive(Default)]
struct Results {
    bars: Containers<Arc<Bar>>,
    analysed: Containers<Arc<Analysed>>,
    relations: Containers<Relation>,
    scores: Containers<Score>,
}

/// Moves a collection's updates to memory, those of wanted rows.
fn collect<'s, D: Clone + 'static>(
    rows: Rows<'s, D>,
    into: &Rc<RefCell<Containers<D>>>,
    is_wanted: Option<fn(&D) -> bool>,
) -> Rows<'s, ()> {
    let into = into.clone();
    let none = rows.inner.unary::<CapacityContainerBuilder<Vec<((), Time, Diff)>>, _, _, _>(
        Pipeline,
        "collect",
        move |_, _| {
            move |input, _| {
                input.for_each(|_, data| {
                    let mut updates = std::mem::take(data);
                    is_wanted.into_iter().for_each(|is_wanted| updates.retain(|(row, ..)| is_wanted(row)));
                    into.borrow_mut().push(updates);
                });
            }
        },
    );
    none.as_collection()
}

/// The updates that stand at the end, by key; as they came where none was taken back.
fn standing<D, K: Ord>(containers: Containers<D>, key: impl Fn(&D) -> K) -> Containers<D> {
    if containers.iter().flatten().all(|(_, _, diff)| 0 < *diff) {
        return containers;
    }
    let mut last: BTreeMap<K, (D, Time, Diff)> = BTreeMap::new();
    let mut updates: Vec<(D, Time, Diff)> = containers.into_iter().flatten().collect();
    updates.sort_by_key(|(_, time, diff)| (*time, *diff));
    for update in updates {
        last.insert(key(&update.0), update);
    }
    vec![last.into_values().filter(|(_, _, diff)| 0 < *diff).collect()]
}

/// The rows of updates.
fn rows<D>(containers: &Containers<D>) -> impl Iterator<Item = &D> {
    containers.iter().flatten().map(|(row, ..)| row)
}

fn run(plan: &Plan, trades: &Arc<Vec<Row>>, workers: usize, stride: u64, batch: usize) -> Result<Results, String> {
    let (plan_of_workers, trades) = (plan.clone(), trades.clone());
    let guards = timely::execute(timely::Config::process(workers), move |worker| {
        let plan = &plan_of_workers;
        let (bars, analysed, relations, scores) = (Rc::default(), Rc::default(), Rc::default(), Rc::default());
        let (inputs, probe) = worker.dataflow(|scope| {
            assemble(scope, plan, |outputs| {
                let is_total: fn(&Score) -> bool = |score| total(score).is_some();
                collect(outputs.bars, &bars, None).concatenate([
                    collect(outputs.analysed, &analysed, None),
                    collect(outputs.relations, &relations, None),
                    collect(outputs.scores, &scores, Some(is_total)),
                ])
            })
        });
        feed(worker, Driver::new(inputs, probe, pace(plan, stride, batch)), plan, &trades);
        Results { bars: bars.take(), analysed: analysed.take(), relations: relations.take(), scores: scores.take() }
    })?;
    let mut all = Results::default();
    for results in guards.join() {
        let mut results = results?;
        all.bars.append(&mut results.bars);
        all.analysed.append(&mut results.analysed);
        all.relations.append(&mut results.relations);
        all.scores.append(&mut results.scores);
    }
    Ok(Results {
        bars: standing(all.bars, |bar| (bar.instrument, bar.timeframe, bar.start)),
        analysed: standing(all.analysed, |row| (row.bar().instrument, row.bar().timeframe, row.bar().start)),
        relations: standing(all.relations, |relation| (relation.instrument, relation.start)),
        scores: standing(all.scores, |score| total(score).map(|total| (total.bar().instrument, total.bar().start))),
    })
}

/// A score over all roles.
fn total(score: &Score) -> Option<&Confluence> {
    match score {
        Score::Confluence(total) => Some(total),
        Score::Role(_) => None,
    }
}

/// How the frontier moves.
fn pace(plan: &Plan, stride: u64, batch: usize) -> Pace {
    Pace { epoch: plan.settings.time.epoch as Time, stride, batch }
}

/// Feeds this worker's instruments in order of arrival and closes every bar that has begun.
fn feed(worker: &mut Worker, mut driver: Driver, plan: &Plan, trades: &[Row]) {
    let time = &plan.settings.time;
    let mut clock = Clock::new(time.clone());
    let mut last_event = i64::MIN;
    let (index, peers) = (worker.index() as u32, worker.peers() as u32);
    for (row, number) in trades.iter().zip(1..) {
        // The file is one partition: its order of arrival gives every trade its knowledge time.
        let known = clock.receive(row.ts_recv);
        let trade = row.trade(number, known);
        last_event = last_event.max(trade.ts_event);
        if peers == 1 || trade.instrument % peers == index {
            driver.send_trade(worker, trade);
        } else {
            driver.reach(worker, known);
        }
    }
    plan.sealed.set(last_event, clock.known.unwrap_or(0));
    let longest = plan.settings.timeframes.maintained.iter().map(|tf| tf.end(tf.start(last_event))).max();
    let end = (time.close(longest.unwrap_or(last_event)) as Time).max(clock.known.unwrap_or(0));
    driver.advance(end + time.epoch as Time);
    driver.drain(worker);
}

/// Stages of the graph, each with all before it.
const STAGES: [&str; 4] = ["bars", "indicators and readings", "scores and signals", "relations"];

/// Nanoseconds a trade for the graph up to each stage, on one worker.
fn stages(plan: &Plan, trades: &Arc<Vec<Row>>, stride: u64) -> Vec<(&'static str, f64)> {
    let mut costs: Vec<(&str, f64)> = Vec::new();
    let mut before = 0.0;
    for (depth, name) in STAGES.into_iter().enumerate() {
        let fresh = Plan { sealed: Seal::default(), ..plan.clone() };
        let trades = trades.clone();
        let n_trades = trades.len() as f64;
        #[expect(clippy::disallowed_methods, reason = "a benchmark measures time; no result depends on it")]
        let start = Instant::now();
        timely::execute_directly(move |worker| {
            let probe = Probe::new();
            let (settings, catalogue) = (&fresh.settings, &fresh.catalogue);
            let inputs = worker.dataflow(|scope| {
                let end = |rows: Rows<'_, ()>| drop(rows.probe_with(&probe));
                let ((trades, trade_events), (controls, control_events)) = (scope.new_input(), scope.new_input());
                let (spare, watch) = (Spare::default(), Watch::default());
                let (bars, ..) =
                    bars(trade_events, control_events, (settings, &[]), fresh.sealed.clone(), spare.clone(), &watch);
                if 3 <= depth {
                    let relations = relations(bars.clone(), settings, fresh.registry.clone(), &watch);
                    end(collect(relations, &Rc::default(), None));
                }
                if 1 <= depth {
                    let (analysed, _) = analyse(bars.clone().map(Interval::from), settings, catalogue.clone(), &watch);
                    if 2 <= depth {
                        let (scores, _) = confluence(analysed.clone(), settings, catalogue.clone(), &watch);
                        end(collect(signals(scores.clone(), settings, &watch), &Rc::default(), None));
                        end(collect(scores, &Rc::default(), None));
                    }
                    end(collect(analysed, &Rc::default(), None));
                }
                end(collect(bars, &Rc::default(), None));
                Inputs { trades, books: None, controls, spare }
            });
            feed(worker, Driver::new(inputs, probe, pace(&fresh, stride, 0)), &fresh, &trades);
        });
        let cost = start.elapsed().as_secs_f64() * 1e9 / n_trades;
        costs.push((name, cost - before));
        before = cost;
    }
    costs
}

/// The process's largest resident memory in MiB, where the system tells.
fn peak_rss_mib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? / 1024)
}

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (Some(path), Some(out)) = (args.first(), args.get(1)) else {
        return Err("usage: w1 FILE.parquet OUT_DIR [WORKERS] [STRIDE] [BATCH]".into());
    };
    let number = |at: usize, default: u64| args.get(at).map_or(Ok(default), |text| text.parse());
    let (workers, stride, batch) = (number(2, 1)?, number(3, 600)?, number(4, 0)?);
    let plan = Plan { books: false, ..Plan::new(settings()?)? };
    let trades = Arc::new(read(path, &plan)?);
    if args.get(5).is_some_and(|mode| mode == "stages") {
        for (name, cost) in stages(&plan, &trades, stride.max(1)) {
            println!("{}", serde_json::json!({ "stage": name, "ns_per_trade": cost, "stride": stride }));
        }
        return Ok(());
    }
    #[expect(clippy::disallowed_methods, reason = "a benchmark measures time; no result depends on it")]
    let start = Instant::now();
    let output = run(&plan, &trades, workers as usize, stride.max(1), batch as usize)?;
    let seconds = start.elapsed().as_secs_f64();
    save(Path::new(out), &plan, &output)?;
    println!(
        "{}",
        serde_json::json!({
            "trades": trades.len(), "seconds": seconds, "trades_per_s": (trades.len() as f64 / seconds).round(),
            "workers": workers, "stride": stride, "peak_rss_mib": peak_rss_mib(),
        })
    );
    Ok(())
}
