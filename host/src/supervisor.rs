//! The supervisor: one loop over what workers do, operators ask, signals say and time brings.
//!
//! ```text
//!   reload:  current ─────serves───────────────► leaves ──► gone
//!                    next: starts ──ready──► becomes current
//!                                 └─failed─► is ended; the current one goes on
//! ```
//!
//! A generation is a crew of workers with one copy of the plugin. There are at most two: who asks
//! for a reload while the last one still has peers to wait for is told to wait. Decisions about
//! single workers are the [`Crew`]'s.

use std::os::fd::{AsRawFd, OwnedFd};
use std::process::ExitStatus;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use msec::{Code, Error, Result};
use msec_sys::clock;
use msec_sys::process::{Signal, TerminationSignals};

use crate::arguments::Arguments;
use crate::control::{Asker, Request};
use crate::crash::Ended;
use crate::crew::{Action, Crew, Phase, Times};
use crate::line::{FromWorker, ToWorker};
use crate::notice;
use crate::place::Place;
use crate::plugin::PluginCopy;
use crate::process::{Event, Order, Process, WorkerId};
use crate::runner::Runner;
use crate::settings::Settings;
use crate::sockets::Sockets;
use crate::start::Programs;

/// How often time is looked at when nothing happens.
const TICK: Duration = Duration::from_millis(100);
/// How many looks there are between two at the length of the log.
const LOG_TICKS: u32 = 100;
/// How long workers that are ended at once have.
const AT_ONCE: Duration = Duration::ZERO;

/// What the loop waits for.
pub(crate) enum Heard {
    Worker(WorkerId, Event),
    Asked(Request, Asker),
    Signal(Signal),
}

/// The workers of one generation.
struct Generation {
    number: u32,
    settings: Settings,
    runner: Arc<Runner>,
    plugin: PluginCopy,
    crew: Crew,
    processes: Vec<Option<Process>>,
    started_ns: u64,
}

/// A supervisor.
pub(crate) struct Supervisor {
    place: Place,
    programs: Programs,
    sockets: Sockets,
    /// The way of connections from workers that end to those that come next: what is in it stays
    /// there until somebody takes it.
    passage: (OwnedFd, OwnedFd),
    tell: mpsc::Sender<Heard>,
    generations_count: u32,
    ticks_count: u32,
    current: Generation,
    /// The one before, which leaves.
    old: Option<Generation>,
    /// The one to come, and who asked for it.
    next: Option<(Generation, Option<Asker>)>,
    /// Who waits for the end.
    stopping: Option<Vec<Asker>>,
}

impl Supervisor {
    /// Starts the workers. They are not ready yet.
    pub(crate) fn start(
        place: Place,
        settings: Settings,
        sockets: Sockets,
        programs: Programs,
        tell: mpsc::Sender<Heard>,
    ) -> Result<Supervisor> {
        let generation = Generation::new(1, settings, &place, &programs)?;
        let passage = msec_sys::process::passage();
        let passage = passage.map_err(|error| Error::from_io("make a pair of sockets", &error))?;
        let mut supervisor = Supervisor {
            place,
            programs,
            sockets,
            passage,
            tell,
            generations_count: 1,
            ticks_count: 0,
            current: generation,
            old: None,
            next: None,
            stopping: None,
        };
        supervisor.begin(Which::Current)?;
        Ok(supervisor)
    }

    /// Runs until it was asked to end and everything has; `on_ready` is called once, when all
    /// workers are ready. How it ended: with an error when the first workers could not be started;
    /// and who waits to hear of it.
    pub(crate) fn run(
        mut self,
        heard: &mpsc::Receiver<Heard>,
        on_ready: impl FnOnce(),
    ) -> (Result<()>, Vec<Asker>) {
        let mut on_ready = Some(on_ready);
        let mut failed = None;
        loop {
            match heard.recv_timeout(TICK) {
                Ok(Heard::Worker(id, event)) => self.handle_worker(id, event),
                Ok(Heard::Asked(request, asker)) => self.handle_request(request, asker),
                Ok(Heard::Signal(signal)) => self.handle_signal(signal),
                Err(_) => {}
            }
            self.handle_time();
            match self.current.crew.phase() {
                Phase::Serving => {
                    if let Some(on_ready) = on_ready.take() {
                        let at = self.sockets.addresses().join(" ");
                        notice::say(&format!(
                            "Server({}) started: listens at {at}",
                            self.place.service()
                        ));
                        on_ready();
                    }
                }
                Phase::Failed(why) if failed.is_none() => {
                    failed = Some(Error::new(Code::SERVICE_FAILED, why.clone()));
                    self.stop(AT_ONCE, None);
                }
                Phase::Starting | Phase::Failed(_) | Phase::Leaving | Phase::Gone => {}
            }
            let all_gone = self.old.is_none() && self.next.is_none();
            if all_gone && *self.current.crew.phase() == Phase::Gone {
                break;
            }
        }
        (failed.map_or(Ok(()), Err), self.stopping.take().unwrap_or_default())
    }

