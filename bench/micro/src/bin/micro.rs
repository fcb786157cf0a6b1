//! `micro PART`: prints nanoseconds each as one line of JSON. `micro PART TIMES`: runs it so often
//! and prints nothing, for callgrind.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use msec_bench_micro::{PARTS, Part, part};

const BATCH: Duration = Duration::from_millis(20);
const BATCHES: usize = 9;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let found = words.first().and_then(|name| part(name));
    match (found, words.get(1).map(|times| times.parse())) {
        (Some(part), None) => println!("{{\"ns\":{:.2}}}", nanoseconds(part)),
        (Some(part), Some(Ok(times))) => (part.run)(times),
        (None, _) | (Some(_), Some(Err(_))) => {
            let names: Vec<&str> = PARTS.iter().map(|part| part.name).collect();
            eprintln!("usage: micro PART [TIMES]; parts: {}", names.join(" "));
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

/// The median of batches that are long enough for the clock.
fn nanoseconds(part: &Part) -> f64 {
    // What is started once is started here.
    (part.run)(1);
    let mut times = 1000;
    while time(part, times) < BATCH {
        times *= 2;
    }
    let mut batches: Vec<f64> =
        (0..BATCHES).map(|_| time(part, times).as_nanos() as f64 / times as f64).collect();
    batches.sort_by(f64::total_cmp);
    batches[BATCHES / 2]
}

#[allow(clippy::disallowed_methods, reason = "measuring is reading the clock")]
fn time(part: &Part, times: u64) -> Duration {
    let begun = Instant::now();
    (part.run)(times);
    begun.elapsed()
}
