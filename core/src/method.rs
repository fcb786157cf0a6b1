//! Methods: what a server can be asked for, and how each of them is run.
//!
//! A handler is a function of a [`Context`] and a request. How it is run is a property of the
//! method, set where the server is built:
//!
//! * By default on a coroutine, of the core that read the request or of an idle one. It may block.
//! * [`heavy`](MethodOptions::heavy): on an offload thread, for work that burns CPU for
//!   milliseconds. It may block, and then holds the thread.
//! * [`callback`](MethodOptions::callback): on the core's loop itself, for answers from memory in
//!   a microsecond. It must never block.
//!
//! A method of a binding to another runtime may be given its requests instead, to be answered later
//! (`deferred.rs`).
//!
//! A panic in a handler is answered with -18 and the text of the panic; others do not notice.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::RwLock;

use bytes::BufMut;
use msec_protocol::{Code, limits};

use crate::context::Context;
use crate::deferred::{Deferred, Take};
use crate::descriptors::Descriptors;
use crate::error::{Error, Result};
use crate::json::Messages;
use crate::request::Reply;

type Serve = dyn Fn(&Context, &mut Reply<'_>) -> Result<()> + Send + Sync;

/// What a method does with its requests.
pub(crate) enum Handler {
    /// It answers them before it returns.
    Serve(Box<Serve>),
    /// It is given them, and answers later; however the method is to be run.
    Take(Box<Take>),
}

/// How a method is run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Coroutine,
    Heavy,
    Callback,
}

/// One method of a server.
pub(crate) struct Method {
    /// The full name.
    pub(crate) name: Name,
    pub(crate) kind: Kind,
    /// Requests in flight in the whole process; 0: no limit of its own.
    pub(crate) requests_max: u32,
    /// Its requests in flight are limited when they queue up for something.
    pub(crate) adaptive: bool,
    /// What its messages look like, if that is known.
    pub(crate) messages: Option<Messages>,
    pub(crate) handler: Handler,
}

/// The methods of a server, while it is built.
#[derive(Default)]
pub struct Methods {
    pub(crate) list: Vec<Method>,
    descriptors: Descriptors,
    problem: Option<Error>,
}

/// How a method is run; what [`Methods::typed`], [`Methods::raw`] and
/// [`ServerBuilder::method`](crate::ServerBuilder::method) return.
pub struct MethodOptions<'a> {
    method: Option<&'a mut Method>,
}

impl MethodOptions<'_> {
    /// Runs the method on an offload thread: for work that burns CPU for milliseconds and would
    /// hold up its core. The handler may block; it then holds the thread.
    pub fn heavy(mut self) -> Self {
        self.set(|method| method.kind = Kind::Heavy);
        self
    }

    /// Runs the method on the core's loop, without a coroutine. The handler must answer at once:
    /// blocking calls fail in it.
    pub fn callback(mut self) -> Self {
        self.set(|method| method.kind = Kind::Callback);
        self
    }

    /// Bounds the requests of this method in flight in this process; more are answered with -101.
    pub fn requests_max(mut self, count: u32) -> Self {
        self.set(|method| method.requests_max = count);
        self
    }

    /// Whether requests of this method are refused with -101 when those in flight queue up for
    /// something scarce, so that most are too late; default yes.
    pub fn adaptive_limit(mut self, on: bool) -> Self {
        self.set(|method| method.adaptive = on);
        self
    }

    fn set(&mut self, change: impl FnOnce(&mut Method)) {
        if let Some(method) = self.method.as_deref_mut() {
            change(method);
        }
    }
}

