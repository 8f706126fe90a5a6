//! How the feeds of instruments are, by what rows of `feed_status` say, and whether that is a reason not to be ready.

use std::collections::BTreeMap;

use prism_schemas::{
    Cell, Version,
    feed::{ALL, ENDED, NOT_FOLLOWED},
    table,
};
use prism_status::Status;

/// States that count; gaps of books and trades are mended by themselves.
const STATES: [&str; 4] = ["connected", "stale", "skewed", "disconnected"];
/// The state of each instrument's feed, by channel.
#[derive(Default)]
pub(crate) struct Feeds(BTreeMap<String, &'static str>);

impl Feeds {
    /// Takes what rows say; prism is not ready while a feed is not connected, or none is.
    pub(crate) fn take(&mut self, rows: &[Version], status: &Status) {
        let mut is_changed = false;
        for row in rows.iter().filter(|row| row.table == &table::FEED_STATUS) {
            is_changed |= self.take_row(row);
        }
        if is_changed {
            self.tell(status);
        }
    }

    /// Takes one row; false if it says nothing of a feed.
    fn take_row(&mut self, row: &Version) -> bool {
        let text = |column| match row.get(column) {
            Some(Cell::Text(text)) => text.to_string(),
            _ => String::new(),
        };
        let Some(state) = STATES.into_iter().find(|state| *state == text("status")) else { return false };
        if text("symbol") == ALL {
            return false;
        }
        let id = ["exchange", "market", "symbol", "channel"].map(text).join(":");
        let id = id.trim_end_matches(':').to_string();
        let is_over = [NOT_FOLLOWED, ENDED].contains(&&*text("cause"));
        if text("channel").is_empty() && (is_over || state == "connected") {
            // What else was said of it is said again if it is still so; books may have a connection of their own.
            self.0.retain(|other, _| {
                let channel = other.strip_prefix(&id).and_then(|rest| rest.strip_prefix(':'));
                channel.is_none_or(|channel| channel == "book" && !is_over)
            });
        }
        if is_over {
            self.0.remove(&id);
        } else {
            self.0.insert(id, state);
        }
        true
    }

    /// Exposes the states, and holds readiness back for the first that is not connected.
    pub(crate) fn tell(&self, status: &Status) {
        for state in STATES {
            let n = self.0.values().filter(|have| **have == state).count();
            status.gauge("prism_feeds", &[("state", state)], n as f64);
        }
        let troubled: Vec<String> = self
            .0
            .iter()
            .filter(|(_, state)| **state != "connected")
            .map(|(id, state)| format!("{id} is {state}"))
            .collect();
        match &troubled[..] {
            [] if self.0.is_empty() => status.hold("feeds", "no feed is connected"),
            [] => status.release("feeds"),
            [first] => status.hold("feeds", first),
            [first, rest @ ..] => status.hold("feeds", &format!("{first}, and {} more", rest.len())),
        }
    }
}
