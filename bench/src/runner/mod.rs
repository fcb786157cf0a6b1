//! The runner: builds, runs the rows in rounds, reports.
//!
//! ```text
//!   build ─► rounds of the early rows ─► peak of the RPC peers ─► rounds of the open-loop rows
//!            A B C … A B C … A B C …                              A B C … A B C …
//!        ─► system calls ─► routing ─► report
//! ```
//!
//! Rounds are the outermost loop, so that a slow minute of the machine meets every server alike.
//! Each run starts a fresh server. The report goes to standard output and, with the plots and the
//! list for other programs, to `results/`.

pub mod build;
pub mod certificate;
pub mod curve;
pub mod faults;
pub mod hosted;
pub mod hosts;
pub mod jvm;
pub mod launch;
pub mod measure;
pub mod original;
pub mod plot;
pub mod results;
pub mod routing;
pub mod rows;
pub mod stop;
pub mod syscalls;
pub mod table;
pub mod targets;

use std::path::{Path, PathBuf};
use std::time::Duration;

use launch::Site;
use measure::Pace;
use results::{Outcome, Sample};
use rows::{Contestant, JAVA_PEERS, Measure, Peers, Program, ROWS, RPC_PEERS, Row, Tool};

/// How to call it.
pub const USAGE: &str = "\
usage: bench [--quick] [--rows echo,relay,…] [--servers msec,tokio,…] [--rounds N] [--seconds S]
             [--no-build] [--out FOLDER] [--cpus SERVER,GENERATOR]
  --quick      fewer cells, servers and rounds: two minutes
  --rows       only these rows          --servers   only these servers
  --rounds     runs of each cell        --seconds   the measured window of each run
writes FOLDER/latest.json, FOLDER/latest.txt, a plot a row, FOLDER/routing.json and routing.txt
(default: bench/results); row routing compares routing algorithms, in the full run only or by name";

const SYSCALLS_PACE: Pace =
    Pace { warm: Duration::from_millis(100), measure: Duration::from_millis(400) };

/// What to run.
#[derive(Clone, Debug)]
pub struct Options {
    quick: bool,
    rows: Vec<String>,
    servers: Vec<String>,
    rounds: usize,
    pace: Pace,
    build: bool,
    out: PathBuf,
    cpus: [usize; 2],
}

impl Options {
    /// From a command line without the program's name.
    pub fn parse(mut parser: lexopt::Parser) -> Result<Self, lexopt::Error> {
        use lexopt::prelude::*;
        let (mut rounds, mut seconds) = (None, None);
        let mut options = Options {
            quick: false,
            rows: Vec::new(),
            servers: Vec::new(),
            rounds: 0,
            pace: SYSCALLS_PACE,
            build: true,
            out: Path::new(env!("CARGO_MANIFEST_DIR")).join("results"),
            cpus: [0, 1],
        };
        while let Some(argument) = parser.next()? {
            match argument {
                Long("quick") => options.quick = true,
                Long("rows") => options.rows = list(&parser.value()?.string()?),
                Long("servers") => options.servers = list(&parser.value()?.string()?),
                Long("rounds") => rounds = Some(parser.value()?.parse::<usize>()?),
                Long("seconds") => seconds = Some(parser.value()?.parse::<f64>()?),
                Long("no-build") => options.build = false,
                Long("out") => options.out = parser.value()?.into(),
                Long("cpus") => options.cpus = pair(&parser.value()?.string()?)?,
                Short(_) | Long(_) | Value(_) => return Err(argument.unexpected()),
            }
        }
        let (default_rounds, default_seconds, warm_ms) =
            if options.quick { (3, 0.4, 150) } else { (5, 0.8, 300) };
        options.rounds = rounds.unwrap_or(default_rounds).max(1);
        let seconds = seconds.unwrap_or(default_seconds);
        let measure = Duration::try_from_secs_f64(seconds).map_err(|_| "--seconds is a time")?;
        options.pace = Pace { warm: Duration::from_millis(warm_ms), measure };
        options.check()?;
        Ok(options)
    }

    fn check(&self) -> Result<(), lexopt::Error> {
        for name in &self.rows {
            if name != routing::NAME && !ROWS.iter().any(|row| row.name == name) {
                let known = ROWS.iter().map(|row| row.name).chain([routing::NAME]);
                let known: Vec<&str> = known.collect();
                return Err(format!("no row {name}; there are {}", known.join(", ")).into());
            }
        }
        let known = |name: &&String| {
            ROWS.iter().flat_map(|row| row.contestants).any(|one| one.name == name.as_str())
        };
        if let Some(unknown) = self.servers.iter().find(|name| !known(name)) {
            return Err(format!("no row has a server {unknown}").into());
        }
        Ok(())
    }

    fn wants_routing(&self) -> bool {
        match self.rows.as_slice() {
            [] => !self.quick && self.servers.is_empty(),
            named => named.iter().any(|name| name == routing::NAME),
        }
    }