impl Methods {
    /// Adds a method with messages of Protocol Buffers. `name` is `package.Service.Method`.
    pub fn typed<Request, Response>(
        &mut self,
        name: &str,
        handler: impl Fn(&Context, Request) -> Result<Response> + Send + Sync + 'static,
    ) -> MethodOptions<'_>
    where
        Request: prost::Message + Default,
        Response: prost::Message,
    {
        let run = move |context: &Context, reply: &mut Reply<'_>| {
            let response = handler(context, context.decode::<Request>()?)?;
            reply.body(|out| {
                response.encode(out).expect("an output has room for whatever memory holds");
            })
        };
        self.add(name, Handler::Serve(Box::new(run)))
    }

    /// Adds a method that takes and returns bytes; the request's are [`Context::body`].
    pub fn raw<Body: AsRef<[u8]>>(
        &mut self,
        name: &str,
        handler: impl Fn(&Context) -> Result<Body> + Send + Sync + 'static,
    ) -> MethodOptions<'_> {
        let run = move |context: &Context, reply: &mut Reply<'_>| {
            let body = handler(context)?;
            // The user's code, which must not run while the connection's output is borrowed.
            let bytes = body.as_ref();
            reply.body(|out| out.put_slice(bytes))
        };
        self.add(name, Handler::Serve(Box::new(run)))
    }

    /// Adds a method whose requests are given away: `take` is called with each of them on the core
    /// that read it, where it must not block, and whoever it is given to answers it later, from any
    /// thread. For bindings to other runtimes. How such a method is run is not for options to say;
    /// their bounds hold.
    pub fn deferred(
        &mut self,
        name: &str,
        take: impl Fn(Deferred) + Send + Sync + 'static,
    ) -> MethodOptions<'_> {
        self.add(name, Handler::Take(Box::new(take)))
    }

    /// Tells what the messages of methods look like, so that they can be called with JSON: a
    /// serialized `FileDescriptorSet` with everything that its files import. Generated services
    /// bring their own. Methods that it describes and the server has not are no error.
    pub fn descriptors(&mut self, set: impl Into<Cow<'static, [u8]>>) {
        self.descriptors.add(set);
    }

    /// The method of that name, to change how it is run.
    pub(crate) fn find(&mut self, name: &str) -> MethodOptions<'_> {
        let position = self.list.iter().position(|method| method.name.text() == name);
        if position.is_none() {
            self.fail(format!("there is no method `{name}` to be configured"));
        }
        MethodOptions { method: position.map(|index| &mut self.list[index]) }
    }

    fn add(&mut self, name: &str, handler: Handler) -> MethodOptions<'_> {
        if name.len() > limits::METHOD_NAME_BYTES_MAX || !name.contains('.') {
            self.fail(format!("`{name}` is not a method name: write package.Service.Method"));
        }
        if self.list.iter().any(|method| method.name.text() == name) {
            self.fail(format!("method `{name}` is there twice"));
        }
        let name = intern(name);
        self.list.push(Method {
            name,
            kind: Kind::Coroutine,
            requests_max: 0,
            adaptive: true,
            messages: None,
            handler,
        });
        MethodOptions { method: self.list.last_mut() }
    }

    fn fail(&mut self, message: String) {
        self.problem.get_or_insert(Error::new(Code::INVALID_PARAMETER, message));
    }

    /// The finished table, or what was wrong first.
    pub(crate) fn finish(mut self) -> Result<MethodTable> {
        if let Some(problem) = self.problem {
            return Err(problem);
        }
        let schemas = self.descriptors.finish()?;
        for method in &mut self.list {
            method.messages = schemas.messages(method.name.text());
        }
        let mut names = HashMap::new();
        for (index, method) in self.list.iter().enumerate() {
            names.insert(method.name.text().as_bytes().into(), index as u32);
        }
        for (index, method) in self.list.iter().enumerate() {
            // Java callers say getTitles for GetTitles; an exact name goes first.
            let alias = lower_camel_case(method.name.text());
            names.entry(alias.into_bytes().into()).or_insert(index as u32);
        }
        Ok(MethodTable { list: self.list, names })
    }
}

/// The methods of a running server, shared by its cores.
pub(crate) struct MethodTable {
    pub(crate) list: Vec<Method>,
    names: HashMap<Box<[u8]>, u32>,
}

impl MethodTable {
    /// The method of that name, or the one that is spelled so in another language: an exact name
    /// goes first, then what is the same in lowerCamelCase.
    #[inline]
    pub(crate) fn find(&self, name: &[u8]) -> Option<u32> {
        match self.names.get(name) {
            Some(index) => Some(*index),
            None => self.find_spelled_otherwise(name),
        }
    }

    /// A service that was written in Java has getTitles, and is asked for GetTitles by callers who
    /// spell it as the .proto file does.
    #[cold]
    fn find_spelled_otherwise(&self, name: &[u8]) -> Option<u32> {
        let is_short = name.len() <= limits::METHOD_NAME_BYTES_MAX;
        let name = std::str::from_utf8(name).ok().filter(|_| is_short)?;
        self.names.get(lower_camel_case(name).as_bytes()).copied()
    }
}

