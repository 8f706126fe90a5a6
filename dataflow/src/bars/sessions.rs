//! How long each writing process lived, as its writings prove.

use std::collections::BTreeMap;

use prism_schemas::{Ts, time::SECOND};

use crate::{
    event::Sign,
    settings::{Settings, TimeSettings},
    types::Time,
};

/// Between two writings at most this far apart a session lived; after the last one it is believed to live this long.
const LEASE: i64 = 2 * SECOND;
/// Sessions that are kept, of each partition for itself; the one that wrote last the longest ago makes room.
const SESSIONS_MAX: usize = 8_192;
/// Lives of one session, parted by silences, that are kept.
const LIVES_MAX: usize = 4_096;

/// Sessions, by the hash of their text and the number of their partitions: the same on every worker.
///
/// Keeps those that wrote within the horizon and the longest timeframe.
#[derive(Debug)]
pub(super) struct Sessions {
    time: TimeSettings,
    keep: i64,
    /// How each lived in its partition of trades, and in that of states.
    all: BTreeMap<u64, [Lives; 2]>,
}

/// What a session's writings in one partition prove.
#[derive(Debug, Default)]
struct Lives {
    /// First and last writing of each life, rising, further than the lease apart.
    lives: Vec<(Ts, Ts)>,
    /// Knowledge time at which it is not believed to live any more, while it is.
    credit: Option<Time>,
}

impl Lives {
    /// When a life ended, as far as is known.
    fn end(&self, life: usize) -> Ts {
        let has_credit = self.credit.is_some() && life + 1 == self.lives.len();
        self.lives[life].1.saturating_add(if has_credit { LEASE } else { 0 })
    }

    /// The last life that began at or before `ts`.
    fn life(&self, ts: Ts) -> Option<usize> {
        self.lives.partition_point(|(from, _)| *from <= ts).checked_sub(1)
    }

    fn last(&self) -> Ts {
        self.lives.last().map_or(Ts::MIN, |(_, to)| *to)
    }

    /// Takes in a writing that only goes on with a life that nobody doubts: `false` if it is none.
    fn extend(&mut self, time: &TimeSettings, at: Ts, known: Time) -> bool {
        let Lives { lives, credit: Some(credit) } = self else { return false };
        let Some((from, to)) = lives.last_mut() else { return false };
        if *credit < known || at < *from || to.saturating_add(LEASE) < at {
            return false;
        }
        *to = at.max(*to);
        *credit = credit_until(time, *to).max(*credit);
        true
    }

    /// Takes a writing in; gives the last one before it, or itself: nothing changes earlier.
    fn insert(&mut self, at: Ts) -> Ts {
        let next = self.lives.partition_point(|(from, _)| *from <= at);
        let before = next.checked_sub(1).filter(|before| at <= self.lives[*before].1.saturating_add(LEASE));
        let joins = self.lives.get(next).is_some_and(|(from, _)| *from <= at.saturating_add(LEASE));
        let from = next.checked_sub(1).map_or(at, |before| self.lives[before].1.min(at));
        match (before, joins) {
            (Some(before), true) => {
                self.lives[before].1 = self.lives[next].1;
                self.lives.remove(next);
            }
            (Some(before), false) => self.lives[before].1 = self.lives[before].1.max(at),
            (None, true) => self.lives[next].0 = at,
            (None, false) => self.lives.insert(next, (at, at)),
        }
        if LIVES_MAX < self.lives.len() {
            self.lives.remove(0);
        }
        from
    }

    /// Whether it lived over all of `[start, end)`.
    fn covers(&self, start: Ts, end: Ts) -> bool {
        self.life(start).is_some_and(|life| end <= self.end(life).saturating_add(1))
    }

    /// The last instant up to `ts` at which it lived.
    fn last_alive(&self, ts: Ts) -> Option<Ts> {
        self.life(ts).map(|life| self.end(life).min(ts))
    }
}

impl Sessions {
    /// None yet.
    pub(super) fn new(settings: &Settings) -> Sessions {
        let longest = settings.timeframes.maintained.iter().map(|timeframe| timeframe.length()).max();
        let keep = settings.keep() + longest.unwrap_or(0);
        Sessions { time: settings.time.clone(), keep, all: BTreeMap::new() }
    }

    /// Takes in a sign of life that changes no bar that is closed, so that it may be taken in before its time comes:
    /// `false` if it is none.
    pub(super) fn extend(&mut self, sign: Sign, known: Time) -> bool {
        let Some(session) = self.all.get_mut(&sign.session) else { return false };
        session[usize::from(sign.of_states)].extend(&self.time, sign.at, known)
    }

