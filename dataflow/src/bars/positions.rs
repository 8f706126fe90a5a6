//! What venues told of an instrument's positions, in any order, and what of it belongs to a bar.

use std::collections::BTreeMap;

use prism_schemas::{Timeframe, Ts};

use super::timeline::Timeline;
use crate::{
    bar::{Bar, Number},
    event::{ForcedOrder, Position},
    positions::{Forced, HOLDS, Margins, Positions, holds_longer},
};

/// Forced orders that are kept of an instrument; beyond, the oldest are forgotten.
const FORCED_MAX: usize = 65_536;

/// A number and when it was told.
type Said = (Ts, f64);

/// What tells a forced order from others, in the order in which they are summed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Identity {
    ts: Ts,
    buy: bool,
    /// Above 0, so that their bits are in their order.
    price: u64,
    size: u64,
    n: u32,
}

/// Numbers that hold for a while: open interest, funding rate, its interval, ratios of accounts and of top positions.
const NUMBERS: usize = 5;
/// Of these, the first ones hold for less long than the others.
const SHORTER: usize = 2;

/// Of an instrument. Of what holds for a while the newest of each finest interval is enough: bars end where these do.
#[derive(Debug)]
pub(super) struct Holdings {
    finest: Timeframe,
    /// How long what is asked for less often holds.
    holds_longer: i64,
    numbers: [Timeline<Said>; NUMBERS],
    margins: Timeline<(Ts, Margins)>,
    /// And whether the venue tells each.
    forced: BTreeMap<Identity, bool>,
    is_inverse: bool,
}

impl Holdings {
    /// Of which nothing is known.
    pub(super) fn new(finest: Timeframe, horizon: i64) -> Holdings {
        let (holds_longer, numbers) = (holds_longer(horizon), [const { Timeline::new() }; NUMBERS]);
        Holdings { finest, holds_longer, numbers, margins: Timeline::new(), forced: BTreeMap::new(), is_inverse: false }
    }

    /// Takes what was told of an event time.
    pub(super) fn learn(&mut self, at: Ts, position: Position, is_inverse: bool) {
        self.is_inverse = is_inverse;
        let start = self.finest.start(at);
        let (of, number) = match position {
            Position::OpenInterest(size) => (0, size),
            Position::FundingRate(rate) => (1, rate),
            Position::FundingInterval(hours) => (2, hours),
            Position::Accounts(ratio) => (3, ratio),
            Position::TopPositions(ratio) => (4, ratio),
            Position::Margins(margins) => {
                let newest = |a: (Ts, Margins), b: (Ts, Margins)| {
                    if a.0.cmp(&b.0).then(a.1.order(&b.1)).is_lt() { b } else { a }
                };
                return self.margins.learn(start, (at, margins), newest);
            }
            Position::Forced(ForcedOrder { buy, price, size, n, is_all }) => {
                let identity = Identity { ts: at, buy, price: price.to_bits(), size: size.to_bits(), n };
                *self.forced.entry(identity).or_insert(true) &= is_all;
                if FORCED_MAX < self.forced.len() {
                    self.forced.pop_first();
                }
                return;
            }
        };
        let newest = |a: Said, b: Said| if a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)).is_lt() { b } else { a };
        self.numbers[of].learn(start, (at, number), newest);
    }

    /// Those of a bar, given what a contract is worth in quote, if it is inverse and known; none if nothing is known of it.
    pub(super) fn of(&self, bar: &Bar, contract: Option<f64>) -> Option<Positions> {
        let mut numbers = [Number::ABSENT; NUMBERS];
        for (at, (number, told)) in numbers.iter_mut().zip(&self.numbers).enumerate() {
            *number = newest(told, bar, self.holds(at)).into();
        }
        let [open_interest, funding_rate, funding_interval, accounts, top_positions] = numbers;
        let price = if self.is_inverse { contract } else { Some(bar.close) };
        let worth = open_interest.get().zip(price).map(|(size, price)| size * price).into();
        let (margins, forced) = (newest(&self.margins, bar, self.holds_longer), self.forced(bar, contract));
        let of = Positions {
            open_interest,
            worth,
            funding_rate,
            funding_interval,
            accounts,
            top_positions,
            margins,
            forced,
        };
        (of != Positions::NONE).then_some(of)
    }

    fn holds(&self, number: usize) -> i64 {
        if number < SHORTER { HOLDS } else { self.holds_longer }
    }

    fn forced(&self, bar: &Bar, contract: Option<f64>) -> Option<Forced> {
        let first = |ts| Identity { ts, buy: false, price: 0, size: 0, n: 0 };
        let mut all = Forced::NONE;
        for (order, is_all) in self.forced.range(first(bar.start)..first(bar.end)) {
            let [price, size] = [order.price, order.size].map(f64::from_bits);
            let (volume, worth) = match (self.is_inverse, contract) {
                (false, _) => (size, size * price),
                (true, Some(contract)) => (size * contract / price, size * contract),
                (true, None) => return None,
            };
            let side = if order.buy { &mut all.shorts } else { &mut all.longs };
            side.n += 1;
            side.volume += volume;
            side.turnover += worth;
            all.largest = all.largest.max(worth);
            all.is_all &= is_all;
        }
        (0 < all.longs.n + all.shorts.n).then_some(all)
    }

    /// Forgets what no bar that ends after `cutoff`, or starts at or after `oldest`, reads.
    pub(super) fn forget(&mut self, oldest: Ts, cutoff: Ts) {
        let from = [HOLDS, self.holds_longer].map(|holds| self.finest.start(cutoff - holds));
        self.margins.forget(from[1]);
        let numbers = self.numbers.iter_mut().enumerate();
        numbers.for_each(|(at, of)| of.forget(from[usize::from(SHORTER <= at)]));
        while self.forced.first_key_value().is_some_and(|(order, _)| order.ts < oldest) {
            self.forced.pop_first();
        }
    }

    /// Bytes it keeps.
    pub(super) fn bytes(&self) -> usize {
        let said: usize = self.numbers.iter().map(Timeline::len).sum();
        let margins = self.margins.len() * size_of::<(Ts, (Ts, Margins))>();
        said * size_of::<(Ts, Said)>() + margins + self.forced.len() * 2 * size_of::<(Identity, bool)>()
    }
}

