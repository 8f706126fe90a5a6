//! Relations: each symbol's returns against its benchmark's, one dense series an instrument.

mod moments;
mod series;

use std::{collections::BTreeMap, sync::Arc};

use prism_schemas::{Ts, instrument::fnv1a};
use serde::{Deserialize, Serialize};
use timely::dataflow::channels::pact::Exchange;

use crate::{
    bar::{Bar, Quality},
    operator::{Emit, Gauge, Watch, in_order_of},
    registry::Registry,
    settings::{Empty, Settings},
    types::{Diff, Rows, Time},
};

pub use moments::{Regression, WINDOW_MAX};
use series::Series;

/// Alpha, beta and correlation of a symbol at a close.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Relation {
    /// Dense number of the instrument.
    pub instrument: u32,
    /// Start of the bar.
    pub start: Ts,
    /// End of the bar.
    pub end: Ts,
    /// The regression over the window.
    pub regression: Regression,
}

/// A base bar's close, on its way to a worker; NaN of a gap bar.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Close {
    worker: u64,
    is_benchmark: bool,
    instrument: u32,
    start: Ts,
    end: Ts,
    price: f64,
}

/// Instruments of one exchange and market: they share a benchmark.
#[derive(Default)]
struct Group {
    benchmark: Series,
    followers: Vec<u32>,
}

/// All groups and followers of a worker.
struct Market {
    groups: Vec<Group>,
    /// Place of each exchange and market among the groups.
    places: BTreeMap<u64, usize>,
    /// By number of the instrument: its group, and its closes if it is a follower.
    instruments: Vec<Option<(usize, Series)>>,
    registry: Registry,
    window: usize,
    empty: Empty,
    keep: i64,
    gauge: Gauge,
}

/// Relations at every base close with a full window of pairs.
///
/// Keeps each instrument's closes of the horizon before its newest update and a window of pairs before them; older ones
/// cannot be taken back. The benchmarks' closes go to every worker; all others stay where they are.
pub fn relations<'s>(
    bars: Rows<'s, Arc<Bar>>,
    settings: &Settings,
    registry: Registry,
    watch: &Watch,
) -> Rows<'s, Relation> {
    let scope = bars.inner.scope();
    let index = scope.index();
    let closes = addressed(bars, settings, registry.clone());
    let pact = Exchange::new(|(close, ..): &(Close, Time, Diff)| close.worker);
    let mut market = Market {
        groups: Vec::new(),
        places: BTreeMap::new(),
        instruments: Vec::new(),
        registry,
        window: settings.relations.window,
        empty: settings.bars.empty,
        keep: settings.keep(),
        gauge: watch.gauge("relations"),
    };
    let watch = watch.clone();
    in_order_of(closes, "relations", pact, Some, move |time, batch: &mut Vec<(Close, Diff)>, emit| {
        // Benchmarks first, so that each follower runs once; what is taken back before what replaces it.
        batch.sort_by_key(|(close, diff)| (!close.is_benchmark, close.instrument, *diff));
        let mut touched: Vec<(u32, Ts)> = Vec::new();
        for (close, diff) in batch.drain(..) {
            // Every worker has the benchmarks' closes.
            let is_placed = market.apply(&close, diff, time as Ts, &mut touched);
            if !is_placed && (index == 0 || !close.is_benchmark) {
                watch.tell("relations", close.instrument, close.start, diff, time);
            }
        }
        touched.sort_unstable();
        touched.dedup_by_key(|(instrument, _)| *instrument);
        touched.drain(..).for_each(|(instrument, from)| market.run(instrument, from, emit));
    })
}

/// Closes of base bars, each for the workers that need it.
fn addressed<'s>(bars: Rows<'s, Arc<Bar>>, settings: &Settings, registry: Registry) -> Rows<'s, Close> {
    let (base, symbol) = (settings.timeframes.base(), settings.relations.benchmark.clone());
    let scope = bars.inner.scope();
    let (index, peers) = (scope.index() as u64, scope.peers() as u64);
    let mut benchmarks: Vec<Option<bool>> = Vec::new();
    bars.flat_map(move |bar| {
        let at = bar.instrument as usize;
        if benchmarks.len() <= at {
            benchmarks.resize(at + 1, None);
        }
        let is_benchmark = *benchmarks[at].get_or_insert_with(|| registry.id(bar.instrument).symbol == symbol);
        let workers = match (bar.timeframe == base, is_benchmark) {
            (false, _) => 0..0,
            (true, true) => 0..peers,
            (true, false) => index..index + 1,
        };
        let price = if bar.quality == Quality::Gap { f64::NAN } else { bar.close };
        let Bar { instrument, start, end, .. } = *bar;
        workers.map(move |worker| Close { worker, is_benchmark, instrument, start, end, price })
    })
}

