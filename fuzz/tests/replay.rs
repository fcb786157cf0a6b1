//! Each target over its corpus, and over mutations of it.
//!
//! The corpus is what the fuzzer has found so far, and must never fail again. The mutations make
//! a small fuzzer of this test, which needs no nightly and no C++: they come from a seed, always
//! the same, so that a failure can be repeated. `MSEC_FUZZ_SEED` sets another seed,
//! `MSEC_FUZZ_ROUNDS` how many mutations a target gets, `MSEC_FUZZ_TARGET` the only one that gets
//! some.
use msec_fuzz::TARGETS;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;

/// Mutations a target gets; seconds for all of them together.
const ROUNDS: u64 = 20_000;

/// Longest input that a mutation makes, in bytes.
const INPUT_BYTES_MAX: usize = 4096;

/// xorshift64*, Vigna 2016: no crate needed, the same everywhere.
struct Random(u64);

impl Random {
    fn number(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.number() >> 32) as usize % bound.max(1)
    }
}

fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let entries = std::fs::read_dir(&folder).expect("each target has a corpus");
    let mut paths: Vec<PathBuf> =
        entries.map(|entry| entry.expect("the folder can be read").path()).collect();
    paths.sort();
    let read = |path: PathBuf| {
        let input = std::fs::read(&path).expect("a corpus holds files only");
        (path, input)
    };
    paths.into_iter().map(read).collect()
}

/// Runs a target; says with which input it failed, and how that came to be.
fn run(target: fn(&[u8]), input: &[u8], origin: &str) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| target(input))) {
        eprintln!("{origin} fails with {} bytes: {}", input.len(), input.escape_ascii());
        resume_unwind(panic);
    }
}

/// Changes an input in one of the ways that break decoders.
fn mutate(input: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    let at = random.below(input.len() + 1);
    // Lengths, signs, ends of varints, parentheses.
    const TELLING: [u8; 12] = [0, 1, 0x7f, 0x80, 0x81, 0xff, b'(', b')', 0x50, 0x9a, 0x03, 0x0a];
    match random.below(8) {
        0 if at < input.len() => input[at] ^= 1 << random.below(8),
        1 if at < input.len() => input[at] = TELLING[random.below(TELLING.len())],
        2 if at < input.len() => input[at] = input[at].wrapping_add(random.number() as u8 % 8),
        3 => input.insert(at, TELLING[random.below(TELLING.len())]),
        4 => drop(input.drain(at..(at + random.below(8)).min(input.len()))),
        5 => input.truncate(at),
        6 => {
            let from = random.below(other.len() + 1);
            let piece = &other[from..(from + random.below(64)).min(other.len())];
            input.splice(at..at, piece.iter().copied());
        }
        _ => input.splice(at..at, random.number().to_le_bytes()).for_each(drop),
    }
    input.truncate(INPUT_BYTES_MAX);
}

fn from_environment(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

#[test]
fn every_corpus_replays_and_every_corpus_has_a_target() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let mut folders: Vec<String> = std::fs::read_dir(folder)
        .expect("the corpora are committed")
        .map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned())
        .collect();
    folders.sort();
    let mut names: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    names.sort_unstable();
    assert_eq!(folders, names);
    for (name, target) in TARGETS {
        let inputs = corpus(name);
        assert!(inputs.len() >= 3, "{name} has hardly any corpus");
        for (path, input) in inputs {
            run(*target, &input, &path.display().to_string());
        }
    }
}

#[test]
fn mutations_of_the_corpora_replay() {
    let seed = from_environment("MSEC_FUZZ_SEED", 1);
    let rounds = from_environment("MSEC_FUZZ_ROUNDS", ROUNDS);
    let only = std::env::var("MSEC_FUZZ_TARGET");
    for (name, target) in TARGETS {
        if only.as_ref().is_ok_and(|only| only != name) {
            continue;
        }
        let inputs = corpus(name);
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        for round in 0..rounds {
            let mut input = inputs[random.below(inputs.len())].1.clone();
            let other = &inputs[random.below(inputs.len())].1;
            for _ in 0..=random.below(4) {
                mutate(&mut input, other, &mut random);
            }
            run(*target, &input, &format!("{name}, seed {seed}, round {round},"));
        }
    }
}
