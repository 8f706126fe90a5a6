//! Where an instrument's trades are proven to be complete.

use prism_schemas::Ts;

use super::{klines::Klines, sessions::Sessions, switch::Switch};
use crate::{
    event::{FeedChange, Teller},
    settings::{BarSettings, Empty},
};

/// Connections that are kept; the oldest makes room.
const CONNECTIONS_MAX: usize = 64;

/// What one teller says of the instrument's feed; of nobody's states, those from one connecting to its end.
#[derive(Clone, Debug)]
struct Connection {
    teller: Teller,
    connected: Switch,
    complete: Switch,
}

impl Connection {
    fn session(&self) -> Option<u64> {
        match self.teller {
            Teller::Session(session) => Some(session),
            Teller::Recording(_) | Teller::Nobody => None,
        }
    }

    fn covers(&self, start: Ts, end: Ts, sessions: &Sessions) -> bool {
        // What is on its way when a session ends does not come.
        let until = end.saturating_add(self.session().map_or(0, |_| sessions.grace()));
        self.connected.is_on(start, until)
            && self.complete.is_on(start, end)
            && self.session().is_none_or(|session| sessions.is_alive(session, start, until))
    }

    /// The last instant up to `ts` at which it was connected.
    fn last(&self, mut ts: Ts, sessions: &Sessions) -> Option<Ts> {
        loop {
            let connected = self.connected.last_on(ts)?;
            let last = match self.session() {
                Some(session) => sessions.last_alive(session, connected)?,
                None => connected,
            };
            if last == ts {
                return Some(last);
            }
            ts = last;
        }
    }
}

/// An instrument's connections. Keeps those that may still cover a bar, and when the newest of the others ended.
#[derive(Clone, Debug, Default)]
pub(super) struct Coverage {
    connections: Vec<Connection>,
    ended: Option<Ts>,
}

impl Coverage {
    /// Learns how the feed is from `ts` on, as somebody says.
    pub(super) fn tell(&mut self, teller: Teller, ts: Ts, change: FeedChange) {
        let is_connected = change == FeedChange::Connected;
        let newest = self.connections.iter().rposition(|one| one.teller == teller);
        let is_told = teller != Teller::Nobody;
        let goes_on = |at: &usize| is_told || !is_connected || self.connections[*at].connected.is_on_after(Ts::MAX);
        let at = match newest.filter(goes_on) {
            Some(at) => at,
            None if is_told || is_connected => self.connect(teller),
            None => return,
        };
        if matches!(change, FeedChange::Connected | FeedChange::Disconnected) {
            self.connections[at].connected.turn(ts, is_connected);
        }
        let is_complete = match change {
            FeedChange::Missing => false,
            FeedChange::Complete => true,
            // Of nobody's holes one without an end ends there.
            FeedChange::Connected if !is_told => true,
            FeedChange::Connected | FeedChange::Disconnected => return,
        };
        for one in self.connections.iter_mut().filter(|one| one.teller == teller) {
            one.complete.turn(ts, is_complete);
        }
    }

    /// A new connection's place.
    fn connect(&mut self, teller: Teller) -> usize {
        if self.connections.len() == CONNECTIONS_MAX {
            self.connections.remove(0);
        }
        self.connections.push(Connection { teller, connected: Switch::new(false), complete: Switch::new(true) });
        self.connections.len() - 1
    }

    /// Whether all trades of `[start, end)` came, as far as is known.
    pub(super) fn covers(&self, start: Ts, end: Ts, sessions: &Sessions) -> bool {
        self.connections.iter().rev().any(|one| one.covers(start, end, sessions))
    }

    /// Whether the feed, and what there is of klines, ended so long before the interval that there is no gap bar.
    pub(super) fn is_paused(&self, start: Ts, end: Ts, klines: &Klines, gap_max: i64, sessions: &Sessions) -> bool {
        let connected = self.connections.iter().filter_map(|one| one.last(end - 1, sessions)).max();
        let last = connected.max(self.ended).max(klines.last(end - 1));
        last.is_some_and(|last| last.saturating_add(gap_max) < start)
    }

    /// Whether an interval of which nothing came is to have a bar.
    pub(super) fn is_owed(
        &self,
        start: Ts,
        end: Ts,
        klines: &Klines,
        settings: &BarSettings,
        sessions: &Sessions,
    ) -> bool {
        settings.empty == Empty::Flat && !self.is_paused(start, end, klines, settings.gap_max, sessions)
    }

    /// Somebody was connected until then, by what is stored.
    pub(super) fn was_connected(&mut self, until: Ts) {
        self.ended = self.ended.max(Some(until));
    }

    /// Whether a session says something of this instrument.
    pub(super) fn has(&self, session: u64) -> bool {
        self.connections.iter().any(|one| one.session() == Some(session))
    }

    /// A session is gone; it wrote last at `last`.
    pub(super) fn forget_session(&mut self, session: u64, last: Ts) {
        let gone = self.connections.extract_if(.., |one| one.session() == Some(session));
        let lived = gone.filter_map(|one| one.connected.last_on(last)).filter(|last| Ts::MIN < *last);
        self.ended = lived.max().max(self.ended);
    }

    /// No bar that starts before `limit` will be made again.
    pub(super) fn forget(&mut self, limit: Ts, sessions: &Sessions) {
        let ended = &mut self.ended;
        self.connections.retain_mut(|one| {
            one.connected.forget(limit);
            one.complete.forget(limit);
            // A session that connects again does so with the hole it had.
            let has_hole = one.session().is_some() && !one.complete.is_on(limit, Ts::MAX);
            let is_over = !has_hole && one.connected.is_off_from(limit);
            if is_over {
                *ended = one.last(Ts::MAX, sessions).max(*ended);
            }
            !is_over
        });
    }
}