/// `a.B.GetTitles` and `a.B.get_titles` become `a.B.getTitles`.
fn lower_camel_case(name: &str) -> String {
    let (service, method) = name.rsplit_once('.').unwrap_or(("", name));
    let mut alias = String::with_capacity(name.len());
    alias.push_str(service);
    alias.push('.');
    let mut raise = false;
    for (index, letter) in method.chars().enumerate() {
        match letter {
            '_' => raise = true,
            _ if index == 0 => alias.extend(letter.to_lowercase()),
            _ if std::mem::take(&mut raise) => alias.extend(letter.to_uppercase()),
            _ => alias.push(letter),
        }
    }
    alias
}

/// A method's name, kept for the life of the process: crash messages, the watchdog and errors of
/// calls name methods when nothing else is left of them.
///
/// Names come from programs, not from peers, so they are few. Should a program make them up all
/// the time, the list ends at [`NAMES_COUNT_MAX`] and the rest share the name `(other)`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Name {
    text: &'static str,
    number: u32,
}

const NAMES_COUNT_MAX: usize = 65_536;

static NAMES: RwLock<Vec<&'static str>> = RwLock::new(Vec::new());

thread_local! {
    /// What this thread has looked up already, so that a call takes no lock.
    static KNOWN: RefCell<HashMap<&'static str, Name>> = RefCell::default();
}

impl Name {
    pub(crate) fn text(self) -> &'static str {
        self.text
    }

    pub(crate) fn number(self) -> u32 {
        self.number
    }

    /// The text of the name with that number.
    pub(crate) fn of(number: u32) -> &'static str {
        let names = NAMES.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        names.get(number as usize).copied().unwrap_or("(none)")
    }
}

/// The name with that text.
pub(crate) fn intern(text: &str) -> Name {
    if let Some(name) = KNOWN.with(|known| known.borrow().get(text).copied()) {
        return name;
    }
    let mut names = NAMES.write().unwrap_or_else(|poisoned| poisoned.into_inner());
    let text = if names.len() < NAMES_COUNT_MAX { text } else { "(other)" };
    let number = names.iter().position(|known| *known == text).unwrap_or_else(|| {
        names.push(Box::leak(text.into()));
        names.len() - 1
    });
    let name = Name { text: names[number], number: number as u32 };
    KNOWN.with(|known| known.borrow_mut().insert(name.text, name));
    name
}

/// A group of methods, most often generated from a `service` of a .proto file.
pub trait Service {
    /// The full name, `package.Service`.
    const NAME: &'static str;

    /// Adds the methods.
    fn methods(self, methods: &mut Methods);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn java_spellings_are_known() {
        assert_eq!(lower_camel_case("a.B.GetTitles"), "a.B.getTitles");
        assert_eq!(lower_camel_case("a.b_c.get_titles"), "a.b_c.getTitles");
    }

    #[test]
    fn an_exact_name_goes_before_an_alias() {
        let mut methods = Methods::default();
        methods.raw("a.B.Get", |_| Ok("upper"));
        methods.raw("a.B.get", |_| Ok("lower"));
        let table = methods.finish().unwrap();
        assert_eq!(table.find(b"a.B.get"), Some(1));
        assert_eq!(table.find(b"a.B.Get"), Some(0));
        assert_eq!(table.find(b"a.B.put"), None);
    }

    #[test]
    fn every_language_finds_a_method_by_its_own_spelling() {
        for registered in ["a.B.GetTitles", "a.B.getTitles", "a.B.get_titles"] {
            let mut methods = Methods::default();
            methods.raw(registered, |_| Ok(""));
            let table = methods.finish().unwrap();
            for asked in ["a.B.GetTitles", "a.B.getTitles", "a.B.get_titles"] {
                assert_eq!(table.find(asked.as_bytes()), Some(0), "{asked} of {registered}");
            }
            for other in ["a.B.gettitles", "a.b.GetTitles", "GetTitles", "a.B.", "", "a.B.\u{ff}"] {
                assert_eq!(table.find(other.as_bytes()), None, "{other} of {registered}");
            }
            assert_eq!(table.find(b"a.B.\xff"), None);
        }
    }

    #[test]
    fn what_is_wrong_with_a_method_is_said_at_the_end() {
        let mut methods = Methods::default();
        methods.raw("a.B.Get", |_| Ok(""));
        methods.raw("a.B.Get", |_| Ok("")).heavy();
        assert!(methods.finish().is_err_and(|error| error.to_string().contains("twice")));
        let mut methods = Methods::default();
        methods.find("a.B.Missing").heavy();
        assert!(methods.finish().is_err_and(|error| error.to_string().contains("a.B.Missing")));
    }
}
