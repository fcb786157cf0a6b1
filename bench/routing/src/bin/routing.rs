//! Prints the comparison: `cargo run --release -p msec-bench-routing [-- SEED]`.
use msec_bench_routing::{ALGORITHMS, felt};
use msec_protocol::route::sim::scenarios;

fn main() {
    let seed = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(1);
    println!("seed {seed}; failed calls, and the 99th percentile of all calls in ms");
    print!("{:30} {:>8}", "", "calls");
    for algorithm in ALGORITHMS {
        print!("  {:>16}", algorithm.name);
    }
    println!();
    for scenario in scenarios::all(seed) {
        let all: Vec<_> = ALGORITHMS.iter().map(|one| felt(&scenario.world, one)).collect();
        print!("{:30} {:>8}", scenario.name, all[0].calls);
        for felt in &all {
            print!("  {:>7} {:>8.1}", felt.failed, felt.p99_ms());
        }
        println!();
        if scenario.world.callers.len() > 1 {
            for kind in 0..scenario.world.callers.len() {
                let rate = scenario.world.callers[kind].rate;
                print!("{:30} {:>8}", format!("  those with {rate}/s"), all[0].kinds[kind].0);
                for felt in &all {
                    print!("  {:>7} {:>8}", felt.kinds[kind].1, "");
                }
                println!();
            }
        }
    }
}
