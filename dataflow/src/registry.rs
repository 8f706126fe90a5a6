//! Instruments of a run and their dense numbers.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

use prism_schemas::{InstrumentId, Market};

/// Numbers instruments in the order they are first seen. Shared by the workers of a process; results never depend on the numbers.
#[derive(Clone, Debug, Default)]
pub struct Registry(Arc<RwLock<Names>>);

#[derive(Debug, Default)]
struct Names {
    numbers: BTreeMap<InstrumentId, u32>,
    ids: Vec<Arc<InstrumentId>>,
    /// Numbers of exchange, market and symbol where the market is unknown.
    foreign: BTreeMap<[String; 3], u32>,
    /// Names of unknown markets, by number.
    markets: BTreeMap<u32, String>,
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

    /// The number of something whose market this version does not know: refusals have it, and nothing else.
    pub fn foreign(&self, exchange: &str, market: &str, symbol: &str) -> u32 {
        let names = [exchange, market, symbol].map(String::from);
        if let Some(number) = self.0.read().unwrap_or_else(PoisonError::into_inner).foreign.get(&names) {
            return *number;
        }
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let next = all.ids.len() as u32;
        let number = *all.foreign.entry(names).or_insert(next);
        if number == next {
            all.ids.push(Arc::new(InstrumentId::new(exchange, Market::Spot, symbol)));
            all.markets.insert(number, market.into());
        }
        number
    }

    /// The name of the market of a number this registry gave out, known to this version or not.
    pub fn market(&self, number: u32) -> String {
        let names = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let known = || names.ids[number as usize].market.name().into();
        names.markets.get(&number).cloned().unwrap_or_else(known)
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
