//! A late trade changes exactly the rows that depend on it, and the corrected rows are those of a punctual run.

use std::{cell::RefCell, collections::BTreeMap, fmt::Debug, rc::Rc, sync::Arc};

use differential_dataflow::AsCollection;
use prism_dataflow::{
    analyse::{Catalogue, analyse},
    bar::{Bar, Source},
    interval::Interval,
    operator::Watch,
    registry::Registry,
    relation::relations,
    score::confluence::confluence,
    signals::signals,
    types::Rows as Collection,
};
use prism_schemas::{
    Cell, InstrumentId, Market, Table, Timeframe, Version,
    event::event::Body,
    table,
    time::{HOUR, MILLISECOND, MINUTE},
};
use prism_store::digest::Mode;
use timely::dataflow::{
    channels::pact::Pipeline,
    operators::{Input, generic::operator::Operator},
};

use crate::{
    determinism::CONFIG,
    support::{
        Arrival, How, Random, Rows, SEALED, START, Synthetic, Tape, digest, float, in_order, int, linear, rows_of,
        settings, standing, text, ts,
    },
};

const MARKET: Synthetic = Synthetic { seed: 11, hours: 4, trades: 12_000, late: 0, copies: 20 };

fn replay(arrivals: &[Arrival]) -> Rows {
    standing(Tape::of(arrivals, &settings(CONFIG)).replay(SEALED))
}

/// The market without one of its trades, and that trade.
fn without(all: &[Arrival], at: usize) -> (Vec<Arrival>, Arrival) {
    let mut rest = all.to_vec();
    let one = rest.remove(at);
    let same = |other: &Arrival| other.id == one.id && other.copy && other.event.seq == one.event.seq;
    rest.retain(|other| !same(other));
    (rest, one)
}

/// The market with one more trade, received at `ts_recv`.
fn with(rest: &[Arrival], one: &Arrival, ts_recv: i64) -> Vec<Arrival> {
    let mut all = [rest, std::slice::from_ref(one)].concat();
    all.last_mut().unwrap().event.ts_recv = ts_recv;
    in_order(&mut all);
    all
}

fn any_trade(random: &mut Random, all: &[Arrival], of: &InstrumentId, from: i64, to: i64) -> usize {
    loop {
        let at = random.below(all.len() as i64) as usize;
        let time = START + from..START + to;
        if all[at].id == *of && all[at].trade().is_some() && !all[at].copy && time.contains(&all[at].event.ts_event) {
            return at;
        }
    }
}

fn values(row: &Version) -> Vec<&Cell> {
    let tail = ["known_at", "revision"];
    row.table
        .columns
        .iter()
        .zip(&row.cells)
        .filter(|(column, _)| !tail.contains(&column.name))
        .map(|(_, cell)| cell)
        .collect()
}

/// Tables whose rows may come to be with a late trade; the others' have come with their bar.
static BEGIN: [&Table; 7] = [
    &table::SIGNALS,
    &table::SIGNAL_EVENTS,
    &table::STRUCTURE_LEVELS,
    &table::COMPONENT_SCORES,
    &table::DIMENSION_SCORES,
    &table::FOOTPRINT,
    &table::FOOTPRINT_ANALYSIS,
];

/// The end of the last bar that a row depends on: a signal's is the one that ends it, an event's its own.
fn depends_until(row: &Version) -> i64 {
    match row.get("status_ts").or_else(|| row.get("event_ts")) {
        Some(Cell::Ts(end)) => *end,
        Some(Cell::Null) => i64::MAX,
        _ => ts(row, "ts_close"),
    }
}

