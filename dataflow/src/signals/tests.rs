//! What a signal's price reaches, bar by bar.

use prism_schemas::time::MINUTE;

use super::*;
use crate::{
    analyse::Analysed,
    bar::{Bar, Quality},
    score::{
        rows::{Parts, Vote},
        stakes::Stake,
    },
    structure::Structured,
};

/// A score at the close of a bar of this low and high.
fn row(minute: i64, [low, high]: [f64; 2], score: f64, setups: [Option<Setup>; 2]) -> Arc<Confluence> {
    let bar = Bar::ohlcv(minute * MINUTE, [100.0, high, low, 100.0, 1.0]);
    let structure = Structured { changes: [].into(), profile: None, setups };
    let stake = Stake { structure: Some(Arc::new(structure)), ..Stake::default() };
    let mut analysed = Analysed::of(bar, &[]);
    analysed.stake = Some(Arc::new(stake));
    Arc::new(Confluence {
        analysed: Arc::new(analysed),
        score,
        coverage: 1.0,
        parts: Parts::default(),
        consensus: Vote::Buy,
        consensus_strength: 1.0,
        quality: Quality::Ok,
        role_coverage: 1.0,
    })
}

const LONG: Setup = Setup { stop: 95.0, basis: "swing_low", targets: [110.0, 115.0] };
const SHORT: Setup = Setup { stop: 105.0, basis: "atr", targets: [90.0, 85.0] };

/// A signal of this direction and what became of it over bars behind the crossing's.
fn after(direction: Direction, bars: &[[f64; 2]]) -> (Signal, [Option<i64>; 3]) {
    let mut signal = Signal::raised(&row(0, [90.0, 120.0], 80.0, [Some(LONG), Some(SHORT)]), direction);
    for (minute, bar) in (1..).zip(bars) {
        signal.reach(&row(minute, *bar, 75.0, [None; 2]));
    }
    let Reached { stop, targets: [first, second] } = signal.reached;
    (signal, [stop, first, second].map(|moment| Some(moment?.ts / MINUTE)))
}

#[test]
fn targets_are_reached_in_turn_and_nothing_after_the_stop() {
    let long = |bars: &[[f64; 2]]| after(Direction::Bullish, bars).1;
    assert_eq!(long(&[[96.0, 109.0], [99.0, 110.0], [99.0, 116.0]]), [None, Some(3), Some(4)]);
    // Both at once, and each only the first time.
    assert_eq!(long(&[[99.0, 116.0], [99.0, 117.0]]), [None, Some(2), Some(2)]);
    // A bar that reaches both reached the stop.
    assert_eq!(long(&[[95.0, 120.0], [99.0, 120.0]]), [Some(2), None, None]);
    assert_eq!(long(&[[99.0, 111.0], [94.0, 96.0]]), [Some(3), Some(2), None]);
    let short = |bars: &[[f64; 2]]| after(Direction::Bearish, bars).1;
    assert_eq!(short(&[[90.0, 104.0], [85.0, 90.0]]), [None, Some(2), Some(3)]);
    assert_eq!(short(&[[80.0, 105.0]]), [Some(2), None, None]);
}

#[test]
fn a_bar_that_is_made_again_takes_back_what_it_and_later_ones_reached() {
    let (signal, _) = after(Direction::Bullish, &[[99.0, 110.0], [99.0, 116.0]]);
    let Reached { targets: [first, second], .. } = signal.before(2 * MINUTE).reached;
    assert_eq!((first.map(|moment| (moment.ts, moment.price)), second), (Some((2 * MINUTE, 110.0)), None));
    assert_eq!(signal.before(MINUTE).reached, Reached::default());
}

#[test]
fn without_a_structure_there_is_no_setup() {
    let mut signal = Signal::raised(&row(0, [90.0, 120.0], 80.0, [None; 2]), Direction::Bullish);
    signal.reach(&row(1, [0.1, 1_000.0], 75.0, [None; 2]));
    assert_eq!((signal.setup, signal.reached), (None, Reached::default()));
}
