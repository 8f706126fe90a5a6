//! Structure of bars written down by hand; the whole of it is recomputed from METHODS.md in `tests/oracle/structure.py`.

use super::*;

/// Bars `[open, high, low, close]` of volume 1, each starting one later; what each changed.
fn run(bars: &[[f64; 4]]) -> (Structure, Vec<Vec<Change>>) {
    let mut structure = Structure::default();
    let told = bars.iter().enumerate().map(|(at, [open, high, low, close])| {
        let bar = Bar::ohlcv(at as Ts, [*open, *high, *low, *close, 1.0]);
        structure.push(&bar, Some(2.0)).map_or(Vec::new(), |told| told.changes.to_vec())
    });
    let told = told.collect();
    (structure, told)
}

/// Changes as kind, side, state, prices and bar.
fn words(changes: &[Change]) -> Vec<(&'static str, &'static str, &'static str, f64, f64, Ts)> {
    let word = |one: &Change| (one.kind, one.way.name(), one.state, one.zone.from, one.zone.to, one.zone.origin);
    changes.iter().map(word).collect()
}

/// A rise to 12, a fall to 9, then up through 12.
const RISE: [[f64; 4]; 9] = [
    [9.0, 10.0, 8.5, 9.5],
    [9.5, 11.0, 9.0, 10.5],
    [10.5, 12.0, 10.0, 11.0],
    [11.0, 11.5, 9.5, 10.0],
    [10.0, 10.5, 9.2, 9.5],
    [9.5, 9.8, 9.0, 9.2],
    [9.2, 10.2, 9.1, 10.0],
    [10.0, 11.6, 9.9, 11.5],
    [11.5, 13.0, 11.4, 12.8],
];

#[test]
fn a_swing_is_known_two_bars_later_and_broken_by_a_close() {
    let (structure, told) = run(&RISE);
    assert_eq!(told[..4].concat(), []);
    assert_eq!(words(&told[4]), [("swing_high", "bearish", "confirmed", 12.0, 12.0, 2)]);
    assert_eq!(told[4][0].strength, Some(0.1));
    let small = ("fair_value_gap", "bullish", "open", 9.8, 9.9, 6);
    assert_eq!(words(&told[7]), [small, ("swing_low", "bullish", "confirmed", 9.0, 9.0, 5)]);
    let broken = ("bos", "bullish", "broken", 12.0, 12.0, 2);
    // The bar is above all of the one two before, and the one between rose; the last falling bar before it is the block.
    let gap = ("fair_value_gap", "bullish", "open", 10.2, 11.4, 7);
    let block = ("order_block", "bullish", "fresh", 9.0, 9.8, 5);
    assert_eq!(words(&told[8]), [broken, gap, block]);
    assert_eq!((structure.swings.trend, structure.swings.standing[0]), (1, None));
    // Volumes are all the same: .6 of a half, and .4 of a tenth.
    assert!((told[8][2].strength.unwrap() - 0.34).abs() < 1e-12);
}

#[test]
fn of_equal_highs_the_first_is_a_swing() {
    let flat = [[10.0, 11.0, 9.0, 10.0], [10.0, 11.5, 9.2, 10.0], [10.0, 12.0, 9.4, 10.0]];
    let bars: Vec<_> = flat.into_iter().chain([[10.0, 12.0, 9.6, 10.0]; 3]).collect();
    let (_, told) = run(&bars);
    let highs: Vec<Ts> = told.concat().iter().filter(|of| of.kind == "swing_high").map(|of| of.zone.origin).collect();
    assert_eq!(highs, [2]);
}

#[test]
fn gaps_fill_and_blocks_are_visited_until_they_break() {
    let back = [
        [12.8, 12.9, 11.0, 11.2],
        [11.2, 11.3, 9.7, 10.0],
        [10.0, 10.1, 9.3, 9.6],
        // Below the block, and below the swing low of bar 5 as well.
        [9.6, 9.7, 8.0, 8.2],
    ];
    let bars: Vec<_> = RISE.into_iter().chain(back).collect();
    let (structure, told) = run(&bars);
    let of = |at: usize| words(&told[at]);
    assert_eq!(of(9), []);
    let filled =
        [(9.8, 9.9, 6), (10.2, 11.4, 7)].map(|(from, to, at)| ("fair_value_gap", "bullish", "filled", from, to, at));
    let visit = |state| ("order_block", "bullish", state, 9.0, 9.8, 5);
    let high = ("swing_high", "bearish", "confirmed", 13.0, 13.0, 8);
    let opened = ("fair_value_gap", "bearish", "open", 11.3, 11.4, 9);
    assert_eq!(of(10), [filled[0], filled[1], opened, visit("tested"), high]);
    let opened = ("fair_value_gap", "bearish", "open", 10.1, 11.0, 10);
    assert_eq!(of(11), [opened, visit("mitigated")]);
    let broken = ("choch", "bearish", "broken", 9.0, 9.0, 5);
    assert_eq!(of(12)[..2], [broken, ("order_block", "bullish", "broken", 9.0, 9.8, 5)]);
    assert_eq!(of(12)[2].0, "order_block", "the last bar that rose: {:?}", of(12));
    assert_eq!(structure.swings.trend, -1);
    assert!(structure.blocks.standing(Way::Bullish).is_empty());
}