/// How many rows of each table changed by one trade; each must depend on it and say so.
fn what_changed<'r>(
    one: &Arrival,
    id: &InstrumentId,
    known: i64,
    before: &Rows,
    after: &'r Rows,
) -> BTreeMap<&'r str, usize> {
    let label = format!("{id} {}", one.event.ts_event);
    let mut changed: BTreeMap<&str, usize> = BTreeMap::new();
    for (key, new) in after {
        let label = format!("{label} known {known} {key:?}");
        let old = before.get(key);
        if old == Some(new) {
            continue;
        }
        *changed.entry(key.0).or_default() += 1;
        let is_own = ["exchange", "market", "symbol"].map(|column| text(new, column))
            == [&*id.exchange, id.market.name(), &*id.symbol];
        let is_pair =
            new.table == &table::RELATIONS && text(new, "market") == id.market.name() && id.symbol == "BTCUSDT";
        assert!(is_own || is_pair, "{label}: another instrument's row");
        let until = [Some(new), old].into_iter().flatten().map(depends_until).max();
        assert!(Some(one.event.ts_event) < until, "{label}: an earlier row");
        let Some(old) = old else {
            let may_begin = BEGIN.contains(&new.table);
            assert!(may_begin, "{label}: a new row");
            assert!(known <= ts(new, "known_at"), "{label}");
            continue;
        };
        assert_ne!(values(old), values(new), "{label}: a new version of equal values");
        if new.table == &table::SIGNALS {
            assert!(known <= ts(new, "known_at"), "{label}");
        } else if ts(old, "known_at") < known {
            assert_eq!(int(new, "revision"), int(old, "revision") + 1, "{label}");
            assert_eq!(ts(new, "known_at"), known, "{label}");
        } else {
            // Something told late revised it later, too: it may have one version more before that.
            let n_more = i64::from(ts(new, "ts_close") < known);
            let more = int(new, "revision") - int(old, "revision");
            assert!((0..=n_more).contains(&more), "{label}: {more} versions more");
            assert_eq!(ts(new, "known_at"), ts(old, "known_at"), "{label}");
        }
        if new.table == &table::BARS && one.event.ts_event < ts(new, "ts") {
            let is_flat = int(new, "n_trades") == 0;
            assert!(is_flat || new.get("quality") != old.get("quality"), "{label}: a bar that does not contain it");
        }
    }
    changed
}

/// Numbers of trades of the bars that contain one.
fn trades_around(one: &Arrival, id: &InstrumentId, rows: &Rows) -> Vec<i64> {
    let bars = rows_of(rows, &table::BARS).filter(|row| {
        text(row, "symbol") == id.symbol
            && text(row, "market") == id.market.name()
            && ts(row, "ts") <= one.event.ts_event
            && one.event.ts_event < ts(row, "ts_close")
    });
    bars.map(|row| int(row, "n_trades")).collect()
}

#[test]
fn a_late_trade_changes_exactly_what_depends_on_it() {
    let all = MARKET.arrivals();
    let config = settings(CONFIG);
    let inverse = InstrumentId::new("bybit", Market::Inverse, "BTCUSD");
    for (n, id) in
        [linear("ETHUSDT"), linear("BTCUSDT"), linear("ADAUSDT"), inverse, linear("ETHUSDT")].into_iter().enumerate()
    {
        let mut random = Random(n as u64);
        let delay = [5, 7, 90, 61, 30][n] * MINUTE;
        // It comes before the market ends, so that time goes as far as without it.
        let to = (3 * HOUR).min(4 * HOUR - delay - MINUTE);
        // All but one are the last of its minute, so that the close moves.
        let at = loop {
            let at = any_trade(&mut random, &all, &id, HOUR, to);
            let minute = Timeframe::M1.start(all[at].event.ts_event);
            let is_last = all.iter().filter(|other| other.id == id && other.trade().is_some()).all(|other| {
                Timeframe::M1.start(other.event.ts_event) != minute || other.event.seq <= all[at].event.seq
            });
            if is_last == (n != 4) {
                break at;
            }
        };
        let (rest, one) = without(&all, at);
        let label = format!("SEED={n} {id} {}", one.event.ts_event);
        let ts_recv = one.event.ts_event + delay + 40 * MILLISECOND;
        let known = config.time.round_up(ts_recv);
        let before = replay(&rest);
        let after = replay(&with(&rest, &one, ts_recv));
        let punctual = replay(&with(&rest, &one, one.event.ts_recv));
        assert_eq!(digest(&after, Mode::Values), digest(&punctual, Mode::Values), "{label}");
        assert_ne!(digest(&after, Mode::Values), digest(&before, Mode::Values), "{label}");

        let changed = what_changed(&one, &id, known, &before, &after);
        for (key, row) in before.iter().filter(|(key, _)| !after.contains_key(*key)) {
            assert!(known <= ts(row, "known_at"), "{label}: {key:?} is gone without a trace");
        }
        let [n_before, n_after] = [&before, &after].map(|rows| trades_around(&one, &id, rows));
        assert_eq!(n_after.len(), config.timeframes.maintained.len(), "{label}");
        assert!(n_before.iter().zip(&n_after).all(|(before, after)| before + 1 == *after), "{label}");
        for name in ["bars", "indicators", "component_scores", "dimension_scores", "confluence"] {
            assert!(0 < changed.get(name).copied().unwrap_or(0), "{label}: {name} did not change");
        }
        // Returns are made of closes: a trade that is not its minute's last changes none.
        let closes = |rows: &Rows| -> Vec<Option<f64>> {
            let base = rows_of(rows, &table::BARS).filter(|row| text(row, "timeframe") == "1m");
            base.filter(|row| text(row, "symbol") == id.symbol).map(|row| float(row, "close")).collect()
        };
        let moves = id.market == Market::Linear && closes(&before) != closes(&after);
        assert_eq!(changed.contains_key("relations"), moves, "{label}");
    }
}

