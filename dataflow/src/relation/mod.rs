//! Relations: each symbol's returns against its benchmark's.

mod pair;
mod regression;
mod returns;

use prism_schemas::Ts;

use crate::{bar::Bar, operator::Misplaced, registry::Registry, settings::Settings, types::Rows};

pub use regression::{Regression, regress};

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

/// Relations at every base close with a full window of pairs.
pub fn relations<'s>(
    bars: Rows<'s, Bar>,
    settings: &Settings,
    registry: Registry,
    misplaced: &Misplaced,
) -> Rows<'s, Relation> {
    let returns = returns::returns(bars, settings, misplaced);
    let pairs = pair::pairs(returns, settings, registry, misplaced);
    regression::rolling(pairs, settings, misplaced)
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

    /// Relations learnt and unlearnt (minute, difference), and updates without a place.
    type Said = (Vec<(i64, Diff)>, Vec<String>);

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
                let (misplaced, heard) = (Misplaced::default(), told.clone());
                misplaced.listen(move |error, _| heard.borrow_mut().push(error.id));
                let rows: Rows<'_, Bar> = stream.as_collection();
                let out = out.clone();
                relations(rows, &settings, registry.clone(), &misplaced)
                    .inner
                    .inspect(move |(row, _, diff)| out.borrow_mut().push((row.start / MINUTE, *diff)));
                input
            });
            for (known, instrument, minute, close, diff) in updates {
                let time = (known * MINUTE) as Time;
                input.advance_to(time);
                let bar = Bar { instrument, ..Bar::ohlcv(minute * MINUTE, [close; 5]) };
                input.send((bar, time, diff));
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
        assert_eq!(run(updates.clone()), (learnt.clone(), vec![]));
        // Within the horizon, whatever others did meanwhile.
        let mut early = updates.clone();
        early.extend([(100, 0, 99, 100.0, 1), (101, 1, 5, close(5), -1)]);
        assert_eq!(run(early), ([learnt.clone(), vec![(5, -1)]].concat(), vec![]));
        updates.extend([(200, 0, 199, 100.0, 1), (201, 1, 5, close(5), -1)]);
        assert_eq!(run(updates), (learnt, vec![format!("pairs {} -1", 5 * MINUTE)]));
    }
}
