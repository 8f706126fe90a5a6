//! Processes of prism killed hard, over and over, at seeded moments: what is kept in the end equals an undisturbed run's.

mod checks;
mod place;
mod scene;

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use prism_emulator::{Emulator, Faults, Origin};
use prism_schemas::{random::Random, time::SECOND};
use prism_sources::synthetic::SYMBOLS;
use prism_venue::Clock;

use self::{place::Place, scene::Scene};

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

/// One run; gives what is wrong.
fn one(seed: u64, broken: Option<Protection>) -> Vec<String> {
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
    let place = Place::new(trouble);
    let mut scene = Scene::new(&place, &emulator.url("bybit-linear"), seed.is_multiple_of(3));
    let mut problems = Vec::new();
    for _ in 0..1 + random.below(3) {
        scene.begin();
        sleep(2_000 + random.below(3_000));
        if trouble != Trouble::Nothing {
            problems.extend(scene.trouble(random.below(2_000)));
        }
        problems.extend(scene.kill(&mut random));
        sleep(random.below(4_000));
    }
    scene.begin();
    sleep(4_000);
    problems.extend(scene.end());
    if broken == Some(Protection::Frontier) {
        place.claim_more(3 * SECOND);
    }
    if let Some(Protection::Evidence | Protection::Identity) = broken {
        place.rewrite_log(broken == Some(Protection::Evidence));
    }
    problems.extend(checks::check(&place, &emulator, &scene.outages));
    problems
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
    let failed = many(first, runs, broken);
    println!("{runs} runs, {} failed", failed.len());
    assert!(failed.is_empty(), "repeat one with: make survive RUNS=1 SEED={}", failed[0]);
}

#[test]
fn a_protection_that_is_left_out_is_seen() {
    for protection in [Protection::Evidence, Protection::Identity, Protection::Frontier] {
        assert_eq!(many(1, 1, Some(protection)), [1], "{protection:?}");
    }
}

/// Several runs at once: most of their time is waiting. Gives the seeds that failed.
fn many(first: u64, runs: u64, broken: Option<Protection>) -> Vec<u64> {
    let seeds: Vec<u64> = (first..first + runs).collect();
    let mut failed = Vec::new();
    for some in seeds.chunks(3) {
        let running: Vec<_> = some
            .iter()
            .map(|seed| {
                let seed = *seed;
                (seed, std::thread::spawn(move || one(seed, broken)))
            })
            .collect();
        for (seed, run) in running {
            let problems = run.join().unwrap_or_else(|_| vec!["the run could not go on".into()]);
            if !problems.is_empty() {
                println!("seed {seed}: {}", problems.join("; "));
                failed.push(seed);
            }
        }
    }
    failed
}