impl Market {
    /// Takes an update in and notes from where on whose relations may be others; false if it has no place.
    fn apply(&mut self, close: &Close, diff: Diff, now: Ts, touched: &mut Vec<(u32, Ts)>) -> bool {
        let at = close.instrument as usize;
        if self.instruments.len() <= at {
            self.instruments.resize_with(at + 1, || None);
        }
        let (group, own) = self.instruments[at].get_or_insert_with(|| {
            let id = self.registry.id(close.instrument);
            let of = fnv1a(format!("{}|{}", id.exchange, id.market.name()).as_bytes());
            let group = *self.places.entry(of).or_insert_with(|| {
                self.groups.push(Group::default());
                self.groups.len() - 1
            });
            if !close.is_benchmark {
                self.groups[group].followers.push(close.instrument);
            }
            (group, Series::default())
        });
        let group = &mut self.groups[*group];
        let series = if close.is_benchmark { &mut group.benchmark } else { own };
        // By its own updates alone: those of others would tell which of them share the worker.
        series.trim(now - self.keep, self.window);
        if !series.apply(close.start, close.end, close.price, diff) {
            return false;
        }
        if close.is_benchmark {
            series.refresh(close.start, self.empty);
            series.settle();
            touched.extend(group.followers.iter().map(|follower| (*follower, close.start)));
        } else {
            touched.push((close.instrument, close.start));
        }
        let bytes = series.bytes();
        self.gauge.tell(&mut series.bytes_told, bytes);
        true
    }

    /// Makes a follower's relations again from a start on.
    fn run(&mut self, instrument: u32, from: Ts, emit: &mut Emit<Relation>) {
        let Some((group, series)) = &mut self.instruments[instrument as usize] else { return };
        let relation = |(start, end, regression)| Relation { instrument, start, end, regression };
        series.refresh(from, self.empty);
        series.run(from, &self.groups[*group].benchmark, self.window, |old, new| {
            emit.replace(old.map(relation), new.map(relation));
        });
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, rc::Rc};

    use differential_dataflow::AsCollection;
    use prism_schemas::{InstrumentId, Market, time::MINUTE};
    use timely::dataflow::operators::{Input, Inspect};

    use super::*;
    use crate::{
        refusals::settings,
        types::{Diff, Time},
    };

    /// Relations learnt and unlearnt, and updates without a place.
    type Said = (Vec<(Relation, Diff)>, Vec<String>);

    /// Minutes and differences of relations.
    fn minutes((relations, told): Said) -> (Vec<(i64, Diff)>, Vec<String>) {
        (relations.into_iter().map(|(relation, diff)| (relation.start / MINUTE, diff)).collect(), told)
    }

    /// What these updates to bars (minute known, instrument, minute, close, difference) make; instrument 0 is the benchmark.
    fn run(updates: Vec<(i64, u32, i64, f64, Diff)>) -> Said {
        timely::execute_directly(move |worker| {
            let mut settings = settings();
            settings.relations.window = 2;
            let registry = Registry::default();
            for symbol in ["BTCUSDT", "ETHUSDT"] {
                registry.number(&InstrumentId::new("test", Market::Spot, symbol));
            }
            let (out, told) = (Rc::new(RefCell::new(Vec::new())), Rc::new(RefCell::new(Vec::new())));
            let mut input = worker.dataflow::<Time, _, _>(|scope| {
                let (input, stream) = scope.new_input();
                let (watch, heard) = (Watch::default(), told.clone());
                watch.listen(move |error, _| heard.borrow_mut().push(error.id));
                let rows: Rows<'_, Arc<Bar>> = stream.as_collection();
                let out = out.clone();
                relations(rows, &settings, registry.clone(), &watch)
                    .inner
                    .inspect(move |(row, _, diff)| out.borrow_mut().push((*row, *diff)));
                input
            });
            for (known, instrument, minute, close, diff) in updates {
                let time = (known * MINUTE) as Time;
                input.advance_to(time);
                let bar = Bar { instrument, ..Bar::ohlcv(minute * MINUTE, [close; 5]) };
                input.send((Arc::new(bar), time, diff));
            }
            drop(input);
            while worker.step() {}
            (out.take(), told.take())
        })
    }