    fn wants(&self, row: &Row, contestant: &Contestant) -> bool {
        let named =
            |list: &[String], name: &str| list.is_empty() || list.iter().any(|one| one == name);
        // Who is named takes part, quick or not.
        let quick = !self.quick || contestant.quick || !self.servers.is_empty();
        named(&self.rows, row.name) && named(&self.servers, contestant.name) && quick
    }
}

fn list(text: &str) -> Vec<String> {
    text.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

fn pair(text: &str) -> Result<[usize; 2], lexopt::Error> {
    let parsed = text
        .split_once(',')
        .and_then(|(server, generator)| Some([server.parse().ok()?, generator.parse().ok()?]));
    parsed.ok_or_else(|| format!("--cpus {text}: two numbers with a comma are expected").into())
}

/// Runs it all; false when a run failed.
pub fn run(options: &Options) -> Result<bool, String> {
    let [server_cpu, generator_cpu] = options.cpus;
    let site = build::site(server_cpu, generator_cpu)?;
    let failures = if options.build { build::all(&site) } else { Vec::new() };
    let mut notes: Vec<String> = failures.iter().map(|failure| failure.reason.clone()).collect();
    let mut session = Session { options, site, failures, outcomes: Vec::new() };
    session.select();
    session.rounds(|row| !row.is_late());
    session.rounds(Row::is_late);
    match syscalls::check() {
        Ok(()) => session.count_syscalls(),
        Err(reason) => notes.push(format!("system calls are not counted: {reason}")),
    }
    for (whose, peers) in [("RPC peer", RPC_PEERS), ("RPC peer in Java", JAVA_PEERS)] {
        if let Some(peak) = peak(&session.outcomes, &peers) {
            let peak = format!("peak was {peak:.0} requests a second (c=64 d=1)");
            notes.push(format!("the best {whose}'s {peak}"));
        }
    }
    let stories = session.stories(&mut notes);
    report(options, &session.outcomes, &stories, &notes)?;
    let not_built = |trouble: &String| trouble.starts_with(NOT_BUILT);
    let compared = !options.wants_routing() || !stories.is_empty();
    Ok(compared && session.outcomes.iter().flat_map(|one| &one.troubles).all(not_built))
}

const NOT_BUILT: &str = "not built";

struct Session<'a> {
    options: &'a Options,
    site: Site,
    failures: Vec<build::Failure>,
    outcomes: Vec<Outcome>,
}

impl Session<'_> {
    /// An outcome for every contestant at every cell that was asked for; those that are not built
    /// carry their reason.
    fn select(&mut self) {
        for row in ROWS {
            for &cell in row.cells.iter().filter(|cell| cell.quick || !self.options.quick) {
                for contestant in row.contestants {
                    if !self.options.wants(row, contestant) {
                        continue;
                    }
                    self.outcomes.push(Outcome {
                        row,
                        cell,
                        contestant,
                        samples: Vec::new(),
                        syscalls_per_request: None,
                        troubles: self.missing(contestant),
                    });
                }
            }
        }
    }

    fn missing(&self, contestant: &Contestant) -> Vec<String> {
        let mut path = self.site.path(contestant.program);
        if contestant.tool == Tool::Press && launch::is_built(&path) {
            path.clone_from(&self.site.msec);
        }
        if let Some(jdk) = contestant.program.jdk().filter(|jdk| !self.site.java.has(*jdk)) {
            return vec![format!("{NOT_BUILT}: no {jdk:?} ({})", jvm::INSTALL)];
        }
        let failed = self.failures.iter().any(|failure| failure.concerns(contestant.program));
        if launch::is_built(&path) && !failed {
            return Vec::new();
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let advice = match contestant.program {
            Program::GrpcCpp => format!(" ({})", build::GRPC_INSTALL),
            Program::Bench(_) | Program::Mode(_) | Program::Example(_) => String::new(),
            Program::Cpp(_) | Program::Plugin => String::new(),
            Program::Java(_) | Program::GrpcJava(_) => format!(" ({})", jvm::INSTALL),
        };
        vec![format!("{NOT_BUILT}: {name}{advice}")]
    }

    /// The comparison of routing algorithms, if it was asked for.
    fn stories(&self, notes: &mut Vec<String>) -> Vec<routing::Story> {
        if !self.options.wants_routing() {
            return Vec::new();
        }
        eprintln!("routing algorithms, on virtual time");
        routing::run(&self.site).unwrap_or_else(|reason| {
            notes.push(format!("routing algorithms are not compared: {reason}"));
            Vec::new()
        })
    }

    fn rounds(&mut self, takes: impl Fn(&Row) -> bool) {
        for round in 0..self.options.rounds {
            for index in 0..self.outcomes.len() {
                let outcome = &self.outcomes[index];
                let takes_part = round < outcome.row.rounds_max();
                if takes(outcome.row) && takes_part && outcome.troubles.is_empty() {
                    self.run_one(index, round);
                }
            }
        }
    }

    fn run_one(&mut self, index: usize, round: usize) {
        let outcome = &self.outcomes[index];
        let (row, cell, contestant) = (outcome.row, outcome.cell, outcome.contestant);
        let pace = self.options.pace;
        let peak = if let Measure::OpenShare(peers, _) = row.measure {
            peak(&self.outcomes, peers)
        } else {
            None
        };
        let result = measure::run(&self.site, row, cell, contestant, pace, peak);
        let said = match &result {
            Ok(sample) => brief(sample),
            Err(trouble) => format!("failed: {trouble}"),
        };
        let place = format!("{} {} {}", row.name, table::show_cell(cell), contestant.name);
        eprintln!("round {} of {}: {place}: {said}", round + 1, self.options.rounds);
        let outcome = &mut self.outcomes[index];
        match result {
            Ok(sample) => outcome.samples.push(sample),
            Err(trouble) => outcome.troubles.push(format!("failed: {trouble}")),
        }
    }

    fn count_syscalls(&mut self) {
        for outcome in &mut self.outcomes {
            let (row, cell, contestant) = (outcome.row, outcome.cell, outcome.contestant);
            let name = contestant.name;
            let passed_over =
                self.options.quick && !name.starts_with("msec") && name != row.yardstick;
            if !row.counts_syscalls || outcome.samples.is_empty() || passed_over {
                continue;
            }
            match syscalls::count(&self.site, row, cell, contestant, SYSCALLS_PACE) {
                Ok(count) => outcome.syscalls_per_request = Some((count * 1e4).round() / 1e4),
                Err(trouble) => outcome.troubles.push(format!("system calls: {trouble}")),
            }
        }
    }
}

