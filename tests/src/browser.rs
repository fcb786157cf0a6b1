//! A browser: Chromium without a window, told what to do over its pipe of the DevTools protocol
//! (chromedevtools.github.io/devtools-protocol).

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::PATIENCE;

/// How long the browser may take for one thing. To start it is a quarter of a gigabyte.
const BROWSER_PATIENCE: Duration = PATIENCE.saturating_mul(4);

/// A browser with one page and a profile of its own. Dropped, both are gone.
pub struct Browser {
    process: Child,
    input: ChildStdin,
    messages: mpsc::Receiver<Value>,
    folder: PathBuf,
    session: Option<Value>,
    last_id: u64,
}

impl Browser {
    /// A browser that shows nothing yet.
    #[allow(clippy::new_without_default, reason = "it starts a process")]
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("msec-browser-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        // It reads commands from descriptor 3 and writes to 4.
        let mut process = Command::new("sh")
            .args(["-c", "exec chromium \"$@\" 3<&0 4>&1 >/dev/null", "sh"])
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"])
            .args(["--no-first-run", "--disable-background-networking", "--disable-sync"])
            .args(["--disable-component-update", "--disable-dev-shm-usage", "--no-proxy-server"])
            .arg(format!("--user-data-dir={}", folder.display()))
            .args(["--remote-debugging-pipe", "about:blank"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(folder.join("stderr")).unwrap())
            .spawn()
            .unwrap();
        let input = process.stdin.take().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let (tell, messages) = mpsc::channel();
        std::thread::spawn(move || {
            for message in output.split(0).map_while(Result::ok) {
                // Nobody may be interested any more.
                let _ = tell.send(serde_json::from_slice(&message).unwrap());
            }
        });
        let mut browser = Self { process, input, messages, folder, session: None, last_id: 0 };
        let page = browser.command("Target.createTarget", json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": page["targetId"], "flatten": true });
        browser.session =
            Some(browser.command("Target.attachToTarget", attach)["sessionId"].take());
        browser.command("Page.enable", json!({}));
        browser
    }

    /// Shows a page, and waits until it is complete.
    pub fn open(&mut self, url: &str) {
        let told = self.command("Page.navigate", json!({ "url": url }));
        assert_eq!(told.get("errorText"), None, "{url}: {told}");
        while self.message()["method"] != "Page.loadEventFired" {}
    }

    /// What a line of JavaScript comes to on the page; if that is a promise, what it promises.
    pub fn evaluate(&mut self, javascript: &str) -> Value {
        let params =
            json!({ "expression": javascript, "awaitPromise": true, "returnByValue": true });
        let mut told = self.command("Runtime.evaluate", params);
        assert_eq!(told.get("exceptionDetails"), None, "{javascript}");
        told["result"]["value"].take()
    }

    fn command(&mut self, method: &str, params: Value) -> Value {
        self.last_id += 1;
        let mut message = json!({ "id": self.last_id, "method": method, "params": params });
        if let Some(session) = &self.session {
            message["sessionId"] = session.clone();
        }
        let sent = self.input.write_all(format!("{message}\0").as_bytes());
        assert!(sent.is_ok(), "{}", self.trouble());
        loop {
            let mut answer = self.message();
            if answer["id"] == self.last_id {
                assert_eq!(answer.get("error"), None, "{method}");
                return answer["result"].take();
            }
        }
    }

    fn message(&self) -> Value {
        match self.messages.recv_timeout(BROWSER_PATIENCE) {
            Ok(message) => message,
            Err(_) => panic!("{}", self.trouble()),
        }
    }

    fn trouble(&self) -> String {
        let said = std::fs::read_to_string(self.folder.join("stderr")).unwrap_or_default();
        format!("chromium, which `make deps-test` installs, does not answer: {said}")
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It ends its other processes as it ends; where it does not, they miss it.
        let _ = self.input.write_all(b"{\"id\":0,\"method\":\"Browser.close\"}\0");
        while self.messages.recv_timeout(Duration::from_secs(5)).is_ok() {}
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
