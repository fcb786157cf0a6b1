//! The generator's flags.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::ECHO_METHOD;
use super::arrivals::Spacing;
use super::dialect::SLOTS_MAX;

/// How to call it.
pub const USAGE: &str = "\
usage: generator --to ADDRESS:PORT [flags]
  what to send      --method M (echo.EchoService.Echo)  --payload BYTES (64)
                    --deadline-ms N: the server is told, may refuse, and answers within it are good
                    --mix M=PERCENT  --grpc  --http
                    --tls FILE: by TLS, trusting the certificates in this file
                    --relief RATE,MS: after the window so many a second for so long, to see when
                    all is answered rightly and in time again
  how               closed loop; --open RATE [--poisson]; --short; --idle; --once
  how much          --connections N (64)  --depth N (1)
  how long          --warm-ms N (500)  --measure-ms N (2000)
  beside            --server-pid PID: reads that process's clock and memory
                    --gate: prints ready, waits for a line
prints one line of JSON";

/// How requests follow each other.
#[derive(Clone, Debug, PartialEq)]
pub enum Mode {
    /// Each answer is followed by the next request.
    Closed,
    /// Due at a fixed rate a second.
    Open {
        /// Requests a second over all connections.
        rate: f64,
        /// How due times are spaced.
        spacing: Spacing,
    },
    /// Connect, call, close.
    Short,
    /// Open the connections, one call each, stay idle, one call each again.
    Idle,
    /// `connections` × `depth` requests at once, then wait for all answers; the time limit is
    /// `measure`.
    Once,
}

/// A share of a second method.
#[derive(Clone, Debug, PartialEq)]
pub struct Mix {
    /// Its name.
    pub method: String,
    /// Of all requests, in 0..=1.
    pub share: f64,
}

/// Another load, behind the measured window of an open loop.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Relief {
    /// Requests a second.
    pub rate: f64,
    /// How long.
    pub time: Duration,
}

/// What to do to whom.
#[derive(Clone, Debug)]
pub struct Options {
    /// The server.
    pub to: SocketAddr,
    /// gRPC instead of SRPC.
    pub grpc: bool,
    /// HTTP/1.1 with JSON instead of SRPC.
    pub http: bool,
    /// By TLS, trusting the certificates in this PEM file.
    pub tls: Option<PathBuf>,
    /// The method that is measured.
    pub method: String,
    /// A second method beside it.
    pub mix: Option<Mix>,
    /// Bytes in the echo message.
    pub payload: usize,
    /// How requests follow each other.
    pub mode: Mode,
    /// Connections; in short mode: how many are under way at once.
    pub connections: usize,
    /// Requests in flight on each connection; in an open loop: at most.
    pub depth: usize,
    /// Before the measured window.
    pub warm: Duration,
    /// The measured window.
    pub measure: Duration,
    /// The process whose processor time and memory are read.
    pub server_pid: Option<u32>,
    /// Every request says how long it waits, and only answers within that count as good.
    pub deadline: Option<Duration>,
    /// After the window.
    pub relief: Option<Relief>,
    /// Wait for a line on standard input before the load starts.
    pub gate: bool,
}

