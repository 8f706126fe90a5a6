//! How the feeds of instruments are, by what rows of `feed_status` say, and whether that is a reason not to be ready.

use std::collections::BTreeMap;

use prism_schemas::{
    Cell, Ts, Version, Versions,
    feed::{ALL, ENDED, KLINES, NOT_FOLLOWED},
    table,
};
use prism_status::Status;

use crate::publish::known_at;

/// States that count; gaps of books and trades are mended by themselves.
const STATES: [&str; 4] = ["connected", "stale", "skewed", "disconnected"];
/// The state of each instrument's feed, by channel.
#[derive(Default)]
pub(crate) struct Feeds(BTreeMap<String, &'static str>);

impl Feeds {
    /// Takes what rows say; prism is not ready while a feed is not connected, or none is. Reconnections are counted from
    /// `news_from` on.
    pub(crate) fn take(&mut self, rows: &[Versions], status: &Status, news_from: Option<Ts>) {
        let mut is_changed = false;
        let told = rows.iter().filter(|rows| *rows.table() == table::FEED_STATUS).flat_map(Versions::to_vec);
        for row in told {
            let n_down = self.n_disconnected();
            is_changed |= self.take_row(&row);
            let is_news = news_from.is_some_and(|from| known_at(&row).is_some_and(|known| from <= known));
            if let Some(Cell::Text(venue)) = row.get("exchange")
                && self.n_disconnected() < n_down
                && row.get("status") == Some(&Cell::text("connected"))
                && is_news
            {
                status.reconnected(venue);
            }
        }
        if is_changed {
            self.tell(status);
        }
    }

    fn n_disconnected(&self) -> usize {
        self.0.values().filter(|state| **state == "disconnected").count()
    }

    /// Takes one row; false if it says nothing of a feed.
    fn take_row(&mut self, row: &Version) -> bool {
        let text = |column| match row.get(column) {
            Some(Cell::Text(text)) => text.to_string(),
            _ => String::new(),
        };
        let Some(state) = STATES.into_iter().find(|state| *state == text("status")) else { return false };
        if text("symbol") == ALL || text("channel").starts_with(KLINES) {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn told(symbol: &str, channel: &str, status: &str, cause: &str, known: Ts) -> Vec<Versions> {
        let cell = |name: &str| match name {
            "ts" | "known_at" => Cell::Ts(1_000 * known),
            "exchange" => Cell::text("bybit"),
            "market" => Cell::text("linear"),
            "symbol" => Cell::text(symbol),
            "channel" if !channel.is_empty() => Cell::text(channel),
            "status" => Cell::text(status),
            "cause" => Cell::text(cause),
            _ => Cell::Null,
        };
        let table = &table::FEED_STATUS;
        let row = Version { table, cells: table.columns.iter().map(|column| cell(column.name)).collect() };
        Versions::of(&[row]).unwrap()
    }

    #[test]
    fn readiness_follows_what_is_told_of_feeds() {
        let (mut feeds, status) = (Feeds::default(), Status::new());
        for (symbol, channel, state, cause, why) in [
            ("A", "", "connected", "", None),
            ("*", "requests", "disconnected", "throttled", None),
            ("A", "klines_1m", "disconnected", "recording", None),
            ("A", "book", "stale", "", Some("bybit:linear:A:book is stale")),
            ("B", "", "disconnected", "reset", Some("bybit:linear:A:book is stale, and 1 more")),
            ("A", "", "connected", "", Some("bybit:linear:A:book is stale, and 1 more")),
            ("A", "book", "connected", "", Some("bybit:linear:B is disconnected")),
            ("B", "", "disconnected", NOT_FOLLOWED, None),
            ("A", "", "disconnected", ENDED, Some("no feed is connected")),
        ] {
            feeds.take(&told(symbol, channel, state, cause, 1), &status, Some(0));
            assert_eq!(status.reasons().get("feeds").map(String::as_str), why, "{symbol} {channel} {state} {cause}");
        }
    }

    #[test]
    fn reconnections_are_counted_from_now_on() {
        let (mut feeds, status) = (Feeds::default(), Status::new());
        let count = |status: &Status| {
            let text = status.metrics(0);
            let line = text.lines().find(|line| line.starts_with("prism_reconnects_total{"));
            line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).unwrap_or(0.0)
        };
        for known in [1, 10] {
            feeds.take(&told("A", "", "connected", "", known), &status, Some(5_000));
            feeds.take(&told("A", "", "disconnected", "reset", known), &status, Some(5_000));
        }
        feeds.take(&told("A", "", "connected", "", 11), &status, Some(5_000));
        assert_eq!(count(&status), 2.0, "one at 10 and one at 11");
    }
}
