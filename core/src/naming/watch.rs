//! Follows a file of routes: a look at it each second, and what is new goes to the cores.
//!
//! A second is soon enough for a file that people edit, and a look is one system call; watching by
//! inotify would have to follow renames, links and mounts, and still need the look. A file that is
//! gone or broken changes nothing: the last good table stays, and the trouble is told once in the
//! log and for as long as it lasts in [`RoutesStatus`](super::RoutesStatus).

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use super::{Table, parse};
use crate::engine::Shared;
use crate::error::{Error, Result};

/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);

/// What tells one content of a file from another: device, inode, length, time of change.
type Mark = (u64, u64, u64, i64, i64);

/// Reads a file of routes.
pub(super) fn read(path: &Path) -> Result<Table> {
    let operation = format!("read routes from {}", path.display());
    let text = std::fs::read_to_string(path).map_err(|error| Error::from_io(&operation, &error))?;
    parse(&text, &path.display().to_string())
}

fn mark(path: &Path) -> Option<Mark> {
    let meta = std::fs::metadata(path).ok()?;
    Some((meta.dev(), meta.ino(), meta.len(), meta.ctime(), meta.ctime_nsec()))
}

/// Reads a file, which must be right, and starts a thread that follows it until the engine ends.
pub(crate) fn follow(shared: &Arc<Shared>, path: PathBuf) -> Result<JoinHandle<()>> {
    // Before it is read: what is written meanwhile is seen by the next look.
    let mut seen = mark(&path);
    let table = read(&path)?;
    shared.naming.edit(shared, table);
    shared.naming.lock().status.file = Some(path.clone());
    let shared = Arc::clone(shared);
    let watch = move || {
        while shared.rest(LOOK) {
            let now = mark(&path);
            if now != seen {
                seen = now;
                look(&shared, &path);
            }
        }
    };
    std::thread::Builder::new()
        .name("msec-routes".into())
        .spawn(watch)
        .map_err(|error| Error::from_io("start the thread that follows the routes", &error))
}

fn look(shared: &Arc<Shared>, path: &Path) {
    match read(path) {
        Ok(table) => {
            shared.naming.edit(shared, table);
            shared.naming.lock().status.file_error = None;
        }
        Err(error) => {
            crate::log::warn("routes", format_args!("the old routes stay: {error}"));
            shared.naming.lock().status.file_error = Some(error.to_string());
        }
    }
}
