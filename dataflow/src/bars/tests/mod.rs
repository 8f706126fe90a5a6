//! Bars of made-up feeds.

mod covered;
mod flows;
mod klines;
mod naive;
mod order;
mod outages;
mod positions;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use prism_schemas::{
    Decimal, Event, Timeframe, Topic, Ts,
    event::{Batch, Feed, FeedStatus, Heartbeat, Kline, Side, Trade, event::Body, trade::Id},
    time::{MILLISECOND, MINUTE, SECOND},
};
use timely::dataflow::{
    channels::pact::Pipeline,
    operators::{Input, generic::operator::Operator, probe::Handle as Probe},
};

use super::{Market, Seal, Spare, Updates, bars};
use crate::{
    admit::{Admission, Record},
    assemble::Inputs,
    bar::{Bar, Quality},
    drive::{Driver, Pace},
    event::{Control, Fact, RowError},
    operator::Watch,
    registry::Registry,
    settings::Settings,
    types::Time,
};

/// 2024-03-05T10:00:00Z, when things happen.
const TEN: Ts = 1_709_632_800 * SECOND;
const MS: i64 = MILLISECOND;

pub(super) fn settings() -> Settings {
    serde_json::from_value(serde_json::json!({
        "time": { "epoch": "100ms", "grace": "250ms", "horizon": "2h", "max_ahead": "10s" },
        "timeframes": { "maintained": ["1s", "1m", "5m", "1h"], "roles": ["1m", "5m", "1h"], "weights": [0.2, 0.3, 0.5] },
        "bars": { "empty": "flat", "streams": [], "jump": 2.0, "gap_max": "1h" },
        "indicators": { "columns": [] },
        "score": { "profile": "prism", "divergence_threshold": 10.0, "divergence_max": 10.0 },
        "relations": { "benchmark": "BTCUSDT", "window": 60 },
        "signals": { "bullish": 70.0, "bearish": 30.0, "hysteresis": 3.0, "cooldown": "5m", "risk": 0.001, "position_max": 5.0 },
    }))
    .unwrap()
}

/// The minute bars and longer ones alone.
fn minutes() -> Settings {
    let mut settings = settings();
    settings.timeframes.maintained.remove(0);
    settings
}

