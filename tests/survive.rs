//! Processes of prism, Kafka and QuestDB killed hard, over and over, at seeded moments: what is kept in the end equals an
//! undisturbed run's.

mod checks;
mod place;
mod scene;
mod servers;
mod tally;

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use prism_emulator::{Emulator, Faults, Origin};
use prism_schemas::{random::Random, time::SECOND};
use prism_sources::synthetic::SYMBOLS;
use prism_venue::Clock;

use self::{place::Place, scene::Scene, tally::Tally};

/// Runs at once.
const LANES: usize = 4;
/// Runs at once that have servers.
const SERVER_LANES: usize = 2;
/// Symbols that are followed: enough for several partitions, few enough for many runs.
const FOLLOWED: usize = 6;
/// Bars of a second, so that seconds of life make rows.
pub(crate) const SETTINGS: [(&str, &str); 7] = [
    ("PRISM__TIMEFRAMES__MAINTAINED", "[\"1s\", \"5s\", \"15s\", \"1m\"]"),
    ("PRISM__TIMEFRAMES__ROLES", "[\"1s\", \"5s\", \"15s\", \"1m\"]"),
    ("PRISM__FEEDS__VENUES", "[\"bybit-linear\"]"),
    ("PRISM__FEEDS__TOP", "6"),
    ("PRISM__FEEDS__RECONCILE", "\"1s\""),
    ("PRISM__STORE__FLUSH", "\"500ms\""),
    ("PRISM__API__SQL_TIMEOUT", "\"5s\""),
];

/// A protection that can be left out, so that the runs must fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protection {
    /// The log tells until when a process lived.
    Evidence,
    /// Trades with a known id are one.
    Identity,
    /// Rows are kept before the frontier says so.
    Frontier,
}

/// The wall clock, which the emulated venue runs by.
fn clock() -> Clock {
    #[expect(clippy::disallowed_methods, reason = "processes under test run by the wall clock")]
    Arc::new(|| SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as i64))
}

/// What else goes wrong in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    Nothing,
    /// The disk is full for a while.
    FullDisk,
    /// The clock of the processes steps by an hour, there and back.
    Clock,
}

/// How a run is cut into processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parts {
    /// All in one, on directories.
    Whole,
    /// Each role a process, on directories.
    Apart,
    /// Each role a process, on Kafka and QuestDB.
    WithServers,
}

impl Parts {
    fn of(seed: u64, has_servers: bool) -> Parts {
        match seed {
            _ if has_servers && seed.is_multiple_of(4) => Parts::WithServers,
            _ if seed.is_multiple_of(3) => Parts::Apart,
            _ => Parts::Whole,
        }
    }
}

