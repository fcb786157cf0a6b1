//! The library: its services, what happens to them, and what is asked of them.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::caller::Caller;
use crate::catalogue;
use crate::expectation::{Expectation, called};
use crate::hosted::{Hosted, msec, said};
use crate::routes::RoutesFile;
use crate::service::Service;

const LEND: &str = "library.LibraryService.Lend";
/// Requests to lend: a book that the shelf has, and one that it asks the store for.
const EMMA: &[u8] = b"\x0a\x04Emma";
const PERSUASION: &[u8] = b"\x0a\x0aPersuasion";
const PERSUASION_HEX: &str = "0a0a50657273756173696f6e";
const CALLERS_COUNT: usize = 4;
/// What old services have here beside their own: they log mistakes only.
const LOG: &str = "[LOG]\nLevel = ERROR\n";

/// The services, from the first that is called.
pub(crate) struct Library {
    built: PathBuf,
    counter: Hosted,
    shelf: Hosted,
    stores: Vec<Hosted>,
    echo: Service,
    callers: Vec<Caller>,
    _routes: [RoutesFile; 2],
}

impl Library {
    /// Starts everything, and those who call it.
    pub(crate) fn open(built: &Path, jar: &Path) -> Result<Library, String> {
        let echo = Service::start("instance", &["--listen", "127.0.0.1:0", "--cores", "1"])?;
        let shelves = built.join("shelf_server/msec.so");
        let store = || Hosted::start("Library.store", &shelves, LOG);
        let stores = vec![store()?, store()?];
        let behind_shelf = RoutesFile::write(&[
            ("Demo.echo", &[echo.address()]),
            ("Library.store", &[stores[0].address(), stores[1].address()]),
        ])?;
        let config = format!("{LOG}[ENGINE]\nroutes = {}\n", behind_shelf.0.display());
        let shelf = Hosted::start("Library.shelf", jar, &config)?;
        let behind_counter = RoutesFile::write(&[("Library.shelf", &[shelf.address()])])?;
        let config = format!(
            "{LOG}[ENGINE]\nroutes = {}\n[CATALOGUE]\naddress = {}@tcp\n",
            behind_counter.0.display(),
            catalogue::start()?
        );
        let plugin = built.join("library_server/msec.so");
        let counter = Hosted::start("Library.counter", &plugin, &config)?;
        let caller = |_| Caller::start(counter.address(), LEND, &[EMMA, PERSUASION]);
        let callers: Result<_, String> = (0..CALLERS_COUNT).map(caller).collect();
        let (built, routes) = (built.to_owned(), [behind_shelf, behind_counter]);
        Ok(Library { built, counter, shelf, stores, echo, callers: callers?, _routes: routes })
    }

    /// Says what runs, and where to look.
    pub(crate) fn introduce(&self) {
        let [counter, shelf] = [self.counter.address(), self.shelf.address()];
        println!(
            "\n  Written for the original, under `msec host`:\n\n  \
             Library.counter  http://{counter}/status   C++; asks the shelf, and a third party\n  \
             Library.shelf    http://{shelf}/status   Java; asks the store\n  \
             Library.store    http://{}/status   C++, one of two instances\n\n  \
             and new: {CALLERS_COUNT} callers in Rust, and a service that the shelf calls.\n\n  \
             http://{counter}/traces   calls with what they called\n  \
             http://{shelf}/routes     whom the shelf calls, and why\n  \
             http://{counter}/metrics  counters, `usr.lent` of its own among them\n",
            self.stores[0].address()
        );
    }

    /// Loads the counter and the shelf anew, and ends one of the stores.
    pub(crate) fn change(&mut self) -> Result<(), String> {
        self.counter.reload()?;
        self.shelf.reload()?;
        self.stores.remove(0).stop()
    }

