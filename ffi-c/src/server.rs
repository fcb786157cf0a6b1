//! Servers: methods on addresses.

use std::ffi::{CString, c_char, c_void};
use std::mem;
use std::ptr;
use std::time::Duration;

use msec::{Code, Error, MethodOptions, Server, ServerBuilder};

use crate::carried::Carried;
use crate::context::msec_context;
use crate::engine::{free, msec_engine};
use crate::error::text;
use crate::options::{self, Options};
use crate::{guard, slice};

/// A server that is being described. One thread at a time.
#[allow(non_camel_case_types)]
pub struct msec_server_builder {
    builder: ServerBuilder,
    /// What handlers are called through, in a plugin that has one.
    barrier: msec_barrier,
}

impl msec_server_builder {
    pub(crate) fn of(builder: ServerBuilder, barrier: msec_barrier) -> Self {
        Self { builder, barrier }
    }

    pub(crate) fn into_inner(self) -> ServerBuilder {
        self.builder
    }
}

/// A running server. Usable from every thread that is no core's.
#[allow(non_camel_case_types)]
pub struct msec_server {
    server: Server,
    addresses: Vec<CString>,
}

/// Serves a request: reads it from `context`, sets the answer there, and returns 0; or another
/// code, which the caller gets instead. Runs on a coroutine of a core thread, several at a time
/// and on all cores, where it may block with the functions of this library. No C++ exception may
/// leave it, but in a plugin with a barrier.
pub type msec_handler =
    Option<unsafe extern "C" fn(userdata: *mut c_void, context: *mut msec_context) -> i32>;

/// Calls `handler` with the other two, and returns what it returns; catches what it throws, and
/// makes a code and a text (`msec_context_fail_text`) of it. See `msec_plugin`.
pub type msec_barrier = Option<
    unsafe extern "C" fn(
        handler: msec_handler,
        userdata: *mut c_void,
        context: *mut msec_context,
    ) -> i32,
>;

/// How a method is run. Begin with `MSEC_METHOD_OPTIONS_INIT`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct msec_method_options {
    /// `sizeof(msec_method_options)`.
    pub size: u32,
    /// `MSEC_METHOD_HEAVY`, `MSEC_METHOD_CALLBACK` and `MSEC_METHOD_FIXED`, or-ed.
    pub flags: u32,
    /// Requests of this method in flight in this process at most; more are answered with -101.
    /// 0: no such bound.
    pub requests_max: u32,
    /// 0. Without it the next field might follow a gap, in which anything may stand.
    pub reserved: u32,
}

// SAFETY: numbers behind a leading u32.
unsafe impl Options for msec_method_options {
    const NAME: &'static str = "msec_method_options";
}

/// The method burns CPU for milliseconds: it runs on an offload thread, where it may block the
/// thread too.
pub const MSEC_METHOD_HEAVY: u32 = 1;
/// The method answers at once: it runs on the core's loop, without a coroutine, and cannot block.
pub const MSEC_METHOD_CALLBACK: u32 = 2;
/// The number of requests in flight is not adapted to what the method can take.
pub const MSEC_METHOD_FIXED: u32 = 4;

/// Begins to describe a server. To be given to `msec_server_start` or `msec_server_builder_free`.
#[unsafe(no_mangle)]
pub extern "C" fn msec_server_builder_new() -> *mut msec_server_builder {
    guard::or(ptr::null_mut(), || {
        Box::into_raw(Box::new(msec_server_builder::of(Server::builder(), None)))
    })
}

/// Gives up a description. NULL is freed without effect.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_server_builder_free(builder: *mut msec_server_builder) {
    // SAFETY: NULL, or what `msec_server_builder_new` gave away.
    guard::or((), || unsafe { free(builder) });
}

