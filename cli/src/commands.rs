//! The table of commands: what each is called, takes, means, and looks like in use.
//!
//! One place for the fact, the text and the test: `flags.rs` parses by it, `help.rs` prints it, and
//! a test parses every example that the help shows.

use crate::failure::Failure;
use crate::flags::nearest;

/// One command.
pub(crate) struct Command {
    pub(crate) name: &'static str,
    /// One line, in the list of commands.
    pub(crate) summary: &'static str,
    /// Names of the operands in order; those in brackets may be left out, and a last one that ends
    /// in dots may be there again. Words in lower case stand for themselves, alternatives with `|`
    /// between them.
    pub(crate) operands: &'static [&'static str],
    /// What it does and how to read what it says.
    pub(crate) about: &'static str,
    pub(crate) flags: &'static [&'static [Flag]],
    pub(crate) examples: &'static [Example],
    pub(crate) run: Run,
}

/// Which function does it.
#[derive(Clone, Copy)]
pub(crate) enum Run {
    Call,
    Press,
    Top,
    Trace,
    Route,
    Generate,
    New,
    Doctor,
    Host,
    Config,
    Completions,
    Version,
}

/// One flag.
pub(crate) struct Flag {
    pub(crate) name: &'static str,
    pub(crate) letter: Option<char>,
    /// What follows it; empty if nothing does. `FILE` and `DIR` are names of files, words in lower
    /// case stand for themselves, alternatives with `|` between them.
    pub(crate) value: &'static str,
    /// Whether it may be given more than once.
    pub(crate) repeats: bool,
    pub(crate) text: &'static str,
}

/// A use of a command, which works as it stands.
pub(crate) struct Example {
    pub(crate) does: &'static str,
    pub(crate) line: &'static str,
}

pub(crate) const fn flag(name: &'static str, value: &'static str, text: &'static str) -> Flag {
    Flag { name, letter: None, value, repeats: false, text }
}

/// What every command has.
pub(crate) const COMMON: [Flag; 1] = [Flag { letter: Some('h'), ..flag("help", "", "this text") }];

/// What is asked for, and how: of `call` and `press` alike.
const REQUEST: &[Flag] = &[
    flag("proto", "FILE", "the .proto file that declares the method; JSON is its message"),
    Flag {
        repeats: true,
        ..flag("include", "DIR", "where imports are looked for; default: beside the file")
    },
    flag("descriptors", "FILE", "a FileDescriptorSet in place of --proto (protoc -o FILE)"),
    flag("hex", "", "no schema: the message is bytes in hex, and so is the answer"),
    flag("raw", "", "no schema: the message is bytes as they are, and so is the answer"),
    flag("routes", "FILE", "the route table (routes.toml) in which service names are found"),
    Flag { repeats: true, ..flag("header", "KEY=VALUE", "a user header of the request") },
    flag("dye", "", "dyes the request: every service on its way logs all of it"),
];

const CALL: &[Flag] = &[
    flag("timeout", "TIME", "how long to wait for the answer; default 1s"),
    flag("one-way", "", "wants no answer; returns when the server has read the request"),
    Flag {
        letter: Some('v'),
        ..flag("verbose", "", "writes code, latency and size to standard error")
    },
];

const PRESS: &[Flag] = &[
    flag("rate", "N", "open loop: N calls a second are due, however slow the answers are"),
    flag("arrivals", "constant|poisson", "of the open loop: evenly (default) or at random"),
    flag("connections", "C", "connections in total; default 16; over UDP one a core"),
    flag("depth", "D", "calls in flight on a connection at most; default 1, or 64 with --rate"),
    flag("payload", "BYTES", "size of the echo message, or of the body; default 64"),
    flag("data", "JSON", "messages, one after another, sent in turn; `-` or @FILE; with --proto"),
    flag("duration", "TIME", "how long to measure; default 10s"),
    flag("warmup", "TIME", "load before that, which is not counted; default 1s"),
    flag("cores", "N", "threads that make the load; default: one a CPU, but one a connection"),
    flag("timeout", "TIME", "after which a call counts as failed; default 5s"),
    flag("json", "FILE", "also writes the result as JSON; `-`: to standard output, alone"),
    flag("html", "FILE", "also writes a page with plots: percentiles, and the run over time"),
    flag("progress", "", "writes the line of each second also where no terminal shows it"),
];

const TOP: &[Flag] = &[
    flag("once", "", "one look, and no more"),
    flag("json", "", "the page as it is, a line for each look"),
];

const TRACE: &[Flag] = &[
    Flag {
        repeats: true,
        ..flag("at", "ADDRESS", "whose traces: an address of a running server, as for `msec top`")
    },
    flag("json", "", "the spans as they are"),
];

const ROUTE: &[Flag] = &[
    flag("at", "ADDRESS", "whose routes: an address of a running server, as for `msec top`"),
    flag("json", "", "the page as it is"),
];

const HOST: &[Flag] = &[
    flag("root", "DIR", "where services are: DIR/First/second; default /msec"),
    flag("foreground", "", "of start: stays here, and writes its log to standard error"),
];

