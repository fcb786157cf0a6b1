//! A Redis of a test's own: no file, no other port, gone with the test.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use crate::{PATIENCE, free_port, wait_until};

/// A Redis that runs. Dropped, it is killed.
pub struct Redis {
    child: Child,
    /// Where it listens.
    pub address: String,
}

impl Redis {
    /// Starts one, and waits until it answers.
    pub fn start() -> Self {
        let port = free_port();
        let child = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
            .args(["--appendonly", "no", "--daemonize", "no", "--dir", "/tmp"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server is there: `make test` installs it");
        let redis = Self { child, address: format!("127.0.0.1:{port}") };
        wait_until("Redis answers", || redis.answers().is_ok());
        redis
    }

    fn answers(&self) -> std::io::Result<()> {
        let mut stream = TcpStream::connect(&self.address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"PING\r\n")?;
        let mut answer = [0; 7];
        stream.read_exact(&mut answer)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
