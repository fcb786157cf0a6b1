//! Calls under way for Java: begun by a downcall, told by the poller.
//!
//! ```text
//!   start ─► a place ─► the engine's client ─► … ─► woken, on a core ─► the poller takes the place
//!                │
//!                └─ cancel: the place is taken, and with it goes the call
//! ```
//!
//! No thread of Java's is here while a call waits, so a virtual thread that waits pins nothing.

use std::sync::Arc;
use std::task::{Poll, Wake, Waker};

use jni::EnvUnowned;
use jni::objects::{JByteArray, JClass};
use jni::sys::{jboolean, jlong};
use msec::{Code, Error, Pending, Reply};

use crate::client::CLIENTS;
use crate::engine::ENGINES;
use crate::fields::Fields;
use crate::guard;
use crate::options;
use crate::poller::Bridge;

/// A call.
pub(crate) struct Call {
    /// How Java numbered it.
    id: u64,
    state: State,
}

enum State {
    /// And who is to be woken.
    Pending(Pending<()>, Waker),
    /// A raw one, on a coroutine.
    Running,
    Ended(msec::Result<Reply>),
}

/// Tells the poller when a call has ended.
struct Wakes {
    bridge: Arc<Bridge>,
    call: u64,
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.bridge.tell(self.call);
    }
}

impl Call {
    /// Notes how it ended, if it has; whether it has.
    pub(crate) fn look(&mut self) -> bool {
        if let State::Pending(pending, waker) = &self.state
            && let Poll::Ready(result) = pending.poll_raw(waker)
        {
            self.state = State::Ended(result);
        }
        matches!(self.state, State::Ended(_))
    }

    /// Its number, and how it ended.
    pub(crate) fn end(self) -> (u64, msec::Result<Reply>) {
        match self.state {
            State::Ended(result) => (self.id, result),
            State::Pending(..) | State::Running => {
                (self.id, Err(Error::new(Code::SYSTEM_ERROR, "a call that has not ended")))
            }
        }
    }

    /// One that has no client: of a raw protocol.
    pub(crate) fn running(id: u64) -> Self {
        Call { id, state: State::Running }
    }

    /// Notes how such a one ended.
    pub(crate) fn set(&mut self, result: msec::Result<Reply>) {
        self.state = State::Ended(result);
    }
}

pub(crate) fn too_many() -> Error {
    Error::new(Code::OVERLOADED, "too many calls of Java's are under way")
}

/// Starts a call of a client; `id` is what its result is told with. `request` is the one that it is
/// made for, or 0. What it can be cancelled by.
#[unsafe(no_mangle)]
pub extern "system" fn Java_org_msec_Native_call<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    client: jlong,
    id: jlong,
    request: jlong,
    options: JByteArray<'local>,
    body: JByteArray<'local>,
) -> jlong {
    guard::run(env, |env| {
        let client = CLIENTS.find(client)?;
        let bytes = env.convert_byte_array(&options)?;
        let mut fields = Fields::of(&bytes);
        let method = fields.text()?;
        let options = options::read(&mut fields)?;
        let body = env.convert_byte_array(&body)?;
        let bridge = &client.bridge;
        let mut body = Some(body);
        let begin = |number| {
            let mut start =
                || client.client.start_body(method, body.take().unwrap_or_default(), &options);
            let request = request.cast_unsigned();
            let begun = bridge.held.with(request, |request| request.within(&mut start));
            let pending = begun.unwrap_or_else(start);
            let waker = Waker::from(Arc::new(Wakes { bridge: bridge.clone(), call: number }));
            let mut call = Call { id: id.cast_unsigned(), state: State::Pending(pending, waker) };
            if call.look() {
                bridge.tell(number);
            }
            call
        };
        let number = bridge.calls.put_by(begin).map_err(|_| too_many())?;
        Ok(bridge.begun(number)?.cast_signed())
    })
}

/// Gives a call up, if it is still under way: nothing is told of it then. Whether it was.
#[unsafe(no_mangle)]
pub extern "system" fn Java_org_msec_Native_cancel<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    engine: jlong,
    call: jlong,
) -> jboolean {
    guard::run(env, |_| {
        let engine = ENGINES.find(engine)?;
        Ok(engine.bridge.calls.take(call.cast_unsigned()).is_some())
    })
}