#[test]
fn swings_near_each_other_are_one_level() {
    let mut levels = Levels::default();
    for (bar, price) in [(1, 100.0), (5, 101.0), (9, 99.4), (12, 103.0)] {
        levels.join(price, 2.0, bar, 2.0);
    }
    let of: Vec<_> =
        levels.all().iter().map(|level| (level.price(), level.n_swings, level.volume, level.last)).collect();
    // 101 is one away from 100, 99.4 is 1.1 from their mean.
    assert_eq!(of, [(100.5, 2, 4.0, 5), (99.4, 1, 2.0, 9), (103.0, 1, 2.0, 12)]);
    (0..22).for_each(|n| levels.join(200.0 + 10.0 * f64::from(n), 1.0, 20, 2.0));
    let prices: Vec<f64> = levels.all().iter().map(Level::price).collect();
    assert_eq!((prices.len(), prices.contains(&100.5), prices.contains(&99.4)), (24, false, true));
}

#[test]
fn most_is_traded_where_bars_overlap() {
    // All of them from 100 to 148: a bin is 1 wide. Most between 110 and 120, a little everywhere.
    let mut structure = Structure::default();
    for at in 0..BARS as Ts {
        let range = if at == 0 { [148.0, 100.0, 4.8] } else { [120.0, 110.0, 10.0] };
        assert_eq!(structure.profile, None);
        structure.push(&Bar::ohlcv(at, [115.0, range[0], range[1], 115.0, range[2]]), None);
    }
    let profile = structure.profile.unwrap();
    // Of equal ones the lowest; 8 bins have 70 % of what ten of them and the rest have.
    assert!((profile.poc - 110.5).abs() < 1e-9, "{profile:?}");
    assert!((profile.val - 110.0).abs() < 1e-9 && (profile.vah - 118.0).abs() < 1e-9, "{profile:?}");
    assert_eq!((profile.low, profile.high), (100.0, 148.0));
}

#[test]
fn a_zone_pulls_on_its_side() {
    let zone = Zone { from: 10.0, to: 12.0, origin: 0 };
    let pulls = |way| [15.0, 13.0, 12.0, 11.5, 10.0, 9.0].map(|price| zone.pull(way, price, 1.0));
    assert_eq!(pulls(Way::Bullish), [0.125, 0.5, 1.0, 0.75, 0.0, 0.0]);
    assert_eq!(pulls(Way::Bearish), [0.0, 0.0, 0.0, 0.25, 1.0, 0.5]);
}

#[test]
fn a_stop_is_behind_what_stands_and_targets_are_at_twice_its_distance_at_least() {
    let (structure, _) = run(&RISE);
    let near = |a: f64, b: f64| (a - b).abs() < 1e-9;
    let [long, short] = setups::setups(&structure, 12.8, Some(2.0)).map(Option::unwrap);
    // Of the swing low and the block, which begin at 9, the swing.
    assert_eq!((long.basis, short.basis), ("swing_low", "atr"));
    let distance = 12.8 - 0.998 * 9.0;
    assert!(near(long.stop, 12.8 - distance) && near(short.stop, 15.8));
    assert!(near(long.targets[0], 12.8 + 2.0 * distance) && near(long.targets[1], 12.8 + 3.0 * distance));
    assert!(near(short.targets[0], 6.8) && near(short.targets[1], 3.8));
    // The level of 9 is within reach of a short from 15 with a stop 3 away: at two to four times that.
    let [_, short] = setups::setups(&structure, 15.0, Some(2.0)).map(Option::unwrap);
    assert!(near(short.targets[0], 9.0) && near(short.targets[1], 6.0));
    // Too far away to be a stop, or not away at all; no price below 0.
    let [long, short] = setups::setups(&structure, 12.8, Some(0.5)).map(Option::unwrap);
    assert!(long.basis == "atr" && near(long.stop, 12.05) && near(short.stop, 13.55));
    let [long, short] = setups::setups(&structure, 9.0, Some(2.0));
    assert!(long.unwrap().basis == "atr" && short.is_none());
    assert_eq!(setups::setups(&structure, 9.0, None), [None; 2]);
}
