//! Stubs for msec services.
