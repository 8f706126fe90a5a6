//! What components read of books over bars of roles.

use std::collections::BTreeSet;

use prism_schemas::table::COMPONENT_SCORES;

use super::*;
use crate::forming::Audience;

/// Timeframe, minute, revision and raw value of each version of a component; NaN where it was retracted.
fn readings(rows: &[Version], component: &str, timeframe: &str) -> Vec<(i64, i64, f64)> {
    let text = |row: &Version, column| row.get(column).unwrap().to_json().as_str().unwrap().to_string();
    let of = rows.iter().filter(|row| text(row, "component") == component && text(row, "timeframe") == timeframe);
    let raw = |row: &Version| match row.get("retracted").unwrap().to_json().as_bool() {
        Some(true) => f64::NAN,
        _ => float(row, "raw_value").unwrap(),
    };
    of.map(|row| ((int(row, "ts") - TEN) / MINUTE, int(row, "revision"), raw(row))).collect()
}

impl Log {
    /// Another size of the best bid, of 30 with the best ask's, from a minute's start on.
    fn best(&mut self, minute: i64, id: u64, bid_size: i64) {
        let ts = TEN + minute * MINUTE;
        self.book(ts, ts, id, false, &[(995, bid_size)], &[(1_005, 30 - bid_size)]);
    }

    /// Six minutes with best bids of 10, 20, 25, ...
    fn six_minutes() -> Log {
        let mut log = Log::new("bybit", "linear");
        log.trades(0..6);
        log.snapshot(TEN - SECOND, 1);
        (0..6).for_each(|minute| log.best(minute, minute as u64 + 2, [10, 20, 25, 15, 5, 18][minute as usize]));
        log
    }

    fn components(&self) -> Vec<Version> {
        let rows = self.rows(&COMPONENT_SCORES, 600, 1, 1);
        for (stride, at_once, workers) in [(1, 1, 1), (7, 3, 2)] {
            let others = self.rows(&COMPONENT_SCORES, stride, at_once, workers);
            assert_eq!(rows.len(), others.len());
            for name in ["oir", "di", "impact"] {
                let of = |rows: &[Version]| format!("{:?}", ["1m", "5m"].map(|frame| readings(rows, name, frame)));
                assert_eq!(of(&rows), of(&others), "{name} {stride} {at_once} {workers}");
            }
        }
        rows
    }
}

/// (bid - ask) / 30, cut as the table's.
fn ratio(bid: i64) -> f64 {
    ((2 * bid - 30) * 1_000_000_000 / 30) as f64 / 1e9
}

fn near(have: &[(i64, i64, f64)], expected: &[(i64, i64, f64)]) {
    let same = |(a, b): (&(i64, i64, f64), &(i64, i64, f64))| {
        (a.0, a.1) == (b.0, b.1) && ((a.2 - b.2).abs() < 1e-8 || a.2.is_nan() && b.2.is_nan())
    };
    assert!(have.len() == expected.len() && have.iter().zip(expected).all(same), "{have:?}, expected {expected:?}");
}

#[test]
fn longer_bars_have_the_mean_of_all_and_the_end_of_the_last() {
    let rows = Log::six_minutes().components();
    let all = [10, 20, 25, 15, 5].map(ratio);
    near(&readings(&rows, "oir", "1m")[..5], &std::array::from_fn::<_, 5, _>(|minute| (minute as i64, 0, all[minute])));
    near(&readings(&rows, "oir", "5m"), &[(0, 0, all.iter().sum::<f64>() / 5.0)]);
    // Bids of 5 against asks of 25 at the end, spreads of 1.
    near(&readings(&rows, "di", "5m"), &[(0, 0, (99.5 + 5.0 / 30.0) - 100.0)]);
}

#[test]
fn what_was_suspect_is_in_no_mean_and_a_suspect_end_leaves_nothing() {
    let mut log = Log::six_minutes();
    // A number is missing: the book is out of step from there to the snapshot.
    let of_minute = |log: &mut Log, minute: i64| {
        let at = log
            .events
            .iter()
            .position(|event| event.ts_event == TEN + minute * MINUTE && matches!(event.body, Some(Body::Book(_))));
        log.events.remove(at.unwrap());
    };
    let mut broken = log.clone();
    of_minute(&mut broken, 1);
    let ts = TEN + 2 * MINUTE + 30 * SECOND;
    broken.snapshot(ts, 4);
    broken.events.sort_by_key(|event| event.ts_recv);
    let rows = broken.components();
    // Minute 1 is the one before; minute 2 is suspect, half of it without a book.
    near(
        &readings(&rows, "oir", "1m")[..4],
        &[(0, 0, ratio(10)), (1, 0, ratio(10)), (3, 0, ratio(15)), (4, 0, ratio(5))],
    );
    near(&readings(&rows, "oir", "5m"), &[(0, 0, (2.0 * ratio(10) + ratio(15) + ratio(5)) / 4.0)]);
    // The last minute is out of step.
    of_minute(&mut log, 3);
    let rows = log.components();
    near(&readings(&rows, "oir", "5m"), &[]);
    near(&readings(&rows, "impact", "5m"), &[]);
}