/// Adds a method, `package.Service.Method`. `options` may be NULL. `userdata` is handed to each
/// call of `handler` and must live as long as the server.
///
/// Errors: -1. What is wrong with the name is told by `msec_server_start`.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_server_builder_method(
    builder: *mut msec_server_builder,
    name: *const c_char,
    handler: msec_handler,
    userdata: *mut c_void,
    options: *const msec_method_options,
) -> i32 {
    guard!([builder, name] {
        let missing = || Error::new(Code::INVALID_PARAMETER, "handler is NULL");
        let handler = handler.ok_or_else(missing)?;
        // SAFETY: a string, and NULL or options.
        let (name, options) = unsafe { (text("name", name)?, options::read(options)?) };
        if let Some(options) = &options {
            let known = MSEC_METHOD_HEAVY | MSEC_METHOD_CALLBACK | MSEC_METHOD_FIXED;
            options::flags::<msec_method_options>(options.flags, known)?;
        }
        let userdata = Carried::new(userdata);
        // SAFETY: not NULL, and one thread's at a time.
        let barrier = unsafe { &*builder }.barrier;
        let serve = move |context: &msec::Context| {
            let mut wrapped = msec_context::of(context);
            let (userdata, served) = (userdata.pointer(), &raw mut wrapped);
            let code = match barrier {
                // SAFETY: the header asks for a function that can be called so; both live on.
                Some(barrier) => unsafe { barrier(Some(handler), userdata, served) },
                // SAFETY: as above.
                None => unsafe { handler(userdata, served) },
            };
            wrapped.outcome(code)
        };
        change(builder, |builder| {
            let builder = builder.raw(name, serve);
            match options {
                Some(options) => builder.method(name, move |method| apply(method, &options)),
                None => builder,
            }
        });
        Ok(())
    })
}

/// Says what the messages of methods look like, so that they can be called with JSON: a serialized
/// `FileDescriptorSet` with everything that its files import. Copied.
///
/// Errors: -1. What is wrong with the set is told by `msec_server_start`.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_server_builder_descriptors(
    builder: *mut msec_server_builder,
    data: *const c_char,
    size: usize,
) -> i32 {
    guard!([builder, data] {
        // SAFETY: the bytes are there for the call.
        let set = unsafe { slice::bytes(data, size) }.to_vec();
        change(builder, |builder| builder.descriptors(set));
        Ok(())
    })
}

/// Listens at an address: `ip:port`, `ip:port@udp`, `ip:port@tls` or `unix:/path`; port 0 takes a
/// free one.
///
/// Errors: -1. What is wrong with the address is told by `msec_server_start`.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_server_builder_listen(
    builder: *mut msec_server_builder,
    address: *const c_char,
) -> i32 {
    guard!([builder, address] {
        // SAFETY: a string.
        let address = unsafe { text("address", address) }?;
        change(builder, |builder| builder.listen(address));
        Ok(())
    })
}

/// Serves the built-in pages at this address, and nowhere else.
///
/// Errors: -1. What is wrong with the address is told by `msec_server_start`.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_server_builder_admin(
    builder: *mut msec_server_builder,
    address: *const c_char,
) -> i32 {
    guard!([builder, address] {
        // SAFETY: a string.
        let address = unsafe { text("address", address) }?;
        change(builder, |builder| builder.admin(address));
        Ok(())
    })
}

/// Starts the server on all cores of `engine`; when this returns 0 it accepts connections. The
/// description is used up, also by a failure. Must not be called on a coroutine. To be given back
/// with `msec_server_free`.
///
/// Errors: -14 an address that is none; -1 a method that is described wrongly, or a certificate
/// that is none; -2 a socket or a file that cannot be opened, or this is a core's thread.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_server_start(
    builder: *mut msec_server_builder,
    engine: *const msec_engine,
    server: *mut *mut msec_server,
) -> i32 {
    guard!([builder] {
        // SAFETY: what `msec_server_builder_new` gave away.
        let builder = unsafe { Box::from_raw(builder) };
        if engine.is_null() || server.is_null() {
            return Err(Error::new(Code::INVALID_PARAMETER, "engine or server is NULL"));
        }
        guard::off_core("start a server")?;
        // SAFETY: not NULL, so live.
        let started = builder.builder.start(&unsafe { &*engine }.0)?;
        let texts = started.addresses().iter().chain(started.admin_addresses());
        let addresses = texts.map(|text| CString::new(text.as_str()).unwrap_or_default()).collect();
        let started = msec_server { server: started, addresses };
        // SAFETY: not NULL, and a place for a pointer.
        unsafe { server.write(Box::into_raw(Box::new(started))) };
        Ok(())
    })
}

