//! Trades to bars on every timeframe, exactly by the rules of time: closed when due, corrected when late.

mod close;
mod coverage;
mod flow;
mod fold;
mod footprint;
mod hot;
mod identities;
mod instruments;
mod interval;
mod klines;
mod market;
mod open;
mod positions;
mod refused;
mod rising;
mod seal;
mod series;
mod sessions;
mod spare;
mod streams;
mod switch;
mod tape;
mod timeline;
mod touched;
mod venue;

#[cfg(test)]
mod tests;

use std::{cell::RefCell, rc::Rc, sync::Arc};

use differential_dataflow::AsCollection;
use prism_schemas::Timeframe;
use timely::{
    container::CapacityContainerBuilder,
    dataflow::{
        StreamVec,
        channels::pact::Exchange,
        operators::{
            Capability, InputCapability,
            generic::{OutputBuilder, builder_rc::OperatorBuilder},
        },
    },
};

use crate::{
    bar::Bar,
    event::{Control, RowError, Trade},
    operator::Watch,
    settings::Settings,
    types::{Diff, Rows, Time},
};
use market::Market;
pub use open::OpenBars;
pub use seal::Seal;
pub use spare::Spare;

type Updates<D> = Vec<(D, Time, Diff)>;

/// Of bars and errors.
type Held = [Capability<Time>; 2];

/// What lets later rows be sent.
#[derive(Default)]
struct Holds {
    /// For what comes due by time alone.
    closing: Option<Held>,
    /// For events that wait.
    waiting: Option<Held>,
}

impl Holds {
    /// Holds an event that waits.
    fn wait(&mut self, capability: &InputCapability<Time>) {
        if self.waiting.as_ref().is_none_or(|[have, _]| capability.time() < have.time()) {
            self.waiting = Some([0, 1].map(|port| capability.retain(port)));
        }
    }

    /// The earliest.
    fn first(&self) -> Option<&Held> {
        self.closing.iter().chain(&self.waiting).min_by_key(|[bars, _]| *bars.time())
    }

    /// Holds what comes due by time alone, the next at `due`.
    fn close(&mut self, due: Time) {
        match &mut self.closing {
            Some(closing) if *closing[0].time() <= due => closing.iter_mut().for_each(|held| held.downgrade(&due)),
            // None yet, or one of the events that waited makes something due earlier than what was.
            closing => {
                let of_waiting = self.waiting.as_ref().map(|held| held.each_ref().map(|held| held.delayed(&due)));
                *closing = of_waiting.or(closing.take());
            }
        }
    }

    /// Holds events that wait from the frontier on; nothing if none do.
    fn wait_on(&mut self, frontier: Option<Time>) {
        match frontier {
            Some(frontier) => {
                self.waiting.iter_mut().flatten().for_each(|held| held.downgrade(&frontier.max(*held.time())));
            }
            None => self.waiting = None,
        }
    }
}

/// Hands updates on at a time; whether there were any.
fn send<D: Clone + 'static>(
    to: &mut OutputBuilder<Time, CapacityContainerBuilder<Updates<D>>>,
    at: &Capability<Time>,
    updates: &mut Updates<D>,
) -> bool {
    let are_any = !updates.is_empty();
    if are_any {
        to.activate().session(at).give_container(updates);
    }
    are_any
}

/// Bars of every maintained timeframe, those of `flows` with what takers bought and sold, and the events that changed nothing.
///
/// Keeps, per instrument, the intervals that end within the horizon and the open ones, and recent trade identities.
/// Trades of one instrument must come in the order of their partition. They are folded as they come: whether one is in time
/// its own knowledge time says, and no frontier.
pub fn bars<'s>(
    trades: StreamVec<'s, Time, Trade>,
    controls: StreamVec<'s, Time, Control>,
    (settings, flows): (&Settings, &[Timeframe]),
    sealed: Seal,
    spare: Spare,
    watch: &Watch,
) -> (Rows<'s, Arc<Bar>>, Rows<'s, RowError>, OpenBars) {
    let by_trade = Exchange::new(|trade: &Trade| u64::from(trade.instrument));
    let by_control = Exchange::new(|control: &Control| u64::from(control.instrument));
    let open = OpenBars(Rc::new(RefCell::new(Market::new(settings.clone(), flows, sealed, spare))));
    let (market, mut gauge) = (open.0.clone(), watch.gauge("bars"));
    let mut builder = OperatorBuilder::new("bars".into(), trades.scope());
    let mut trades = builder.new_input(trades, by_trade);
    let mut controls = builder.new_input(controls, by_control);
    let (bars_to, bars) = builder.new_output();
    let (errors_to, errors) = builder.new_output();
    let mut bars_to = OutputBuilder::<_, CapacityContainerBuilder<Updates<Arc<Bar>>>>::from(bars_to);
    let mut errors_to = OutputBuilder::<_, CapacityContainerBuilder<Updates<RowError>>>::from(errors_to);
    builder.build(move |_| {
        let mut holds = Holds::default();
        let mut reached: Time = 0;
        move |frontiers| {
            let market = &mut *market.borrow_mut();
            trades.for_each(|capability, data| {
                market.receive(std::mem::take(data));
                if holds.closing.is_none() || market.is_waiting() {
                    holds.wait(&capability);
                }
            });
            controls.for_each(|capability, data| {
                holds.wait(&capability);
                market.controls.append(data);
            });
            let Some(frontier) = frontiers.iter().filter_map(|to| to.frontier().first().copied()).min() else {
                // The end of a log closes nothing.
                holds = Holds::default();
                return;
            };
            if frontier <= reached {
                return;
            }
            reached = frontier;
            market.advance(frontier);
            if let Some([bars, errors]) = holds.first() {
                if send(&mut bars_to, bars, &mut market.bars) {
                    gauge.set(market.bytes());
                    market.sent = frontier;
                }
                send(&mut errors_to, errors, &mut market.errors);
            }
            if let Some(due) = market.next_due() {
                holds.close(due);
            }
            holds.wait_on(market.is_waiting().then_some(frontier));
        }
    });
    (bars.as_collection(), errors.as_collection(), open)
}
