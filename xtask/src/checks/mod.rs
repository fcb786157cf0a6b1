//! The checks of `cargo xtask tidy`, one rule of the house a file, each with tests that show how it
//! fails.

use crate::tree::{Problem, Tree};

pub(crate) mod arrows;
pub(crate) mod described;
pub(crate) mod fresh;
pub(crate) mod protocol;
pub(crate) mod rules;
pub(crate) mod size;
pub(crate) mod supply;
pub(crate) mod text;
pub(crate) mod unsafety;

/// Looks at the tree and names what is wrong. An `Err` means that it could not look.
pub(crate) type Run = fn(&Tree) -> Result<Vec<Problem>, String>;

pub(crate) struct Check {
    pub(crate) name: &'static str,
    pub(crate) run: Run,
}

pub(crate) const ALL: &[Check] = &[
    Check { name: "arrows", run: arrows::check },
    Check { name: "unsafe", run: unsafety::check },
    Check { name: "protocol", run: protocol::check },
    Check { name: "generated", run: fresh::check },
    Check { name: "described", run: described::check },
    Check { name: "supply", run: supply::check },
    Check { name: "size", run: size::check },
    Check { name: "text", run: text::check },
    Check { name: "rules", run: rules::check },
];
