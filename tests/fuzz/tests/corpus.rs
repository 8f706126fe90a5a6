//! The corpus and some thousands of seeded mutations of it, through the same functions as the fuzzer's programs; others by
//! `FUZZ_SEED`, and so many times as many by `FUZZ_TIMES`.

use std::path::Path;

use prism_fuzz::mutation::mutated;
use prism_fuzz::{TARGETS, Target};
use prism_schemas::random::Random;

/// Mutations of a target's inputs; those of files and directories are slower.
fn mutations(name: &str) -> u64 {
    match name {
        "segments" | "importers" => 1_500,
        _ => 15_000,
    }
}

/// The inputs of a target in the repository, in order of their names.
fn corpus(name: &str) -> Vec<Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
    let mut paths: Vec<_> = std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

/// Runs a target; if it fails, the input is told so that the fuzzer's program can be given it.
fn run(target: Target, input: &[u8]) {
    if let Err(panic) = std::panic::catch_unwind(|| target(input)) {
        let path = std::env::temp_dir().join("prism-fuzz-failed");
        let kept = std::fs::write(&path, input);
        eprintln!("the input of {} bytes is in {} ({kept:?})", input.len(), path.display());
        std::panic::resume_unwind(panic);
    }
}

fn check(name: &str) {
    let target = TARGETS.iter().find(|(of, _)| *of == name).unwrap().1;
    let inputs = corpus(name);
    assert!(!inputs.is_empty(), "{name}");
    inputs.iter().for_each(|input| run(target, input));
    let said = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok()).unwrap_or(1);
    let mut random = Random::new(said("FUZZ_SEED"), name);
    for _ in 0..mutations(name) * said("FUZZ_TIMES") {
        run(target, &mutated(&mut random, &inputs));
    }
}

#[test]
fn decoders_keep_their_promises() {
    check("decoders");
}

#[test]
fn answers_keep_their_promises() {
    check("wires");
}

#[test]
fn plain_json_is_json() {
    check("plain");
}

#[test]
fn books_stay_in_order() {
    check("books");
}

#[test]
fn numbers_and_times_are_exact() {
    check("decimals");
}

#[test]
fn segments_hold_what_was_written() {
    check("segments");
}

#[test]
fn imports_end_with_a_report() {
    check("importers");
}

#[test]
fn every_target_has_a_program_and_a_corpus() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for dir in ["bin", "corpus"] {
        let mut names: Vec<String> = std::fs::read_dir(root.join(dir))
            .unwrap()
            .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
            .collect();
        names.sort();
        let mut targets: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
        targets.sort();
        assert_eq!(names, targets, "{dir}");
    }
}
