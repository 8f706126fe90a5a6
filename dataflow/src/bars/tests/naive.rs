//! Which intervals are covered, recomputed from METHODS.md alone.

/// "Between two writings at most 2 s apart it lived"; also the credit after the last one.
const SILENCE: i64 = 2_000_000_000;
/// "those within 500 ms of one that counted need not count".
const THINNED: i64 = 500_000_000;
/// The end of what has not ended.
const OPEN: i64 = i64::MAX;

/// What a feed's state says of trades.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Says {
    Connected,
    Disconnected,
    Missing,
    Complete,
}

/// An event of the log that bears on coverage of ONE instrument, in the order of arrival in its partition.
#[derive(Clone, Debug)]
pub(super) struct Told {
    /// Which of the two partitions of the instrument it is in: that of feed states, or that of trades of the same number.
    pub(super) in_states: bool,
    /// Text of the session; empty: none.
    pub(super) session: String,
    pub(super) ts_event: i64,
    pub(super) ts_recv: i64,
    /// A feed state of this instrument (only in the partition of states), or None: a heartbeat, or a feed state of
    /// another instrument of the same partition/channel (only a proof of life).
    pub(super) says: Option<Says>,
    /// A writing that "need not count" is decided by METHODS; feed states always count.
    pub(super) is_heartbeat: bool,
}

/// Nanoseconds.
pub(super) struct Rules {
    pub(super) epoch: i64,
    pub(super) grace: i64,
}

/// First and last instant, both included: "What ends at `t` still has the instant `t`".
type Span = (i64, i64);

/// Whether `[s, e)` is covered, by all that is known at knowledge time `known` (k <= known).
///
/// Left out: "A session that has been silent for longer than the horizon and the longest timeframe must say
/// `connected` again", sealing, and what is missing of recordings.
pub(super) fn is_covered(told: &[Told], rules: &Rules, known: i64, s: i64, e: i64) -> bool {
    let told = known_at(told, rules, known);
    let mut sessions: Vec<&str> = told.iter().map(|t| t.session.as_str()).filter(|text| !text.is_empty()).collect();
    sessions.sort_unstable();
    sessions.dedup();
    // "`[s, e)` is covered if some one session was connected and lived from `s` until `grace` after `e`".
    sessions.iter().any(|session| session_covers(&told, session, rules, known, s, e)) || recording_covers(&told, s, e)
}

/// The events with k <= known: "running maximum of `ts_recv` in its partition, rounded up to the epoch".
fn known_at<'a>(told: &'a [Told], rules: &Rules, known: i64) -> Vec<&'a Told> {
    let mut kept = Vec::new();
    for (i, event) in told.iter().enumerate() {
        let so_far = told[..=i].iter().filter(|t| t.in_states == event.in_states).map(|t| t.ts_recv);
        let newest = so_far.max().unwrap_or(event.ts_recv);
        if round_up(newest, rules.epoch) <= known {
            kept.push(event);
        }
    }
    kept
}

/// "rounded up to the epoch (...; a multiple stays)".
fn round_up(t: i64, epoch: i64) -> i64 {
    match t.rem_euclid(epoch) {
        0 => t,
        over => t + (epoch - over),
    }
}

/// "was connected and lived from `s` until `grace` after `e`, and nothing was missing within `[s, e)`".
fn session_covers(told: &[&Told], session: &str, rules: &Rules, known: i64, s: i64, e: i64) -> bool {
    let own: Vec<&Told> = told.iter().copied().filter(|t| t.session == session).collect();
    let x = e + rules.grace;
    // "while it does so in both the partition its feed states are in and the partition of trades of that number".
    let lived = [true, false].iter().all(|&in_states| {
        let writings = counted(&own, in_states);
        lives(writings, rules, known).iter().any(|&life| spans(life, s, x))
    });
    let connections = intervals(&times(&own, Says::Connected), &times(&own, Says::Disconnected));
    lived && connections.iter().any(|&c| spans(c, s, x)) && !is_missing(&own, s, e)
}

