//! Whose an event is: instruments that are named once and shared by all their events.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use prism_schemas::{Event, InstrumentId};

use super::Events;
use super::row::Row;

/// An instrument's name, shared.
pub(crate) type Id = Rc<InstrumentId>;

/// Names that were met.
#[derive(Default)]
pub(super) struct Names {
    last: Option<Id>,
    met: HashSet<Id>,
}

impl Names {
    /// The shared name of an instrument.
    pub(super) fn of(&mut self, instrument: InstrumentId) -> Id {
        if let Some(last) = self.last.as_ref().filter(|last| ***last == instrument) {
            return last.clone();
        }
        let id = self.met.get(&instrument).cloned().unwrap_or_else(|| instrument.into());
        self.met.insert(id.clone());
        self.last.insert(id).clone()
    }

    /// Appends what a decoder gave.
    pub(super) fn share(&mut self, decoded: &mut Vec<(InstrumentId, Event)>, out: &mut Events) {
        out.extend(decoded.drain(..).map(|(instrument, event)| (self.of(instrument), event)));
    }
}

/// Names an instrument by one or two cells; an error says why it cannot be read.
pub(super) type Resolve = Rc<dyn Fn(&str, &str) -> Result<InstrumentId, String>>;

/// Which instrument a row is of.
#[derive(Clone)]
pub(super) enum Who {
    /// All are of one.
    One(Id),
    /// By the cells of one or two columns.
    Named {
        columns: (usize, Option<usize>),
        resolve: Resolve,
        last: (String, String),
        id: Option<Id>,
        known: HashMap<(String, String), Id>,
    },
}

impl Who {
    /// All rows are of this instrument.
    pub(super) fn one(instrument: &InstrumentId) -> Who {
        Who::One(instrument.clone().into())
    }

    /// By these columns.
    pub(super) fn named(columns: (usize, Option<usize>), resolve: Resolve) -> Who {
        Who::Named { columns, resolve, last: (String::new(), String::new()), id: None, known: HashMap::new() }
    }

    /// The row's instrument.
    pub(super) fn of(&mut self, row: &Row) -> Result<Id, String> {
        let (columns, resolve, last, id, known) = match self {
            Who::One(id) => return Ok(id.clone()),
            Who::Named { columns, resolve, last, id, known } => (*columns, resolve, last, id, known),
        };
        let (one, other) = (row.get(columns.0)?, columns.1.map_or(Ok(""), |at| row.get(at))?);
        if let Some(id) = id.as_ref().filter(|_| last.0 == one && last.1 == other) {
            return Ok(id.clone());
        }
        *last = (one.into(), other.into());
        let found = match known.get(last) {
            Some(found) => found.clone(),
            None => {
                let found: Id = resolve(one, other).inspect_err(|_| *id = None)?.into();
                known.insert(last.clone(), found.clone());
                found
            }
        };
        Ok(id.insert(found).clone())
    }
}
