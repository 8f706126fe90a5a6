//! Containers of trades that go round.

use std::{cell::RefCell, rc::Rc};

use crate::event::Trade;

/// Emptied containers of trades on their way back to who fills them: memory that was just read is at hand.
#[derive(Clone, Debug, Default)]
pub struct Spare(Rc<RefCell<Vec<Vec<Trade>>>>);

impl Spare {
    /// Containers kept at most.
    const MOST: usize = 64;

    /// An empty container.
    pub fn take(&self) -> Vec<Trade> {
        self.0.borrow_mut().pop().unwrap_or_default()
    }

    pub(super) fn give(&self, mut trades: Vec<Trade>) {
        let mut spare = self.0.borrow_mut();
        if spare.len() < Self::MOST {
            trades.clear();
            spare.push(trades);
        }
    }
}
