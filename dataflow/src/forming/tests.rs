//! What forms is what closes.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    rc::Rc,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use prism_schemas::{
    Cell, InstrumentId, Market, Timeframe, Ts, Version,
    table::{BARS, COMPONENT_SCORES, CONFLUENCE, DIMENSION_SCORES, INDICATORS, ORDER_FLOW},
    time::{MINUTE, SECOND},
};
use timely::{
    dataflow::operators::{Inspect, probe::Handle as Probe},
    worker::Worker,
};

use super::*;
use crate::{
    assemble::{Inputs, Plan, assemble},
    bar::Number,
    drive::{Driver, Pace},
    event::{Shape, Trade},
    indicator::contract::walk,
    refusals::settings,
    score::{
        rows::{Confluence, RoleScore},
        stakes::Stake,
    },
    tables::{Sink, tables},
};

/// Analysed rows by instrument, timeframe and start; scores by instrument and end, their timeframe in front.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    analysed: BTreeMap<(u32, Timeframe, Ts), Arc<Analysed>>,
    scores: BTreeMap<(u32, Option<Timeframe>, Ts), Score>,
    /// How many rows came at once of each instrument.
    n_forming: Vec<usize>,
}

impl Seen {
    fn row(&mut self, row: &Arc<Analysed>) {
        self.analysed.insert((row.bar().instrument, row.bar().timeframe, row.bar().start), without_levels(row));
    }

    fn score(&mut self, score: &Score) {
        let key = match score {
            Score::Role(role) => {
                (role.analysed.bar().instrument, Some(role.analysed.bar().timeframe), role.analysed.bar().end)
            }
            Score::Confluence(all) => (all.bar().instrument, None, all.bar().end),
        };
        let score = match score {
            Score::Role(role) => {
                let analysed = without_levels(&role.analysed);
                Score::Role(Arc::new(RoleScore { analysed, ..RoleScore::clone(role) }))
            }
            Score::Confluence(all) => {
                let analysed = without_levels(&all.analysed);
                Score::Confluence(Arc::new(Confluence { analysed, ..Confluence::clone(all) }))
            }
        };
        self.scores.insert(key, score);
    }
}

/// A row without its levels of price, which do not form.
fn without_levels(row: &Analysed) -> Arc<Analysed> {
    let mut row = row.clone();
    row.stake = row.stake.and_then(|stake| {
        let stake = Stake { naked: None, structure: None, ..Stake::clone(&stake) };
        (stake.open_interest.is_some() || stake.liquidations.is_some()).then(|| Arc::new(stake))
    });
    if let Some(flow) = &mut Arc::make_mut(&mut row.interval.bar).flow {
        let flow = Arc::make_mut(flow);
        (flow.footprint, flow.poc) = (None, Number::ABSENT);
    }
    Arc::new(row)
}

/// Five hours of two instruments, a trade every 7 and 11 seconds.
fn trades() -> Vec<Trade> {
    let of = |instrument: u32, pause: i64| {
        let prices = walk((5 * 3_600 / pause) as usize, u64::from(instrument) + 5, 100.0);
        prices.into_iter().zip(0i64..).map(move |(bar, n)| {
            let ts_event = n * pause * SECOND;
            Trade {
                ts_event,
                ts_recv: ts_event,
                known: ts_event as Time,
                seq: n as u64,
                id: n as u64,
                price: (bar.close * 100.0) as i64,
                size: 1 + n % 17,
                shape: Shape::new(0, 2, 0, 1, false),
                instrument,
                index: 0,
                buy: n % 3 == 0,
            }
        })
    };
    let mut trades: Vec<Trade> = of(0, 7).chain(of(1, 11)).collect();
    trades.sort_by_key(|trade| trade.known);
    trades
}

/// Tables whose rows are drawn while they form.
static TABLES: [&Table; 6] = [&BARS, &ORDER_FLOW, &INDICATORS, &COMPONENT_SCORES, &DIMENSION_SCORES, &CONFLUENCE];

/// Rows by their place.
type Placed = BTreeMap<[String; 5], Vec<Cell>>;

/// Wants some tables, keeps the last of each place, and what there was when a round was over.
struct Everybody {
    tables: &'static [&'static Table],
    rows: Mutex<Placed>,
    asked: AtomicU64,
    rounds: Mutex<Vec<(u64, Placed)>>,
}

impl Everybody {
    fn who_wants(tables: &'static [&'static Table]) -> Arc<Everybody> {
        Arc::new(Everybody { tables, rows: Mutex::default(), asked: AtomicU64::default(), rounds: Mutex::default() })
    }
}

