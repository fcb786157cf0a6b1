//! The msec command.
fn main() {}
