//! Processes that are killed, stall or start again.

use prism_schemas::{
    Timeframe, Ts,
    event::{Feed, FeedStatus, event::Body},
    time::{MINUTE, SECOND},
};
use proptest::prelude::*;

use super::{Log, MS, TEN, killed, settings};
use crate::bar::Quality::{self, Gap, Ok, Partial};

#[test]
fn the_outage_of_a_killed_ingest_is_no_flat_bar() {
    let mut log = killed();
    log.lives("second", TEN + 30 * MINUTE, TEN + 33 * MINUTE);
    log.says("second", "A", TEN + 30 * MINUTE + 5 * SECOND, Feed::Connected);
    log.trades("A", TEN + 31 * MINUTE, TEN + 33 * MINUTE, 500 * MS);
    let bars = log.run(&settings());
    let seconds = bars.qualities("A", Timeframe::S1, TEN - MINUTE, TEN + 33 * MINUTE - SECOND);
    assert_eq!(seconds, [(60, Ok), (1, Partial), (30 * 60 + 4, Gap), (60 - 5 + 2 * 60 - 1, Ok)]);
    let minutes = bars.qualities("A", Timeframe::M1, TEN - MINUTE, TEN + 32 * MINUTE);
    assert_eq!(minutes, [(1, Ok), (1, Partial), (30, Gap), (1, Ok)]);
    // What closed on credit is corrected once the silence is known: here by the first record after it.
    let of = |start| &bars.versions[&("A".into(), Timeframe::S1, start)];
    let known: Vec<(Ts, Quality)> =
        of(TEN + SECOND).iter().map(|(known, bar)| (*known as Ts - TEN, bar.as_ref().unwrap().quality)).collect();
    assert_eq!(known, [(2_300 * MS, Ok), (2_500 * MS, Gap)], "it was closed on credit");
    assert_eq!(of(TEN).iter().map(|(_, bar)| bar.as_ref().unwrap().quality).collect::<Vec<_>>(), [Ok, Partial]);
    assert_eq!(of(TEN + 2 * SECOND).len(), 1, "a gap from its first version on");
}

#[test]
fn a_killed_ingest_is_one_that_said_that_it_ended() {
    let mut log = killed();
    let mut said = Log(log.0.iter().filter(|(_, _, symbol, _)| !symbol.is_empty()).cloned().collect());
    for (.., event) in &mut said.0 {
        if let Some(Body::FeedStatus(status)) = &mut event.body {
            status.session.clear();
        }
    }
    // The last of its heartbeats that counts was at TEN + 500 ms; what came then had been on its way for grace at most.
    said.says("", "A", TEN + 250 * MS, Feed::Disconnected);
    for log in [&mut log, &mut said] {
        log.trades("A", TEN + 10 * MINUTE, TEN + 11 * MINUTE, SECOND);
    }
    assert_eq!(log.run(&settings()).standing(), said.run(&settings()).standing());
}

#[test]
fn one_of_two_ingests_is_killed() {
    let mut log = killed();
    log.lives("other", TEN - MINUTE, TEN + 10 * MINUTE);
    log.says("other", "B", TEN - MINUTE, Feed::Connected);
    log.trades("B", TEN - MINUTE, TEN, SECOND);
    for workers in [1, 2] {
        let bars = log.run_with(&settings(), 1, workers);
        let of = |symbol| bars.qualities(symbol, Timeframe::M1, TEN - MINUTE, TEN + 9 * MINUTE);
        assert_eq!(of("A"), [(1, Ok), (1, Partial), (8, Gap)], "{workers} workers");
        assert_eq!(of("B"), [(10, Ok)], "{workers} workers");
    }
}

#[test]
fn what_is_not_followed_after_a_restart_waits_after_its_gap() {
    let mut log = killed();
    log.lives("second", TEN + MINUTE, TEN + 10 * MINUTE);
    log.says("second", "B", TEN + MINUTE, Feed::Connected);
    log.trades("B", TEN + MINUTE, TEN + 10 * MINUTE, SECOND);
    let mut settings = settings();
    settings.bars.gap_max = 3 * MINUTE;
    let bars = log.run(&settings);
    let of = |timeframe| bars.qualities("A", timeframe, TEN, TEN + 10 * MINUTE);
    assert_eq!(of(Timeframe::S1), [(1, Partial), (180, Gap)]);
    assert_eq!(of(Timeframe::M1), [(1, Partial), (3, Gap)]);
}