impl Audience for Everybody {
    fn wants(&self, table: Option<&Table>) -> bool {
        table.is_none_or(|table| self.tables.contains(&table))
    }

    fn wants_symbol(&self, _: &str) -> bool {
        true
    }

    fn form(&self, rows: Versions) {
        rows.each(|row| put(&mut self.rows.lock().unwrap(), &row, true));
    }

    fn asked(&self) -> u64 {
        self.asked.load(Relaxed)
    }

    fn formed(&self, _: usize, _: usize, asked: u64) {
        let rows = std::mem::take(&mut *self.rows.lock().unwrap());
        self.rounds.lock().unwrap().push((asked, rows));
    }
}

/// Two roles and two instruments, which this follows.
fn plan(forming: Option<Arc<dyn Audience>>) -> Plan {
    let mut settings = settings();
    settings.timeframes.roles = vec![Timeframe::M1, Timeframe::M5];
    settings.timeframes.weights = vec![0.4, 0.6];
    let plan = Plan { books: false, forming, ..Plan::new(settings).unwrap() };
    for symbol in ["BTCUSDT", "ETHUSDT"] {
        plan.registry.number(&InstrumentId::new("test", Market::Spot, symbol));
    }
    plan
}

/// Hands over all trades, so many at once, and closes all bars. Nothing is done before all of them are handed over.
fn feed(worker: &mut Worker, (inputs, probe): (Inputs, Probe<Time>), plan: &Plan, at_once: usize) {
    let pace = Pace { epoch: plan.settings.time.epoch as Time, stride: 100 * at_once as Time, batch: 0 };
    let mut driver = Driver::new(inputs, probe, pace);
    for some in trades().chunks(at_once) {
        some.iter().for_each(|trade| driver.send_trade(worker, *trade));
        driver.advance(some.last().unwrap().known + 1);
        driver.drain(worker);
        worker.step();
    }
    driver.advance((5 * 60 * MINUTE + 10 * MINUTE) as Time);
    driver.drain(worker);
}

/// What closed, and what was the last to form of each; so many trades are handed over together.
fn run(is_followed: bool, at_once: usize) -> (Seen, Seen) {
    timely::execute_directly(move |worker| {
        let plan = plan(is_followed.then(|| Everybody::who_wants(&TABLES) as Arc<dyn Audience>));
        let (closed, formed) = (Rc::new(RefCell::new(Seen::default())), Rc::new(RefCell::new(Seen::default())));
        let graph = worker.dataflow(|scope| {
            assemble(scope, &plan, |outputs| {
                let seen = formed.clone();
                outputs.forming.into_iter().for_each(|forming| {
                    let seen = seen.clone();
                    forming.inspect(move |forming| {
                        let mut seen = seen.borrow_mut();
                        forming.analysed.iter().for_each(|row| seen.row(row));
                        forming.scores.iter().for_each(|score| seen.score(score));
                        seen.n_forming.push(forming.analysed.len());
                    });
                });
                let (rows, scores) = (closed.clone(), closed.clone());
                let rows = outputs.analysed.inspect(move |(row, _, diff)| {
                    assert_eq!(*diff, 1);
                    rows.borrow_mut().row(row);
                });
                let scores = outputs.scores.inspect(move |(score, ..)| scores.borrow_mut().score(score));
                rows.filter(|_| false).map(|_| ()).concat(scores.filter(|_| false).map(|_| ()))
            })
        });
        feed(worker, graph, &plan, at_once);
        (closed.take(), formed.take())
    })
}

/// A row by its place, without what tells when it became known.
fn put(into: &mut BTreeMap<[String; 5], Vec<Cell>>, row: &Version, is_last: bool) {
    let text = |name| row.get(name).map_or(String::new(), |cell| format!("{cell:?}"));
    let key =
        [row.table.name.into(), text("ts"), text("symbol"), text("timeframe"), text("component") + &text("dimension")];
    let moving = ["known_at", "revision"].map(|name| row.table.position(name).unwrap());
    let cells = row.cells.iter().enumerate().filter(|(at, _)| !moving.contains(at)).map(|(_, cell)| cell.clone());
    if is_last || !into.contains_key(&key) {
        into.insert(key, cells.collect());
    }
}

/// Of the tables that are drawn while they form, each row is at last as it is when it closes; scores also where nobody wants
/// what they are not made of.
#[test]
fn what_is_drawn_last_is_drawn_again_when_it_closes() {
    [&TABLES[..], &TABLES[5..]].into_iter().for_each(drawn_last_and_again);
}

