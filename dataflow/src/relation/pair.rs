//! Pairs each instrument's returns with its benchmark's of the same bar.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use prism_schemas::{Ts, instrument::fnv1a};
use serde::{Deserialize, Serialize};
use timely::dataflow::channels::pact::Exchange;

use super::returns::Return;
use crate::{
    operator::{Item, Misplaced, find, in_order_of},
    registry::Registry,
    settings::Settings,
    types::{Diff, Rows, Time},
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
    fn instrument(&self) -> u32 {
        self.instrument
    }

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

/// What a return is to its pairs.
#[derive(Clone, Copy, Serialize, Deserialize)]
enum Side {
    Benchmark,
    Own,
}

/// An exchange and market: its instruments share a benchmark.
type Group = u64;

#[derive(Default)]
struct Market {
    /// Returns of each group's benchmark, in order of time.
    benchmarks: BTreeMap<Group, VecDeque<Return>>,
    /// Returns of each other instrument, in order of time.
    own: BTreeMap<u32, VecDeque<Return>>,
    /// Group of each instrument.
    groups: BTreeMap<u32, Group>,
    /// Instruments of each group other than its benchmark.
    followers: BTreeMap<Group, BTreeSet<u32>>,
}

impl Market {
    fn group(&mut self, row: &Return, side: Side, registry: &Registry) -> Group {
        *self.groups.entry(row.instrument).or_insert_with(|| {
            let id = registry.id(row.instrument);
            let group = fnv1a(format!("{}|{}", id.exchange, id.market.name()).as_bytes());
            if let Side::Own = side {
                self.followers.entry(group).or_default().insert(row.instrument);
            }
            group
        })
    }

    /// The kept returns of a row's instrument.
    fn rows(&mut self, row: &Return, side: Side) -> &mut VecDeque<Return> {
        match side {
            Side::Benchmark => self.benchmarks.entry(self.groups[&row.instrument]).or_default(),
            Side::Own => self.own.entry(row.instrument).or_default(),
        }
    }

    fn pair(&self, instrument: u32, start: Ts) -> Option<Pair> {
        let at = |rows: &VecDeque<Return>| Some(rows[find(rows, &start, |row| row.start).ok()?]);
        let benchmark = at(self.benchmarks.get(self.groups.get(&instrument)?)?)?.value;
        let Return { end, value: own, .. } = at(self.own.get(&instrument)?)?;
        Some(Pair { instrument, start, end, benchmark, own })
    }
}

/// Pairs of returns. The benchmarks' returns go to every worker; all others stay where they are.
///
/// Keeps each instrument's returns of the horizon before its newest update; older ones cannot be taken back.
pub(super) fn pairs<'s>(
    returns: Rows<'s, Return>,
    settings: &Settings,
    registry: Registry,
    misplaced: &Misplaced,
) -> Rows<'s, Pair> {
    let (symbol, keep) = (settings.relations.benchmark.clone(), settings.keep());
    let scope = returns.inner.scope();
    let (index, peers) = (scope.index() as u64, scope.peers() as u64);
    let mut sides: BTreeMap<u32, Side> = BTreeMap::new();
    let mut side = {
        let registry = registry.clone();
        move |instrument: u32| {
            *sides.entry(instrument).or_insert_with(|| match registry.id(instrument).symbol == symbol {
                true => Side::Benchmark,
                false => Side::Own,
            })
        }
    };
    let addressed = returns.flat_map(move |row| {
        let side = side(row.instrument);
        let workers = match side {
            Side::Benchmark => 0..peers,
            Side::Own => index..index + 1,
        };
        workers.map(move |worker| (worker, side, row))
    });
    let pact = Exchange::new(|((worker, ..), _, _): &((u64, Side, Return), Time, Diff)| *worker);
    let mut market = Market::default();
    let misplaced = misplaced.clone();
    let mut touched: Vec<(u32, Ts)> = Vec::new();
    in_order_of(addressed, "pairs", pact, Some, move |time, batch: &mut Vec<((u64, Side, Return), Diff)>, emit| {
        touched.clear();
        let cutoff = time as Ts - keep;
        for ((_, side, row), _) in batch.iter() {
            let group = market.group(row, *side, &registry);
            // By its own updates alone: those of others would tell which of them share the worker.
            let rows = market.rows(row, *side);
            while rows.front().is_some_and(|row| row.end < cutoff) {
                rows.pop_front();
            }
            match side {
                Side::Benchmark => {
                    let followers = market.followers.get(&group).into_iter().flatten();
                    touched.extend(followers.map(|follower| (*follower, row.start)));
                }
                Side::Own => touched.push((row.instrument, row.start)),
            }
        }
        touched.sort_unstable();
        touched.dedup();
        let old: Vec<Option<Pair>> =
            touched.iter().map(|(instrument, start)| market.pair(*instrument, *start)).collect();
        batch.sort_by_key(|(_, diff)| *diff);
        for ((_, side, row), diff) in batch.iter() {
            let rows = market.rows(row, *side);
            match (find(rows, &row.start, |row| row.start), diff) {
                (Ok(at), ..=-1) => drop(rows.remove(at)),
                (Err(at), 1..) => rows.insert(at, *row),
                // Every worker has the benchmark's returns.
                _ if index == 0 || matches!(side, Side::Own) => {
                    misplaced.tell("pairs", row.instrument, row.start, *diff, time);
                }
                _ => {}
            }
        }
        for ((instrument, start), old) in touched.iter().zip(old) {
            emit.replace(old, market.pair(*instrument, *start));
        }
    })
}
