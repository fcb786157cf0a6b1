//! Routes: where the instances of services are.

use std::ffi::c_char;
use std::time::Duration;

use msec::{Code, Error, naming};

use crate::engine::msec_engine;
use crate::error::text;
use crate::guard;
use crate::text::{self, msec_text};

/// What mistakes in a text say where a file has its name.
const NO_FILE: &str = "routes";

/// Reads a file of routes, which holds from the next call on. Must not be called on a coroutine.
///
/// Errors: -1 a mistake in the file, with its line: the old table stays; -2 it cannot be read, or
/// this is a core's thread.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_engine_load_routes(
    engine: *const msec_engine,
    path: *const c_char,
) -> i32 {
    guard!([engine, path] {
        guard::off_core("load routes")?;
        // SAFETY: not NULL, so a live engine and a string.
        let (engine, path) = unsafe { (&*engine, text("path", path)?) };
        engine.0.load_routes(path)
    })
}

/// Replaces all routes, policies included, with those of a text that a file of routes could have;
/// when this returns, every core has them. For programs and operators, who are believed. Must not
/// be called on a coroutine.
///
/// Errors: -1 a mistake in the text, with its line: the old table stays; -2 on a core's thread.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_engine_set_routes(
    engine: *const msec_engine,
    routes: *const c_char,
) -> i32 {
    guard!([engine, routes] {
        guard::off_core("set routes")?;
        // SAFETY: not NULL, so a live engine and a string.
        let (engine, routes) = unsafe { (&*engine, text("routes", routes)?) };
        engine.0.set_routes(naming::parse(routes, NO_FILE)?);
        Ok(())
    })
}

/// As `msec_engine_set_routes`, for who watches a registry, which may be wrong: a service that
/// would be left with less than half of the instances of the last ten seconds, or without any,
/// stays as it is until `msec_engine_confirm_routes`; the others change. `held`, if not NULL,
/// becomes the names of the services that are held, one a line, to be given back with
/// `msec_text_free`. From any thread; returns at once, and the cores follow within microseconds.
///
/// Errors: -1 a mistake in the text, with its line: the old table stays.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_engine_push_routes(
    engine: *const msec_engine,
    routes: *const c_char,
    held: *mut *mut msec_text,
) -> i32 {
    guard!([engine, routes] {
        // SAFETY: not NULL, so a live engine and a string.
        let (engine, routes) = unsafe { (&*engine, text("routes", routes)?) };
        let status = engine.0.push_routes(naming::parse(routes, NO_FILE)?);
        if !held.is_null() {
            let names = status.held.iter().map(|(name, _)| format!("{name}\n"));
            // SAFETY: a place for a pointer.
            unsafe { text::hand_out(held, names.collect()) };
        }
        Ok(())
    })
}

/// Lets come true what a push said of a service and what was held. From any thread.
///
/// Errors: -1 nothing of that service is held.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_engine_confirm_routes(
    engine: *const msec_engine,
    service: *const c_char,
) -> i32 {
    guard!([engine, service] {
        // SAFETY: not NULL, so a live engine and a string.
        let (engine, service) = unsafe { (&*engine, text("service", service)?) };
        if engine.0.confirm_routes(service) {
            return Ok(());
        }
        let text = format!("nothing of service `{service}` is held");
        Err(Error::new(Code::INVALID_PARAMETER, text))
    })
}

/// All services that can be called by name, and why their calls go where they go: the JSON of the
/// page `/routes`. The text is to be given back with `msec_text_free`. Asks all cores: suspends the
/// coroutine, or blocks the thread.
///
/// Errors: -1; -2 on the loop of a core (callback methods, callbacks).
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_engine_explain_routes(
    engine: *const msec_engine,
    json: *mut *mut msec_text,
) -> i32 {
    guard!([engine, json] {
        if !msec::coroutine::on_coroutine() {
            guard::off_core("explain routes")?;
        }
        // SAFETY: not NULL, so live; and a place for a pointer.
        unsafe { text::hand_out(json, (&*engine).0.explain_routes_json()) };
        Ok(())
    })
}

/// Picks the instance of a service that is to be called next, for a call that is made by other
/// means than a client of the engine. `address` becomes where it is, as `10.0.0.1:7963`,
/// `10.0.0.1:7963@udp` or `unix:/run/a`, to be given back with `msec_text_free`. It may be called
/// once, often or never: only what `msec_engine_report_route` says counts. An address is its own
/// instance. From any thread; one that is no core's of this engine waits for an answer of a core.
///
/// Errors: -14 neither a service name nor an address; -15 no such service, or no instance that may
/// be called; -2 the engine has stopped, or this is the loop of another engine's core.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_engine_pick_route(
    engine: *const msec_engine,
    service: *const c_char,
    address: *mut *mut msec_text,
) -> i32 {
    guard!([engine, service, address] {
        // SAFETY: not NULL, so a live engine and a string.
        let (engine, service) = unsafe { (&*engine, text("service", service)?) };
        let picked = engine.0.pick_route(service)?;
        // SAFETY: a place for a pointer.
        unsafe { text::hand_out(address, picked.to_string()) };
        Ok(())
    })
}

/// Tells what came of calls that were made by other means; it counts as the ends of the engine's
/// own calls do. `instance`: the address that was picked, or a host without a port, for all
/// instances there. `failures_count` 0: an answer has come after `latency_us`; else so many calls
/// have failed, of which 16 count. From any thread; never waits.
///
/// Errors: -14 `service` is no service name and no address, or `instance` no address and no host.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_engine_report_route(
    engine: *const msec_engine,
    service: *const c_char,
    instance: *const c_char,
    failures_count: u32,
    latency_us: u64,
) -> i32 {
    guard!([engine, service, instance] {
        // SAFETY: not NULL, so a live engine and a string.
        let (engine, service) = unsafe { (&*engine, text("service", service)?) };
        // SAFETY: not NULL, so a string.
        let instance = unsafe { text("instance", instance)? };
        let latency = Duration::from_micros(latency_us);
        engine.0.report_route(service, instance, failures_count, latency)
    })
}
