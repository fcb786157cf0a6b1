//! Prints the comparison: `cargo run --release -p msec-bench-routing [-- SEED] [--json]`.
use msec_bench_routing::{ALGORITHMS, Story, stories};

fn main() {
    let (mut seed, mut json) = (1, false);
    for argument in std::env::args().skip(1) {
        match (argument.as_str(), argument.parse()) {
            ("--json", _) => json = true,
            (_, Ok(number)) => seed = number,
            (_, Err(_)) => {
                eprintln!("usage: routing [SEED] [--json]");
                std::process::exit(2);
            }
        }
    }
    let stories = stories(seed);
    if json {
        println!("{}", serde_json::to_string(&stories).expect("stories are texts and numbers"));
    } else {
        println!("seed {seed}; failed calls, and the 99th percentile of all calls in ms");
        print(&stories);
    }
}

fn print(stories: &[Story]) {
    print!("{:30} {:>8}", "", "calls");
    for algorithm in ALGORITHMS {
        print!("  {:>16}", algorithm.name);
    }
    println!();
    for story in stories {
        print!("{:30} {:>8}", story.name, story.calls);
        for result in &story.results {
            print!("  {:>7} {:>8.1}", result.failed, result.p99_ms);
        }
        println!();
        for (index, kind) in story.kinds.iter().enumerate() {
            print!("{:30} {:>8}", format!("  those with {}/s", kind.rate), kind.calls);
            for result in &story.results {
                print!("  {:>7} {:>8}", result.failed_of_kind[index], "");
            }
            println!();
        }
    }
}
