//! What the command line says about a run.

use std::time::Duration;

use msec::{CallOptions, cpu, prost};

use super::pace::Spacing;
use super::report::several;
use crate::failure::Failure;
use crate::flags::Arguments;
use crate::request::{self, Request};

/// The method that is called unless another is named; its messages need no schema.
const ECHO_METHOD: &str = "echo.EchoService.Echo";
const PAYLOAD_BYTES: usize = 64;
/// Lanes are numbered with 16 bits.
const CONNECTIONS_MAX: usize = 1 << 16;
/// As many as a server of ours reads from one connection before it answers any.
const DEPTH_MAX: usize = 1024;

/// Points of a plot over time, and the least time between two: fewer calls say little.
const STEPS_COUNT: u32 = 120;
const STEP_LEAST: Duration = Duration::from_millis(100);

/// When calls are made.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Mode {
    /// After the answer before.
    Closed,
    /// By the clock.
    Open { rate: f64, spacing: Spacing },
}

/// A run.
pub(crate) struct Options {
    pub(crate) address: String,
    pub(crate) method: String,
    /// What is sent, in turn; at least one.
    pub(crate) bodies: Vec<Vec<u8>>,
    pub(crate) call: CallOptions,
    pub(crate) mode: Mode,
    pub(crate) connections: usize,
    pub(crate) depth: usize,
    pub(crate) duration: Duration,
    pub(crate) warmup: Duration,
    pub(crate) timeout: Duration,
    pub(crate) cores: usize,
    /// A file, or `-`.
    pub(crate) json: Option<String>,
    pub(crate) html: Option<String>,
    pub(crate) progress: bool,
}

impl Options {
    pub(crate) fn of(arguments: &Arguments) -> Result<Self, Failure> {
        let mode = mode(arguments)?;
        let (method, bodies) = messages(arguments)?;
        let address = arguments.operand_text(0)?.to_owned();
        let datagram = address.ends_with("@udp");
        let connections = arguments.count("connections", 1, CONNECTIONS_MAX)?;
        let cores = arguments.count("cores", 1, 255)?;
        let (connections, cores) = if datagram {
            // Over UDP a core has one socket to a peer.
            let cores = cores.or(connections).unwrap_or_else(cpu::online);
            if connections.is_some_and(|connections| connections != cores) {
                let text = "over UDP a core has one socket: --connections is the same as --cores";
                return Err(arguments.usage(&text));
            }
            (cores, cores)
        } else {
            let connections = connections.unwrap_or(16);
            (connections, cores.unwrap_or_else(cpu::online).min(connections))
        };
        let depth = match mode {
            Mode::Closed => 1,
            Mode::Open { .. } => 64,
        };
        let timeout = arguments.duration("timeout")?.unwrap_or(Duration::from_secs(5));
        Ok(Self {
            address,
            method,
            bodies,
            call: request::options(arguments)?.timeout(timeout),
            mode,
            connections,
            depth: arguments.count("depth", 1, DEPTH_MAX)?.unwrap_or(depth),
            duration: arguments.duration("duration")?.unwrap_or(Duration::from_secs(10)),
            warmup: arguments.duration("warmup")?.unwrap_or(Duration::from_secs(1)),
            timeout,
            cores,
            json: arguments.text("json")?.map(str::to_owned),
            html: arguments.text("html")?.map(str::to_owned),
            progress: arguments.has("progress"),
        })
    }
}

impl Options {
    /// How finely the plots show the course of the run.
    pub(crate) fn step(&self) -> Duration {
        (self.duration / STEPS_COUNT).max(STEP_LEAST)
    }

    /// The size of a body, or of all of them on average.
    pub(crate) fn body_bytes(&self) -> usize {
        self.bodies.iter().map(Vec::len).sum::<usize>() / self.bodies.len().max(1)
    }

    pub(crate) fn body_text(&self) -> String {
        match self.bodies.len() {
            1 => several(self.body_bytes(), "byte"),
            more => format!(
                "{} of {} on average",
                several(more, "message"),
                several(self.body_bytes(), "byte")
            ),
        }
    }
}