fn drawn_last_and_again(wanted: &'static [&'static Table]) {
    let everybody = Everybody::who_wants(wanted);
    let (audience, closed) = (everybody.clone(), Arc::new(Mutex::new(BTreeMap::new())));
    let into = closed.clone();
    let sink: Sink = Arc::new(move |rows| {
        if wanted.contains(&rows.table()) {
            rows.each(|row| put(&mut into.lock().unwrap(), &row, false));
        }
    });
    timely::execute_directly(move |worker| {
        let plan = plan(Some(audience));
        let graph = worker.dataflow(|scope| assemble(scope, &plan, |outputs| tables(outputs, &plan, &sink)));
        feed(worker, graph, &plan, 1);
    });
    let (closed, formed) = (closed.lock().unwrap(), everybody.rows.lock().unwrap());
    for table in wanted {
        let n = |rows: &BTreeMap<[String; 5], _>| rows.keys().filter(|[name, ..]| *name == table.name).count();
        assert!(300 < n(&closed) && n(&closed) == n(&formed), "{}: {} and {}", table.name, n(&closed), n(&formed));
    }
    assert!(*closed == *formed);
}

#[test]
fn the_last_row_that_forms_is_the_one_that_closes() {
    let (closed, formed) = run(true, 1);
    let n_bars = 2 * (5 * 60 + 60);
    assert_eq!((closed.analysed.len(), closed.analysed == formed.analysed), (n_bars, true));
    assert!(n_bars < closed.scores.len());
    assert_eq!(closed.scores.len(), formed.scores.len());
    for (key, score) in &closed.scores {
        assert_eq!(Some(score), formed.scores.get(key), "{key:?}");
    }
    // While a minute waits for its grace, the next one forms behind it.
    assert!(formed.n_forming.contains(&2) && formed.n_forming.iter().any(|n| 2 < *n), "{:?}", formed.n_forming);
    // Who follows changes nothing.
    assert_eq!(run(false, 1), (closed, Seen::default()));
}

#[test]
fn an_instrument_forms_once_however_many_trades_came() {
    let (closed, formed) = run(true, 100);
    assert!(!closed.scores.is_empty());
    // And once more for the trade that opens the frontier, and when the last bars close.
    let n_times = (trades().len().div_ceil(100) + 2) * 2;
    assert!(formed.n_forming.len() <= n_times, "{} of {n_times}", formed.n_forming.len());
}

/// Who asks is told of all instruments, also of those of which nothing comes; and of nothing more until something does.
#[test]
fn a_round_is_over_all_instruments() {
    let everybody = Everybody::who_wants(&TABLES);
    let audience = everybody.clone();
    timely::execute_directly(move |worker| {
        let plan = plan(Some(audience.clone()));
        let sink: Sink = Arc::new(drop);
        let (inputs, probe) = worker.dataflow(|scope| assemble(scope, &plan, |outputs| tables(outputs, &plan, &sink)));
        let pace = Pace { epoch: plan.settings.time.epoch as Time, stride: 100, batch: 0 };
        let mut driver = Driver::new(inputs, probe, pace);
        // Both are silent from then on.
        let some = trades().into_iter().take_while(|trade| trade.known < MINUTE as Time);
        some.for_each(|trade| driver.send_trade(worker, trade));
        driver.advance(MINUTE as Time);
        (0..20).for_each(|_| _ = worker.step());
        for (n, asked) in [(1, 1), (2, 3)] {
            audience.rows.lock().unwrap().clear();
            audience.asked.store(asked, Relaxed);
            driver.advance((MINUTE + n * SECOND) as Time);
            (0..20).for_each(|_| _ = worker.step());
        }
        assert!(audience.rows.lock().unwrap().is_empty(), "nothing came");
        driver.drain(worker);
    });
    let rounds = everybody.rounds.lock().unwrap();
    assert_eq!(rounds.iter().map(|(asked, _)| *asked).collect::<Vec<u64>>(), [1, 3]);
    for (_, rows) in &*rounds {
        let bars = rows.keys().filter(|[table, ..]| table == "bars");
        let [one, other] =
            ["BTCUSDT", "ETHUSDT"].map(|symbol| bars.clone().filter(|[_, _, name, ..]| name.contains(symbol)).count());
        assert!(1 <= one && one == other, "{one} and {other} timeframes");
    }
}
