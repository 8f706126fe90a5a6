//! Instruments of a run and their dense numbers.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

use prism_schemas::InstrumentId;

/// Numbers instruments in the order they are first seen. Shared by the workers of a process; results never depend on the numbers.
#[derive(Clone, Debug, Default)]
pub struct Registry(Arc<RwLock<Names>>);

#[derive(Debug, Default)]
struct Names {
    numbers: BTreeMap<InstrumentId, u32>,
    ids: Vec<Arc<InstrumentId>>,
}

impl Registry {
    /// The number of an instrument, new if it was never seen.
    pub fn number(&self, id: &InstrumentId) -> u32 {
        if let Some(number) = self.find(id) {
            return number;
        }
        let mut names = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let next = names.ids.len() as u32;
        let number = *names.numbers.entry(id.clone()).or_insert(next);
        if number == next {
            names.ids.push(Arc::new(id.clone()));
        }
        number
    }

    /// The number of an instrument that was seen.
    pub fn find(&self, id: &InstrumentId) -> Option<u32> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).numbers.get(id).copied()
    }

    /// The instrument of a number this registry gave out.
    pub fn id(&self, number: u32) -> Arc<InstrumentId> {
        let names = self.0.read().unwrap_or_else(PoisonError::into_inner);
        names.ids[number as usize].clone()
    }
}
