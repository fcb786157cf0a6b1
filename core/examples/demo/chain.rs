//! The part of the demo that is in other languages: a chain of services, each of which asks the
//! next one for the echo.
//!
//! ```text
//!   callers ──► C++ plugin ──► Java service ──► relay ──► an instance
//!               msec.so        msec.jar         Rust      Rust
//!               └── under `msec host`, reloaded on the way ──┘
//! ```
//!
//! They are called by this program all the time, and at the end by a C++ program, `msec call` and
//! curl; then one request is followed over all hops. `DEMO_CPP` names the folder with what was
//! built of cpp-examples, `DEMO_JAVA` the jar of java/examples. What is not set is left out.

use std::path::PathBuf;
use std::process::Command;

use crate::caller::Caller;
use crate::expectation::{Expectation, called};
use crate::hosted::{Hosted, msec, said};

const METHOD: &str = "echo.EchoService.Echo";
/// An echo of "hello", as JSON and as the bytes of its message.
const HELLO: &str = r#"{"message":"aGVsbG8="}"#;
const HELLO_HEX: &str = "0a0568656c6c6f";
/// The C++ program makes five, of which one is of a method that is not there.
const CALLS_BY_PROGRAM: u64 = 4;

/// The services, from the first that is called.
pub(crate) struct Chain {
    cpp: Option<Cpp>,
    java: Option<Hosted>,
    caller: Option<Caller>,
}

/// The plugin, and the folder that it was built in.
struct Cpp {
    built: PathBuf,
    hosted: Hosted,
}

/// What has been seen at the end.
#[derive(Default)]
pub(crate) struct Account {
    /// Calls that came to the relay by this way.
    pub(crate) calls: u64,
    pub(crate) expectations: Vec<Expectation>,
    /// One request over all hops.
    pub(crate) trace: String,
}

impl Chain {
    /// Starts what was built; the last one asks `next`.
    pub(crate) fn start(next: &str) -> Result<Chain, String> {
        let path = |name| std::env::var_os(name).map(PathBuf::from);
        let asks = |next: &str| format!("[ECHO]\nnext = {next}\n");
        let java = path("DEMO_JAVA").map(|jar| Hosted::start("Demo.java", &jar, &asks(next)));
        let java = java.transpose()?;
        let next = java.as_ref().map_or(next, Hosted::address);
        let cpp = path("DEMO_CPP").map(|built| {
            let hosted = Hosted::start("Demo.plugin", &built.join("msec.so"), &asks(next))?;
            Ok::<_, String>(Cpp { built, hosted })
        });
        let mut chain = Chain { cpp: cpp.transpose()?, java, caller: None };
        let first = chain.first().map(Hosted::address);
        let hello = b"\x0a\x05hello";
        chain.caller = first.map(|first| Caller::start(first, METHOD, &[hello])).transpose()?;
        Ok(chain)
    }

    /// The plugin in C++, and the service in Java.
    pub(crate) fn addresses(&self) -> [Option<&str>; 2] {
        let cpp = self.cpp.as_ref().map(|cpp| cpp.hosted.address());
        [cpp, self.java.as_ref().map(Hosted::address)]
    }

    fn first(&self) -> Option<&Hosted> {
        self.cpp.as_ref().map(|cpp| &cpp.hosted).or(self.java.as_ref())
    }

    /// Has all loaded anew, under load.
    pub(crate) fn reload(&mut self) -> Result<(), String> {
        let cpp = self.cpp.as_mut().map(|cpp| &mut cpp.hosted);
        cpp.into_iter().chain(&mut self.java).try_for_each(Hosted::reload)
    }

    /// Has them called by everybody, follows a request to the `others` behind them, and ends them.
    pub(crate) fn end(mut self, others: &[&str]) -> Result<Account, String> {
        let mut account = Account::default();
        if self.first().is_none() {
            return Ok(account);
        }
        let cpp = self.cpp.as_mut().map(|cpp| &mut cpp.hosted);
        let reloads: Result<Vec<u64>, String> =
            cpp.into_iter().chain(&mut self.java).map(Hosted::reloaded).collect();
        let reloads: u64 = reloads?.iter().sum();
        if let Some(Cpp { built, hosted }) = &self.cpp {
            let what = "a C++ program calls the C++ plugin";
            account.program_calls(what, built, hosted.address());
            account.command_calls("`msec call` calls it", hosted.address());
            account.curl_calls("curl calls it", hosted.address());
        }
        if let Some(java) = &self.java {
            if let Some(Cpp { built, .. }) = &self.cpp {
                account.program_calls("a C++ program calls Java", built, java.address());
            }
            account.command_calls("Java calls Rust", java.address());
        }
        if let [Some(cpp), Some(java)] = self.addresses() {
            account.follow(&[&[cpp, java][..], others].concat())?;
        }
        if let Some(caller) = self.caller.take() {
            let (answered, failed, why) = caller.end();
            account.calls += answered + failed;
            let text = format!("{answered} calls, {failed} failed, reloads: {reloads}{why}");
            let (what, reloaded) = match self.addresses() {
                [Some(_), None] => ("the C++ plugin answers", "it is reloaded"),
                [None, _] => ("the Java service answers", "it is reloaded"),
                [Some(_), Some(_)] => ("C++ and Java answer", "they are reloaded"),
            };
            // A short run has none.
            let also = if reloads > 0 { format!(", also while {reloaded}") } else { String::new() };
            account.expectations.push((answered > 0 && failed == 0, format!("{what}{also}"), text));
        }
        // Who asks another one ends first.
        let cpp = self.cpp.take().map(|cpp| cpp.hosted);
        cpp.into_iter().chain(self.java.take()).try_for_each(Hosted::stop)?;
        Ok(account)
    }
}

impl Account {
    fn program_calls(&mut self, what: &str, built: &std::path::Path, address: &str) {
        self.calls += CALLS_BY_PROGRAM;
        let mut client = Command::new(built.join("client"));
        self.expectations.push(called(what, client.arg(address), "hello"));
    }

    fn command_calls(&mut self, what: &str, address: &str) {
        self.calls += 1;
        let mut call = Command::new(msec());
        call.args(["call", address, METHOD, HELLO_HEX, "--hex"]);
        self.expectations.push(called(what, &mut call, HELLO_HEX));
    }

    fn curl_calls(&mut self, what: &str, address: &str) {
        self.calls += 1;
        let mut curl = Command::new("curl");
        let url = format!("http://{address}/echo.EchoService/Echo");
        curl.args(["-s", "--max-time", "5", "-H", "content-type: application/json"]);
        self.expectations.push(called(what, curl.args(["-d", HELLO, &url]), "aGVsbG8="));
    }

    /// Calls the first of these services with a request that all of them note, and puts together
    /// what each of them knows of it.
    fn follow(&mut self, addresses: &[&str]) -> Result<(), String> {
        self.calls += 1;
        let mut call = Command::new(msec());
        call.args(["call", addresses[0], METHOD, HELLO_HEX, "--hex", "--dye"]);
        said(call.output())?;
        let mut trace = Command::new(msec());
        trace.args(["trace", "dyed"]);
        addresses.iter().for_each(|address| _ = trace.args(["--at", address]));
        self.trace = said(trace.output())?;
        let serves = |line: &&str| line.trim_start().starts_with("serves ");
        let hops = self.trace.lines().filter(serves).count();
        let flows = self.trace.lines().filter(|line| line.starts_with("flow ")).count();
        let text = format!("{hops} services in {flows} trace; 4 in 1");
        self.expectations.push(((hops, flows) == (4, 1), "one trace, all hops".into(), text));
        Ok(())
    }
}