    fn handle_worker(&mut self, id: WorkerId, event: Event) {
        let service = self.place.service().to_owned();
        let reports = self.place.log().join("crash");
        let now_ns = clock::now_ns();
        let Some((which, generation)) = self.find(id) else { return };
        let actions = match event {
            Event::Said(FromWorker::Ready) => {
                generation.crew.handle_ready(id.index, now_ns);
                if let Some(process) = &mut generation.processes[id.index] {
                    process.was_ready = true;
                }
                Vec::new()
            }
            Event::Said(FromWorker::Alive) => {
                generation.crew.handle_alive(id.index, now_ns);
                Vec::new()
            }
            Event::Said(FromWorker::Failed(text)) => {
                if let Some(process) = &mut generation.processes[id.index] {
                    process.failure = Some(text);
                }
                Vec::new()
            }
            Event::Ended(status) => generation.ended(id, status, (&service, &reports), now_ns),
        };
        self.act(which, actions);
    }

    fn find(&mut self, id: WorkerId) -> Option<(Which, &mut Generation)> {
        let next = self.next.as_mut().map(|(generation, _)| (Which::Next, generation));
        let old = self.old.as_mut().map(|generation| (Which::Old, generation));
        let all = next.into_iter().chain(old).chain([(Which::Current, &mut self.current)]);
        let mut own = all.filter(|(_, generation)| generation.number == id.generation);
        own.find(|(_, generation)| {
            let process = generation.processes.get(id.index).and_then(Option::as_ref);
            process.is_some_and(|process| process.pid == id.pid)
        })
    }

    fn handle_request(&mut self, request: Request, asker: Asker) {
        match request {
            Request::Show => asker.succeed(&self.show()),
            Request::Stop => self.stop(self.current.settings.drain_max, Some(asker)),
            Request::Kill => self.kill(asker),
            Request::Reload => self.reload(Some(asker)),
        }
    }

    fn handle_signal(&mut self, signal: Signal) {
        notice::say(&format!("{signal:?}"));
        match signal {
            Signal::Terminate | Signal::Interrupt | Signal::User1 if self.stopping.is_some() => {
                // Somebody is in a hurry.
                self.kill_all("it was told to end, twice");
            }
            Signal::Terminate | Signal::Interrupt | Signal::User1 => {
                self.stop(self.current.settings.drain_max, None);
            }
            Signal::HangUp | Signal::User2 => self.reload(None),
        }
    }

    fn handle_time(&mut self) {
        let now_ns = clock::now_ns();
        for which in [Which::Current, Which::Old, Which::Next] {
            let actions = match self.generation(which) {
                Some(generation) => generation.crew.handle_time(now_ns),
                None => Vec::new(),
            };
            self.act(which, actions);
        }
        if self.old.as_ref().is_some_and(|old| *old.crew.phase() == Phase::Gone) {
            self.old = None;
        }
        self.look_at_next(now_ns);
        self.ticks_count = self.ticks_count.wrapping_add(1);
        if self.ticks_count.is_multiple_of(LOG_TICKS) {
            // The file may be elsewhere, as with systemd.
            let _ = notice::bound(&self.place.log().join("host.log"));
        }
    }

    /// A generation that is ready takes over; one that is not, and never will be, goes.
    fn look_at_next(&mut self, now_ns: u64) {
        let Some((mut next, asker)) = self.next.take() else { return };
        match next.crew.phase().clone() {
            Phase::Starting => self.next = Some((next, asker)),
            Phase::Serving => {
                let number = next.number;
                let mut old = std::mem::replace(&mut self.current, next);
                old.leave(self.current.settings.drain_max, now_ns, ToWorker::Bequeath);
                self.old = Some(old);
                let text =
                    format!("Server({}) reloaded: generation {number}", self.place.service());
                notice::say(&text);
                if let Some(asker) = asker {
                    asker.succeed(&text);
                }
            }
            Phase::Failed(why) => {
                let text = format!("reload failed, the old generation goes on: {why}");
                notice::say(&text);
                if let Some(asker) = asker {
                    asker.fail(&text);
                }
                next.leave(AT_ONCE, now_ns, ToWorker::Leave);
                next.kill_all("its generation has failed");
                self.next = Some((next, None));
            }
            Phase::Leaving => self.next = Some((next, asker)),
            Phase::Gone => {}
        }
    }

