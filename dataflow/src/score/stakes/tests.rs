//! Positions read together with prices: what each pattern is called, and what must hold of any.

use proptest::prelude::*;

use super::*;
use crate::flow::Side;

/// A bar: close, open interest, funding rate.
type Made = (f64, Option<f64>, Option<f64>);

fn bar((close, open_interest, funding_rate): Made) -> Bar {
    let positions = Positions {
        open_interest: open_interest.into(),
        worth: open_interest.map(|open| open * close).into(),
        funding_rate: funding_rate.into(),
        ..Positions::NONE
    };
    let bar = Bar::ohlcv(0, [close, close, close, close, 10.0]);
    Bar { turnover: (10.0 * close).into(), positions: Some(Arc::new(positions)), ..bar }
}

/// What is made of each bar.
fn run(bars: &[Bar]) -> Vec<Option<Arc<Stake>>> {
    let mut stakes = Stakes::default();
    let read = |bar: &Bar| {
        let stake = stakes.read(bar, None);
        stakes.push(bar);
        stake
    };
    bars.iter().map(read).collect()
}

/// What is made of the last of these bars' open interest.
fn last(bars: &[Made]) -> OpenInterest {
    let bars: Vec<Bar> = bars.iter().copied().map(bar).collect();
    run(&bars).pop().flatten().and_then(|stake| stake.open_interest.clone()).expect("an open interest")
}

/// Price and open interest that wiggle, and at last go by these shares a bar.
fn then(price: f64, open: f64, rate: Option<f64>) -> OpenInterest {
    let wiggle = |n: i32| if n % 2 == 0 { 1.0 } else { 1.0 + 1e-4 };
    let of = |share: f64, n: i32| wiggle(n) * (1.0 + share).powi((n - 15).max(0));
    last(&(0..21).map(|n| (100.0 * of(price, n), Some(1_000.0 * of(open, n)), rate)).collect::<Vec<_>>())
}

#[test]
fn price_and_open_interest_name_four_regimes() {
    for (price, open, word, least, most) in [
        (0.01, 0.01, "long_buildup", 0.75, 1.0),
        (-0.01, 0.01, "short_buildup", -1.0, -0.75),
        (0.01, -0.01, "short_covering", 0.4, 0.75),
        (-0.01, -0.01, "long_unwinding", -0.75, -0.4),
    ] {
        let read = then(price, open, None);
        let (strength, regime) = read.regime.unwrap();
        assert!(regime == word && least < strength && strength < most, "{word}: {read:?}");
        assert!(read.crowding.is_none() && read.lean().is_some());
    }
    // A price at its high with few positions behind it; one at its low that nobody holds positions against.
    assert!(then(0.01, -0.01, None).divergence.unwrap() < -0.9 && 0.9 < then(-0.01, -0.01, None).divergence.unwrap());
}

#[test]
fn those_who_pay_to_build_up_are_crowded() {
    let crowding = |open, rate| then(0.01, open, Some(rate)).crowding.unwrap();
    assert!(crowding(0.01, 0.001) < -0.8 && 0.8 < crowding(0.01, -0.001) && -0.2 < crowding(-0.01, 0.001));
    assert_eq!(crowding(0.01, 0.0), 0.0);
}

#[test]
fn what_stands_still_or_is_too_short_says_nothing() {
    let still: Vec<Made> = vec![(100.0, Some(1_000.0), Some(0.001)); 30];
    let read = last(&still);
    assert_eq!(
        (read.regime, read.divergence, read.structure, read.crowding, read.lean()),
        (None, None, None, None, None)
    );
    assert_eq!((read.changes, read.concentration), ([Some(0.0); 3], Some(5.0)));
    assert_eq!(last(&still[..19]), OpenInterest::default());
    assert_eq!(run(&[bar((100.0, None, Some(0.001)))]), [None]);
    // Bars without an open interest are passed over, unless there are too many.
    let (with, without) = ((100.0, Some(1_000.0), None), (100.0, None, None));
    for (n_missed, expected) in [(49, Some(5.0)), (50, None)] {
        let bars = [vec![with; 19], vec![without; n_missed], vec![with]].concat();
        assert_eq!(last(&bars).concentration, expected, "{n_missed}");
    }
}

/// A bar with longs forced out, and by how much it moved.
fn forced((worth, moved): (f64, f64)) -> Bar {
    let longs = Side { n: 1, volume: worth / 100.0, turnover: worth };
    let forced = (0.0 < worth).then_some(Forced { longs, largest: worth, ..Forced::NONE });
    let positions = Positions { forced, ..Positions::NONE };
    Bar { positions: Some(Arc::new(positions)), ..Bar::ohlcv(0, [100.0, 101.0, 90.0, 100.0 + moved, 1.0]) }
}

#[test]
fn a_cascade_builds_breaks_and_fades() {
    let calm = std::iter::repeat_n((10.0, 0.0), 20);
    let told = [(25.0, -1.0), (200.0, -3.0), (90.0, 1.0), (5.0, 1.0), (5.0, 0.0), (5.0, 0.0)];
    let bars: Vec<Bar> = calm.chain(told).map(forced).collect();
    let rows = run(&bars);
    let read = |at: usize| rows[at].as_ref().and_then(|stake| stake.liquidations.clone()).unwrap();
    let words: Vec<_> = (20..26).map(|at| read(at).cascade).collect();
    assert_eq!(words, ["building", "cascade", "fading", "fading", "fading", "none"]);
    assert!(read(21).reversal_potential.abs() < 1e-12 && 90.0 < read(23).reversal_potential);
    assert!(0.0 < read(21).acceleration && read(22).acceleration < 0.0);
    assert_eq!((read(20).weighted_imbalance, read(18).cascade), (Some(1.0), "none"));
    // The same with the price going the other way is none.
    let bars: Vec<Bar> = bars.iter().map(|bar| Bar { open: bar.close, close: bar.open, ..bar.clone() }).collect();
    let word = run(&bars)[21].as_ref().and_then(|stake| Some(stake.liquidations.as_ref()?.cascade));
    assert_eq!(word, Some("building"));
    // 20 bars later nothing is said any more.
    let bars: Vec<Bar> = [(10.0, -1.0)].into_iter().chain(std::iter::repeat_n((0.0, 0.0), 20)).map(forced).collect();
    assert!(run(&bars).iter().position(Option::is_none) == Some(20));
}

proptest! {
    #[test]
    fn all_is_bounded_and_mirrors_its_mirror(
        bars in prop::collection::vec((-1e-6..1e-6f64, 1.0..1e6f64, -1e-2..1e-2f64), 20..60),
    ) {
        let of = |turn: f64| -> Vec<Made> {
            bars.iter().map(|(move_, open, rate)| (100.0 + turn * move_, Some(*open), Some(turn * rate))).collect()
        };
        let (there, mirrored) = (last(&of(1.0)), last(&of(-1.0)));
        let numbers = |of: &OpenInterest| [of.regime.map(|(regime, _)| regime), of.divergence, of.structure, of.crowding, of.lean()];
        for (have, other) in numbers(&there).into_iter().zip(numbers(&mirrored)) {
            let (have, other) = (have.unwrap(), other.unwrap());
            prop_assert!((-1.0..=1.0).contains(&have) && (have + other).abs() < 1e-3, "{have} {other}");
        }
    }
}
