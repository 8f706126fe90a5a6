//! Tables `late_events` and `quarantine`: events that changed nothing, and why.

use std::{cell::RefCell, rc::Rc};

use prism_schemas::{
    Cell, Version, Versions,
    table::{LATE_EVENTS, QUARANTINE},
};

use super::Sink;
use crate::{
    event::RowError,
    operator::in_order_to_end,
    registry::Registry,
    types::{Diff, Rows, Time},
};

/// Refusals that go out together at most.
const ROWS_MAX: usize = 1_024;

/// Refusals on their way out.
pub(super) struct Refusals {
    registry: Registry,
    rows: Vec<Version>,
    sink: Sink,
}

impl Refusals {
    pub(super) fn new(registry: Registry, sink: Sink) -> Rc<RefCell<Refusals>> {
        Rc::new(RefCell::new(Refusals { registry, rows: Vec::new(), sink }))
    }

    /// Takes one that became known at this time.
    pub(super) fn take(&mut self, error: &RowError, time: Time) {
        let instrument = self.registry.id(error.instrument);
        let market = self.registry.market(error.instrument);
        let names = [&*instrument.exchange, &*market, &*instrument.symbol].map(Cell::from);
        let known = Cell::Ts(time as i64);
        let text = |text: &str| Cell::from(text);
        self.rows.push(match (&*error.rule, error.trade) {
            ("late", Some((price, size, buy))) => {
                let mut cells = vec![Cell::Ts(error.ts_event)];
                cells.extend(names);
                let side = if buy { "buy" } else { "sell" };
                cells.extend([text(&error.id), price.into(), size.into(), side.into(), Cell::Ts(error.ts_recv)]);
                cells.extend([known, text(&error.detail)]);
                Version { table: &LATE_EVENTS, cells }
            }
            _ => {
                let mut cells = vec![Cell::Ts(error.ts_recv)];
                cells.extend(names);
                cells.extend([&error.rule, &error.id, &error.detail, &error.raw].map(|value| text(value)));
                cells.push(known);
                Version { table: &QUARANTINE, cells }
            }
        });
        if ROWS_MAX <= self.rows.len() {
            self.flush();
        }
    }

    /// Sends what was taken.
    pub(super) fn flush(&mut self) {
        if !self.rows.is_empty() {
            let rows = Versions::of(&self.rows).unwrap_or_else(|error| panic!("refusals: {error}"));
            self.rows.clear();
            rows.into_iter().for_each(|rows| (self.sink)(rows));
        }
    }
}

/// The rows of refusals.
pub(super) fn rows<'s>(errors: Rows<'s, RowError>, refusals: Rc<RefCell<Refusals>>) -> Rows<'s, ()> {
    let flushed = refusals.clone();
    let logic = move |time, batch: &mut Vec<(RowError, Diff)>| {
        let mut refusals = refusals.borrow_mut();
        batch.drain(..).for_each(|(error, _)| refusals.take(&error, time));
    };
    in_order_to_end(errors, "errors rows", logic, move || flushed.borrow_mut().flush())
}