#[test]
fn a_book_that_is_said_to_be_suspect_later_takes_its_readings_back() {
    let mut log = Log::six_minutes();
    let (told, known) = (TEN + 4 * MINUTE + 10 * SECOND, TEN + 5 * MINUTE + 20 * SECOND);
    for (at, status) in [(told, Feed::Gap), (told + SECOND, Feed::ResyncFinished)] {
        let body = FeedStatus { channel: "book".into(), status: status.into(), ..FeedStatus::default() };
        log.push(at, known, Body::FeedStatus(body));
    }
    let rows = log.components();
    let mean = [10, 20, 25, 15, 5].map(ratio).iter().sum::<f64>() / 5.0;
    near(&readings(&rows, "oir", "5m"), &[(0, 0, mean), (0, 1, f64::NAN)]);
    near(&readings(&rows, "oir", "1m")[4..6], &[(4, 0, ratio(5)), (4, 1, f64::NAN)]);
}

/// Wants components, and keeps the last of each.
#[derive(Default)]
struct Formed(Mutex<Vec<Version>>);

impl Audience for Formed {
    fn wants(&self, table: Option<&Table>) -> bool {
        table.is_none_or(|table| *table == COMPONENT_SCORES)
    }

    fn wants_symbol(&self, _: &str) -> bool {
        true
    }

    fn form(&self, rows: Versions) {
        self.0.lock().unwrap().extend(rows.to_vec());
    }

    fn asked(&self) -> u64 {
        0
    }

    fn formed(&self, _: usize, _: usize, _: u64) {}
}

/// Component rows that formed, and those that closed, of events that come one by one.
fn formed_and_closed(log: &Log, settings: Settings) -> (Vec<Version>, Vec<Version>) {
    let formed = Arc::new(Formed::default());
    let closed = Arc::new(Mutex::new(Vec::new()));
    let (audience, into, log) = (formed.clone(), closed.clone(), log.clone());
    timely::execute_directly(move |worker| {
        let plan = Plan { forming: Some(audience), ..Plan::new(settings).unwrap() };
        let sink: Sink = Arc::new(move |rows: Versions| {
            into.lock().unwrap().extend(rows.to_vec().into_iter().filter(|row| *row.table == COMPONENT_SCORES));
        });
        let (records, newest) = log.records(&plan, 1);
        let (inputs, probe) = worker.dataflow(|scope| assemble(scope, &plan, |outputs| tables(outputs, &plan, &sink)));
        let pace = Pace { epoch: plan.settings.time.epoch as u64, stride: 1, batch: 0 };
        let mut driver = Driver::new(inputs, probe, pace);
        for record in records {
            let known = record.known();
            driver.send(worker, record);
            driver.advance(known + 1);
            driver.drain(worker);
            worker.step();
        }
        driver.advance(newest + MINUTE as u64);
        driver.drain(worker);
    });
    let (formed, closed) = (formed.0.lock().unwrap().clone(), closed.lock().unwrap().clone());
    (formed, closed)
}

#[test]
fn the_last_that_forms_is_what_closes() {
    let mut log = Log::six_minutes();
    // Behind the last trade.
    let last = TEN + 6 * MINUTE - SECOND / 2;
    log.book(last, last, 8, false, &[(995, 11)], &[(1_005, 19)]);
    let (formed, closed) = formed_and_closed(&log, settings());
    let all = [("oir", "1m", 6), ("di", "1m", 6), ("impact", "5m", 1), ("oir", "5m", 1), ("di", "5m", 1)];
    for (name, frame, n_rows) in all {
        let closed = readings(&closed, name, frame);
        assert_eq!(closed.len(), n_rows, "{name} {frame}");
        for row in closed {
            let last = readings(&formed, name, frame).into_iter().rfind(|(minute, ..)| *minute == row.0);
            assert_eq!(last.map(|last| last.2), Some(row.2), "{name} {frame}");
        }
    }
    let oir = "oir".into();
    let known: BTreeSet<Ts> =
        formed.iter().filter(|row| row.get("component") == Some(&oir)).map(|row| int(row, "known_at")).collect();
    assert!(known.contains(&last), "when its newest event was received");
    assert_eq!(known.last(), Some(&(last + MINUTE)), "and up to when none is known to have come");
    // And before, it was what there was until then.
    let first = readings(&formed, "oir", "5m")[1];
    assert!((first.2 - ratio(10)).abs() < 1e-8, "{first:?}");
}

#[test]
fn minutes_without_a_bar_are_in_no_mean_while_it_forms() {
    let mut log = Log::six_minutes();
    let is_between = |event: &Event| (TEN + MINUTE..TEN + 4 * MINUTE).contains(&event.ts_event);
    log.events.retain(|event| !(matches!(event.body, Some(Body::Trade(_))) && is_between(event)));
    let (formed, closed) =
        formed_and_closed(&log, Settings { bars: BarSettings { empty: Empty::Omit, ..settings().bars }, ..settings() });
    // Two minutes of five are too few for a mean, and enough for how it stands.
    near(&readings(&closed, "oir", "5m"), &[]);
    assert_eq!(readings(&closed, "impact", "5m").len(), 1);
    let in_minute_4 = |row: &&Version| (TEN + 4 * MINUTE + 1..TEN + 5 * MINUTE).contains(&int(row, "known_at"));
    let late: Vec<Version> = formed.iter().filter(in_minute_4).cloned().collect();
    near(&readings(&late, "oir", "5m"), &[]);
    assert!(!readings(&late, "impact", "5m").is_empty() && !readings(&late, "oir", "1m").is_empty());
}
