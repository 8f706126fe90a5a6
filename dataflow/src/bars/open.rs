//! Bars of intervals that are open: what there is of them so far, for whoever follows.

use std::{cell::RefCell, collections::VecDeque, rc::Rc, sync::Arc};

use prism_schemas::{Timeframe, Ts};
use timely::scheduling::Activator;

use super::{
    hot::Hot,
    interval::Instrument,
    market::Market,
    series::{Series, Slot},
    sessions::Sessions,
    tape::Tape,
};
use crate::{bar::Bar, operator::find, settings::Settings, types::Time};

/// The open bars of a worker's instruments. Nothing is kept for them until they are followed.
#[derive(Clone)]
pub struct OpenBars(pub(super) Rc<RefCell<Market>>);

impl OpenBars {
    /// From now on whoever this wakes is woken when trades or other things came.
    pub fn follow(&self, wake: Activator) {
        self.0.borrow_mut().followed.wake = Some(wake);
    }

    /// Something else came of an instrument, received then, that changes what forms.
    pub fn note(&self, instrument: u32, received: Ts) {
        self.0.borrow_mut().followed.note([(instrument as usize, received)].into_iter());
    }

    /// Nobody asks for what came so far.
    pub fn pass_over(&self) {
        self.0.borrow_mut().followed.clear();
    }

    /// Open bars of these timeframes of an instrument of which something came, or other bars closed than before: of the one
    /// that waits longest of those that are wanted, by number; the others wait no longer. Shortest first, those of a timeframe
    /// in order, with when the newest that came was received, or that nothing came until `reached`.
    pub fn take(
        &self,
        reached: Time,
        is_wanted: impl Fn(u32) -> bool,
        of: impl Fn(Timeframe) -> bool,
    ) -> Option<(Ts, Vec<Arc<Bar>>)> {
        let market = &mut *self.0.borrow_mut();
        std::iter::from_fn(|| market.open_bars(reached, &is_wanted, &of)).find(|(_, bars)| !bars.is_empty())
    }

    /// Whether closed bars are still on their way downstream, where all before `reached` has come.
    pub fn is_ahead_of(&self, reached: Time) -> bool {
        reached < self.0.borrow().sent
    }

    /// All instruments wait to be taken from now on.
    pub fn begin_round(&self) {
        self.0.borrow_mut().begin_round();
    }

    /// Whether all were taken that waited when the last round began.
    pub fn is_round_over(&self) -> bool {
        self.0.borrow().followed.n_left == 0
    }

    /// Whether something came of an instrument that was not taken yet.
    pub fn is_waiting(&self) -> bool {
        !self.0.borrow().followed.some.is_empty()
    }
}

/// Instruments whose open bars may be others, where anybody wants to know.
#[derive(Default)]
pub(super) struct Followed {
    wake: Option<Activator>,
    /// By number.
    of: Vec<One>,
    /// Who waits longest first.
    some: VecDeque<usize>,
    /// How many of these are of the round that was begun last.
    n_left: usize,
}

/// One of them.
#[derive(Clone, Copy, Default)]
struct One {
    /// Whether it waits.
    is_in: bool,
    /// Whether something was received of it since it was last taken.
    is_news: bool,
    /// Up to when all that was received of it is in what was taken, or will be.
    known: Ts,
}

impl Followed {
    /// Something came of these, received then; or else, if that is [`Ts::MIN`].
    pub(super) fn note(&mut self, instruments: impl Iterator<Item = (usize, Ts)>) {
        let Some(wake) = &self.wake else { return };
        for (at, received) in instruments {
            if self.of.len() <= at {
                self.of.resize(at + 1, One::default());
            }
            let one = &mut self.of[at];
            one.is_news |= received != Ts::MIN;
            one.known = received.max(one.known);
            if !std::mem::replace(&mut one.is_in, true) {
                self.some.push_back(at);
            }
        }
        wake.activate();
    }

    /// All that are among them are of a round that begins.
    pub(super) fn begin_round(&mut self) {
        self.n_left = self.some.len();
    }

    /// The one that waits longest, with when the newest that came of it was received, or that nothing came until `reached`; it
    /// does not wait from then on.
    pub(super) fn take(&mut self, reached: Time) -> Option<(usize, Ts)> {
        let at = self.some.pop_front()?;
        self.n_left = self.n_left.saturating_sub(1);
        let One { is_news, known, .. } = self.of[at];
        // Never before what was told of it.
        let known = if is_news { known } else { known.max(reached as Ts) };
        self.of[at] = One { is_in: false, is_news: false, known };
        Some((at, known))
    }

    fn clear(&mut self) {
        while self.take(0).is_some() {}
    }
}

impl Tape {
    /// Bars of the open intervals of these timeframes that hold trades.
    pub(super) fn open_bars(
        &mut self,
        settings: &Settings,
        sessions: &Sessions,
        hot: &mut Hot,
        of: impl Fn(Timeframe) -> bool,
    ) -> Vec<Arc<Bar>> {
        let finest = &mut self.series[0].slots;
        if let Some((start, fold)) = hot.drain(&self.scale)
            && let Ok(at) = find(finest, &start, |slot| slot.start)
        {
            finest[at].merge(&fold);
        }
        let finest = &self.series[0].slots;
        let n_open = finest.iter().rev().take_while(|slot| !slot.closed).count();
        let open: Vec<&Slot> = finest.range(finest.len() - n_open..).collect();
        let instrument = self.of(settings, sessions);
        let wanted = self.series.iter().enumerate().filter(|(_, series)| of(series.timeframe));
        wanted.flat_map(|(at, series)| series.open_bars(&instrument, &open, at == 0)).collect()
    }
}

impl Series {
    /// Its open bars, given the finest open intervals, oldest first.
    fn open_bars(&self, instrument: &Instrument<'_>, finest: &[&Slot], is_finest: bool) -> Vec<Arc<Bar>> {
        let flows = instrument.flows.contains(&self.timeframe);
        let copy = |slot: &Slot| {
            let flow = slot.flow.as_ref().filter(|_| flows).map(|flow| Box::new(flow.forming()));
            let mut copy = Slot::new(slot.start, slot.end, slot.close);
            (copy.fold, copy.flow) = (Some(slot.fold?), flow);
            Some(copy)
        };
        let own = self.slots.iter().rev().take_while(|slot| !slot.closed && !is_finest);
        let mut open: Vec<Slot> = own.filter_map(copy).collect();
        for part in finest {
            let Some(fold) = &part.fold else { continue };
            let start = self.timeframe.start(part.start);
            let at = open.iter().position(|slot| slot.start == start).unwrap_or(open.len());
            if at == open.len() {
                if self.find(start).is_some_and(|slot| slot.closed) {
                    continue;
                }
                open.push(Slot::new(start, self.timeframe.end(start), Ts::MAX));
            }
            open[at].merge(fold);
            if let Some(flow) = part.flow.as_deref().filter(|_| flows) {
                open[at].merge_flow(flow, part.start, part.end);
            }
        }
        open.sort_by_key(|slot| slot.start);
        let mut last_close = self.last_close();
        let bar = |slot: Slot| {
            let bar = instrument.open(self.timeframe, &slot, last_close)?;
            last_close = Some(bar.close);
            Some(Arc::new(bar))
        };
        open.into_iter().filter_map(bar).collect()
    }
}