    #[test]
    fn a_return_that_is_past_the_horizon_is_not_taken_back_unseen() {
        let close = |minute: i64| if minute % 2 == 0 { 100.0 } else { 101.0 + minute as f64 };
        let mut updates: Vec<_> = (0..6i64)
            .flat_map(|minute| [0, 1].map(|instrument| (minute + 1, instrument, minute, close(minute), 1)))
            .collect();
        let learnt = vec![(2, 1), (3, 1), (4, 1), (5, 1)];
        assert_eq!(minutes(run(updates.clone())), (learnt.clone(), vec![]));
        // Within the horizon, whatever others did meanwhile.
        let mut early = updates.clone();
        early.extend([(100, 0, 99, 100.0, 1), (101, 1, 5, close(5), -1)]);
        assert_eq!(minutes(run(early)), ([learnt.clone(), vec![(5, -1)]].concat(), vec![]));
        updates.extend([(200, 0, 199, 100.0, 1), (201, 1, 5, close(5), -1)]);
        assert_eq!(minutes(run(updates)), (learnt, vec![format!("relations {} -1", 5 * MINUTE)]));
    }

    #[test]
    fn a_history_that_is_past_the_horizon_at_once_leaves_the_window_right() {
        let keep = settings().keep() / MINUTE;
        let close = |instrument: u32, minute: i64| 100.0 + f64::from(instrument) + ((minute * minute * 7) % 97) as f64;
        // Five bars of both are known as they end; then older ones, of which the first five are past the horizon.
        for n_past in 3..8 {
            let first = 2 * keep;
            let now = first + 5;
            let live = (first..now).flat_map(|minute| [0, 1].map(|of| (minute + 1, of, minute, close(of, minute), 1)));
            let oldest = now + 1 - keep - n_past;
            let old = (oldest..first).flat_map(|minute| [0, 1].map(|of| (now + 1, of, minute, close(of, minute), 1)));
            let got = standing(live.clone().chain(old).collect());
            let in_order =
                (oldest..now).flat_map(|minute| [0, 1].map(|of| (minute + 1, of, minute, close(of, minute), 1)));
            let expected = standing(in_order.collect());
            assert!(got.iter().all(|(start, relation)| expected.get(start) == Some(relation)), "{n_past}");
            assert!(expected.len() - n_past as usize - 3 <= got.len(), "{n_past}");
        }
    }

    /// The relations that stand in the end, by minute.
    fn standing(updates: Vec<(i64, u32, i64, f64, Diff)>) -> BTreeMap<i64, Relation> {
        let (relations, told) = run(updates);
        assert_eq!(told, Vec::<String>::new());
        let mut standing = BTreeMap::new();
        for (relation, diff) in relations {
            let was =
                if diff < 0 { standing.remove(&relation.start) } else { standing.insert(relation.start, relation) };
            assert_eq!(was, (diff < 0).then_some(relation));
        }
        standing
    }

    proptest::proptest! {
        #[test]
        fn whatever_comes_late_or_is_corrected_equals_what_comes_in_order(
            closes in proptest::collection::vec((0u32..2, 0i64..30, 0i64..25, 900u32..1_100), 1..120),
        ) {
            // Minutes known late by up to 25; a close that is there already is corrected.
            let mut prices: BTreeMap<(u32, i64), f64> = BTreeMap::new();
            let (mut updates, mut known) = (Vec::new(), 30);
            for (instrument, minute, pause, price) in closes {
                known += i64::from(pause == 0);
                if let Some(old) = prices.insert((instrument, minute), price.into()) {
                    known += 1;
                    updates.push((known, instrument, minute, old, -1));
                }
                updates.push((known, instrument, minute, price.into(), 1));
            }
            let in_order = prices.iter().map(|((instrument, minute), price)| (minute + 1, *instrument, *minute, *price, 1));
            let mut in_order: Vec<_> = in_order.collect();
            in_order.sort_by_key(|(known, instrument, ..)| (*known, *instrument));
            proptest::prop_assert_eq!(standing(updates), standing(in_order));
        }
    }
}
