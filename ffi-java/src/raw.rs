//! Protocols of third parties. Java cannot be asked on a core where an answer ends, so it says
//! beforehand how to find out.

use std::sync::Arc;
use std::time::Duration;

use jni::EnvUnowned;
use jni::objects::{JByteArray, JClass};
use jni::sys::jlong;
use msec::raw::{self, Length};
use msec::{Code, Deferred, Error, Reply};

use crate::call::{Call, too_many};
use crate::engine::ENGINES;
use crate::fields::Fields;
use crate::guard::{self, Result, invalid};
use crate::poller::Bridge;

/// An answer ends with these bytes.
pub(crate) const RAW_UNTIL: u32 = 1;
/// An answer has so many bytes.
pub(crate) const RAW_FIXED: u32 = 2;
/// An answer says how long it is: a big-endian number of so many bytes at a place, to which
/// something is to be added.
pub(crate) const RAW_LENGTH: u32 = 3;

/// How the end of an answer is found.
enum End {
    Until(Vec<u8>),
    Fixed(usize),
    Length { at: usize, bytes: usize, added: i64 },
}

impl End {
    fn read(fields: &mut Fields<'_>) -> Result<Self> {
        match fields.small("how an answer ends")? {
            RAW_UNTIL => match fields.bytes()? {
                [] => Err(invalid("an answer cannot end with nothing")),
                mark => Ok(Self::Until(mark.to_vec())),
            },
            RAW_FIXED => Ok(Self::Fixed(fields.small("the length of an answer")? as usize)),
            RAW_LENGTH => {
                let (at, bytes) = (fields.small("an offset")?, fields.small("a length")?);
                if !(1..=8).contains(&bytes) {
                    return Err(invalid(format!("a length of {bytes} bytes: 1 to 8 are possible")));
                }
                let (at, bytes) = (at as usize, bytes as usize);
                Ok(Self::Length { at, bytes, added: fields.number()? })
            }
            other => Err(invalid(format!("an answer ends in the way {other}, which is none"))),
        }
    }

    fn find(&self, answer: &[u8]) -> Length {
        let end = match self {
            Self::Until(mark) => {
                let mut places = answer.windows(mark.len());
                places.position(|bytes| bytes == mark).map(|at| at + mark.len())
            }
            Self::Fixed(bytes) => Some(*bytes),
            Self::Length { at, bytes, added } => {
                let Some(number) = answer.get(*at..at + bytes) else { return Length::More };
                let number = number.iter().fold(0, |sum: u64, byte| sum << 8 | u64::from(*byte));
                let end = number.checked_add_signed(*added);
                let end = end.and_then(|end| usize::try_from(end).ok());
                match end.filter(|end| *end >= at + bytes) {
                    None => return Length::Bad,
                    end => end,
                }
            }
        };
        end.filter(|end| *end <= answer.len()).map_or(Length::More, Length::Whole)
    }
}

/// A call whose end the poller is told of in any case: the coroutine that makes it may find no
/// stack, be dropped with the engine, or panic.
struct Running {
    bridge: Arc<Bridge>,
    call: u64,
    result: Option<msec::Result<Reply>>,
}

impl Running {
    fn end(mut self, result: msec::Result<Reply>) {
        self.result = Some(result);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let result = self.result.take().unwrap_or_else(|| {
            let text = "no stack was left for the call, the engine has stopped, or it panicked";
            Err(Error::new(Code::OVERLOADED, text))
        });
        // Given up meanwhile, if it is not there.
        if self.bridge.calls.with(self.call, |call| call.set(result)).is_some() {
            self.bridge.tell(self.call);
        }
    }
}

/// Sends bytes to a target and waits for an answer, whose end is described: target, timeout in
/// milliseconds, end. As [`Java_org_msec_Native_call`](crate::call) otherwise.
#[unsafe(no_mangle)]
pub extern "system" fn Java_org_msec_Native_rawCall<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    engine: jlong,
    id: jlong,
    request: jlong,
    options: JByteArray<'local>,
    body: JByteArray<'local>,
) -> jlong {
    guard::run(env, |env| {
        let opened = ENGINES.find(engine)?;
        let options = env.convert_byte_array(&options)?;
        let mut fields = Fields::of(&options);
        let target = fields.text()?.to_owned();
        let timeout = Duration::from_millis(fields.small("the timeout")?.into());
        let end = End::read(&mut fields)?;
        let body = env.convert_byte_array(&body)?;
        let bridge = opened.bridge.clone();
        let number = bridge.calls.put(Call::running(id.cast_unsigned())).map_err(|_| too_many())?;
        let number = bridge.begun(number)?;
        let running = Running { bridge, call: number, result: None };
        let run = move || {
            let answer = raw::call(&target, &body, |bytes| end.find(bytes), timeout);
            running.end(answer.map(|body| Reply { body: body.into(), result: 0 }));
        };
        let mut run = Some(run);
        let mut spawn = || run.take().into_iter().for_each(|run| opened.engine.spawn(run));
        let within = |request: &mut Deferred| request.within(&mut spawn);
        if opened.bridge.held.with(request.cast_unsigned(), within).is_none() {
            spawn();
        }
        Ok(number.cast_signed())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_whose_coroutine_never_runs_ends_all_the_same() {
        let (bridge, _poller) = Bridge::open();
        let ended = |run: &dyn Fn(Running)| {
            let call = bridge.calls.put(Call::running(5)).ok().expect("a place");
            run(Running { bridge: bridge.clone(), call, result: None });
            assert_eq!(bridge.calls.with(call, Call::look), Some(true));
            bridge.calls.take(call).expect("it is there").end()
        };
        let (id, result) = ended(&|running| drop(running));
        assert_eq!((id, result.expect_err("it never ran").code()), (5, Code::OVERLOADED));
        let (_, result) = ended(&|running| {
            let run = move || {
                let _running = running;
                panic!("on purpose");
            };
            let run = std::panic::AssertUnwindSafe(run);
            std::panic::catch_unwind(run).expect_err("it panics");
        });
        assert_eq!(result.expect_err("it panicked").code(), Code::OVERLOADED);
        let (_, result) = ended(&|running| {
            running.end(Ok(Reply { body: b"well".to_vec().into(), result: 0 }));
        });
        assert_eq!(&result.expect("an answer").body[..], b"well");
    }

    #[test]
    fn the_end_of_an_answer_is_found() {
        let line = End::Until(b"\r\n".to_vec());
        assert!(matches!(line.find(b"+PONG\r"), Length::More));
        assert!(matches!(line.find(b"+PONG\r\nrest"), Length::Whole(7)));
        assert!(matches!(End::Fixed(3).find(b"ab"), Length::More));
        assert!(matches!(End::Fixed(3).find(b"abcd"), Length::Whole(3)));
        let length = End::Length { at: 1, bytes: 2, added: 3 };
        assert!(matches!(length.find(b"x\0"), Length::More));
        assert!(matches!(length.find(b"x\0\x02a"), Length::More));
        assert!(matches!(length.find(b"x\0\x02ab"), Length::Whole(5)));
    }

    #[test]
    fn a_length_that_ends_before_itself_is_no_answer() {
        let length = |added| End::Length { at: 0, bytes: 8, added };
        assert!(matches!(length(0).find(&[0; 8]), Length::Bad));
        assert!(matches!(length(1).find(&[0xff; 8]), Length::Bad));
        assert!(matches!(length(-1).find(&[0; 8]), Length::Bad));
        assert!(matches!(length(8).find(&[0; 8]), Length::Whole(8)));
    }
}
