//! Written by `cargo xtask gen`; not edited by hand.

use std::mem::offset_of;

const _: () = assert!(size_of::<crate::batch::Answered>() == 24);
const _: () = assert!(offset_of!(crate::batch::Answered, size) == 0);
const _: () = assert!(offset_of!(crate::batch::Answered, code) == 4);
const _: () = assert!(offset_of!(crate::batch::Answered, id) == 8);
const _: () = assert!(offset_of!(crate::batch::Answered, result) == 16);
const _: () = assert!(offset_of!(crate::batch::Answered, body_bytes) == 20);

const _: () = assert!(size_of::<crate::batch::Record>() == 80);
const _: () = assert!(offset_of!(crate::batch::Record, size) == 0);
const _: () = assert!(offset_of!(crate::batch::Record, kind) == 4);
const _: () = assert!(offset_of!(crate::batch::Record, id) == 8);
const _: () = assert!(offset_of!(crate::batch::Record, kept) == 16);
const _: () = assert!(offset_of!(crate::batch::Record, deadline_ns) == 24);
const _: () = assert!(offset_of!(crate::batch::Record, flow_id) == 32);
const _: () = assert!(offset_of!(crate::batch::Record, method) == 40);
const _: () = assert!(offset_of!(crate::batch::Record, flags) == 44);
const _: () = assert!(offset_of!(crate::batch::Record, code) == 48);
const _: () = assert!(offset_of!(crate::batch::Record, result) == 52);
const _: () = assert!(offset_of!(crate::batch::Record, attempt) == 56);
const _: () = assert!(offset_of!(crate::batch::Record, priority) == 60);
const _: () = assert!(offset_of!(crate::batch::Record, caller_bytes) == 64);
const _: () = assert!(offset_of!(crate::batch::Record, metadata_bytes) == 68);
const _: () = assert!(offset_of!(crate::batch::Record, body_bytes) == 72);
const _: () = assert!(offset_of!(crate::batch::Record, reserved) == 76);
