//! Every version of every bar is as whole as the naive recomputation says by what was known then.

use prism_schemas::{
    Topic, Ts,
    event::{Feed, FeedStatus, Heartbeat, event::Body},
};
use proptest::prelude::*;

use super::{
    Log, MS, TEN,
    naive::{Rules, Says, Told, is_covered},
    settings,
};
use crate::{admit::Record, bar::Quality};

const SESSIONS: [&str; 3] = ["one", "two", ""];

/// What happens in one partition, in quarters of a second.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// The session writes heartbeats from then on for so long, each known so much later.
    Lives { of_states: bool, session: usize, from: i64, lasts: i64, late: i64 },
    /// It says this, of this time.
    Says { session: usize, of: i64, late: i64, says: Says },
}

fn step() -> impl Strategy<Value = Step> {
    let late = || prop_oneof![4 => Just(0), 1 => 0..24i64];
    let says = prop_oneof![
        5 => Just(Says::Connected),
        3 => Just(Says::Disconnected),
        1 => Just(Says::Missing),
        2 => Just(Says::Complete),
    ];
    prop_oneof![
        3 => (any::<bool>(), 0..2usize, 0..80i64, 1..60i64, late())
            .prop_map(|(of_states, session, from, lasts, late)| Step::Lives { of_states, session, from, lasts, late }),
        2 => (0..3usize, 0..80i64, late(), says)
            .prop_map(|(session, of, late, says)| Step::Says { session, of, late, says })
            // Recordings have no holes here.
            .prop_filter("a hole", |step| !matches!(step, Step::Says { session: 2, says: Says::Missing | Says::Complete, .. })),
    ]
}

fn log(steps: &[Step]) -> Log {
    let mut log = Log::default();
    let at = |quarter: i64| TEN + quarter * 250 * MS;
    for step in steps {
        match *step {
            Step::Lives { of_states, session, from, lasts, late } => {
                let topic = if of_states { Topic::Status } else { Topic::Trades };
                log.lived_in(topic, SESSIONS[session], at(from), at(from + lasts), late * 250 * MS);
            }
            Step::Says { session, of, late, says } => {
                let status = match says {
                    Says::Connected => Feed::Connected,
                    Says::Disconnected => Feed::Disconnected,
                    Says::Missing => Feed::Gap,
                    Says::Complete => Feed::ResyncFinished,
                };
                let body =
                    FeedStatus { session: SESSIONS[session].into(), status: status.into(), ..FeedStatus::default() };
                log.push(at(of + late), "A", at(of), at(of + late), Body::FeedStatus(body));
            }
        }
    }
    log.trades("A", TEN, TEN + 30_000 * MS, 700 * MS);
    // Time goes on.
    for topic in [Topic::Status, Topic::Trades] {
        log.lived_in(topic, "three", at(0), at(160), 0);
    }
    log
}

/// The same, in the order it came.
fn told(log: &Log) -> Vec<Told> {
    let mut events: Vec<_> = log.0.iter().collect();
    events.sort_by_key(|(arrival, ..)| *arrival);
    let told = |(_, topic, _, event): &(Ts, Topic, _, prism_schemas::Event)| {
        let (session, says) = match &event.body {
            Some(Body::Heartbeat(Heartbeat { session, .. })) => (session.clone(), None),
            Some(Body::FeedStatus(status)) => {
                let says = match status.status() {
                    Feed::Connected => Says::Connected,
                    Feed::Disconnected => Says::Disconnected,
                    Feed::Gap => Says::Missing,
                    _ => Says::Complete,
                };
                (status.session.clone(), Some(says))
            }
            _ => (String::new(), None),
        };
        Told {
            in_states: *topic == Topic::Status,
            session,
            ts_event: event.ts_event,
            ts_recv: event.ts_recv,
            says,
            is_heartbeat: says.is_none(),
        }
    };
    events.into_iter().map(told).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn bars_are_ok_where_methods_says_that_they_are_covered(steps in prop::collection::vec(step(), 1..16)) {
        let log = log(&steps);
        let (told, settings) = (told(&log), settings());
        let rules = Rules { epoch: settings.time.epoch, grace: settings.time.grace };
        let newest = log.admitted(&settings).0.iter().map(Record::known).max().unwrap();
        for stride in [1, 600] {
            for ((_, timeframe, start), versions) in log.run_with(&settings, stride, 1).versions {
                let last = versions.last().map(|(_, bar)| (newest, bar.clone()));
                for (known, bar) in versions.into_iter().chain(last) {
                    let bar = bar.unwrap();
                    let expected = is_covered(&told, &rules, known as Ts, start, bar.end);
                    let at = [start, known as Ts].map(|ts| (ts - TEN) / MS);
                    prop_assert_eq!(bar.quality == Quality::Ok, expected, "{} {:?} {:?}", timeframe, at, bar.quality);
                }
            }
        }
    }
}
