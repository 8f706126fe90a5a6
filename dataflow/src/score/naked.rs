//! Points of control that no bar reached since: prices around which most was traded once, and nothing after.

use serde::{Deserialize, Serialize};

use prism_schemas::Ts;

use crate::bar::Bar;

/// Bars, the newest, whose points of control are told at the next one.
pub const READ: usize = 100;

/// A price, and the start of the bar it is of.
pub type Poc = (f64, Ts);

/// The nearest to a bar's close that are naked.
#[derive(Clone, Debug, PartialEq)]
pub struct Naked {
    /// The lowest above it.
    pub above: Option<Poc>,
    /// The highest below it.
    pub below: Option<Poc>,
}

/// Those of the last bars of a series, oldest first, each with the number of its bar.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Pocs {
    n_bars: u64,
    naked: Vec<(u64, Poc)>,
}

impl Pocs {
    /// Those near the close of the next bar, which is no gap.
    pub(crate) fn read(&self, bar: &Bar) -> Option<Naked> {
        if self.naked.is_empty() {
            return None;
        }
        let near = |is_nearer: fn(f64, f64) -> bool| {
            let beyond = self.naked.iter().filter(|(_, (poc, _))| !reaches(bar, *poc) && is_nearer(bar.close, *poc));
            // Of equal ones the newest.
            beyond.map(|(_, poc)| *poc).reduce(|nearest, poc| if is_nearer(nearest.0, poc.0) { nearest } else { poc })
        };
        let (above, below) = (near(|near, far| near < far), near(|near, far| far < near));
        (above.is_some() || below.is_some()).then_some(Naked { above, below })
    }

    /// Takes it.
    pub(crate) fn push(&mut self, bar: &Bar) {
        self.naked.retain(|(number, (poc, _))| self.n_bars < number + READ as u64 && !reaches(bar, *poc));
        let own = bar.flow.as_ref().and_then(|flow| flow.poc.get());
        self.naked.extend(own.map(|poc| (self.n_bars, (poc, bar.start))));
        self.n_bars += 1;
    }
}

fn reaches(bar: &Bar, price: f64) -> bool {
    bar.low <= price && price <= bar.high
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::flow::Flow;

    fn bar(start: Ts, [low, high, close]: [f64; 3], poc: Option<f64>) -> Bar {
        let flow = Flow { poc: poc.into(), ..Flow::default() };
        Bar { flow: Some(Arc::new(flow)), ..Bar::ohlcv(start, [close, high, low, close, 1.0]) }
    }

    #[test]
    fn what_is_reached_is_naked_no_more() {
        let mut pocs = Pocs::default();
        for (start, range, poc) in [(0, [90.0, 110.0, 100.0], 95.0), (1, [100.0, 120.0, 115.0], 118.0)] {
            pocs.push(&bar(start, range, Some(poc)));
        }
        let read = |pocs: &Pocs, range| pocs.read(&bar(9, range, None)).map(|naked| (naked.above, naked.below));
        assert_eq!(read(&pocs, [100.0, 117.0, 101.0]), Some((Some((118.0, 1)), Some((95.0, 0)))));
        // Its own range counts, ends included.
        assert_eq!(read(&pocs, [95.0, 118.0, 101.0]), None);
        assert_eq!(read(&pocs, [95.0, 117.9, 101.0]), Some((Some((118.0, 1)), None)));
        pocs.push(&bar(2, [117.0, 119.0, 117.5], None));
        pocs.push(&bar(3, [111.0, 112.0, 111.5], Some(95.0)));
        assert_eq!(read(&pocs, [111.0, 112.0, 111.0]), Some((None, Some((95.0, 3)))), "of equal ones the newest");
    }

    #[test]
    fn a_hundred_bars_are_looked_back() {
        let mut pocs = Pocs::default();
        pocs.push(&bar(0, [90.0, 110.0, 100.0], Some(95.0)));
        let quiet = || bar(1, [100.0, 100.0, 100.0], None);
        for _ in 1..READ {
            pocs.push(&quiet());
        }
        assert_eq!(pocs.read(&quiet()).and_then(|naked| naked.below), Some((95.0, 0)));
        pocs.push(&quiet());
        assert_eq!(pocs.read(&quiet()), None);
    }
}
