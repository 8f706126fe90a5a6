//! Applies updates in the order of their knowledge times, whatever batches they arrive in.

use differential_dataflow::AsCollection;
use timely::{
    container::CapacityContainerBuilder,
    dataflow::{
        channels::pact::{ParallelizationContract, Pipeline},
        operators::{
            Capability,
            generic::{OutputBuilder, builder_rc::OperatorBuilder},
        },
    },
    progress::operate::FrontierInterest,
};

use crate::types::{Diff, Rows, Time};

/// Updates that come out of an operator, with the knowledge time that caused each.
pub struct Emit<O> {
    time: Time,
    updates: Vec<(O, Time, Diff)>,
}

impl<O> Emit<O> {
    /// Learns a row.
    pub fn insert(&mut self, row: O) {
        self.updates.push((row, self.time, 1));
    }

    /// Unlearns a row.
    pub fn retract(&mut self, row: O) {
        self.updates.push((row, self.time, -1));
    }

    /// Replaces a row by another; nothing if they are equal.
    pub fn replace(&mut self, old: Option<O>, new: Option<O>)
    where
        O: PartialEq,
    {
        if old != new {
            old.into_iter().for_each(|row| self.retract(row));
            new.into_iter().for_each(|row| self.insert(row));
        }
    }
}

/// Calls `logic` once per knowledge time that holds updates, in order, as soon as the frontier has passed it.
///
/// Keeps updates at or ahead of the frontier. Data stays on its worker.
pub fn in_order<'s, D, O, L>(rows: Rows<'s, D>, name: &str, logic: L) -> Rows<'s, O>
where
    D: Clone + 'static,
    O: Clone + 'static,
    L: FnMut(Time, &mut Vec<(D, Diff)>, &mut Emit<O>) + 'static,
{
    in_order_of(rows, name, Pipeline, Some, logic)
}

/// Like [`in_order`], where nothing comes out: `done` is called after the last of the times that have become due together,
/// before anybody downstream can know that they have.
pub fn in_order_to_end<'s, D, L>(rows: Rows<'s, D>, name: &str, logic: L, done: impl FnMut() + 'static) -> Rows<'s, ()>
where
    D: Clone + 'static,
    L: FnMut(Time, &mut Vec<(D, Diff)>) + 'static,
{
    let mut logic = logic;
    ordered(rows, name, Pipeline, Some, move |time, batch: &mut Vec<(D, Diff)>, _| logic(time, batch), done)
}

/// Like [`in_order`], over what `pick` makes of each row, on the worker that `pact` says.
///
/// Costs nothing while no row waits, picked or not: neither a capability nor a call when the frontier moves.
pub fn in_order_of<'s, C, D, O, P, K, L>(rows: Rows<'s, C>, name: &str, pact: P, pick: K, logic: L) -> Rows<'s, O>
where
    C: Clone + 'static,
    D: 'static,
    O: Clone + 'static,
    P: ParallelizationContract<Time, Vec<(C, Time, Diff)>>,
    K: FnMut(C) -> Option<D> + 'static,
    L: FnMut(Time, &mut Vec<(D, Diff)>, &mut Emit<O>) + 'static,
{
    ordered(rows, name, pact, pick, logic, || {})
}

/// Updates there is always room for.
const ROOM: usize = 1_024;

/// Updates that wait for the frontier to pass them.
struct Pending<C> {
    updates: Vec<(C, Time, Diff)>,
    is_sorted: bool,
}

impl<C> Pending<C> {
    /// Takes these in: mostly none wait, and a whole container moves.
    fn take(&mut self, data: &mut Vec<(C, Time, Diff)>) {
        let rises = |updates: &[(C, Time, Diff)]| updates.is_sorted_by_key(|(_, time, _)| *time);
        let last = self.updates.last().map(|(_, time, _)| *time);
        self.is_sorted &=
            rises(data) && data.first().is_none_or(|(_, first, _)| last.is_none_or(|last| last <= *first));
        if self.updates.is_empty() {
            std::mem::swap(&mut self.updates, data);
        } else {
            self.updates.append(data);
        }
    }

    /// Gives back the room of what came at once, such as a history.
    fn shrink(&mut self) {
        if ROOM < self.updates.capacity() && 4 * self.updates.len() < self.updates.capacity() {
            self.updates.shrink_to(ROOM.max(2 * self.updates.len()));
        }
    }