/// What holds at a bar's end.
fn newest<V: Copy>(told: &Timeline<(Ts, V)>, bar: &Bar, holds: i64) -> Option<V> {
    let (_, (at, value)) = told.until(bar.end - 1).next()?;
    (bar.end - holds <= at).then_some(value)
}

#[cfg(test)]
mod tests {
    use prism_schemas::time::{HOUR, MINUTE, SECOND};

    use super::*;

    fn bar(minute: i64) -> Bar {
        Bar::ohlcv(minute * MINUTE, [100.0; 5])
    }

    fn sale(at: Ts, n: u32, is_all: bool) -> (Ts, Position) {
        (at, Position::Forced(ForcedOrder { buy: false, price: 50.0, size: 2.0, n, is_all }))
    }

    fn learnt(told: &[(Ts, Position)], is_inverse: bool) -> Holdings {
        let mut holdings = Holdings::new(Timeframe::M1, 2 * HOUR);
        told.iter().for_each(|(at, position)| holdings.learn(*at, *position, is_inverse));
        holdings
    }

    #[test]
    fn what_is_told_holds_for_ten_minutes_in_whatever_order_it_comes() {
        let mut told = [
            (30 * SECOND, Position::OpenInterest(5.0)),
            (40 * SECOND, Position::OpenInterest(6.0)),
            (40 * SECOND, Position::OpenInterest(7.0)),
            (MINUTE, Position::OpenInterest(8.0)),
            (50 * SECOND, Position::FundingRate(-0.0001)),
        ];
        for _ in 0..2 {
            let holdings = learnt(&told, false);
            let open = |minute| holdings.of(&bar(minute), None)?.open_interest.get();
            assert_eq!([0, 1, 10, 11].map(open), [Some(7.0), Some(8.0), Some(8.0), None]);
            let of = holdings.of(&bar(0), None).unwrap();
            assert_eq!((of.worth.get(), of.funding_rate.get(), of.forced), (Some(700.0), Some(-0.0001), None));
            // Ten minutes after 50 s.
            let rate = |minute| holdings.of(&bar(minute), None)?.funding_rate.get();
            assert_eq!([9, 10].map(rate), [Some(-0.0001), None]);
            told.reverse();
        }
    }

    #[test]
    fn a_forced_order_counts_once_and_is_worth_what_its_contract_is() {
        let told = [sale(5, 0, true), sale(5, 1, true), sale(5, 0, true), sale(MINUTE, 0, false)];
        let (linear, inverse) = (learnt(&told, false), learnt(&told, true));
        let of = |holdings: &Holdings, contract| holdings.of(&bar(0), contract).and_then(|of| of.forced);
        let forced = of(&linear, None).unwrap();
        assert_eq!((forced.longs.n, forced.longs.volume, forced.longs.turnover), (2, 4.0, 200.0));
        assert_eq!((forced.largest, forced.is_all, forced.imbalance()), (100.0, true, Some(1.0)));
        assert!(!linear.of(&bar(1), None).unwrap().forced.unwrap().is_all);
        let forced = of(&inverse, Some(10.0)).unwrap();
        assert_eq!((forced.longs.volume, forced.longs.turnover), (0.8, 40.0));
        assert_eq!(of(&inverse, None), None);
    }

    #[test]
    fn what_no_bar_reads_is_forgotten() {
        let told = (0..100).flat_map(|n| [(n * MINUTE, Position::OpenInterest(n as f64)), sale(n * MINUTE, 0, true)]);
        let mut holdings = learnt(&told.collect::<Vec<_>>(), false);
        holdings.forget(30 * MINUTE, 60 * MINUTE);
        assert_eq!((holdings.numbers[0].len(), holdings.forced.len()), (50, 70));
        (100..100_000).for_each(|n| {
            let (at, order) = sale(n, 0, true);
            holdings.learn(at, order, false);
        });
        assert_eq!(holdings.forced.len(), FORCED_MAX);
    }
}