const DOCTOR: &[Flag] = &[flag("json", "", "writes JSON instead of text")];

/// Every command.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        name: "call",
        summary: "calls a method once and prints its answer",
        operands: &["ADDRESS", "METHOD", "[MESSAGE]"],
        about: "\
ADDRESS is ip:port, ip:port@udp, unix:/path, or the name of a service (with --routes).
METHOD is package.Service.Method. MESSAGE is JSON (of proto3: bytes as base64), `-` for
standard input or @FILE; without it the message is empty. The answer goes to standard
output. The exit status is 0; 1 if the call failed; 2 if the command line is wrong.",
        flags: &[CALL, REQUEST],
        examples: &[
            Example {
                does: "say hello to the echo example; bytes are base64 in JSON",
                line: "msec call 127.0.0.1:7963 echo.EchoService.Echo '{\"message\":\"aGVsbG8=\"}' \
                       --proto core/examples/echo.proto",
            },
            Example {
                does: "the same by UDP, patient for 100 ms, with the latency",
                line: "msec call 127.0.0.1:7963@udp echo.EchoService.Echo @hello.json \
                       --proto core/examples/echo.proto --timeout 100ms -v",
            },
            Example {
                does: "without a schema: field 1, five bytes",
                line: "msec call unix:/run/echo.sock echo.EchoService.Echo 0a0568656c6c6f --hex",
            },
        ],
        run: Run::Call,
    },
    Command {
        name: "press",
        summary: "calls a method as often as it can, or at a rate, and measures",
        operands: &["ADDRESS", "[METHOD]", "[MESSAGE]"],
        about: "\
Without --rate each answer is followed by the next call (closed loop): this finds out how
much the server can do. With --rate calls are due by the clock (open loop): this finds out
how long users would wait at that load. A call's latency then counts from when it was due,
so that a pause of the server shows in full, and not only in the calls that were under way.

METHOD is echo.EchoService.Echo unless given, and its message is --payload bytes long; for
another method MESSAGE says what to send, as in `msec call`, or --payload bytes of zeroes.
--data sends several messages in turn: other keys, other sizes, as real users would.

Calls that are due before the end are all waited for: sent = answered + failed. Calls that
were due but never sent (the open loop had no free place) are listed as such. Ctrl-C ends
the run early, with a full report, once the calls in flight have ended, which takes --timeout
at most; a second Ctrl-C ends it at once.

With --rate, the generator's own delay is what passes between the time at which a call is
due and that at which a core takes it up. It is part of the latency.",
        flags: &[PRESS, REQUEST],
        examples: &[
            Example {
                does: "how much can it do? 64 connections, 16 calls in flight on each",
                line: "msec press 127.0.0.1:7963 --connections 64 --depth 16",
            },
            Example {
                does: "how long do users wait at 20,000 calls a second that come at random?",
                line: "msec press 127.0.0.1:7963 --rate 20000 --arrivals poisson --duration 30s",
            },
            Example {
                does: "the messages of a file in turn, the result as a page with plots",
                line: "msec press 127.0.0.1:7963 shop.Orders.Last --data @users.json \
                       --proto shop.proto --rate 500 --html report.html",
            },
            Example {
                does: "a method of one's own, the result for a script",
                line: "msec press 127.0.0.1:7963 shop.Orders.Last '{\"user\":\"ann\"}' \
                       --proto shop.proto --json -",
            },
        ],
        run: Run::Press,
    },
    Command {
        name: "top",
        summary: "shows what a running server does: methods, rates, latencies, errors",
        operands: &["ADDRESS"],
        about: "\
ADDRESS is ip:port or unix:/path of a server, or of its admin pages; those answer on their own
machine only unless opened. Once a second, the busiest method first: calls a second and calls
in flight are of now, latencies and failures since the start. On a terminal it stays in its
place; elsewhere each look is written below the one before. Ctrl-C ends it.",
        flags: &[TOP],
        examples: &[
            Example { does: "what is it doing?", line: "msec top 127.0.0.1:7963" },
            Example { does: "for a script", line: "msec top 127.0.0.1:7963 --once --json" },
        ],
        run: Run::Top,
    },
    Command {
        name: "trace",
        summary: "shows requests that a running server remembers, as trees of calls",
        operands: &["[slow|failed|dyed|sampled|FLOW_ID]"],
        about: "\
A server keeps calls that failed, were slow, dyed or sampled, and for some seconds all others.
A flow id shows all that it knows of one request; without an operand the newest kept ones are
shown. Each process knows its own part of a request: with --at for each of them, what they know is
joined into one tree.",
        flags: &[TRACE],
        examples: &[
            Example { does: "what was slow?", line: "msec trace slow --at 127.0.0.1:7963" },
            Example {
                does: "one request",
                line: "msec trace 81985529216486895 --at 127.0.0.1:7963",
            },
            Example {
                does: "what failed, through both services",
                line: "msec trace failed --at 127.0.0.1:7963 --at 127.0.0.1:7964",
            },
        ],
        run: Run::Trace,
    },
    Command {
        name: "route",
        summary: "tells why a running program's calls go where they go",
        operands: &["explain", "[SERVICE]"],
        about: "\
Each instance with the share of calls that it is drawn for, and all that decides it: weights,
success, latency, failures, how long it rests. Without a service, all that are called by name.",
        flags: &[ROUTE],
        examples: &[
            Example {
                does: "why does nobody call the second one?",
                line: "msec route explain Demo.echo --at 127.0.0.1:7963",
            },
            Example {
                does: "all services, for a program",
                line: "msec route explain --at 127.0.0.1:7963 --json",
            },
        ],
        run: Run::Route,
    },
    crate::generate::COMMAND,
    crate::new::COMMAND,
    Command {
        name: "doctor",
        summary: "says what on this machine hurts a service, and how to mend it",
        operands: &[],
        about: "\
io_uring by feature and what blocks it, open files, locked memory, CPUs and their quota,
threads, memory, stacks, address space, the accept queue and the clock. What an engine asks of
the kernel is tried, not guessed. Run it where the service runs: in its container, as its user.
Each line says ok, note (nothing is lost) or HURTS. The exit status is 1 if anything hurts.",
        flags: &[DOCTOR],
        examples: &[
            Example { does: "is this container fit for a service?", line: "msec doctor" },
            Example { does: "the same for a script", line: "msec doctor --json" },
        ],
        run: Run::Doctor,
    },
    Command {
        name: "host",
        summary: "runs a plugin: starts, ends and reloads its workers, and shows them",
        operands: &["start|stop|restart|reload|show|kill", "[SERVICE]"],
        about: "\
SERVICE is First.second; its folder is DIR/First/second, with bin/msec.so (the plugin),
etc/config.ini (see `msec config explain`) and log/. Without SERVICE it is the one whose
folder this is run in.

start returns when calls are taken, or says why not. reload starts new workers with the
plugin and the configuration of now, and lets the old ones leave when the new ones are ready;
if they do not become so the old ones go on. No call is lost by it, nor by stop, which waits
for peers to leave, up to [SRPC] drain_max_s. kill does not wait. A worker that crashes is
replaced at once, with a report in log/crash/.",
        flags: &[HOST],
        examples: &[
            Example { does: "start a service below /msec", line: "msec host start Demo.echo" },
            Example {
                does: "take the plugin that was just built",
                line: "msec host reload Demo.echo --root run",
            },
            Example { does: "how are its workers?", line: "msec host show Demo.echo" },
        ],
        run: Run::Host,
    },
    Command {
        name: "config",
        summary: "explains config.ini, the configuration file of a plugin, and checks one",
        operands: &["explain|check", "[FILE]"],
        about: "\
explain lists every key with its default and what it means; with FILE, also what that file
says. check says what is wrong in FILE, or odd; the exit status is 2 if it could not be
used.",
        flags: &[],
        examples: &[
            Example { does: "what can be set?", line: "msec config explain" },
            Example {
                does: "is this file right?",
                line: "msec config check /msec/Demo/echo/etc/config.ini",
            },
        ],
        run: Run::Config,
    },
    Command {
        name: "completions",
        summary: "prints what makes a shell complete msec's commands and flags",
        operands: &["bash|zsh|fish"],
        about: "\
For one's own shell: the examples below, once. For all users of a machine: bash looks in
/usr/share/bash-completion/completions/msec, zsh for _msec in its $fpath, fish in
/usr/share/fish/vendor_completions.d/msec.fish.",
        flags: &[],
        examples: &[
            Example {
                does: "bash: from now on, in each new shell",
                line: "msec completions bash >> ~/.bashrc",
            },
            Example { does: "zsh: the same", line: "msec completions zsh >> ~/.zshrc" },
            Example {
                does: "fish",
                line: "msec completions fish > ~/.config/fish/completions/msec.fish",
            },
        ],
        run: Run::Completions,
    },
    Command {
        name: "version",
        summary: "says what this binary is, and which I/O works on this machine",
        operands: &[],
        about: "\
Version, commit and target of the build; then whether io_uring and epoll work here, and
which of them an engine takes. MSEC_IO=uring or MSEC_IO=epoll forces one.",
        flags: &[],
        examples: &[
            Example { does: "what is this?", line: "msec version" },
            Example { does: "does io_uring work in this container?", line: "msec version" },
        ],
        run: Run::Version,
    },
];

/// The command of that name.
pub(crate) fn find(name: &str) -> Result<&'static Command, Failure> {
    if let Some(command) = COMMANDS.iter().find(|command| command.name == name) {
        return Ok(command);
    }
    let names = nearest(name, COMMANDS.iter().map(|command| command.name));
    let meant = names.first().copied().unwrap_or_default();
    let text = format!(
        "there is no command `{name}`; did you mean `msec {meant}`?\n  `msec` alone lists them"
    );
    Err(Failure::usage(text))
}
