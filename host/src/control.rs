//! What an operator asks the supervisor, over a unix socket in the service's folder.
//!
//! One request a connection, a line of text; the answer is `ok` or `failed` and lines for people,
//! then the end. The answer to `stop` comes when everything has ended.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use msec::{Code, Error, Result};

/// How long somebody who has connected may take to say what he wants.
const ASK_PATIENCE: Duration = Duration::from_secs(2);
/// Longest request.
const REQUEST_BYTES_MAX: u64 = 100;

/// What may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// How are the workers?
    Show,
    /// End, and lose no call.
    Stop,
    /// End at once.
    Kill,
    /// Take the plugin and the configuration anew, and lose no call.
    Reload,
}

/// Each with its word.
const REQUESTS: [(&str, Request); 4] = [
    ("show", Request::Show),
    ("stop", Request::Stop),
    ("kill", Request::Kill),
    ("reload", Request::Reload),
];

/// Somebody who waits for an answer.
pub struct Asker {
    stream: UnixStream,
}

impl Asker {
    /// It was done; what is to be told.
    pub fn succeed(self, text: &str) {
        self.answer("ok", text);
    }

    /// It was not done, and why.
    pub fn fail(self, text: &str) {
        self.answer("failed", text);
    }

    fn answer(mut self, word: &str, text: &str) {
        // Whoever asked may have gone.
        let _ = self.stream.write_all(format!("{word}\n{text}\n").as_bytes());
    }
}

/// Takes requests at `path`, on a thread of its own, as long as `take` returns true.
///
/// # Errors
/// -2 when the socket cannot be opened.
pub fn listen(
    path: &Path,
    mut take: impl FnMut(Request, Asker) -> bool + Send + 'static,
) -> Result<()> {
    // Whoever was here before has ended: the caller holds the lock of the service.
    let _ = fs::remove_file(path);
    let at = |error| Error::from_io(&format!("listen on {}", path.display()), &error);
    let listener = UnixListener::bind(path).map_err(at)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(at)?;
    let serve = move || {
        for stream in listener.incoming().filter_map(std::result::Result::ok) {
            if let Some(request) = hear(&stream)
                && !take(request, Asker { stream })
            {
                return;
            }
        }
    };
    std::thread::Builder::new()
        .name("msec-control".into())
        .spawn(serve)
        .map_err(|error| Error::from_io("start the thread for requests", &error))?;
    Ok(())
}

fn hear(stream: &UnixStream) -> Option<Request> {
    stream.set_read_timeout(Some(ASK_PATIENCE)).ok()?;
    let mut line = String::new();
    BufReader::new(stream.take(REQUEST_BYTES_MAX)).read_line(&mut line).ok()?;
    let found = REQUESTS.iter().find(|(word, _)| *word == line.trim_end());
    found.map(|(_, request)| *request)
}

/// Asks a supervisor, and waits until it is done, however long that takes; what it tells.
///
/// # Errors
/// -15 when none is there; -18 with its words when it did not do it.
pub fn ask(path: &Path, request: Request) -> Result<String> {
    let failed = |code: Code, text: String| Err(Error::new(code, text));
    let Ok(mut stream) = UnixStream::connect(path) else {
        return failed(Code::NO_ROUTE, format!("no supervisor listens at {}", path.display()));
    };
    let word = REQUESTS.iter().find(|(_, known)| *known == request).map_or("", |(word, _)| word);
    let mut answer = String::new();
    let asked = writeln!(stream, "{word}").and_then(|()| stream.read_to_string(&mut answer));
    let text = answer.split_once('\n').map_or("", |(_, text)| text.trim_end());
    match (asked, answer.lines().next()) {
        (Ok(_), Some("ok")) => Ok(text.into()),
        (Ok(_), Some("failed")) => failed(Code::SERVICE_FAILED, text.into()),
        (Ok(_) | Err(_), _) => {
            failed(Code::SYSTEM_ERROR, format!("the supervisor ended before it had done {word}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_answered_and_nonsense_is_not() {
        let path = std::env::temp_dir().join(format!("msec-control-{}", std::process::id()));
        assert_eq!(ask(&path, Request::Show).expect_err("nobody").code(), Code::NO_ROUTE);
        let take = |request, asker: Asker| {
            match request {
                Request::Show => asker.succeed("all\nwell"),
                Request::Reload => asker.fail("no"),
                Request::Kill => drop(asker),
                Request::Stop => asker.succeed(""),
            }
            request != Request::Stop
        };
        listen(&path, take).unwrap();
        assert_eq!(ask(&path, Request::Show).unwrap(), "all\nwell");
        let refused = ask(&path, Request::Reload).expect_err("it fails");
        assert_eq!((refused.code(), refused.message()), (Code::SERVICE_FAILED, "no"));
        let gone = ask(&path, Request::Kill).expect_err("no answer");
        assert!(gone.message().contains("before it had done kill"));
        let mut stream = UnixStream::connect(&path).unwrap();
        stream.write_all(b"nonsense\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "");
        assert_eq!(ask(&path, Request::Stop).unwrap(), "");
        fs::remove_file(&path).unwrap();
    }
}
