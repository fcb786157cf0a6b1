//! A MariaDB of a test's own, in a folder of its own. It has no tables, not even those of its
//! users: whoever comes may do everything.

use std::io::Read;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::{PATIENCE, free_port, wait_until};

/// The server, in a folder that the PATH of an ordinary user lacks.
const MARIADBD: &str = "/usr/sbin/mariadbd";

/// A server that runs. Dropped, it is killed, and its folder removed.
pub struct Mariadb {
    child: Child,
    folder: PathBuf,
    /// Where it listens, on 127.0.0.1.
    pub port: u16,
}

impl Mariadb {
    /// Starts one, and waits until it greets.
    pub fn start() -> Self {
        let port = free_port();
        let folder =
            std::env::temp_dir().join(format!("msec-mariadb-{}-{port}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let at = folder.display();
        let child = Command::new(MARIADBD)
            .args(["--no-defaults", "--skip-grant-tables", "--skip-name-resolve", "--user=root"])
            .args(["--skip-innodb", "--default-storage-engine=Aria", "--skip-log-bin"])
            .args(["--default-tmp-storage-engine=Aria", "--bind-address=127.0.0.1"])
            .args([format!("--port={port}"), format!("--datadir={at}"), format!("--tmpdir={at}")])
            .args([format!("--socket={at}/socket"), format!("--pid-file={at}/pid")])
            .arg("--max-connections=300")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{MARIADBD}, which `make deps-test` installs: {error}"));
        let mariadb = Self { child, folder, port };
        wait_until("MariaDB greets", || mariadb.greets().is_ok());
        mariadb
    }

    fn greets(&self) -> std::io::Result<()> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.read_exact(&mut [0; 5])
    }
}

impl Drop for Mariadb {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
