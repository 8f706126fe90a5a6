//! Pairs each instrument's returns with its benchmark's of the same bar.

use std::collections::{BTreeMap, BTreeSet};

use differential_dataflow::AsCollection;
use prism_schemas::{Ts, instrument::fnv1a};
use timely::dataflow::operators::vec::Broadcast;

use super::returns::Return;
use crate::{
    operator::{Item, in_order},
    registry::Registry,
    settings::Settings,
    types::{Diff, Rows},
};

/// The returns of an instrument and of its benchmark over one bar.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Pair {
    pub(super) instrument: u32,
    pub(super) start: Ts,
    pub(super) end: Ts,
    pub(super) benchmark: f64,
    pub(super) own: f64,
}

impl Item for Pair {
    fn series(&self) -> usize {
        self.instrument as usize
    }

    fn start(&self) -> Ts {
        self.start
    }

    fn end(&self) -> Ts {
        self.end
    }
}

#[derive(Clone, Copy)]
enum Side {
    Benchmark(Return),
    Own(Return),
}

impl Side {
    fn get(&self) -> (&Return, bool) {
        match self {
            Side::Benchmark(row) => (row, true),
            Side::Own(row) => (row, false),
        }
    }
}

/// An exchange and market: its instruments share a benchmark.
type Group = u64;

#[derive(Default)]
struct Market {
    /// Returns of each group's benchmark, by start.
    benchmarks: BTreeMap<Group, BTreeMap<Ts, f64>>,
    /// By instrument, then by start.
    own: BTreeMap<u32, BTreeMap<Ts, (f64, Ts)>>,
    /// Group of each instrument.
    groups: BTreeMap<u32, Group>,
    /// Instruments of each group other than its benchmark.
    followers: BTreeMap<Group, BTreeSet<u32>>,
}

impl Market {
    fn pair(&self, instrument: u32, start: Ts) -> Option<Pair> {
        let benchmark = *self.benchmarks.get(self.groups.get(&instrument)?)?.get(&start)?;
        let (own, end) = *self.own.get(&instrument)?.get(&start)?;
        Some(Pair { instrument, start, end, benchmark, own })
    }
}

/// Pairs of returns. The benchmarks' returns go to every worker; all others stay where they are.
///
/// Keeps the returns of the horizon.
pub(super) fn pairs<'s>(returns: Rows<'s, Return>, settings: &Settings, registry: Registry) -> Rows<'s, Pair> {
    let (symbol, keep) = (settings.relations.benchmark.clone(), settings.keep());
    let length = settings.timeframes.base().length();
    let is_benchmark = {
        let (registry, symbol) = (registry.clone(), symbol.clone());
        move |row: &Return| registry.id(row.instrument).symbol == symbol
    };
    let benchmarks = returns.clone().filter(is_benchmark).inner.broadcast().as_collection().map(Side::Benchmark);
    let sides = returns.map(Side::Own).concat(benchmarks);
    let mut market = Market::default();
    in_order(sides, "pairs", move |time, batch: &mut Vec<(Side, Diff)>, emit| {
        // Which pairs may change, and what they were.
        let mut old: BTreeMap<(u32, Ts), Option<Pair>> = BTreeMap::new();
        for (side, _) in batch.iter() {
            let (row, is_benchmark) = side.get();
            let group = *market.groups.entry(row.instrument).or_insert_with(|| {
                let id = registry.id(row.instrument);
                let group = fnv1a(format!("{}|{}", id.exchange, id.market.name()).as_bytes());
                if id.symbol != symbol {
                    market.followers.entry(group).or_default().insert(row.instrument);
                }
                group
            });
            if is_benchmark {
                for follower in market.followers.get(&group).into_iter().flatten() {
                    old.entry((*follower, row.start)).or_insert_with(|| market.pair(*follower, row.start));
                }
            } else if market.followers.get(&group).is_some_and(|followers| followers.contains(&row.instrument)) {
                old.entry((row.instrument, row.start)).or_insert_with(|| market.pair(row.instrument, row.start));
            }
        }
        batch.sort_by_key(|(_, diff)| *diff);
        for (side, diff) in batch.drain(..) {
            match (side, diff) {
                (Side::Benchmark(row), 1..) => {
                    market.benchmarks.entry(market.groups[&row.instrument]).or_default().insert(row.start, row.value);
                }
                (Side::Benchmark(row), _) => {
                    market.benchmarks.entry(market.groups[&row.instrument]).or_default().remove(&row.start);
                }
                (Side::Own(row), 1..) => {
                    market.own.entry(row.instrument).or_default().insert(row.start, (row.value, row.end));
                }
                (Side::Own(row), _) => {
                    market.own.entry(row.instrument).or_default().remove(&row.start);
                }
            }
        }
        for ((instrument, start), old) in old {
            emit.replace(old, market.pair(instrument, start));
        }
        let cutoff = time as Ts - keep;
        for rows in market.benchmarks.values_mut() {
            while rows.first_key_value().is_some_and(|(start, _)| *start + length < cutoff) {
                rows.pop_first();
            }
        }
        for rows in market.own.values_mut() {
            while rows.first_key_value().is_some_and(|(_, (_, end))| *end < cutoff) {
                rows.pop_first();
            }
        }
    })
}