    /// Has everybody ask for something, and ends it; what was expected, and one request as a tree.
    pub(crate) fn close(mut self) -> Result<(Vec<Expectation>, String), String> {
        let reloads = self.counter.reloaded()? + self.shelf.reloaded()?;
        let mut expectations = vec![
            self.program(
                "a stub's client lends a book",
                "library_client/client_library_sync",
                |to| vec!["tcp".into(), to.into(), "Emma".into()],
            ),
            self.program("a CGI program asks for titles", "library_cgi/cgi_library", |to| {
                let (ip, port) = to.split_once(':').unwrap_or((to, ""));
                vec![ip.into(), port.into(), "Austen".into()]
            }),
            self.http(),
        ];
        let trace = self.follow(&mut expectations)?;
        let (mut answered, mut failed, mut why) = (0, 0, String::new());
        for caller in self.callers.drain(..) {
            let (more, lost, first) = caller.end();
            (answered, failed) = (answered + more, failed + lost);
            why = if why.is_empty() { first } else { why };
        }
        let text = format!("{answered} calls, {failed} failed, reloads: {reloads}{why}");
        let what = "callers notice neither reloads nor the end of a store";
        expectations.push((answered > 0 && failed == 0, what.into(), text));
        self.counted(&mut expectations)?;
        // Who asks another one ends first.
        self.counter.stop()?;
        self.shelf.stop()?;
        self.stores.into_iter().try_for_each(Hosted::stop)?;
        self.echo.stop()?;
        Ok((expectations, trace))
    }

    fn program(
        &self,
        what: &str,
        name: &str,
        arguments: impl Fn(&str) -> Vec<String>,
    ) -> Expectation {
        let mut program = Command::new(self.built.join(name));
        program.args(arguments(self.counter.address()));
        let expect = if name.contains("cgi") { "ret 0" } else { "lent: A 3" };
        called(what, &mut program, expect)
    }

    /// The form that the original's documents teach, with their spelling.
    fn http(&self) -> Expectation {
        let url = format!("http://{}/invoke?methodName={LEND}", self.counter.address());
        let mut curl = Command::new("curl");
        curl.args(["-s", "--max-time", "5", "-H", "content-type: aplication/json"]);
        curl.args(["-d", r#"{"title":"Emma"}"#, &url]);
        called("curl lends a book, in the original's form", &mut curl, r#""place":"A 3""#)
    }

    /// Lends a book that is in the store, coloured, and puts together what everybody knows of it.
    fn follow(&self, expectations: &mut Vec<Expectation>) -> Result<String, String> {
        let mut call = Command::new(msec());
        call.args(["call", self.counter.address(), LEND, PERSUASION_HEX, "--hex", "--dye"]);
        said(call.output())?;
        let mut trace = Command::new(msec());
        trace.args(["trace", "dyed"]);
        let services = [self.counter.address(), self.shelf.address(), self.echo.address()];
        let stores = self.stores.iter().map(Hosted::address);
        services.into_iter().chain(stores).for_each(|address| _ = trace.args(["--at", address]));
        let trace = said(trace.output())?;
        let hops = trace.lines().filter(|line| line.trim_start().starts_with("serves ")).count();
        let text = format!("{hops} services; 4");
        expectations.push((hops == 4, "one coloured request, all hops".into(), text));
        for (service, hosted) in [("counter", &self.counter), ("shelf", &self.shelf)] {
            let log = hosted.log();
            let line = log.lines().find(|line| line.contains("Persuasion")).unwrap_or_default();
            let what = format!("the {service} logs it, though its level is ERROR");
            expectations.push((!line.is_empty(), what, line.chars().take(100).collect()));
        }
        Ok(trace)
    }

    /// What the counter has counted by itself, and by its own code.
    fn counted(&self, expectations: &mut Vec<Expectation>) -> Result<(), String> {
        let mut curl = Command::new("curl");
        let url = format!("http://{}/metrics", self.counter.address());
        let metrics = said(curl.args(["-s", "--max-time", "5", &url]).output())?;
        let lent = metrics.lines().find(|line| line.contains("usr.lent")).unwrap_or_default();
        expectations.push((
            !lent.is_empty(),
            "ATTR_REPORT is among the metrics".into(),
            lent.into(),
        ));
        Ok(())
    }
}
