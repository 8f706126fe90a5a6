//! Names of instruments, by number.

use std::{cell::RefCell, sync::Arc};

use prism_schemas::InstrumentId;

use crate::registry::Registry;

/// The instruments of a worker's rows, asked of the registry once.
pub(super) struct Names {
    registry: Registry,
    known: RefCell<Vec<Option<Arc<InstrumentId>>>>,
}

impl Names {
    pub(super) fn new(registry: Registry) -> Names {
        Names { registry, known: RefCell::default() }
    }

    /// The instrument of a number.
    pub(super) fn id(&self, instrument: u32) -> Arc<InstrumentId> {
        let (mut known, at) = (self.known.borrow_mut(), instrument as usize);
        if known.len() <= at {
            known.resize(at + 1, None);
        }
        known[at].get_or_insert_with(|| self.registry.id(instrument)).clone()
    }
}
