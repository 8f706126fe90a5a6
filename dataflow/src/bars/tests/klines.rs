//! The venue's klines where nobody watched, and where somebody did.

use prism_schemas::{
    Timeframe, Ts,
    event::{Feed, FeedStatus, event::Body},
    time::{HOUR, MINUTE, SECOND},
};

use super::{Bars, Log, MS, TEN, killed, minutes, told_by_the_venue};
use crate::{
    bar::{
        Quality::{Gap, Ok, Partial},
        Source,
    },
    settings::Empty,
};

#[test]
fn the_venue_fills_what_nobody_watched() {
    let bars = told_by_the_venue().run(&minutes());
    for n in 1..30 {
        let bar = bars.bar("A", Timeframe::M1, TEN + n * MINUTE).unwrap();
        assert_eq!((bar.source, bar.quality, bar.close, bar.volume), (Source::Venue, Ok, 102.0, 7.0), "{n}");
        assert_eq!((bar.buy_volume.get(), bar.n_trades.get(), bar.n_buys.get()), (None, None, None), "{n}");
        let known: Vec<Ts> = bars.versions[&("A".into(), Timeframe::M1, TEN + n * MINUTE)]
            .iter()
            .map(|(known, _)| *known as Ts - TEN)
            .collect();
        assert_eq!(known, [(n + 1) * MINUTE + 300 * MS, 30 * MINUTE + 6 * SECOND], "{n}");
    }
    // Trades stay, and are compared.
    for (n, quality) in [(-1, Ok), (0, Partial)] {
        let bar = bars.bar("A", Timeframe::M1, TEN + n * MINUTE).unwrap();
        assert_eq!((bar.source, bar.quality), (Source::Trades, quality));
    }
    assert_eq!(bars.errors, ["kline_differs", "kline_differs"]);
    // What comes after goes on from the venue's close.
    let flat = bars.bar("A", Timeframe::M1, TEN + 30 * MINUTE).unwrap();
    assert_eq!((flat.close, flat.volume, flat.quality), (102.0, 0.0, Ok));
}

#[test]
fn klines_fill_whenever_they_come_within_the_horizon() {
    // Known before the silence is: the bar is the venue's from its first version on.
    let mut log = told_by_the_venue();
    log.kline("A", Timeframe::M5, TEN + 5 * MINUTE, TEN + 4 * MINUTE);
    let bars = log.run(&minutes());
    let versions = &bars.versions[&("A".into(), Timeframe::M5, TEN + 5 * MINUTE)];
    assert_eq!(versions.iter().map(|(_, bar)| bar.as_ref().unwrap().source).collect::<Vec<_>>(), [Source::Venue]);
    // Later than the horizon it changes nothing.
    let mut log = killed();
    log.lives("second", TEN + 10 * MINUTE, TEN + 10 * MINUTE);
    log.lives("second", TEN + 2 * HOUR + 10 * MINUTE, TEN + 2 * HOUR + 10 * MINUTE);
    log.kline("A", Timeframe::M1, TEN + 9 * MINUTE, TEN + 2 * HOUR + 10 * MINUTE);
    log.kline("A", Timeframe::M1, TEN + 8 * MINUTE, TEN + 2 * HOUR + 10 * MINUTE);
    let bars = log.run(&minutes());
    let source = |n| bars.bar("A", Timeframe::M1, TEN + n * MINUTE).map(|bar| bar.source);
    assert_eq!((source(8), source(9)), (Some(Source::Trades), Some(Source::Venue)));
    // Nor does it where a feed was connected and nothing traded.
    let mut log = Log::default();
    log.says("", "A", TEN, Feed::Connected);
    log.trades("A", TEN, TEN + MINUTE, SECOND);
    log.trades("A", TEN + 3 * MINUTE, TEN + 4 * MINUTE, SECOND);
    log.kline("A", Timeframe::M1, TEN + MINUTE, TEN + 3 * MINUTE);
    let bars = log.run(&minutes());
    assert_eq!(bars.bar("A", Timeframe::M1, TEN + MINUTE).unwrap().n_trades.get(), Some(0));
    assert_eq!(bars.errors, ["kline_differs"]);
    // Until it becomes known that it was not.
    log.says("", "A", TEN + 100 * SECOND, Feed::Gap);
    log.0.last_mut().unwrap().0 = TEN + 3 * MINUTE + SECOND;
    let bars = log.run(&minutes());
    assert_eq!(bars.bar("A", Timeframe::M1, TEN + MINUTE).unwrap().source, Source::Venue);
    assert_eq!(bars.bar("A", Timeframe::M1, TEN + 2 * MINUTE).unwrap().quality, Gap);
}