/// A log of one partition of each topic; arrivals are told apart from receive times.
#[derive(Clone, Default)]
struct Log(Vec<(Ts, Topic, &'static str, Event)>);

impl Log {
    fn push(&mut self, arrival: Ts, symbol: &'static str, ts_event: Ts, ts_recv: Ts, body: Body) {
        let topic = Topic::of(&body).unwrap();
        self.0.push((arrival, topic, symbol, Event { ts_event, ts_recv, seq: None, index: 0, body: Some(body) }));
    }

    /// A session's heartbeats, ten a second.
    fn lives(&mut self, session: &str, from: Ts, to: Ts) {
        self.lived(session, from, to, 0);
    }

    /// Likewise, known so much later.
    fn lived(&mut self, session: &str, from: Ts, to: Ts, late: i64) {
        [Topic::Trades, Topic::Status].into_iter().for_each(|topic| self.lived_in(topic, session, from, to, late));
    }

    /// Likewise, as one of the topics says.
    fn lived_in(&mut self, topic: Topic, session: &str, from: Ts, to: Ts, late: i64) {
        for ts in (from..=to).step_by(100 * MS as usize) {
            let body = Some(Body::Heartbeat(Heartbeat { session: session.into(), cause: String::new() }));
            self.0.push((ts + late, topic, "", Event { ts_event: ts, ts_recv: ts, seq: None, index: 0, body }));
        }
    }

    fn says(&mut self, session: &str, symbol: &'static str, ts: Ts, feed: Feed) {
        let body = FeedStatus { session: session.into(), status: feed.into(), ..FeedStatus::default() };
        self.push(ts, symbol, ts, ts, Body::FeedStatus(body));
    }

    fn trade(&mut self, symbol: &'static str, ts: Ts, known: Ts) {
        let number = (ts / MS) as u64;
        let body = Trade {
            id: Some(Id::Number(number)),
            price: Some(Decimal::new(10_000 + (number % 97) as i64, 2)),
            size: Some(Decimal::new(1 + (number % 7) as i64, 0)),
            side: Side::Buy.into(),
            stream: "trade".into(),
            ..Trade::default()
        };
        self.push(known, symbol, ts, known, Body::Trade(body));
    }

    /// A trade at each of these times, received 20 ms later.
    fn trades(&mut self, symbol: &'static str, from: Ts, to: Ts, every: i64) {
        (from..to).step_by(every as usize).for_each(|ts| self.trade(symbol, ts, ts + 20 * MS));
    }

    fn kline(&mut self, symbol: &'static str, timeframe: Timeframe, start: Ts, known: Ts) {
        let price = |cents| Some(Decimal::new(cents, 2));
        let kline = Kline {
            timeframe: timeframe.name().into(),
            start,
            open: price(10_100),
            high: price(10_300),
            low: price(10_000),
            close: price(10_200),
            volume: price(700),
            closed: true,
            ..Kline::default()
        };
        self.push(known, symbol, start, known, Body::Kline(Box::new(kline)));
    }

    /// What the graph reads, and the numbers of the instruments.
    fn admitted(&self, settings: &Settings) -> (Vec<Record>, Registry) {
        let mut events: Vec<&(Ts, Topic, &str, Event)> = self.0.iter().collect();
        events.sort_by_key(|(arrival, ..)| *arrival);
        let registry = Registry::default();
        let mut admissions = Topic::ALL.map(|topic| (topic, Admission::new(registry.clone(), settings, topic, 0)));
        let mut records = Vec::new();
        for (_, topic, symbol, event) in events {
            let [exchange, market] = if symbol.is_empty() { ["", ""] } else { ["test", "linear"] };
            let batch = Batch {
                exchange: exchange.into(),
                market: market.into(),
                symbol: (*symbol).into(),
                events: vec![event.clone()],
            };
            let (_, admission) = admissions.iter_mut().find(|(of, _)| of == topic).unwrap();
            admission.admit(&batch, &mut records);
        }
        records.sort_by_key(Record::known);
        (records, registry)
    }

    fn run(&self, settings: &Settings) -> Bars {
        self.run_with(settings, 600, 1)
    }

    /// Through as many workers, with strides of so many epochs.
    fn run_with(&self, settings: &Settings, stride: Time, workers: u32) -> Bars {
        self.run_sealed(settings, stride, workers, None)
    }

    /// Likewise; a log whose last event is `sealed` is complete, which is known from the start.
    fn run_sealed(&self, settings: &Settings, stride: Time, workers: u32, sealed: Option<Ts>) -> Bars {
        self.run_ahead(settings, stride, workers, sealed, 0)
    }

    /// Likewise; events come so long before the frontier that passes them.
    fn run_ahead(&self, settings: &Settings, stride: Time, workers: u32, sealed: Option<Ts>, by: Time) -> Bars {
        let (records, registry) = self.admitted(settings);
        let newest = records.iter().map(Record::known).max().unwrap();
        let seal = Seal::default();
        sealed.into_iter().for_each(|last| seal.set(last, newest));
        let ends = settings.timeframes.maintained.iter().filter_map(|of| Some(of.end(of.start(sealed?))));
        let end =
            ends.map(|end| settings.time.close(end) as Time).fold(newest, Time::max) + settings.time.epoch as Time;
        let mut bars = Bars::default();
        for worker in 0..workers {
            let mut market = Market::new(settings.clone(), &settings.timeframes.roles, seal.clone(), Spare::default());
            let mut ahead = records.iter().filter(|record| goes_to(record, worker, workers)).peekable();
            let mut frontier = 0;
            while frontier < end {
                let next = ahead.peek().map_or(end, |record| record.known());
                let step = stride * settings.time.epoch as Time;
                frontier = (frontier + step).max(next - next % step).min(end);
                while let Some(record) = ahead.next_if(|record| record.known() < frontier.saturating_add(by)) {
                    match record {
                        Record::Trade(trade) => market.receive(vec![*trade]),
                        Record::Control(control) => market.controls.push((**control).clone()),
                        Record::Books(_) => {}
                    }
                }
                market.advance(frontier);
            }
            bars.take(&registry, market.bars, market.errors);
        }
        bars
    }

    /// Through the operator in the engine, all records coming in at the first worker.
    fn run_in_engine(&self, settings: &Settings, stride: Time, workers: usize) -> Bars {
        let (records, registry) = self.admitted(settings);
        let end = records.iter().map(Record::known).max().unwrap() + settings.time.epoch as Time;
        let updates = Arc::new(Mutex::new((Vec::new(), Vec::new())));
        let (of_worker, settings) = (updates.clone(), settings.clone());
        let guards = timely::execute(timely::Config::process(workers), move |worker| {
            let probe = Probe::new();
            let inputs = worker.dataflow(|scope| {
                let ((trades, trade_events), (controls, control_events)) = (scope.new_input(), scope.new_input());
                let spare = Spare::default();
                let (bars, errors, _) = bars(
                    trade_events,
                    control_events,
                    (&settings, &settings.timeframes.roles),
                    Seal::default(),
                    spare.clone(),
                    &Watch::default(),
                );
                let (into_bars, into_errors) = (of_worker.clone(), of_worker.clone());
                bars.probe_with(&probe).inner.sink(Pipeline, "bars", move |(input, _)| {
                    input.for_each(|capability, data| {
                        assert!(data.iter().all(|(_, known, _)| capability.time() <= known), "it is due already");
                        into_bars.lock().unwrap().0.append(data);
                    });
                });
                errors.probe_with(&probe).inner.sink(Pipeline, "errors", move |(input, _)| {
                    input.for_each(|_, data| into_errors.lock().unwrap().1.append(data));
                });
                Inputs { trades, books: None, controls, spare }
            });
            let pace = Pace { epoch: settings.time.epoch as Time, stride, batch: 0 };
            let mut driver = Driver::new(inputs, probe, pace);
            if worker.index() == 0 {
                records.iter().for_each(|record| driver.send(worker, record.clone()));
            }
            driver.advance(end);
            driver.drain(worker);
        });
        guards.unwrap().join().into_iter().for_each(|worker| worker.unwrap());
        let (updates, errors) = std::mem::take(&mut *updates.lock().unwrap());
        let mut bars = Bars::default();
        bars.take(&registry, updates, errors);
        bars
    }
}

fn goes_to(record: &Record, worker: u32, workers: u32) -> bool {
    match record {
        Record::Trade(trade) => trade.instrument % workers == worker,
        Record::Books(_) => false,
        Record::Control(control) => match **control {
            Control { fact: Fact::Alive(_), .. } => true,
            Control { instrument, .. } => instrument % workers == worker,
        },
    }
}

/// Symbol, timeframe and start.
type Key = (String, Timeframe, Ts);
type Versions = Vec<(Time, Option<Bar>)>;

/// Every version of every bar: when it became known, and what it was; `None` where it was taken back.
#[derive(Debug, Default, PartialEq)]
struct Bars {
    versions: BTreeMap<Key, Versions>,
    errors: Vec<String>,
}

impl Bars {
    fn take(&mut self, registry: &Registry, mut updates: Updates<Arc<Bar>>, errors: Updates<RowError>) {
        // What is taken back comes right before what it is replaced by.
        updates.sort_by_key(|(_, known, diff)| (*known, *diff));
        for (bar, known, diff) in updates {
            let key = (registry.id(bar.instrument).symbol.clone(), bar.timeframe, bar.start);
            let versions = self.versions.entry(key).or_default();
            if versions.last().is_some_and(|(have, bar)| *have == known && bar.is_none()) {
                versions.pop();
            }
            // Numbers of instruments are no part of what is compared.
            versions.push((known, (0 < diff).then(|| Bar { instrument: 0, ..(*bar).clone() })));
        }
        self.errors.extend(errors.into_iter().map(|(error, ..)| error.rule));
        self.errors.sort();
    }

    /// What stands in the end.
    fn standing(&self) -> BTreeMap<(&str, Timeframe, Ts), Bar> {
        let last = self.versions.iter().map(|((symbol, timeframe, start), versions)| {
            Some(((&**symbol, *timeframe, *start), versions.last()?.1.clone()?))
        });
        last.flatten().collect()
    }

    fn bar(&self, symbol: &'static str, timeframe: Timeframe, start: Ts) -> Option<Bar> {
        self.standing().get(&(symbol, timeframe, start)).cloned()
    }

    /// Qualities of the standing bars that start in `from..to`, run by run.
    fn qualities(&self, symbol: &str, timeframe: Timeframe, from: Ts, to: Ts) -> Vec<(usize, Quality)> {
        let mut runs: Vec<(usize, Quality)> = Vec::new();
        for ((of, frame, start), bar) in self.standing() {
            if of == symbol && frame == timeframe && (from..to).contains(&start) {
                match runs.last_mut() {
                    Some((n, quality)) if *quality == bar.quality => *n += 1,
                    _ => runs.push((1, bar.quality)),
                }
            }
        }
        runs
    }
}

/// Connected at 9:59, with a trade every half second until it is killed at 10:00:00.8.
fn killed() -> Log {
    let mut log = Log::default();
    log.lives("first", TEN - MINUTE, TEN + 800 * MS);
    log.says("first", "A", TEN - MINUTE, Feed::Connected);
    log.trades("A", TEN - MINUTE, TEN + 200 * MS, 500 * MS);
    log
}

/// Minutes that nobody watched, and what the venue says of them at 10:30.
fn told_by_the_venue() -> Log {
    let mut log = killed();
    log.lives("second", TEN + 30 * MINUTE, TEN + 33 * MINUTE);
    log.says("second", "A", TEN + 30 * MINUTE, Feed::Connected);
    log.trades("A", TEN + 31 * MINUTE, TEN + 33 * MINUTE, 500 * MS);
    for n in -1..30 {
        log.kline("A", Timeframe::M1, TEN + n * MINUTE, TEN + 30 * MINUTE + 6 * SECOND);
    }
    log
}