#[test]
fn beyond_the_horizon_it_only_is_listed() {
    let all = MARKET.arrivals();
    let config = settings(CONFIG);
    let at = any_trade(&mut Random(12), &all, &linear("SOLUSDT"), 10 * MINUTE, 50 * MINUTE);
    let (rest, one) = without(&all, at);
    let before = replay(&rest);
    let end = Timeframe::M1.end(Timeframe::M1.start(one.event.ts_event));
    for (ts_recv, is_late) in [
        (end + config.time.horizon, false),
        (end + config.time.horizon + 1, true),
        (one.event.ts_event + 3 * HOUR, true),
    ] {
        let mut after = replay(&with(&rest, &one, ts_recv));
        let listed: Vec<_> = after.keys().filter(|(table, _)| *table == "late_events").cloned().collect();
        assert_eq!(listed.len(), usize::from(is_late), "{ts_recv}");
        for key in &listed {
            let row = after.remove(key).unwrap();
            // As stored, in microseconds.
            let micros = |ts: i64| ts - ts % 1_000;
            assert_eq!((ts(&row, "ts"), ts(&row, "ts_recv")), (micros(one.event.ts_event), micros(ts_recv)));
            assert_eq!(text(&row, "symbol"), "SOLUSDT");
        }
        assert_eq!(after == before, is_late, "{ts_recv}");
    }
}

#[test]
fn many_late_trades_end_in_the_rows_of_a_punctual_run() {
    for seed in [21, 22] {
        let late = Synthetic { seed, late: 300, ..MARKET }.arrivals();
        let n_too_late = late.iter().filter(|arrival| HOUR < arrival.delay).count();
        let mut punctual: Vec<Arrival> = late.iter().filter(|arrival| arrival.delay < HOUR).cloned().collect();
        punctual.iter_mut().for_each(|arrival| arrival.event.ts_recv -= arrival.delay);
        in_order(&mut punctual);
        let (late, punctual) = (replay(&late), replay(&punctual));
        assert_eq!(digest(&late, Mode::Values), digest(&punctual, Mode::Values), "SEED={seed}");
        assert_ne!(digest(&late, Mode::Full), digest(&punctual, Mode::Full), "SEED={seed}");
        assert_eq!(rows_of(&late, &table::LATE_EVENTS).count(), n_too_late, "SEED={seed}");
    }
}

type Update = (Bar, u64, isize);
type Left = BTreeMap<String, isize>;

/// What stands downstream after these updates to bars, and how many updates came out.
fn downstream(updates: Vec<Update>) -> (Left, usize) {
    timely::execute_directly(move |worker| {
        let settings = settings(&format!("{CONFIG}[time]\nhorizon = \"7d\"\n"));
        let catalogue = Arc::new(Catalogue::new(&settings).unwrap());
        let registry = Registry::default();
        registry.number(&linear("BTCUSDT"));
        registry.number(&linear("ETHUSDT"));
        let left = Rc::new(RefCell::new((Left::new(), 0)));
        let mut input = worker.dataflow::<u64, _, _>(|scope| {
            let (input, updates) = scope.new_input();
            let bars: Collection<'_, Arc<Bar>> = updates.as_collection();
            let watch = Watch::default();
            watch.listen(|error, time| panic!("at {time}: {error:?}"));
            let (analysed, _) = analyse(bars.clone().map(Interval::from), &settings, catalogue.clone(), &watch);
            let (scores, _) = confluence(analysed.clone(), &settings, catalogue.clone(), &watch);
            count("analysed", analysed, &left);
            count("signals", signals(scores.clone(), &settings, &watch), &left);
            count("scores", scores, &left);
            count("relations", relations(bars, &settings, registry.clone(), &watch), &left);
            input
        });
        for (at, (bar, known, diff)) in updates.into_iter().enumerate() {
            input.advance_to(known);
            input.send((Arc::new(bar), known, diff));
            if at % 7 == 0 {
                worker.step();
            }
        }
        drop(input);
        while worker.step() {}
        let mut left = left.borrow_mut();
        left.0.retain(|_, n| *n != 0);
        std::mem::take(&mut *left)
    })
}