    fn reload(&mut self, asker: Option<Asker>) {
        let refuse = |asker: Option<Asker>, text: &str| {
            notice::say(&format!("reload refused: {text}"));
            if let Some(asker) = asker {
                asker.fail(text);
            }
        };
        if self.next.is_some() || self.stopping.is_some() {
            return refuse(asker, "a reload or the end is under way");
        }
        if self.old.is_some() {
            return refuse(asker, "the generation before still waits for its peers to leave");
        }
        if *self.current.crew.phase() != Phase::Serving {
            return refuse(asker, "the workers are still being started");
        }
        let settings = Settings::of_service(&self.place, msec::cpu::online());
        let settings = match settings {
            Ok(settings) => settings,
            Err(error) => return refuse(asker, &error.to_string()),
        };
        let now = &self.current.settings;
        if !now.reload {
            return refuse(asker, "[SRPC] reload is 0");
        }
        if let Some(text) = now.needs_restart(&settings) {
            return refuse(asker, &text);
        }
        settings.warnings.iter().for_each(|text| notice::say(text));
        self.generations_count += 1;
        match Generation::new(self.generations_count, settings, &self.place, &self.programs) {
            Ok(generation) => self.next = Some((generation, asker)),
            Err(error) => return refuse(asker, &error.to_string()),
        }
        if let Err(error) = self.begin(Which::Next) {
            let asker = self.next.take().and_then(|(_, asker)| asker);
            refuse(asker, &error.to_string());
        }
    }

    /// Ends everything; peers have `grace` to leave.
    fn stop(&mut self, grace: Duration, asker: Option<Asker>) {
        let now_ns = clock::now_ns();
        if self.stopping.is_none() {
            notice::say(&format!("stopping: peers have {grace:?} to leave"));
            self.current.leave(grace, now_ns, ToWorker::Leave);
            if let Some((next, asker)) = &mut self.next {
                next.leave(AT_ONCE, now_ns, ToWorker::Leave);
                if let Some(asker) = asker.take() {
                    asker.fail("the service was stopped meanwhile");
                }
            }
        }
        self.stopping.get_or_insert_default().extend(asker);
    }

    fn kill(&mut self, asker: Asker) {
        self.stop(AT_ONCE, Some(asker));
        self.kill_all("it was told to end at once");
    }

    fn kill_all(&mut self, why: &str) {
        for which in [Which::Current, Which::Old, Which::Next] {
            if let Some(generation) = self.generation(which) {
                generation.kill_all(why);
            }
        }
    }

    fn show(&self) -> String {
        let service = self.place.service();
        let mut text = match self.current.crew.phase() {
            Phase::Serving => format!("Server({service}) already started.\n"),
            Phase::Starting => format!("Server({service}) is starting.\n"),
            Phase::Failed(why) => format!("Server({service}) failed: {why}\n"),
            Phase::Leaving | Phase::Gone => format!("Server({service}) is stopping.\n"),
        };
        text.push_str(&format!("listens   {}\n", self.sockets.addresses().join(" ")));
        let next = self.next.as_ref().map(|(generation, _)| generation);
        text.push_str("generation  worker  process  state     restarts\n");
        for generation in [Some(&self.current), self.old.as_ref(), next].into_iter().flatten() {
            for (index, (word, restarts)) in generation.crew.states().enumerate() {
                let process = generation.processes[index].as_ref();
                let pid = process.map_or("-".to_owned(), |process| process.pid.to_string());
                text.push_str(&format!(
                    "{:<10}  {index:<6}  {pid:<7}  {word:<8}  {restarts}\n",
                    generation.number
                ));
            }
        }
        let age_s = clock::now_ns().saturating_sub(self.current.started_ns) / 1_000_000_000;
        text.push_str(&format!("generation {} is {age_s} s old", self.current.number));
        text
    }

    fn generation(&mut self, which: Which) -> Option<&mut Generation> {
        match which {
            Which::Current => Some(&mut self.current),
            Which::Old => self.old.as_mut(),
            Which::Next => self.next.as_mut().map(|(generation, _)| generation),
        }
    }

    /// Starts all workers of a new generation.
    fn begin(&mut self, which: Which) -> Result<()> {
        let count = self.generation(which).map_or(0, |generation| generation.processes.len());
        for index in 0..count {
            if let Err(error) = self.start_worker(which, index) {
                if let Some(generation) = self.generation(which) {
                    generation.kill_all("another worker could not be started");
                }
                return Err(error);
            }
        }
        Ok(())
    }