    /// Takes in a sign of life; gives the time from which the session's life is another than before.
    pub(super) fn hear(&mut self, sign: Sign, known: Time) -> Option<Ts> {
        if self.extend(sign, known) {
            return None;
        }
        let one = &mut self.all.entry(sign.session).or_default()[usize::from(sign.of_states)];
        let last = one.last();
        let from = one.insert(sign.at);
        if last < one.last() {
            one.credit = Some(credit_until(&self.time, one.last()).max(known));
        }
        Some(from)
    }

    /// The knowledge time at which some session's credit ends.
    pub(super) fn next(&self) -> Option<Time> {
        self.all.values().flatten().filter_map(|lives| lives.credit).min()
    }

    /// Ends the credit that nobody renewed by `now`; gives the sessions and their last writings.
    pub(super) fn expire(&mut self, now: Time) -> Vec<(u64, Ts)> {
        let all = self.all.iter_mut().flat_map(|(id, session)| session.iter_mut().map(|lives| (*id, lives)));
        let over = all.filter(|(_, lives)| lives.credit.is_some_and(|credit| credit <= now));
        over.map(|(id, lives)| {
            lives.credit = None;
            (id, lives.last())
        })
        .collect()
    }

    /// Forgets what can matter to no bar that may still be corrected; gives the sessions that are gone and their last writings.
    pub(super) fn forget(&mut self, now: Time) -> Vec<(u64, Ts)> {
        let limit = now as Ts - self.keep;
        let last = |session: &[Lives; 2]| session[0].last().max(session[1].last());
        let mut gone: Vec<u64> = Vec::new();
        for (id, session) in &mut self.all {
            for lives in session.iter_mut() {
                // The newest life before stays: gaps are counted from its end.
                lives.lives.drain(..lives.life(limit).unwrap_or(0));
            }
            if session.iter().all(|lives| lives.credit.is_none()) && last(session) < limit {
                gone.push(*id);
            }
        }
        if let Some((id, _)) = self.all.iter().min_by_key(|(_, session)| last(session))
            && SESSIONS_MAX < self.all.len()
        {
            gone.push(*id);
        }
        let lasts = gone.iter().map(|id| (*id, self.last_alive(*id, Ts::MAX).unwrap_or(Ts::MIN))).collect();
        self.all.retain(|id, _| !gone.contains(id));
        lasts
    }

    /// How long after a bar's end what belongs to it may still be on its way.
    pub(super) fn grace(&self) -> i64 {
        self.time.grace
    }

    /// Whether a session lived over all of `[start, end)`, as far as is known: in both partitions.
    pub(super) fn is_alive(&self, session: u64, start: Ts, end: Ts) -> bool {
        self.all.get(&session).is_some_and(|session| session.iter().all(|lives| lives.covers(start, end)))
    }

    /// The last instant up to `ts` at which a session lived.
    pub(super) fn last_alive(&self, session: u64, mut ts: Ts) -> Option<Ts> {
        let [trades, states] = self.all.get(&session)?;
        loop {
            let last = states.last_alive(trades.last_alive(ts)?)?;
            if trades.last_alive(last)? == last {
                return Some(last);
            }
            ts = last;
        }
    }
}