fn count<D: Clone + Debug + 'static>(name: &'static str, rows: Collection<'_, D>, left: &Rc<RefCell<(Left, usize)>>) {
    let left = left.clone();
    rows.inner.sink(Pipeline, name, move |(input, _)| {
        input.for_each(|_, data| {
            let mut left = left.borrow_mut();
            for (row, _, diff) in data.drain(..) {
                *left.0.entry(format!("{name} {row:?}")).or_default() += diff;
                left.1 += 1;
            }
        });
    });
}

/// Five hours of bars of two instruments on every role, as they close.
fn closes(seed: u64) -> Vec<Update> {
    let mut random = Random(seed);
    let mut updates = Vec::new();
    for instrument in 0..2 {
        for timeframe in [Timeframe::M1, Timeframe::M5, Timeframe::M15, Timeframe::H1] {
            let mut close = 1_000.0;
            for start in (START..START + 5 * HOUR).step_by(timeframe.length() as usize) {
                let open = close;
                close *= 1.0 + (random.unit() - 0.47) * 0.01;
                let (high, low) = (f64::max(open, close) * 1.001, f64::min(open, close) * 0.999);
                let volume = 1.0 + random.unit();
                let bar = Bar {
                    instrument,
                    timeframe,
                    end: timeframe.end(start),
                    turnover: (volume * close).into(),
                    buy_volume: (volume * random.unit()).into(),
                    n_trades: 5.into(),
                    n_buys: 2.into(),
                    source: Source::Trades,
                    ..Bar::ohlcv(start, [open, high, low, close, volume])
                };
                let known = (bar.end + 300 * MILLISECOND) as u64;
                updates.push((bar, known, 1));
            }
        }
    }
    updates.sort_by_key(|(_, time, _)| *time);
    updates
}

#[test]
fn bars_inserted_and_retracted_leave_nothing_downstream() {
    for seed in [31, 32] {
        let mut random = Random(seed);
        let mut updates = closes(seed);
        let end = updates.last().unwrap().1;
        let mut gone: Vec<Update> =
            updates.iter().map(|(bar, ..)| (bar.clone(), end + 100 * random.below(400) as u64, -1)).collect();
        gone.sort_by_key(|(_, time, _)| *time);
        updates.extend(gone);
        let (left, n) = downstream(updates);
        assert!(10_000 < n, "SEED={seed} only {n} updates came out");
        assert!(left.is_empty(), "SEED={seed} {} rows are left, such as {:?}", left.len(), left.first_key_value());
    }
}

#[test]
fn one_bar_inserted_and_retracted_again_leaves_the_rows_without_it() {
    for seed in [41, 42, 43] {
        let mut random = Random(seed);
        let all = closes(seed);
        let one = all[random.below(all.len() as i64) as usize].0.clone();
        let mut rest: Vec<Update> = all.into_iter().filter(|(bar, ..)| *bar != one).collect();
        let (expected, n_expected) = downstream(rest.clone());
        let close = (one.end + 300 * MILLISECOND) as u64;
        let later = [close + 60_000_000_000, close + 7_200_000_000_000];
        rest.extend([(one.clone(), later[0], 1), (one.clone(), later[1], -1)]);
        rest.sort_by_key(|(_, time, _)| *time);
        let (left, n) = downstream(rest);
        assert!(n_expected < n, "SEED={seed} the bar changed nothing");
        assert!(left == expected, "SEED={seed} {one:?} left a trace");
    }
}

/// Venues are asked for one timeframe after the other: what is scored against the longer ones comes in any order.
#[test]
fn history_may_come_one_timeframe_after_the_other() {
    let config = format!("{CONFIG}[time]\nhorizon = \"30m\"\n");
    for longest_first in [false, true] {
        let mut all = MARKET.arrivals();
        let mut n_klines = 0;
        for arrival in &mut all {
            let Some(Body::Kline(kline)) = &arrival.event.body else { continue };
            let minutes = kline.timeframe.parse::<Timeframe>().unwrap().length() / MINUTE;
            let place = [1, 5, 15, 60].iter().position(|have| *have == minutes).unwrap() as i64;
            arrival.event.ts_recv += if longest_first { 3 - place } else { place } * 700 * MILLISECOND;
            n_klines += 1;
        }
        assert_eq!(n_klines, 300);
        in_order(&mut all);
        let tape = Tape::of(&all, &settings(&config));
        let rows = digest(&standing(tape.replay(SEALED)), Mode::Full);
        for stride in [1, 10] {
            let how = How { stride, ..SEALED };
            assert_eq!(digest(&standing(tape.replay(how)), Mode::Full), rows, "stride {stride}");
        }
    }
}
