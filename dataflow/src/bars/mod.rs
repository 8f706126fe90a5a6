//! Trades to bars on every timeframe, exactly by the rules of time: closed when due, corrected when late.

mod coverage;
mod fold;
mod hot;
mod identities;
mod interval;
mod klines;
mod market;
mod open;
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

#[cfg(test)]
mod tests;

use std::{cell::RefCell, rc::Rc, sync::Arc};

use differential_dataflow::AsCollection;
use timely::{
    container::CapacityContainerBuilder,
    dataflow::{
        StreamVec,
        channels::pact::Exchange,
        operators::{
            Capability,
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

/// Holds what comes due by time alone, the next at `due`.
fn hold(closing: &mut Option<Held>, due: Time, waiting: Option<&Held>) {
    match closing {
        Some(closing) if *closing[0].time() <= due => closing.iter_mut().for_each(|held| held.downgrade(&due)),
        // None yet, or one of the events that waited makes something due earlier than what was.
        closing => {
            let of_waiting = waiting.map(|held| held.each_ref().map(|held| held.delayed(&due)));
            *closing = of_waiting.or(closing.take());
        }
    }
}

/// Hands updates on at a time.
fn send<D: Clone + 'static>(
    to: &mut OutputBuilder<Time, CapacityContainerBuilder<Updates<D>>>,
    at: &Capability<Time>,
    updates: &mut Updates<D>,
) {
    if !updates.is_empty() {
        to.activate().session(at).give_container(updates);
    }
}

/// Holds events that wait from the frontier on; nothing if none do.
fn wait_on(waiting: &mut Option<Held>, frontier: Option<Time>) {
    match frontier {
        Some(frontier) => {
            waiting.iter_mut().flatten().for_each(|held| held.downgrade(&frontier.max(*held.time())));
        }
        None => *waiting = None,
    }
}

/// Bars of every maintained timeframe, and the events that changed nothing.
///
/// Keeps, per instrument, the intervals that end within the horizon and the open ones, and recent trade identities.
/// Trades of one instrument must come in the order of their partition. They are folded as they come: whether one is in time
/// its own knowledge time says, and no frontier.
pub fn bars<'s>(
    trades: StreamVec<'s, Time, Trade>,
    controls: StreamVec<'s, Time, Control>,
    settings: &Settings,
    sealed: Seal,
    spare: Spare,
    watch: &Watch,
) -> (Rows<'s, Arc<Bar>>, Rows<'s, RowError>, OpenBars) {
    let by_trade = Exchange::new(|trade: &Trade| u64::from(trade.instrument));
    let by_control = Exchange::new(|control: &Control| u64::from(control.instrument));
    let open = OpenBars(Rc::new(RefCell::new(Market::new(settings.clone(), sealed, spare))));
    let (market, mut gauge) = (open.0.clone(), watch.gauge("bars"));
    let mut builder = OperatorBuilder::new("bars".into(), trades.scope());
    let mut trades = builder.new_input(trades, by_trade);
    let mut controls = builder.new_input(controls, by_control);
    let (bars_to, bars) = builder.new_output();
    let (errors_to, errors) = builder.new_output();
    let mut bars_to = OutputBuilder::<_, CapacityContainerBuilder<Updates<Arc<Bar>>>>::from(bars_to);
    let mut errors_to = OutputBuilder::<_, CapacityContainerBuilder<Updates<RowError>>>::from(errors_to);
    builder.build(move |_| {
        // For what comes due by time alone, and for events that wait.
        let (mut closing, mut waiting): (Option<Held>, Option<Held>) = (None, None);
        let mut reached: Time = 0;
        move |frontiers| {
            let market = &mut *market.borrow_mut();
            let mut wait = |time: Time, capabilities: &dyn Fn() -> Held| {
                if waiting.as_ref().is_none_or(|[have, _]| time < *have.time()) {
                    waiting = Some(capabilities());
                }
            };
            trades.for_each(|capability, data| {
                market.receive(std::mem::take(data));
                if closing.is_none() || market.is_waiting() {
                    wait(*capability.time(), &|| [0, 1].map(|port| capability.retain(port)));
                }
            });
            controls.for_each(|capability, data| {
                wait(*capability.time(), &|| [0, 1].map(|port| capability.retain(port)));
                market.controls.append(data);
            });
            let Some(frontier) = frontiers.iter().filter_map(|to| to.frontier().first().copied()).min() else {
                // The end of a log closes nothing.
                (closing, waiting) = (None, None);
                return;
            };
            if frontier <= reached {
                return;
            }
            reached = frontier;
            market.advance(frontier);
            if let Some([bars, errors]) = closing.iter().chain(&waiting).min_by_key(|[bars, _]| *bars.time()) {
                if !market.bars.is_empty() {
                    gauge.set(market.bytes());
                    market.sent = frontier;
                }
                send(&mut bars_to, bars, &mut market.bars);
                send(&mut errors_to, errors, &mut market.errors);
            }
            if let Some(due) = market.next_due() {
                hold(&mut closing, due, waiting.as_ref());
            }
            wait_on(&mut waiting, market.is_waiting().then_some(frontier));
        }
    });
    (bars.as_collection(), errors.as_collection(), open)
}
