//! Analysts on made-up bars: holes, and state that is saved and loaded.

use super::*;
use crate::{indicator::contract::walk, refusals::settings};

#[test]
fn what_reaches_over_a_hole_is_partial_until_it_is_not() {
    let mut settings = settings();
    for (empty, behind) in [(Empty::Flat, Quality::Partial), (Empty::Omit, Quality::Ok)] {
        settings.bars.empty = empty;
        let catalogue = Catalogue::new(&settings).unwrap();
        let mut analyst = catalogue.analyst(false, empty == Empty::Flat);
        let mut next = |at: i64, quality| {
            let mut bar = Bar { quality, ..Bar::ohlcv(0, [1.0; 5]) };
            (bar.start, bar.end) = (at, at + 1);
            analyst.next(&Arc::new(bar).into())
        };
        assert_eq!(next(0, Quality::Ok).quality(), Quality::Ok);
        // No bar from 1 to 5: with `omit` nothing says that one is missing.
        let rows: Vec<_> = (5..300).map(|at| next(at, Quality::Ok)).collect();
        assert!(rows[..200].iter().all(|row| row.quality() == behind), "{empty:?}");
        assert!(rows[200..].iter().all(|row| row.quality() == Quality::Ok));
        assert_eq!(
            rows.iter().position(|row| !row.reaches_over_hole(50)),
            Some(if empty == Empty::Flat { 50 } else { 0 })
        );
        assert_eq!(next(300, Quality::Gap).quality(), Quality::Gap);
        assert_eq!(next(301, Quality::Ok).quality(), Quality::Partial);
        assert_eq!(next(302, Quality::Suspect).quality(), Quality::Suspect);
    }
}

#[test]
fn a_machine_that_is_loaded_goes_on_as_the_one_that_was_saved() {
    let catalogue = Catalogue::new(&settings()).unwrap();
    let bars: Vec<Interval> = walk(400, 11, 100.0).into_iter().map(|bar| Arc::new(bar).into()).collect();
    let fresh = || catalogue.analyst(true, true);
    for n_before in [0, 1, 20, 60, 250] {
        let mut saved = fresh();
        bars[..n_before].iter().for_each(|bar| drop(saved.next(bar)));
        let mut state = Vec::new();
        saved.save(&mut state);
        let (mut loaded, mut rest) = (fresh(), &state[..]);
        loaded.load(&mut rest).unwrap();
        assert!(rest.is_empty());
        for bar in &bars[n_before..] {
            assert_eq!(saved.next(bar), loaded.next(bar), "{n_before}");
        }
        assert!(fresh().load(&mut &state[..state.len() - 1]).is_err());
    }
}