/// When a session that was last heard at `at` is not believed to live any more.
fn credit_until(time: &TimeSettings, at: Ts) -> Time {
    time.round_up(at.saturating_add(LEASE)) as Time
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::bars::tests::settings;

    const HALF: i64 = SECOND / 2;

    fn hear(sessions: &mut Sessions, session: u64, of_states: bool, at: Ts, known: Time) -> Option<Ts> {
        sessions.hear(Sign { session, of_states, at }, known)
    }

    /// It wrote to both partitions.
    fn both(sessions: &mut Sessions, session: u64, at: Ts, known: Time) -> Option<Ts> {
        let [trades, states] = [false, true].map(|of_states| hear(sessions, session, of_states, at, known));
        assert_eq!(trades, states);
        trades
    }

    proptest! {
        /// Lives are what lies between writings at most the lease apart, in whatever order they become known.
        #[test]
        fn the_order_of_writings_does_not_show(mut at in prop::collection::vec(0..60i64, 1..30).prop_shuffle()) {
            let mut sessions = Sessions::new(&settings());
            for half in &at {
                both(&mut sessions, 1, half * HALF, 0);
            }
            sessions.expire(Time::MAX);
            at.sort_unstable();
            at.dedup();
            let mut lives: Vec<(Ts, Ts)> = Vec::new();
            for ts in at.iter().map(|half| half * HALF) {
                match lives.last_mut() {
                    Some((_, to)) if ts - *to <= LEASE => *to = ts,
                    _ => lives.push((ts, ts)),
                }
            }
            for of in &sessions.all[&1] {
                prop_assert_eq!(&of.lives, &lives);
            }
        }
    }

    #[test]
    fn credit_lasts_two_seconds_and_is_renewed() {
        let mut sessions = Sessions::new(&settings());
        let known = |ts: Ts| ts as Time;
        assert_eq!(both(&mut sessions, 7, 10 * SECOND, known(10 * SECOND)), Some(10 * SECOND));
        assert!(sessions.is_alive(7, 10 * SECOND, 12 * SECOND) && !sessions.is_alive(7, 10 * SECOND, 12 * SECOND + 2));
        assert!(!sessions.is_alive(7, 9 * SECOND, 11 * SECOND) && !sessions.is_alive(8, 10 * SECOND, 11 * SECOND));
        assert_eq!(both(&mut sessions, 7, 11 * SECOND, known(11 * SECOND)), None);
        assert_eq!(sessions.next(), Some(known(13 * SECOND)));
        assert_eq!(sessions.expire(known(13 * SECOND - 1)), []);
        assert_eq!(sessions.expire(known(13 * SECOND)), [(7, 11 * SECOND); 2]);
        assert_eq!((sessions.next(), sessions.last_alive(7, 20 * SECOND)), (None, Some(11 * SECOND)));
        // It comes back: what it did not watch over stays out.
        assert_eq!(both(&mut sessions, 7, 20 * SECOND, known(20 * SECOND)), Some(11 * SECOND));
        assert!(!sessions.is_alive(7, 11 * SECOND, 20 * SECOND) && sessions.is_alive(7, 20 * SECOND, 21 * SECOND));
        // What it wrote meanwhile comes late: it lived, and was only not heard.
        for at in (13..20).step_by(2) {
            assert!(both(&mut sessions, 7, at * SECOND, known(20 * SECOND)).is_some());
        }
        assert!(sessions.is_alive(7, 10 * SECOND, 21 * SECOND));
    }

    #[test]
    fn a_session_lived_where_both_partitions_say_so() {
        let mut sessions = Sessions::new(&settings());
        let lives = |sessions: &mut Sessions, of_states, from: Ts, to: Ts| {
            for at in (from..=to).step_by(HALF as usize) {
                hear(sessions, 1, of_states, at, 0);
            }
        };
        lives(&mut sessions, false, 0, 10 * SECOND);
        assert!(!sessions.is_alive(1, 0, SECOND) && sessions.last_alive(1, SECOND).is_none());
        lives(&mut sessions, true, SECOND, 4 * SECOND);
        lives(&mut sessions, true, 8 * SECOND, 20 * SECOND);
        lives(&mut sessions, false, 30 * SECOND, 31 * SECOND);
        sessions.expire(Time::MAX);
        assert!(sessions.is_alive(1, SECOND, 4 * SECOND) && sessions.is_alive(1, 8 * SECOND, 10 * SECOND + 1));
        for (start, end) in [(0, 2), (2, 5), (3, 9), (8, 11), (12, 13), (30, 31)] {
            assert!(!sessions.is_alive(1, start * SECOND, end * SECOND), "[{start}, {end})");
        }
        for (ts, last) in [(0, None), (2, Some(2)), (6, Some(4)), (9, Some(9)), (25, Some(10)), (31, Some(10))] {
            assert_eq!(sessions.last_alive(1, ts * SECOND), last.map(|last| last * SECOND), "{ts}");
        }
    }

    #[test]
    fn what_wrote_long_ago_is_forgotten_and_floods_are_bounded() {
        let mut sessions = Sessions::new(&settings());
        both(&mut sessions, 1, 0, 0);
        sessions.expire(Time::MAX);
        assert_eq!(sessions.forget(sessions.keep as Time), []);
        assert_eq!(sessions.forget(sessions.keep as Time + 1), [(1, 0)]);
        for id in 0..2 * SESSIONS_MAX as u64 {
            both(&mut sessions, id, id as Ts, id);
            sessions.forget(id);
        }
        assert_eq!(sessions.all.len(), SESSIONS_MAX);
        for at in 0..2 * LIVES_MAX as i64 {
            both(&mut sessions, 1, at * 3 * SECOND, 0);
        }
        assert!(sessions.all[&1].iter().all(|of| of.lives.len() == LIVES_MAX));
    }
}
