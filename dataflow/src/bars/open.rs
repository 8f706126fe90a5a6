//! Bars of intervals that are open: what there is of them so far, for whoever follows.

use std::{cell::RefCell, rc::Rc, sync::Arc};

use timely::scheduling::Activator;

use super::{
    fold::Fold, hot::Hot, interval::Instrument, market::Market, series::Series, sessions::Sessions, tape::Tape,
};
use crate::{bar::Bar, event::Trade, operator::find, settings::Settings, types::Time};

/// The open bars of a worker's instruments. Nothing is kept for them until they are followed.
#[derive(Clone)]
pub struct OpenBars(pub(super) Rc<RefCell<Market>>);

impl OpenBars {
    /// From now on whoever this wakes is woken when trades came.
    pub fn follow(&self, wake: Activator) {
        self.0.borrow_mut().followed.wake = Some(wake);
    }

    /// Open bars of each instrument that has new trades, shortest first, those of a timeframe in order; none while closed bars
    /// are still on their way downstream, where all before `reached` has come.
    pub fn take(&self, reached: Option<Time>) -> Vec<Vec<Arc<Bar>>> {
        let mut market = self.0.borrow_mut();
        if reached.is_some_and(|reached| reached < market.sent) { Vec::new() } else { market.open_bars() }
    }
}

/// Instruments with new trades, where anybody wants to know.
#[derive(Default)]
pub(super) struct Followed {
    wake: Option<Activator>,
    is_in: Vec<bool>,
    some: Vec<usize>,
}

impl Followed {
    /// These trades came.
    pub(super) fn note(&mut self, trades: &[Trade]) {
        let Some(wake) = &self.wake else { return };
        for trade in trades {
            let at = trade.instrument as usize;
            if self.is_in.len() <= at {
                self.is_in.resize(at + 1, false);
            }
            if !std::mem::replace(&mut self.is_in[at], true) {
                self.some.push(at);
            }
        }
        wake.activate();
    }

    /// Each once; none from then on.
    pub(super) fn take(&mut self) -> Vec<usize> {
        let some = std::mem::take(&mut self.some);
        some.iter().for_each(|at| self.is_in[*at] = false);
        some
    }
}

impl Tape {
    /// Bars of the open intervals that hold trades.
    pub(super) fn open_bars(&mut self, settings: &Settings, sessions: &Sessions, hot: &mut Hot) -> Vec<Arc<Bar>> {
        let finest = &mut self.series[0].slots;
        if let Some((start, fold)) = hot.drain(&self.scale)
            && let Ok(at) = find(finest, &start, |slot| slot.start)
        {
            finest[at].merge(&fold);
        }
        let open = finest.iter().rev().take_while(|slot| !slot.closed);
        let mut open: Vec<Fold> = open.filter_map(|slot| slot.fold).collect();
        open.reverse();
        let instrument = self.of(settings, sessions);
        self.series.iter().enumerate().flat_map(|(at, series)| series.open_bars(&instrument, &open, at == 0)).collect()
    }
}

impl Series {
    /// Its open bars, given the trades of the finest open intervals, oldest first.
    fn open_bars(&self, instrument: &Instrument<'_>, open: &[Fold], is_finest: bool) -> Vec<Arc<Bar>> {
        let mut last_close = self.last_close();
        let of_interval = open.chunk_by(|a, b| self.timeframe.start(a.first.0) == self.timeframe.start(b.first.0));
        let bar = |folds: &[Fold]| {
            let start = self.timeframe.start(folds.first()?.first.0);
            let closed_parts = self.find(start).filter(|_| !is_finest);
            if closed_parts.is_some_and(|slot| slot.closed) {
                return None;
            }
            let parts = closed_parts.and_then(|slot| slot.fold).into_iter().chain(folds.iter().copied());
            let fold = parts.reduce(|mut fold, part| {
                fold.merge(&part);
                fold
            })?;
            let bar = instrument.open(self.timeframe, (start, self.timeframe.end(start)), &fold, last_close);
            last_close = Some(bar.close);
            Some(Arc::new(bar))
        };
        of_interval.filter_map(bar).collect()
    }
}