fn brief(sample: &Sample) -> String {
    match (sample.cpu_ns, sample.bytes_each) {
        (_, Some(bytes)) => format!("{bytes:.0} bytes each"),
        (Some(cpu), None) if sample.latency.count == 0 => format!("{cpu:.1} ns"),
        (Some(cpu), None) => format!("{cpu:.0} ns, p99 {:.0} µs", sample.latency.p99_us),
        (None, None) => format!("p99 {:.0} µs", sample.latency.p99_us),
    }
}

/// The best median of a peer, small bodies, one call at a time on as many
/// connections as the open loop has. Deep pipelines have higher peaks, but no open loop reaches
/// them: at half of such a peak the peers were overloaded, and a comparison would say nothing.
fn peak(outcomes: &[Outcome], peers: &Peers) -> Option<f64> {
    let peers = outcomes.iter().filter(|one| {
        let cell = (one.cell.payload, one.cell.connections, one.cell.depth);
        one.row.name == peers.row
            && cell == (64, 64, 1)
            && peers.servers.contains(&one.contestant.name)
    });
    peers.filter_map(|one| one.median(|sample| sample.qps)).max_by(f64::total_cmp)
}

fn report(
    options: &Options,
    outcomes: &[Outcome],
    stories: &[routing::Story],
    notes: &[String],
) -> Result<(), String> {
    let machine = machine();
    let mut text = format!("{machine}\n");
    text.push_str(&format!(
        "{} rounds of {:.1} s; server on cpu {}, generator on cpu {}\n",
        options.rounds,
        options.pace.measure.as_secs_f64(),
        options.cpus[0],
        options.cpus[1]
    ));
    text.push_str(&table::rows(outcomes));
    text.push_str(&original::to_text(outcomes, &machine));
    let verdicts = targets::judge(outcomes);
    if !verdicts.is_empty() {
        text.push_str(&format!("\n{}", table::verdicts(&verdicts)));
    }
    let compared = routing::to_text(stories);
    if !stories.is_empty() {
        text.push_str(&format!("\n{compared}"));
    }
    for note in notes {
        text.push_str(&format!("note: {note}\n"));
    }
    print!("{text}");
    let write = |name: &str, text: &str| {
        let path = options.out.join(name);
        std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))
    };
    std::fs::create_dir_all(&options.out).map_err(|error| error.to_string())?;
    write("latest.json", &results::to_json(outcomes))?;
    write("latest.txt", &text)?;
    if !stories.is_empty() {
        write("routing.json", &routing::to_json(stories))?;
        write("routing.txt", &compared)?;
    }
    for row in ROWS {
        if let Some(svg) = plot::row(row, outcomes) {
            write(&format!("{}.svg", row.name), &svg)?;
        }
    }
    eprintln!("written to {}", options.out.display());
    Ok(())
}

/// Date, kernel, processor: a number means little without them.
fn machine() -> String {
    let date = std::process::Command::new("date").arg("+%Y-%m-%d").output();
    let date = date.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let count = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    format!(
        "{}, Linux {}, {} × {}",
        date.unwrap_or_default(),
        kernel.trim(),
        count,
        model.map_or("unknown processor", |(_, model)| model)
    )
}
