//! What a worker keeps of each instrument, by number.

use std::sync::Arc;

use prism_schemas::Timeframe;

use super::{hot::Hot, tape::Tape};
use crate::{event::Trade, settings::Settings};

/// State of the instruments, by number.
#[derive(Default)]
pub(super) struct Instruments {
    /// Timeframes whose bars have a flow.
    pub(super) flows: Arc<[Timeframe]>,
    pub(super) tapes: Vec<Option<Tape>>,
    pub(super) hot: Vec<Hot>,
}

impl Instruments {
    /// The instrument of this number, made if absent.
    pub(super) fn get(&mut self, number: u32, settings: &Settings) -> (&mut Tape, &mut Hot) {
        let at = number as usize;
        if self.tapes.len() <= at {
            self.tapes.resize_with(at + 1, || None);
            self.hot.resize_with(at + 1, Hot::default);
        }
        let flows = &self.flows;
        (self.tapes[at].get_or_insert_with(|| Tape::new(number, settings, flows.clone())), &mut self.hot[at])
    }

    /// A trade is folded at hand: takes it into what takers bought and sold.
    pub(super) fn flow(&mut self, trade: &Trade) {
        let at = trade.instrument as usize;
        if let Some(tape) = self.tapes[at].as_mut() {
            tape.flow(trade, self.hot[at].start());
        }
    }
}