fn mode(arguments: &Arguments) -> Result<Mode, Failure> {
    let spacing = match arguments.text("arrivals")? {
        None | Some("constant") => Spacing::Constant,
        Some("poisson") => Spacing::Poisson,
        Some(other) => {
            return Err(arguments.usage(&format!("--arrivals `{other}`: constant or poisson")));
        }
    };
    match arguments.rate("rate")? {
        Some(rate) => Ok(Mode::Open { rate, spacing }),
        None if arguments.has("arrivals") => {
            Err(arguments.usage(&"--arrivals is for the open loop: say --rate as well"))
        }
        None => Ok(Mode::Closed),
    }
}

/// The method and the bodies that are sent in turn.
fn messages(arguments: &Arguments) -> Result<(String, Vec<Vec<u8>>), Failure> {
    let method = match arguments.operand_text(1)? {
        "" => ECHO_METHOD,
        method => method,
    };
    let payload = arguments.count("payload", 0, 1 << 30)?;
    let given =
        [arguments.operand(2).is_some(), arguments.has("data"), payload.is_some()].into_iter();
    if given.filter(|given| *given).count() > 1 {
        return Err(arguments.usage(&"--payload, --data or MESSAGE: one of them is enough"));
    }
    if let Some(data) = arguments.value("data") {
        return Ok((method.to_owned(), request::messages(arguments, method, data)?));
    }
    if let Some(request) = Request::of(arguments, method)? {
        if payload.is_some() {
            return Err(arguments.usage(&"--payload makes the message up: it needs no schema"));
        }
        return Ok((request.method, vec![request.body]));
    }
    if arguments.operand(2).is_some() {
        let text = "MESSAGE needs a schema (--proto or --descriptors), or --hex, or --raw";
        return Err(arguments.usage(&text));
    }
    let bytes = vec![0; payload.unwrap_or(PAYLOAD_BYTES)];
    let body = if method == ECHO_METHOD { echo(bytes) } else { bytes };
    Ok((method.to_owned(), vec![body]))
}

/// An `echo.EchoRequest`: field 1 is the bytes.
fn echo(bytes: Vec<u8>) -> Vec<u8> {
    let mut body = Vec::new();
    if !bytes.is_empty() {
        prost::encoding::bytes::encode(1, &bytes, &mut body);
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands;

    fn options(line: &str) -> Result<Options, Failure> {
        let words = line.split(' ').map(Into::into).collect();
        Options::of(&Arguments::parse(commands::find("press")?, words)?)
    }

    fn refused(line: &str) -> String {
        format!("{:?}", options(line).err().expect(line))
    }

    #[test]
    fn the_echo_message_needs_no_schema() {
        let echo = options("127.0.0.1:1 --payload 300").unwrap();
        assert_eq!(echo.method, ECHO_METHOD);
        assert_eq!((&echo.bodies[0][..3], echo.bodies[0].len()), (&[0x0a, 0xac, 0x02][..], 303));
        assert_eq!(options("x --payload 0").unwrap().bodies, [b""]);
        let other = options("x a.B.C --payload 5").unwrap();
        assert_eq!((other.method.as_str(), other.body_bytes()), ("a.B.C", 5));
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        assert!(refused("x --arrivals poisson").contains("say --rate as well"));
        assert!(refused("x --rate 5 --arrivals even").contains("constant or poisson"));
        assert!(refused("x a.B.C {}").contains("MESSAGE needs a schema"));
        assert!(refused("x a.B.C 00 --hex --payload 3").contains("one of them"));
        assert!(refused("x@udp --connections 3 --cores 2").contains("one socket"));
        assert!(refused("x --rate 0").contains("a number above 0"));
        assert!(refused("x echo").contains("package.Service.Method"));
    }

    #[test]
    fn cores_are_never_more_than_connections() {
        assert_eq!(options("x --connections 1").unwrap().cores, 1);
        let udp = options("x@udp --cores 3").unwrap();
        assert_eq!((udp.cores, udp.connections), (3, 3));
        let open = options("x --rate 10").unwrap();
        assert_eq!(open.mode, Mode::Open { rate: 10.0, spacing: Spacing::Constant });
        assert_eq!((open.depth, options("x").unwrap().depth), (64, 1));
    }
}