    fn act(&mut self, which: Which, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Start(index) => {
                    if let Err(error) = self.start_worker(which, index) {
                        notice::say(&format!("worker {index} is not started: {error}"));
                        let (text, now_ns) = (error.to_string(), clock::now_ns());
                        let Some(generation) = self.generation(which) else { return };
                        // Once more at once, then after a rest.
                        let again = generation.crew.handle_ended(index, &text, now_ns);
                        self.act(which, again);
                    }
                }
                Action::Abort(index, why) => {
                    notice::say(&format!("worker {index} is ended: {why}"));
                    if let Some(process) = self.process(which, index) {
                        process.abort(why);
                    }
                }
                Action::Kill(index) => {
                    if let Some(process) = self.process(which, index) {
                        process.kill("it did not end in time");
                    }
                }
            }
        }
    }

    fn process(&mut self, which: Which, index: usize) -> Option<&mut Process> {
        self.generation(which)?.processes.get_mut(index)?.as_mut()
    }

    fn start_worker(&mut self, which: Which, index: usize) -> Result<()> {
        let folder = self.place.bin();
        let tell = self.tell.clone();
        let Some(generation) = self.generation(which) else { return Ok(()) };
        let (number, settings) = (generation.number, generation.settings.clone());
        let (runner, plugin) = (generation.runner.clone(), generation.plugin.path().to_owned());
        let (mut sockets, texts) = self.sockets.of_worker(index, settings.cores)?;
        let copy =
            |fd: &OwnedFd| fd.try_clone().map_err(|error| Error::from_io("copy a socket", &error));
        let (heirs, inherits) = (copy(&self.passage.0)?, copy(&self.passage.1)?);
        let mut told = Arguments::to_start(&self.place, &settings, index, &plugin, &texts);
        told.push(format!("--heirs={}", heirs.as_raw_fd()));
        told.push(format!("--inherits={}", inherits.as_raw_fd()));
        sockets.extend([heirs, inherits]);
        let mut variables = settings.variables.clone();
        variables.push(("MSEC_SERVICE".into(), self.place.service().into()));
        let log = self.place.log();
        variables.push(("MSEC_LOG_FOLDER".into(), log.to_string_lossy().into_owned()));
        let order = Order { runner, plugin, folder, told, variables, sockets };
        let process = Process::start(order, (number, index), move |id, event| {
            // The loop ends after all workers.
            let _ = tell.send(Heard::Worker(id, event));
        })?;
        if let Some(generation) = self.generation(which) {
            generation.processes[index] = Some(process);
        }
        Ok(())
    }
}

/// Which of the generations.
#[derive(Clone, Copy)]
enum Which {
    Current,
    Old,
    Next,
}

impl Generation {
    fn new(
        number: u32,
        settings: Settings,
        place: &Place,
        programs: &Programs,
    ) -> Result<Generation> {
        let (runner, module) = Runner::of(programs, &settings, place)?;
        let plugin = PluginCopy::make(&place.bin(), &module, number)?;
        let runner = Arc::new(runner);
        let times = Times {
            ready_ns: settings.ready.as_nanos() as u64,
            heartbeat_ns: settings.heartbeat.as_nanos() as u64,
        };
        let started_ns = clock::now_ns();
        let crew = Crew::new(settings.procnum, times, started_ns);
        let processes = (0..settings.procnum).map(|_| None).collect();
        Ok(Generation { number, settings, runner, plugin, crew, processes, started_ns })
    }

    /// Tells all workers to leave.
    fn leave(&mut self, grace: Duration, now_ns: u64, how: fn(Duration) -> ToWorker) {
        self.crew.leave(grace.as_nanos() as u64, now_ns);
        for process in self.processes.iter().flatten() {
            process.say(how(grace));
        }
    }

    fn kill_all(&mut self, why: &str) {
        self.processes.iter_mut().flatten().for_each(|process| process.kill(why));
    }

    /// A worker has ended: what was meant is no news, everything else is reported.
    fn ended(
        &mut self,
        id: WorkerId,
        status: ExitStatus,
        (service, reports): (&str, &std::path::Path),
        now_ns: u64,
    ) -> Vec<Action> {
        let Some(process) = self.processes[id.index].take() else { return Vec::new() };
        if let Some(why) = process.failure {
            // It has said it all itself.
            notice::say(&format!("worker {} (process {}) has failed: {why}", id.index, id.pid));
            return self.crew.handle_ended(id.index, &why, now_ns);
        }
        let lines = process.lines();
        let why = process.why(&lines, status);
        let meant = matches!(self.crew.phase(), Phase::Leaving) && status.success();
        if !meant {
            let (worker, pid) = (id.index, id.pid);
            let requests = process.requests();
            let ended =
                Ended { service, worker, pid, why: &why, lines: &lines, requests: &requests };
            let text = match ended.report(reports) {
                Ok(path) => format!("report {}", path.display()),
                Err(error) => format!("no report: {error}"),
            };
            notice::say(&format!("worker {worker} (process {pid}) ended: {why}; {text}"));
        }
        self.crew.handle_ended(id.index, &why, now_ns)
    }
}

/// Turns signals of this process into events. To be called before any thread is started; the
/// signals stay held as long as what it returns lives.
pub(crate) fn hold_signals() -> Result<TerminationSignals> {
    let held = TerminationSignals::block_all();
    held.map_err(|error| Error::from_io("hold SIGTERM and others", &error))
}
