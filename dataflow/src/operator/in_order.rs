//! Applies updates in the order of their knowledge times, whatever batches they arrive in.

use differential_dataflow::AsCollection;
use timely::{
    container::CapacityContainerBuilder,
    dataflow::{
        channels::pact::Pipeline,
        operators::{Capability, generic::operator::Operator},
    },
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
pub fn in_order<'s, D, O, L>(rows: Rows<'s, D>, name: &str, mut logic: L) -> Rows<'s, O>
where
    D: Clone + 'static,
    O: Clone + 'static,
    L: FnMut(Time, &mut Vec<(D, Diff)>, &mut Emit<O>) + 'static,
{
    type Builder<O> = CapacityContainerBuilder<Vec<(O, Time, Diff)>>;
    rows.inner
        .unary_frontier::<Builder<O>, _, _, _>(Pipeline, name, move |capability, _| {
            let mut capability: Option<Capability<Time>> = Some(capability);
            let mut pending: Vec<(D, Time, Diff)> = Vec::new();
            let mut batch: Vec<(D, Diff)> = Vec::new();
            let mut emit = Emit { time: 0, updates: Vec::new() };
            move |(input, frontier), output| {
                input.for_each(|_, data| pending.append(data));
                let frontier = frontier.frontier().first().copied();
                let due = |time: Time| frontier.is_none_or(|frontier| time < frontier);
                if pending.iter().any(|(_, time, _)| due(*time)) {
                    pending.sort_by_key(|(_, time, _)| *time);
                    let n_due = pending.partition_point(|(_, time, _)| due(*time));
                    let mut ready = pending.drain(..n_due).peekable();
                    while let Some((row, time, diff)) = ready.next() {
                        batch.push((row, diff));
                        if ready.peek().is_none_or(|(_, next, _)| *next != time) {
                            emit.time = time;
                            logic(time, &mut batch, &mut emit);
                            batch.clear();
                        }
                    }
                    drop(ready);
                    if let Some(capability) = &capability
                        && !emit.updates.is_empty()
                    {
                        output.session(capability).give_iterator(emit.updates.drain(..));
                    }
                }
                match (frontier, &mut capability) {
                    (Some(frontier), Some(capability)) if *capability.time() < frontier => {
                        capability.downgrade(&frontier);
                    }
                    (None, capability) => *capability = None,
                    _ => {}
                }
            }
        })
        .as_collection()
}
