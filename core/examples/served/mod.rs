//! What a service says when it ends: one line a method, for people and for programs.
//!
//! ```text
//! served echo.EchoService.Echo calls=612040 failed=0 p50_us=5.2 p99_us=11.3 max_us=871.0
//! ```

use msec::Server;

/// Prints the line of each method of a server; also right after its stop.
pub(crate) fn print(server: &Server) {
    for method in server.report() {
        let latency_ns = method.counters.latency_ns();
        let us = |ns: u64| ns as f64 / 1000.0;
        println!(
            "served {} calls={} failed={} p50_us={:.1} p99_us={:.1} max_us={:.1}",
            method.name,
            method.counters.ended(),
            method.counters.failed(),
            us(latency_ns.quantile(500_000)),
            us(latency_ns.quantile(990_000)),
            us(latency_ns.max()),
        );
    }
}
