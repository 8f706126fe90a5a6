//! What instruments are said to be, for decoders that cannot read frames without it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prism_exchange::Wire;
use prism_schemas::InstrumentId;
use prism_schemas::event::Instrument;
use prism_schemas::event::event::Body;

use super::{Events, Maker};

/// An instrument and what decoders need of its description.
pub(crate) type Described = (InstrumentId, Instrument);

/// As a venue's tasks share it.
#[derive(Clone, Default)]
pub(super) struct Known(Arc<Mutex<HashMap<InstrumentId, Instrument>>>);

impl Known {
    fn all(&self) -> MutexGuard<'_, HashMap<InstrumentId, Instrument>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in what an answer describes; gives what is new of it.
    pub(super) fn take(&self, answer: &Events) -> Vec<Described> {
        let mut all = self.all();
        let mut news = Vec::new();
        for (id, event) in answer {
            let Some(Body::Instrument(whole)) = &event.body else { continue };
            let (contract_size, native_symbol) = (whole.contract_size, whole.native_symbol.clone());
            let described = Instrument { contract_size, native_symbol, ..Instrument::default() };
            if all.get(id) != Some(&described) {
                all.insert(id.clone(), described.clone());
                news.push((id.clone(), described));
            }
        }
        news
    }

    /// Whether the instrument of this name was described.
    pub(super) fn has(&self, native: &str) -> bool {
        self.all().values().any(|described| described.native_symbol == native)
    }

    /// A maker of decoders that know it.
    pub(super) fn maker(&self, maker: Maker) -> Maker {
        let this = self.clone();
        Arc::new(move || {
            let mut wire = maker();
            this.all().iter().for_each(|(id, described)| wire.learn(id, described));
            wire
        })
    }
}

/// Takes in what is new of it.
pub(super) fn learn(wire: &mut dyn Wire, news: &[Described]) {
    news.iter().for_each(|(id, described)| wire.learn(id, described));
}