/// Who is killed in each round of a run.
fn victims(seed: u64, parts: Parts, all: &[&'static str], random: &mut Random) -> Vec<Vec<&'static str>> {
    let n = all.len() as u64;
    if parts == Parts::WithServers {
        // Each is drawn as often as any other, over all runs and over those with the same trouble.
        let run = seed / 4;
        let turn = |round: u64| ((run * 2 + run / 5 + round) % n) as usize;
        let other = |first: usize, random: &mut Random| (first + 1 + random.below(n - 1) as usize) % all.len();
        return (0..2)
            .map(|round| match random.below(2) {
                0 => vec![all[turn(round)]],
                _ => vec![all[turn(round)], all[other(turn(round), random)]],
            })
            .collect();
    }
    let draw = |random: &mut Random| all[random.below(n) as usize];
    (0..1 + random.below(3))
        .map(|_| {
            let first = draw(random);
            let second = if 1 < n && random.below(3) == 0 { draw(random) } else { first };
            if first == second { vec![first] } else { vec![first, second] }
        })
        .collect()
}

/// One run; gives what is wrong, and who was killed.
fn one(seed: u64, parts: Parts, broken: Option<Protection>) -> (Vec<String>, Tally) {
    let mut random = Random::new(seed, "survive");
    let trouble = [Trouble::Nothing, Trouble::Nothing, Trouble::Nothing, Trouble::FullDisk, Trouble::Clock];
    let mut trouble = trouble[seed as usize % trouble.len()];
    if trouble == Trouble::Clock && !std::path::Path::new(place::FAKETIME).exists() {
        println!("SKIPPED survive: the clock's steps need libfaketime");
        trouble = Trouble::Nothing;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let emulator = runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        Emulator::start(listener, Origin::Market(seed, &SYMBOLS[..FOLLOWED]), Faults::default(), clock()).unwrap()
    });
    // In half of the runs over Kafka ingest has little room for what waits while it is away.
    let is_tight = parts == Parts::WithServers && seed.is_multiple_of(8);
    let tight = [("PRISM__KAFKA__PROPERTIES", "{ \"queue.buffering.max.messages\" = \"200\" }")];
    let place = Place::new(trouble, parts, if is_tight { &tight } else { &[] });
    let mut scene = Scene::new(&place, &emulator.url("bybit-linear"), parts);
    let mut problems = Vec::new();
    for victims in victims(seed, parts, &scene.parts(), &mut random) {
        problems.extend(scene.round(&mut random, &victims));
    }
    problems.extend(scene.settle());
    problems.extend(scene.end());
    if broken == Some(Protection::Frontier) {
        place.claim_more(3 * SECOND);
    }
    if let Some(Protection::Evidence | Protection::Identity) = broken {
        place.rewrite_log(broken == Some(Protection::Evidence));
    }
    problems.extend(checks::check(&place, &emulator, &scene.outages));
    if !problems.is_empty() && broken.is_none() {
        problems.push(format!("what was said: {}", place.keep_said(seed).display()));
    }
    (problems, scene.tally.clone())
}

fn sleep(millis: u64) {
    std::thread::sleep(Duration::from_millis(millis));
}

/// `SURVIVE_RUNS` runs from `SURVIVE_SEED` on; `SURVIVE_BREAK` leaves a protection out.
#[test]
fn whatever_is_killed_the_tables_end_as_undisturbed() {
    let number = |name: &str, default: u64| std::env::var(name).ok().map_or(default, |text| text.parse().unwrap());
    let (runs, first) = (number("SURVIVE_RUNS", 5), number("SURVIVE_SEED", 1));
    let broken = std::env::var("SURVIVE_BREAK").ok().map(|name| match &*name {
        "evidence" => Protection::Evidence,
        "identity" => Protection::Identity,
        "frontier" => Protection::Frontier,
        other => panic!("SURVIVE_BREAK: {other} is none of evidence, identity, frontier"),
    });
    let (failed, tally) = many(first, runs, broken);
    println!("{tally}");
    println!("{runs} runs, {} failed", failed.len());
    assert!(failed.is_empty(), "repeat one with: make survive RUNS=1 SEED={}", failed[0]);
    if 200 <= runs && servers::can_start() {
        assert!(20 <= tally.least(), "too little was killed: {tally}");
    }
}

#[test]
fn a_protection_that_is_left_out_is_seen() {
    for protection in [Protection::Evidence, Protection::Identity, Protection::Frontier] {
        assert_eq!(many(1, 1, Some(protection)).0, [1], "{protection:?}");
    }
}

/// Several runs at once: most of their time is waiting. Gives the seeds that failed.
fn many(first: u64, runs: u64, broken: Option<Protection>) -> (Vec<u64>, Tally) {
    // What is left out is left out of a log and a store in directories.
    let has_servers =
        broken.is_none() && (first..first + runs).any(|seed| seed.is_multiple_of(4)) && servers::can_start();
    let (with_servers, others): (VecDeque<_>, VecDeque<_>) = (first..first + runs)
        .map(|seed| (seed, Parts::of(seed, has_servers)))
        .partition(|(_, parts)| *parts == Parts::WithServers);
    let [with_servers, others] = [with_servers, others].map(Mutex::new);
    let outcome = Mutex::new((Vec::new(), Tally::default()));
    let next = |lane: usize| {
        let own = if lane < SERVER_LANES { with_servers.lock().unwrap().pop_front() } else { None };
        own.or_else(|| others.lock().unwrap().pop_front())
    };
    std::thread::scope(|scope| {
        for lane in 0..LANES {
            let (next, outcome) = (&next, &outcome);
            scope.spawn(move || {
                while let Some((seed, parts)) = next(lane) {
                    let run = std::panic::catch_unwind(|| one(seed, parts, broken));
                    let (problems, tally) =
                        run.unwrap_or_else(|_| (vec!["the run could not go on".into()], Tally::default()));
                    let mut outcome = outcome.lock().unwrap();
                    outcome.1.add(&tally);
                    if !problems.is_empty() {
                        println!("seed {seed}: {}", problems.join("; "));
                        outcome.0.push(seed);
                    }
                }
            });
        }
    });
    let (mut failed, tally) = outcome.into_inner().unwrap();
    failed.sort_unstable();
    (failed, tally)
}
