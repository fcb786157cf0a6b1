//! The bench: what msec costs beside the kernel's floor and beside the peers a team could pick
//! instead.
//!
//! ```text
//!   bench (runner)                       one run of one cell
//!     │ starts, pins                     ───────────────────
//!     ├──────────► server        CPU 0   floor · peer · msec: `--listen ADDRESS:PORT`
//!     └──────────► generator     CPU 1   sends, checks every answer, reads the server's clock
//! ```
//!
//! Three programs, so that no number of one process is mixed with another's: [`runner`] decides and
//! reports, [`generator`] loads and measures, [`floor`] is the least a server can do. Peers on
//! other people's runtimes live in their own package (`peers/`, `grpc-cpp/`), so that what they
//! drag in stays out of these three.
//!
//! Rules that the numbers obey: server and generator each have a processor of their own; the
//! yardstick of every ratio is measured in the same run; rows are interleaved over rounds and
//! medians are kept with their spread; open-loop latency counts from the moment a request was due,
//! so a stalled server cannot hide behind a waiting client; a cell in which the generator and not
//! the server was the bottleneck says so.

pub mod floor;
pub mod generator;
pub mod mark;
pub mod process;
pub mod ring;
pub mod runner;