/// When a session's writings in one partition that count were received, in the order of arrival. "Of one session's
/// writings in a partition, those within 500 ms of one that counted need not count; feed states always do."
fn counted(own: &[&Told], in_states: bool) -> Vec<i64> {
    let mut counted: Vec<i64> = Vec::new();
    for event in own.iter().filter(|t| t.in_states == in_states) {
        let near = counted.last().is_some_and(|&last| last <= event.ts_recv && event.ts_recv < last + THINNED);
        if !(event.is_heartbeat && near) {
            counted.push(event.ts_recv);
        }
    }
    counted
}

/// "A session lives as its writings prove, in each partition for itself: [...] each at its own `ts_recv`."
fn lives(mut writings: Vec<i64>, rules: &Rules, known: i64) -> Vec<Span> {
    writings.sort_unstable();
    let mut lives: Vec<Span> = Vec::new();
    for t in writings {
        match lives.last_mut() {
            // "Between two writings at most 2 s apart it lived".
            Some(life) if t - life.1 <= SILENCE => life.1 = t,
            // "over a longer silence it did not, and coverage goes on at the next one".
            _ => lives.push((t, t)),
        }
    }
    // "After the last one it has credit for 2 s, until `t + 2 s`, rounded up to the epoch, is known and no later
    // writing is: then its life there ended at `t`".
    if let Some(last) = lives.last_mut()
        && known < round_up(last.1 + SILENCE, rules.epoch)
    {
        last.1 += SILENCE;
    }
    lives
}

/// "States without a session (imports, recordings, logs of old) need no proof of life", nor grace:
/// "`[s, e)` is covered if first <= s and e <= last + 1 ns".
fn recording_covers(told: &[&Told], s: i64, e: i64) -> bool {
    let own: Vec<&Told> = told.iter().copied().filter(|t| t.session.is_empty()).collect();
    // "each `connected` after a `disconnected` is a connection of its own, so that recordings may overlap": after in
    // the order of arrival. The others go with the newest recording.
    let mut recordings: Vec<Vec<&Told>> = vec![Vec::new()];
    let mut ended = false;
    for &event in own.iter().filter(|t| matches!(t.says, Some(Says::Connected | Says::Disconnected))) {
        let connected = event.says == Some(Says::Connected);
        if connected && ended {
            recordings.push(Vec::new());
        }
        ended = !connected;
        recordings.last_mut().expect("never empty").push(event);
    }
    recordings.iter().any(|recording| {
        let connections = intervals(&times(recording, Says::Connected), &times(recording, Says::Disconnected));
        connections.iter().any(|&c| spans(c, s, e))
    })
}

/// The event times at which this is said: "each from its event time on, in whatever order they become known".
fn times(told: &[&Told], says: Says) -> Vec<i64> {
    told.iter().filter(|t| t.says == Some(says)).map(|t| t.ts_event).collect()
}

/// From each start until the next end.
fn intervals(starts: &[i64], ends: &[i64]) -> Vec<Span> {
    let mut instants = [starts, ends].concat();
    instants.sort_unstable();
    instants.dedup();
    let mut intervals = Vec::new();
    let mut since = None;
    for t in instants {
        match (starts.contains(&t), ends.contains(&t), since) {
            (true, false, None) => since = Some(t),
            (false, true, Some(start)) => {
                intervals.push((start, t));
                since = None;
            }
            // "an end and a start at one `t` are a break there, after which it is as it was before".
            (true, true, Some(start)) => {
                intervals.push((start, t));
                since = Some(t);
            }
            (true, true, None) => intervals.push((t, t)),
            _ => {}
        }
    }
    intervals.extend(since.map(|start| (start, OPEN)));
    intervals
}

/// Whether the span has all instants of `[s, x)`.
fn spans(span: Span, s: i64, x: i64) -> bool {
    span.0 <= s && x <= span.1.saturating_add(1)
}

/// "from `gap` or `resync_started` on and before `resync_finished`"; both at one instant are a break there.
fn is_missing(own: &[&Told], s: i64, e: i64) -> bool {
    let holes = intervals(&times(own, Says::Missing), &times(own, Says::Complete));
    holes.iter().any(|&(from, to)| from < e && (s < to || (from == to && s < from)))
}
