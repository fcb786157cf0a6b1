//! The machine under msec.