#[test]
fn klines_fill_what_is_longer_than_the_gaps_that_are_told() {
    let mut settings = minutes();
    settings.bars.gap_max = 5 * MINUTE;
    let bars = told_by_the_venue().run(&settings);
    let sources: Vec<Source> =
        (0..30).map(|n| bars.bar("A", Timeframe::M1, TEN + n * MINUTE).unwrap().source).collect();
    assert!(sources[1..].iter().all(|source| *source == Source::Venue), "{sources:?}");
    settings.bars.empty = Empty::Omit;
    let bars = told_by_the_venue().run(&settings);
    assert_eq!(bars.qualities("A", Timeframe::M1, TEN, TEN + 30 * MINUTE), [(1, Partial), (29, Ok)]);
}

#[test]
fn what_klines_fill_in_part_holds_nothing_up() {
    // Three of the five minutes become known long after the interval is over, then five of the next.
    let (mut log, late) = (Log::default(), TEN + 20 * MINUTE);
    log.kline("A", Timeframe::M5, TEN - 5 * MINUTE, late);
    for minute in 2..10 {
        log.kline("A", Timeframe::M1, TEN + minute * MINUTE, late);
    }
    let bars = log.run(&minutes());
    assert_eq!(bars.bar("A", Timeframe::M5, TEN).map(|bar| bar.quality), Some(Gap));
    assert_eq!(bars.bar("A", Timeframe::M5, TEN + 5 * MINUTE).map(|bar| bar.source), Some(Source::Venue));
}

#[test]
fn a_hole_among_klines_that_come_at_once_is_told_for_as_long_as_any() {
    let mut settings = minutes();
    settings.bars.gap_max = 5 * MINUTE;
    let (mut log, known) = (Log::default(), TEN + 30 * MINUTE + 30 * SECOND);
    // In whichever order the venue gives them.
    for minute in (0..3).chain(20..30).rev() {
        log.kline("A", Timeframe::M1, TEN + minute * MINUTE, known);
    }
    let gap = |bars: &Bars, minutes: std::ops::Range<i64>| {
        minutes.filter(|n| bars.bar("A", Timeframe::M1, TEN + n * MINUTE).is_some_and(|bar| bar.quality == Gap)).count()
    };
    let bars = log.run(&settings);
    assert_eq!((gap(&bars, 3..9), gap(&bars, 9..20)), (6, 0));
    // A history that goes on has no end before it says so.
    let body = FeedStatus { status: Feed::Connected.into(), channel: "klines_1m".into(), ..FeedStatus::default() };
    log.push(TEN, "A", TEN, TEN, Body::FeedStatus(body));
    let bars = log.run(&settings);
    assert_eq!(gap(&bars, 3..20), 17);
}

#[test]
fn shorter_klines_that_come_later_make_nothing_again_that_is_forgotten() {
    let settings = minutes();
    let (mut log, day) = (Log::default(), 24 * HOUR);
    // As at a start: the longest history first, and all of it long past.
    let times = |length: i64| (0..day / length).map(move |n| TEN - day + n * length);
    times(HOUR).for_each(|start| log.kline("A", Timeframe::H1, start, TEN));
    times(5 * MINUTE).for_each(|start| log.kline("A", Timeframe::M5, start, TEN + SECOND));
    times(MINUTE).for_each(|start| log.kline("A", Timeframe::M1, start, TEN + 2 * SECOND));
    let bars = log.run(&settings);
    let n_again = bars.versions.values().filter(|versions| versions.len() != 1).count();
    assert_eq!((bars.versions.len(), n_again), (24 * (1 + 12 + 60), 0));
}