#[test]
fn a_quick_restart_leaves_its_hole() {
    let mut log = killed();
    log.lives("second", TEN + SECOND, TEN + 2 * MINUTE);
    log.says("second", "A", TEN + 1_200 * MS, Feed::Connected);
    log.trades("A", TEN + 1_500 * MS, TEN + 2 * MINUTE, 500 * MS);
    let bars = log.run(&settings());
    assert_eq!(bars.qualities("A", Timeframe::S1, TEN - SECOND, TEN + 5 * SECOND), [(1, Ok), (2, Partial), (3, Ok)]);
    assert_eq!(bars.qualities("A", Timeframe::M1, TEN - MINUTE, TEN + MINUTE), [(1, Ok), (1, Partial)]);
}

#[test]
fn a_stalled_process_vouches_for_nothing_in_between() {
    let mut log = Log::default();
    log.lives("only", TEN - MINUTE, TEN + 800 * MS);
    log.lives("only", TEN + 10 * SECOND, TEN + MINUTE);
    log.says("only", "A", TEN - MINUTE, Feed::Connected);
    log.trades("A", TEN - MINUTE, TEN, SECOND);
    let bars = log.run(&settings());
    assert_eq!(bars.qualities("A", Timeframe::S1, TEN - SECOND, TEN + 50 * SECOND), [(1, Ok), (10, Gap), (40, Ok)]);
}

#[test]
fn what_is_said_again_changes_nothing_and_is_taken_back_by_an_earlier_end() {
    let logs = [false, true].map(|again| {
        let mut log = Log::default();
        log.lives("only", TEN - MINUTE, TEN + 2 * MINUTE);
        log.says("only", "A", TEN - MINUTE, Feed::Connected);
        log.trades("A", TEN - MINUTE, TEN, SECOND);
        let mut told = |at: Ts, known: Ts, feed: Feed| {
            let status = FeedStatus { session: "only".into(), status: feed.into(), ..FeedStatus::default() };
            log.push(known, "A", at, known, Body::FeedStatus(status));
        };
        // Nothing came since TEN, which shows only after it was said that all is as it was.
        if again {
            told(TEN - 30 * SECOND, TEN - 30 * SECOND, Feed::Connected);
            told(TEN + 4 * SECOND, TEN + 4 * SECOND, Feed::Connected);
        }
        told(TEN + 250 * MS, TEN + 9 * SECOND, Feed::Disconnected);
        if again {
            told(TEN + 4 * SECOND, TEN + 9 * SECOND, Feed::Disconnected);
        }
        log.run(&settings())
    });
    let [once, again] = logs;
    assert_eq!(once.standing(), again.standing());
    assert_eq!(again.qualities("A", Timeframe::S1, TEN - SECOND, TEN + MINUTE), [(1, Ok), (60, Gap)]);
}

#[test]
fn signs_of_life_that_come_late_make_it_good_again() {
    let logs = [0, 4 * MINUTE].map(|late| {
        let mut log = Log::default();
        log.lives("first", TEN - MINUTE, TEN);
        log.lived("first", TEN + 100 * MS, TEN + 4 * MINUTE + SECOND, late);
        log.lives("other", TEN - MINUTE, TEN + 9 * MINUTE);
        log.says("first", "A", TEN - MINUTE, Feed::Connected);
        log.trades("A", TEN - MINUTE, TEN, SECOND);
        log
    });
    let [punctual, late] = logs.map(|log| log.run(&settings()));
    assert_eq!(punctual.standing(), late.standing());
    assert_ne!(punctual.versions, late.versions);
    assert_eq!(late.qualities("A", Timeframe::M1, TEN - MINUTE, TEN + 6 * MINUTE), [(5, Ok), (2, Gap)]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// No second of which nothing proves that somebody watched is ok, whenever who dies.
    #[test]
    fn no_bar_is_ok_without_evidence(lives in prop::collection::vec((1..90_000i64, 1..20_000i64), 1..6)) {
        let (mut log, mut at) = (Log::default(), TEN);
        let mut proven: Vec<(Ts, Ts)> = Vec::new();
        for (n, (lived, dead)) in lives.into_iter().enumerate() {
            let (session, end) = (format!("life {n}"), at + lived * MS);
            log.lives(&session, at, end);
            log.says(&session, "A", at, Feed::Connected);
            log.trades("A", at, end, 1_700 * MS);
            proven.push((at, end));
            at = end + dead * MS;
        }
        log.lives("last", at, at + 10 * SECOND);
        let bars = log.run(&settings());
        for ((_, timeframe, start), bar) in bars.standing() {
            let end = bar.end + settings().time.grace;
            let is_proven = proven.iter().any(|(from, to)| *from <= start && end <= to + 1);
            // Heartbeats within half a second of one that counted do not count.
            let is_sure = proven.iter().any(|(from, to)| *from <= start && end <= to - 500 * MS);
            prop_assert!(bar.quality != Ok || is_proven, "{} {}", timeframe, (start - TEN) / MS);
            prop_assert!(bar.quality == Ok || !is_sure, "{} {}", timeframe, (start - TEN) / MS);
        }
    }
}