    /// Hands over those before `frontier`, all that are known at a time together. Whether there were any.
    fn hand_over(&mut self, frontier: Option<Time>, mut see: impl FnMut(Time, (C, Diff), bool)) -> bool {
        if !self.is_sorted {
            self.updates.sort_by_key(|(_, time, _)| *time);
            self.is_sorted = true;
        }
        let n_due = match frontier {
            Some(frontier) => self.updates.partition_point(|(_, time, _)| *time < frontier),
            None => self.updates.len(),
        };
        let mut ready = self.updates.drain(..n_due).peekable();
        while let Some((row, time, diff)) = ready.next() {
            let is_last = ready.peek().is_none_or(|(_, next, _)| *next != time);
            see(time, (row, diff), is_last);
        }
        0 < n_due
    }
}

/// Holds the first of what waits, also where nothing is due yet: what comes early must not hold time at when it came.
fn hold_until(held: &mut Option<Capability<Time>>, first: Option<Time>) {
    match (held.as_mut(), first) {
        (Some(capability), Some(first)) => capability.downgrade(&first),
        _ => *held = None,
    }
}

fn ordered<'s, C, D, O, P, K, L>(
    rows: Rows<'s, C>,
    name: &str,
    pact: P,
    mut pick: K,
    mut logic: L,
    mut done: impl FnMut() + 'static,
) -> Rows<'s, O>
where
    C: Clone + 'static,
    D: 'static,
    O: Clone + 'static,
    P: ParallelizationContract<Time, Vec<(C, Time, Diff)>>,
    K: FnMut(C) -> Option<D> + 'static,
    L: FnMut(Time, &mut Vec<(D, Diff)>, &mut Emit<O>) + 'static,
{
    type Builder<O> = CapacityContainerBuilder<Vec<(O, Time, Diff)>>;
    let mut builder = OperatorBuilder::new(name.into(), rows.inner.scope());
    let mut input = builder.new_input(rows.inner, pact);
    let (output, stream) = builder.new_output();
    let mut output = OutputBuilder::<_, Builder<O>>::from(output);
    builder.set_notify_for(0, FrontierInterest::IfCapability);
    builder.build(move |_| {
        // Held at or before the first pending row; none while there is none.
        let mut held: Option<Capability<Time>> = None;
        let mut pending: Pending<C> = Pending { updates: Vec::new(), is_sorted: true };
        let mut batch: Vec<(D, Diff)> = Vec::new();
        let mut emit = Emit { time: 0, updates: Vec::new() };
        move |frontiers| {
            input.for_each(|capability, data| {
                pending.take(data);
                if held.as_ref().is_none_or(|held| capability.time() < held.time()) {
                    held = Some(capability.retain(0));
                }
            });
            let Some(capability) = &mut held else { return };
            let is_any = pending.hand_over(frontiers[0].frontier().first().copied(), |time, (row, diff), is_last| {
                batch.extend(pick(row).map(|row| (row, diff)));
                if is_last && !batch.is_empty() {
                    emit.time = time;
                    // As many mostly come out as go in: at once, where growing would copy them.
                    emit.updates.reserve(batch.len());
                    logic(time, &mut batch, &mut emit);
                    batch.clear();
                }
            });
            if is_any {
                done();
                pending.shrink();
                batch.shrink_to(ROOM);
            }
            if !emit.updates.is_empty() {
                output.activate().session(capability).give_container(&mut emit.updates);
            }
            hold_until(&mut held, pending.updates.first().map(|(_, first, _)| *first));
        }
    });
    stream.as_collection()
}

#[cfg(test)]
mod tests {
    use timely::dataflow::operators::{Input, probe::Handle as Probe};

    use super::*;

    #[test]
    fn what_comes_before_its_time_holds_up_nothing() {
        timely::execute_directly(|worker| {
            let probe = Probe::new();
            let mut input = worker.dataflow::<Time, _, _>(|scope| {
                let (input, stream) = scope.new_input();
                let rows: Rows<'_, u64> = stream.as_collection();
                in_order(rows, "rows", |_, batch: &mut Vec<(u64, Diff)>, emit| {
                    batch.drain(..).for_each(|(row, _)| emit.insert(row));
                })
                .probe_with(&probe);
                input
            });
            input.send((7, 100, 1));
            for (frontier, reached) in [(50, 50), (100, 100), (101, 101)] {
                input.advance_to(frontier);
                (0..10).for_each(|_| {
                    worker.step();
                });
                assert_eq!(probe.with_frontier(|frontier| frontier.first().copied()), Some(reached));
            }
        });
    }
}
