//! What comes late, and who else is there, leaves no trace in what stands.

use std::collections::BTreeMap;

use prism_schemas::{
    Timeframe,
    event::Feed,
    time::{HOUR, MINUTE, SECOND},
};

use super::{Bars, Log, MS, TEN, minutes, settings, told_by_the_venue};
use crate::{bar::Quality::Ok, types::Time};

/// The first trade, and its bars until something else happens, as if it had come in time.
#[test]
fn a_late_first_trade_leaves_no_hole() {
    for late in [19 * SECOND, 4 * MINUTE] {
        let logs = [20 * MS, late].map(|late| {
            let mut log = Log::default();
            log.says("", "A", TEN - MINUTE, Feed::Connected);
            log.trade("A", TEN + 30 * SECOND, TEN + 30 * SECOND + late);
            // An open bar has trades that no closed one has.
            log.trade("A", TEN + 48 * SECOND + 600 * MS, TEN + 48 * SECOND + 620 * MS);
            log.trade("A", TEN + 10 * MINUTE, TEN + 10 * MINUTE + 20 * MS);
            log
        });
        let [punctual, late] = logs.map(|log| log.run(&settings()));
        assert_eq!(punctual.standing(), late.standing());
        assert_eq!(punctual.qualities("A", Timeframe::S1, TEN, TEN + 9 * MINUTE), [(9 * 60 - 30, Ok)]);
    }
}

#[test]
fn gaps_do_not_depend_on_who_else_is_there() {
    let mut alone = Log::default();
    alone.says("", "A", TEN - MINUTE, Feed::Connected);
    alone.trades("A", TEN - MINUTE, TEN + 30 * SECOND, SECOND);
    alone.says("", "A", TEN + 30 * SECOND, Feed::Disconnected);
    let mut both = alone.clone();
    both.says("", "B", TEN - MINUTE, Feed::Connected);
    both.trades("B", TEN - MINUTE, TEN + 3 * HOUR, MINUTE);
    // Only so that time goes on.
    alone.lives("", TEN + 3 * HOUR, TEN + 3 * HOUR);
    alone.says("", "C", TEN + 3 * HOUR, Feed::Connected);
    let settings = minutes();
    let of_a =
        |bars: Bars| bars.versions.into_iter().filter(|((symbol, ..), _)| symbol == "A").collect::<BTreeMap<_, _>>();
    let expected = of_a(both.run(&settings));
    let starts =
        |timeframe: Timeframe| expected.keys().filter(|(_, of, _)| *of == timeframe).map(|(.., start)| *start).max();
    assert_eq!(starts(Timeframe::M1), Some(TEN + HOUR));
    assert_eq!(starts(Timeframe::H1), Some(TEN + HOUR));
    for (what, bars) in [("alone", alone.run(&settings)), ("2 workers", both.run_with(&settings, 600, 2))] {
        assert_eq!(of_a(bars), expected, "{what}");
    }
}

#[test]
fn a_sealed_log_ends_alike_for_all() {
    let mut log = Log::default();
    for symbol in ["A", "B"] {
        log.says("", symbol, TEN - MINUTE, Feed::Connected);
        log.trades(symbol, TEN - MINUTE, TEN, SECOND);
    }
    // B trades on; words without trades come later.
    log.trade("B", TEN + 2 * MINUTE + 10_500 * MS, TEN + 2 * MINUTE + 10_600 * MS);
    log.says("", "B", TEN + 2 * MINUTE + 40 * SECOND, Feed::Connected);
    log.says("", "B", TEN + 2 * MINUTE + 50 * SECOND, Feed::Connected);
    let last = TEN + 2 * MINUTE + 10_500 * MS;
    let expected = log.run_sealed(&settings(), 600, 1, Some(last));
    for (stride, workers) in [(1, 1), (10, 2), (5_000, 1)] {
        let bars = log.run_sealed(&settings(), stride, workers, Some(last));
        assert_eq!(bars, expected, "stride {stride}, {workers} workers");
    }
    for symbol in ["A", "B"] {
        let n =
            |timeframe| expected.qualities(symbol, timeframe, TEN, TEN + HOUR).iter().map(|(n, _)| n).sum::<usize>();
        // What closed by 10:02:50, then what had begun by the last trade.
        assert_eq!(n(Timeframe::S1), 2 * 60 + 49, "{symbol}");
        assert_eq!((n(Timeframe::M1), n(Timeframe::M5), n(Timeframe::H1)), (3, 1, 1), "{symbol}");
    }
}

/// Everything at once: kills, stalls, restarts, late words, late trades, klines.
fn turmoil() -> Log {
    let mut log = told_by_the_venue();
    log.lives("other", TEN - MINUTE, TEN + 12 * MINUTE);
    log.lived("other", TEN + 12 * MINUTE, TEN + 14 * MINUTE, 90 * SECOND);
    log.lives("other", TEN + 15 * MINUTE, TEN + 20 * MINUTE);
    log.says("other", "B", TEN - MINUTE, Feed::Connected);
    log.trades("B", TEN - MINUTE, TEN + 20 * MINUTE, 7 * SECOND);
    log.says("other", "B", TEN + 3 * MINUTE, Feed::Disconnected);
    log.says("other", "B", TEN + 4 * MINUTE, Feed::Connected);
    log.says("other", "B", TEN + 90 * SECOND, Feed::Gap);
    log.0.last_mut().unwrap().0 = TEN + 5 * MINUTE;
    log.says("other", "B", TEN + 100 * SECOND, Feed::ResyncFinished);
    log.0.last_mut().unwrap().0 = TEN + 5 * MINUTE;
    for n in 0..30 {
        log.trade("B", TEN + n * 37 * SECOND + 3 * MS, TEN + n * 37 * SECOND + (n % 5) * MINUTE);
    }
    log
}

#[test]
fn strides_and_workers_do_not_show() {
    let (log, settings) = (turmoil(), settings());
    let expected = log.run(&settings);
    assert!(expected.versions.values().any(|versions| 2 < versions.len()));
    let agrees = |bars: Bars, label: String| {
        let other = expected.versions.iter().find(|(key, versions)| bars.versions.get(key) != Some(versions));
        assert_eq!(other.and_then(|(key, _)| bars.versions.get(key)), other.map(|(_, versions)| versions), "{label}");
        assert_eq!((bars.errors, bars.versions.len()), (expected.errors.clone(), expected.versions.len()), "{label}");
    };
    for (stride, workers) in [(1, 1), (1, 3), (10, 2), (7, 1), (5_000, 2)] {
        agrees(log.run_with(&settings, stride, workers), format!("stride {stride}, {workers} workers"));
    }
    for by in [SECOND, 5 * MINUTE, 100 * HOUR] {
        agrees(log.run_ahead(&settings, 10, 1, None, by as Time), format!("{} s ahead", by / SECOND));
    }
    for (stride, workers) in [(1, 1), (10, 2), (600, 3)] {
        let bars = log.run_in_engine(&settings, stride, workers);
        agrees(bars, format!("stride {stride}, {workers} workers in the engine"));
    }
}