impl Options {
    /// The name of what is spoken, as ALPN knows it; SRPC has none.
    pub fn protocol(&self) -> Option<&'static str> {
        match (self.grpc, self.http) {
            (true, _) => Some("h2"),
            (false, true) => Some("http/1.1"),
            (false, false) => None,
        }
    }

    /// Defaults towards `to`.
    pub fn new(to: SocketAddr) -> Self {
        Options {
            to,
            grpc: false,
            http: false,
            tls: None,
            method: ECHO_METHOD.to_owned(),
            mix: None,
            payload: 64,
            mode: Mode::Closed,
            connections: 64,
            depth: 1,
            warm: Duration::from_millis(500),
            measure: Duration::from_millis(2000),
            server_pid: None,
            deadline: None,
            relief: None,
            gate: false,
        }
    }

    /// From a command line without the program's name.
    pub fn parse(mut parser: lexopt::Parser) -> Result<Self, lexopt::Error> {
        use lexopt::prelude::*;
        let mut options = Options::new(SocketAddr::from(([127, 0, 0, 1], 0)));
        let (mut rate, mut spacing) = (None, Spacing::Constant);
        while let Some(argument) = parser.next()? {
            match argument {
                Long("to") => options.to = parser.value()?.parse()?,
                Long("grpc") => options.grpc = true,
                Long("http") => options.http = true,
                Long("tls") => options.tls = Some(parser.value()?.into()),
                Long("method") => options.method = parser.value()?.string()?,
                Long("mix") => options.mix = Some(mix(&parser.value()?.string()?)?),
                Long("payload") => options.payload = parser.value()?.parse()?,
                Long("open") => rate = Some(parser.value()?.parse::<f64>()?),
                Long("poisson") => spacing = Spacing::Poisson,
                Long("short") => options.mode = Mode::Short,
                Long("idle") => options.mode = Mode::Idle,
                Long("once") => options.mode = Mode::Once,
                Long("connections") => options.connections = parser.value()?.parse()?,
                Long("depth") => options.depth = parser.value()?.parse()?,
                Long("warm-ms") => options.warm = milliseconds(&mut parser)?,
                Long("measure-ms") => options.measure = milliseconds(&mut parser)?,
                Long("server-pid") => options.server_pid = Some(parser.value()?.parse()?),
                Long("deadline-ms") => options.deadline = Some(milliseconds(&mut parser)?),
                Long("relief") => options.relief = Some(relief(&parser.value()?.string()?)?),
                Long("gate") => options.gate = true,
                Short(_) | Long(_) | Value(_) => return Err(argument.unexpected()),
            }
        }
        if let Some(rate) = rate {
            options.mode = Mode::Open { rate, spacing };
        }
        options.check()?;
        Ok(options)
    }

    fn check(&self) -> Result<(), lexopt::Error> {
        if self.to.port() == 0 {
            return Err("--to is missing".into());
        }
        if self.connections == 0 || !(1..=SLOTS_MAX).contains(&self.depth) {
            return Err(format!("--connections is at least 1, --depth in 1..={SLOTS_MAX}").into());
        }
        if self.deadline.is_some() && (self.grpc || !matches!(self.mode, Mode::Open { .. })) {
            return Err("--deadline-ms goes with --open, in SRPC".into());
        }
        if self.http && (self.grpc || self.mix.is_some() || self.deadline.is_some()) {
            return Err("--http goes with neither --grpc, --mix nor --deadline-ms".into());
        }
        if self.relief.is_some() && self.deadline.is_none() {
            return Err("--relief goes with --deadline-ms".into());
        }
        if self.tls.is_some() && matches!(self.mode, Mode::Short | Mode::Idle) {
            return Err("--tls goes with neither --short nor --idle".into());
        }
        if let Mode::Open { rate, .. } = self.mode
            && !(rate > 0.0 && rate.is_finite())
        {
            return Err("--open takes a rate above 0".into());
        }
        Ok(())
    }
}

fn milliseconds(parser: &mut lexopt::Parser) -> Result<Duration, lexopt::Error> {
    use lexopt::prelude::*;
    Ok(Duration::from_millis(parser.value()?.parse()?))
}

fn relief(text: &str) -> Result<Relief, lexopt::Error> {
    let parsed = text.split_once(',').and_then(|(rate, ms)| {
        let rate: f64 = rate.parse().ok()?;
        let time = Duration::from_millis(ms.parse().ok()?);
        (rate > 0.0 && rate.is_finite()).then_some(Relief { rate, time })
    });
    parsed.ok_or_else(|| format!("--relief {text}: RATE,MS is expected").into())
}

fn mix(text: &str) -> Result<Mix, lexopt::Error> {
    let parsed = text.rsplit_once('=').and_then(|(method, percent)| {
        let percent: f64 = percent.parse().ok()?;
        let share = percent / 100.0;
        (0.0..=1.0).contains(&share).then(|| Mix { method: method.to_owned(), share })
    });
    parsed.ok_or_else(|| format!("--mix {text}: METHOD=PERCENT is expected").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Options, lexopt::Error> {
        let all = ["--to", "127.0.0.1:1"].iter().chain(words);
        Options::parse(lexopt::Parser::from_args(all))
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        assert!(parse(&["--tls", "x.pem"]).is_ok());
        assert!(parse(&["--tls", "x.pem", "--short"]).is_err());
        assert!(parse(&["--open", "10", "--relief", "5,100"]).is_err());
        for bad in ["5", "0,100", "x,100", "5,x"] {
            let words = ["--open", "10", "--deadline-ms", "9", "--relief", bad];
            assert!(parse(&words).is_err(), "{bad}");
        }
        let options = parse(&["--open", "10", "--deadline-ms", "9", "--relief", "5,100"]).unwrap();
        assert_eq!(options.relief, Some(Relief { rate: 5.0, time: Duration::from_millis(100) }));
    }
}
