//! The parts of a request under criterion: `cargo bench -p msec-bench-micro`.

#![allow(missing_docs, reason = "the macros of criterion write functions without any")]

use std::time::Instant;

use criterion::{Criterion, criterion_group, criterion_main};
use msec_bench_micro::PARTS;

#[allow(clippy::disallowed_methods, reason = "measuring is reading the clock")]
fn parts(criterion: &mut Criterion) {
    for part in PARTS {
        criterion.bench_function(part.name, |bencher| {
            bencher.iter_custom(|times| {
                let begun = Instant::now();
                (part.run)(times);
                begun.elapsed()
            });
        });
    }
}

criterion_group!(benches, parts);
criterion_main!(benches);