#[cfg(test)]
mod tests {
    use FeedChange::{Complete, Connected, Disconnected, Missing};
    use Teller::{Nobody, Recording, Session};
    use proptest::prelude::*;

    use super::*;
    use crate::{bars::tests::settings, event::Sign};

    type Told = (Teller, Ts, FeedChange);

    fn told(states: &[Told]) -> Coverage {
        let mut coverage = Coverage::default();
        states.iter().for_each(|(teller, ts, change)| coverage.tell(*teller, *ts, *change));
        coverage
    }

    fn alive() -> Sessions {
        let mut settings = settings();
        settings.time.grace = 0;
        let mut sessions = Sessions::new(&settings);
        for (session, of_states) in [(1, true), (1, false), (2, true), (2, false)] {
            sessions.hear(Sign { session, of_states, at: 0 }, 0);
        }
        sessions
    }

    const STATES: [(Ts, FeedChange); 5] =
        [(0, Connected), (10, Disconnected), (12, Connected), (5, Missing), (7, Complete)];

    proptest! {
        #[test]
        fn what_a_session_says_may_come_in_any_order(states in Just(STATES.to_vec()).prop_shuffle()) {
            let states: Vec<Told> = states.into_iter().map(|(ts, change)| (Session(1), ts, change)).collect();
            let coverage = told(&states);
            for (start, end, expected) in
                [(0, 5, true), (5, 7, false), (4, 8, false), (0, 6, true), (7, 11, true), (7, 12, false), (10, 13, false), (12, 99, true)]
            {
                prop_assert_eq!(coverage.covers(start, end, &alive()), expected, "[{}, {})", start, end);
            }
        }
    }

    #[test]
    fn holes_that_are_told_late_hold_and_undo_nothing() {
        let coverage = told(&STATES.map(|(ts, change)| (Nobody, ts, change)));
        for (start, end, expected) in [(0, 5, true), (4, 8, false), (7, 11, true), (8, 13, false), (12, 99, true)] {
            assert_eq!(coverage.covers(start, end, &alive()), expected, "[{start}, {end})");
        }
    }

    #[test]
    fn a_connected_within_a_hole_does_not_end_it() {
        let coverage = told(&[
            (Session(1), 0, Connected),
            (Session(1), 8, Connected),
            (Session(1), 5, Missing),
            (Session(1), 10, Complete),
        ]);
        assert!(!coverage.covers(8, 10, &alive()) && coverage.covers(10, 20, &alive()));
    }

    #[test]
    fn sessions_do_not_change_each_other() {
        let states = [
            (Session(1), 0, Connected),
            (Session(2), 5, Connected),
            (Session(1), 8, Disconnected),
            (Session(2), 20, Missing),
        ];
        let coverage = told(&states);
        assert!(coverage.covers(0, 9, &alive()) && coverage.covers(5, 21, &alive()));
        assert!(!coverage.covers(0, 10, &alive()) && !coverage.covers(5, 22, &alive()));
    }

    #[test]
    fn recordings_may_overlap() {
        let coverage = told(&[
            (Nobody, 0, Connected),
            (Nobody, 100, Disconnected),
            (Nobody, 50, Connected),
            (Nobody, 700, Disconnected),
        ]);
        assert!(coverage.covers(10, 101, &alive()) && coverage.covers(50, 701, &alive()));
        assert!(!coverage.covers(10, 102, &alive()) && !coverage.covers(60, 702, &alive()));
        // A hole with an end that nobody told ends with the next connection.
        let coverage = told(&[(Nobody, 0, Connected), (Nobody, 5, Missing), (Nobody, 9, Connected)]);
        assert!(!coverage.covers(5, 9, &alive()) && coverage.covers(9, 20, &alive()));
    }

    #[test]
    fn what_one_recording_says_changes_nothing_of_another() {
        // One within another, which lacks what it has; told in order of time.
        let states = [
            (Recording(1), 0, Connected),
            (Recording(1), 100, Missing),
            (Recording(2), 90, Connected),
            (Recording(1), 200, Complete),
            (Recording(2), 210, Disconnected),
            (Recording(1), 700, Disconnected),
        ];
        let coverage = told(&states);
        for (start, end, expected) in
            [(0, 100, true), (90, 211, true), (80, 120, false), (200, 701, true), (190, 220, false), (0, 700, false)]
        {
            assert_eq!(coverage.covers(start, end, &alive()), expected, "[{start}, {end})");
        }
    }

    #[test]
    fn gaps_are_counted_from_the_last_connection_before_them() {
        let mut coverage = told(&[(Nobody, 0, Connected), (Nobody, 10, Disconnected), (Nobody, 90, Connected)]);
        let is_paused = |coverage: &Coverage, start| coverage.is_paused(start, start + 2, &Klines::new(), 20, &alive());
        for _ in 0..2 {
            for (start, expected) in [(30, false), (31, true), (88, true), (89, false), (90, false), (500, false)] {
                assert_eq!(is_paused(&coverage, start), expected, "{start}");
            }
            coverage.forget(11, &alive());
            assert_eq!(coverage.connections.len(), 1);
        }
        assert!(!is_paused(&Coverage::default(), 500));
    }

    #[test]
    fn connections_are_bounded() {
        let mut coverage = Coverage::default();
        (0..1_000).for_each(|session| coverage.tell(Session(session), 0, Connected));
        assert_eq!(coverage.connections.len(), CONNECTIONS_MAX);
    }
}
