//! Events that nothing tells apart.

use crate::Event;

impl Event {
    /// How many of the events before it in its message were received in the same instant and say the same: a venue that
    /// tells something twice in one frame means two of it.
    pub fn n_twins(&self, before: &[Event]) -> u32 {
        let of_its_instant = before.iter().rev().take_while(|other| other.ts_recv == self.ts_recv);
        of_its_instant.filter(|other| other.ts_event == self.ts_event && other.body == self.body).count() as u32
    }
}
