//! A server on an engine of its own, in this process.

use std::time::Duration;

use msec::{Config, Engine, Io, Server, ServerBuilder};

use crate::peer::Peer;

/// The method that every stage has: it answers with the body of the request.
pub const ECHO: &str = "echo.EchoService.Echo";

/// An engine of two cores on that back end. All else is as the environment says, so that the same
/// tests show what holds without a kernel feature: `MSEC_IO_WITHOUT`.
pub fn config(io: Io) -> Config {
    Config::from_env().unwrap().io(io).cores(2)
}

/// A running server with its engine. Dropped, both stop.
pub struct Stage {
    /// The server.
    pub server: Server,
    /// The engine that it runs on.
    pub engine: Engine,
}

impl Stage {
    /// A server on `127.0.0.1` with [`ECHO`], on two cores.
    pub fn echo(io: Io) -> Self {
        Self::with(config(io), |builder| builder)
    }

    /// A server on `127.0.0.1` with [`ECHO`] and what `more` adds.
    pub fn with(config: Config, more: impl FnOnce(ServerBuilder) -> ServerBuilder) -> Self {
        Self::at(config, |builder| more(builder.listen("127.0.0.1:0")))
    }

    /// A server with [`ECHO`] that listens where `more` says.
    pub fn at(config: Config, more: impl FnOnce(ServerBuilder) -> ServerBuilder) -> Self {
        crate::collect_lines();
        let engine = Engine::with(config).unwrap();
        let builder = Server::builder().raw(ECHO, |context| Ok(context.body_bytes()));
        let server = more(builder).start(&engine).unwrap();
        Self { server, engine }
    }

    /// Where it listens first.
    pub fn address(&self) -> &str {
        &self.server.addresses()[0]
    }

    /// A new connection to it.
    pub fn peer(&self) -> Peer {
        Peer::connect(self.address())
    }

    /// A connection that does nothing wrong while others do.
    pub fn bystander(&self) -> Bystander {
        let mut peer = self.peer();
        peer.echo(b"before");
        Bystander { peer }
    }

    /// Waits until so many connections are open.
    #[track_caller]
    pub fn wait_for_connections(&self, count: usize) {
        crate::wait_until(&format!("{count} open connections"), || {
            self.server.load().connections_count == count
        });
    }

    /// Waits until so many requests are in flight.
    #[track_caller]
    pub fn wait_for_requests(&self, count: usize) {
        crate::wait_until(&format!("{count} requests in flight"), || {
            self.server.load().requests_count == count
        });
    }

    /// Stops the server, with `grace` for peers to leave.
    pub fn stop(&self, grace: Duration) {
        self.server.stop(grace);
    }
}

/// A connection that was served before a trouble and has to be served after it.
pub struct Bystander {
    peer: Peer,
}

impl Bystander {
    /// Calls once more on the same connection, and on a new one.
    #[track_caller]
    pub fn is_served(&mut self) {
        self.peer.echo(b"on the old connection");
        self.peer.again().echo(b"on a new connection");
    }
}
