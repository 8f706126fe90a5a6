//! A connection before its end: another one takes its place.

use std::time::Duration;

use super::machine::Machine;
use super::ports::{Now, Output};
use super::session::Session;

/// One that was replaced is heard so long: what it was sent before the other was subscribed may still be on its way.
const LINGERS: Duration = Duration::from_secs(2);

impl Machine {
    /// Before the venue ends a connection another one stands, is subscribed and has its books; then the first is heard for a
    /// while more, and closed.
    pub(super) fn replace(&mut self, now: Now) {
        let over = self.old.take_if(|(_, until)| *until <= now.at);
        self.outputs.extend(over.map(|(old, _)| Output::Close(old.slot)));
        let Some(main) = self.main.as_ref().filter(|_| self.said == Some(true)) else { return };
        let age = main.opened.map_or(Duration::ZERO, |opened| now.at.saturating_duration_since(opened));
        if let Some(spare) = &self.spare {
            if spare.is_ready(self.has_books(), &self.options, now.at) {
                self.promote(now);
            } else if spare.is_late(&self.options, now.at) {
                self.outputs.push(Output::Close(spare.slot));
                self.give_up("its subscriptions were not answered", now);
            }
        } else if self.old.is_none()
            && (main.is_leaving || self.options.rotate <= age)
            && self.replace_at.is_none_or(|due| due <= now.at)
        {
            let (slot, refused) = (1 - main.slot, main.subscriptions.heir());
            self.spare = Some(self.begin(slot, refused, now));
        }
    }

    /// The replacement is followed from now on.
    fn promote(&mut self, now: Now) {
        let (Some(spare), Some(main)) = (self.spare.take(), self.main.take()) else { return };
        tracing::info!(venue = self.wire.id(), "a connection was replaced at its age");
        let refused = |session: &Session| session.subscriptions.refused().cloned().collect::<Vec<String>>();
        let (before, after) = (refused(&main), refused(&spare));
        self.replace_at = None;
        self.main = Some(spare);
        self.old = Some((main, now.at + LINGERS / self.options.speed));
        for topic in before.iter().filter(|topic| !after.contains(topic)) {
            let told = self.tell_topic(topic, true, now);
            self.events.extend(told);
        }
        for topic in after.iter().filter(|topic| !before.contains(topic)) {
            let told = self.tell_topic(topic, false, now);
            self.events.extend(told);
        }
        self.hand_over(now);
    }
}
