//! Reports: how did it go?
//!
//! Plain numbers that one core owns and bumps, without a lock or an atomic, for every call. A
//! [`Snapshot`] brings those of all cores together, and snapshots of many processes: everything
//! here merges exactly, in any order, so that what is shown for a thousand processes is what they
//! counted.
//!
//! ```text
//!   core 0: counters, attributes ─┐
//!   core 1: counters, attributes ─┼─► Folder ─► Snapshot ─► encode ─► agent ─► merge, since
//!   plain threads:    attributes ─┘                 └─► prometheus
//! ```

pub mod attribute;
pub mod counters;
mod encoding;
pub mod histogram;
mod index;
pub mod prometheus;
pub mod snapshot;

pub use attribute::{Attributes, Kind, OTHER, Slot, Value};
pub use counters::{Counters, Efforts, Outcome};
pub use encoding::BadSnapshot;
pub use histogram::Histogram;
pub use snapshot::{AttributeKey, CallKey, Folder, Origin, Role, Snapshot};