/// Where the server listens: the address with this index, counted from 0 in the order of
/// `msec_server_builder_listen`, then those of the pages; with the port that was taken. NULL beyond
/// the last. Lives as long as the server.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_server_address(
    server: *const msec_server,
    index: usize,
) -> *const c_char {
    // SAFETY: NULL or live.
    let address = unsafe { server.as_ref() }.and_then(|server| server.addresses.get(index));
    address.map_or(ptr::null(), |address| address.as_ptr())
}

/// Accepts no more connections and asks peers to leave; connections stay served. Must not be called
/// on a coroutine.
///
/// Errors: -1; -2 on a core's thread.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_server_drain(server: *const msec_server) -> i32 {
    guard!([server] {
        guard::off_core("drain a server")?;
        // SAFETY: not NULL, so live.
        unsafe { &*server }.server.drain();
        Ok(())
    })
}

/// Drains, gives peers `grace_ms` to leave, answers what is in flight, and closes. No call is lost.
/// Again has no effect. Must not be called on a coroutine.
///
/// Errors: -1; -2 on a core's thread.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_server_stop(server: *const msec_server, grace_ms: u32) -> i32 {
    guard!([server] {
        guard::off_core("stop a server")?;
        // SAFETY: not NULL, so live.
        unsafe { &*server }.server.stop(Duration::from_millis(grace_ms.into()));
        Ok(())
    })
}

/// Stops a server as `msec_server_stop` does, with a grace of a second, and frees it. NULL is freed
/// without effect. Must not be called on a coroutine: there nothing can be waited for, and the
/// server ends with its engine.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_server_free(server: *mut msec_server) {
    // SAFETY: NULL, or what `msec_server_start` gave away.
    guard::or((), || unsafe { free(server) });
}

/// How busy a server is: connections that are open, and requests that are not answered yet. Asks
/// all cores; must not be called on a coroutine.
///
/// Errors: -1; -2 on a core's thread.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msec_server_load(
    server: *const msec_server,
    connections_count: *mut usize,
    requests_count: *mut usize,
) -> i32 {
    guard!([server, connections_count, requests_count] {
        guard::off_core("look at a server")?;
        // SAFETY: not NULL, so live.
        let load = unsafe { &*server }.server.load();
        // SAFETY: not NULL, and places for numbers.
        unsafe {
            connections_count.write(load.connections_count);
            requests_count.write(load.requests_count);
        }
        Ok(())
    })
}

/// The engine's builders are values; the one of C is changed in place.
pub(crate) fn change(
    builder: *mut msec_server_builder,
    change: impl FnOnce(ServerBuilder) -> ServerBuilder,
) {
    // SAFETY: not NULL, which the guard has checked, and one thread's at a time.
    let builder = unsafe { &mut *builder };
    builder.builder = change(mem::take(&mut builder.builder));
}

fn apply(mut method: MethodOptions<'_>, options: &msec_method_options) {
    if options.flags & MSEC_METHOD_HEAVY != 0 {
        method = method.heavy();
    }
    if options.flags & MSEC_METHOD_CALLBACK != 0 {
        method = method.callback();
    }
    if options.flags & MSEC_METHOD_FIXED != 0 {
        method = method.adaptive_limit(false);
    }
    if options.requests_max != 0 {
        method.requests_max(options.requests_max);
    }
}
