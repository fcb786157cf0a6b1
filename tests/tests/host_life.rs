//! `msec host` from start to end: what a plugin finds there, what an operator is told, and what of
//! the configuration holds when.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::Duration;

use msec::{CallOptions, Client, Code, Config, Engine};
use msec_tests::hosted::{Hosted, SERVICE, plugin};
use msec_tests::http::HttpPeer;
use msec_tests::programs::{command, repository};
use msec_tests::{Child, ECHO, Stage, wait_until};

fn engine() -> Engine {
    Engine::with(Config::new().cores(1)).unwrap()
}

#[test]
fn a_plugin_is_called_by_everything_and_knows_where_it_is() {
    let listen =
        "[SRPC]\nlisten=127.0.0.1:0/tcp 127.0.0.1:0/udp lo:0/tcp\ncores=1\nconf=../a.xml\n";
    let hosted = Hosted::new(Some(&plugin(&[])), listen);
    assert_eq!(hosted.host("start"), (true, format!("Server({SERVICE}) start ok.\n")));
    let addresses = hosted.addresses();
    let engine = engine();
    for address in &addresses {
        let client = Client::new(&engine, address).unwrap();
        let reply = client.call_raw(ECHO, b"hello", &CallOptions::new()).unwrap();
        assert_eq!(&reply.body[..], b"hello", "{address}");
    }
    assert!(addresses[1].ends_with("@udp") && addresses.len() >= 3, "{addresses:?}");
    let page = HttpPeer::connect(&addresses[0]).get("/status?format=json");
    assert!(page.body.contains(SERVICE) && page.body.contains(ECHO), "{}", page.body);
    let told = hosted.call(&engine, "test.Plugin.Where", b"").unwrap();
    let pid = hosted.workers()[0][2].clone();
    assert_eq!(told, format!("{SERVICE} 0 {pid} ../a.xml"));
    // The plugin and its worker have one and the same libmsec.
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let mapped = maps.lines().filter_map(|line| line.split_whitespace().nth(5));
    let mut libraries: Vec<_> = mapped.filter(|path| path.contains("libmsec.so")).collect();
    libraries.dedup();
    assert_eq!(libraries.len(), 1, "{libraries:?}");
    assert!(maps.contains("bin/.msec.so.1"), "a private copy of the plugin");
    hosted.wait_for_log("the plugin is build 1");
    assert_eq!(hosted.host("stop"), (true, format!("Server({SERVICE}) stopped.\n")));
    let left: Vec<_> = fs::read_dir(hosted.folder().join("bin")).unwrap().collect();
    assert_eq!(left.len(), 1, "the copy is gone: {left:?}");
}

#[test]
fn methods_of_a_plugin_are_heavy_and_bounded_as_it_says() {
    let hosted = Hosted::start(&plugin(&[]), "");
    let engine = engine();
    let thread = hosted.call(&engine, "test.Plugin.Heavy", b"").unwrap();
    assert!(thread.starts_with("msec-offload"), "{thread}");
    let client = Client::new(&engine, &hosted.address()).unwrap();
    let options = CallOptions::new().timeout(Duration::from_secs(30));
    let calls = [(); 2].map(|()| client.start_body::<()>("test.Plugin.One", Vec::new(), &options));
    let ends = calls.map(|call| call.wait_raw().map_err(|error| error.code()).err());
    assert!(ends.contains(&None) && ends.contains(&Some(Code::OVERLOADED)), "{ends:?}");
}

#[test]
fn scripts_are_told_what_they_know_from_the_original() {
    let hosted = Hosted::new(Some(&plugin(&[])), "[SRPC]\nlisten=127.0.0.1:0/tcp\ncores=1");
    let not_started = format!("msec host: Server({SERVICE}) not started.\n");
    assert_eq!(hosted.host("show"), (false, not_started.clone()));
    assert_eq!(hosted.host("reload"), (false, not_started));
    assert_eq!(hosted.host("stop"), (true, format!("Server({SERVICE}) not started.\n")));
    let started = (true, format!("Server({SERVICE}) start ok.\n"));
    assert_eq!(hosted.host("start"), started);
    let already = format!("Server({SERVICE}) already started.\n");
    assert_eq!(hosted.host("start"), (false, format!("msec host: {already}")));
    assert!(hosted.host("show").1.starts_with(&already));
    let pid = hosted.workers()[0][2].clone();
    assert_eq!(hosted.host("restart"), started);
    assert_ne!(hosted.workers()[0][2], pid);
    // The service is the one in whose folder one is.
    let mut show = Command::new(command("msec"));
    let output = show.args(["host", "show"]).current_dir(hosted.folder().join("bin")).output();
    assert!(String::from_utf8(output.unwrap().stdout).unwrap().starts_with(&already));
    assert_eq!(hosted.host("kill"), (true, format!("Server({SERVICE}) stopped.\n")));
}

#[test]
fn the_script_of_the_original_has_its_verbs() {
    let hosted = Hosted::new(Some(&plugin(&[])), "[SRPC]\nlisten=127.0.0.1:0/tcp\ncores=1");
    let script = hosted.folder().join("bin/srpc.sh");
    fs::copy(repository().join("deploy/srpc.sh"), &script).unwrap();
    let srpc = |verb: &str| {
        let output = Command::new(&script).arg(verb).env("MSEC", command("msec")).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(said).unwrap())
    };
    assert_eq!(srpc("start"), (Some(0), format!("Server({SERVICE}) start ok.\n")));
    let (code, said) = srpc("show");
    assert!(code == Some(0) && said.contains(&format!("Server({SERVICE}) already started.")));
    assert!(srpc("reload").1.contains("reloaded: generation 2"));
    assert_eq!(srpc("restart").0, Some(0));
    assert_eq!(srpc("stop"), (Some(0), format!("Server({SERVICE}) stopped.\n")));
    assert_eq!(srpc("show").0, Some(1));
    assert_eq!(srpc("start").0, Some(0));
    assert_eq!(srpc("force_stop"), (Some(0), format!("Server({SERVICE}) stopped.\n")));
    assert_eq!(srpc("dance").0, Some(2));
    // In the foreground, where what it has to say is seen.
    let environment = format!("MSEC={}", command("msec").display());
    let words = [&environment, script.to_str().unwrap(), "debug-start"];
    let shown = Child::of_program(std::path::Path::new("env"), &words);
    assert_eq!(shown.line(), format!("Server({SERVICE}) start ok."));
    assert_eq!(srpc("stop"), (Some(0), format!("Server({SERVICE}) stopped.\n")));
    let (status, said) = shown.wait();
    assert!(status.success() && said.contains("started: listens at 127.0.0.1:"), "{said}");
}

#[test]
fn a_nested_call_of_a_plugin_waits_no_longer_than_its_caller_does() {
    let hosted = Hosted::start(&plugin(&[]), "");
    let engine = engine();
    let address = hosted.address();
    let client = Client::new(&engine, &address).unwrap();
    let options = CallOptions::new().timeout(Duration::from_millis(9000));
    let reply = client.call_raw("test.Plugin.Relay", address.as_bytes(), &options).unwrap();
    let left_ms: u64 = std::str::from_utf8(&reply.body).unwrap().parse().unwrap();
    assert!((1..=9000).contains(&left_ms), "{left_ms} ms");
    // And a plugin calls services of Rust.
    let stage = Stage::with(Config::new().cores(1), |server| {
        server.raw("test.Plugin.Remaining", |_| Ok("from Rust"))
    });
    let told = hosted.call(&engine, "test.Plugin.Relay", stage.address().as_bytes());
    assert_eq!(told.unwrap(), "from Rust");
}

#[test]
fn several_workers_share_the_calls() {
    let hosted = Hosted::new(
        Some(&plugin(&[])),
        "[SRPC]\nlisten=127.0.0.1:0/tcp\nprocnum=3\ncores=1\nadmin=127.0.0.1:0/tcp",
    );
    let (ok, said) = hosted.host("start");
    assert!(ok, "{said}");
    assert_eq!(hosted.workers().len(), 3);
    let mut seen = std::collections::BTreeSet::new();
    let address = hosted.address();
    wait_until("all three to have served", || {
        let engine = engine();
        let client = Client::new(&engine, &address).unwrap();
        let reply = client.call_raw("test.Plugin.Where", b"", &CallOptions::new()).unwrap();
        seen.insert(String::from_utf8_lossy(&reply.body).into_owned());
        seen.len() == 3
    });
    // Where the pages are elsewhere, they are not with the calls.
    let page = HttpPeer::connect(&address).get("/status");
    assert_eq!(page.status, 404);
}

#[test]
fn the_level_of_the_log_follows_the_file() {
    let hosted = Hosted::start(&plugin(&[]), "");
    let engine = engine();
    let log = hosted.folder().join(format!("log/{SERVICE}.log"));
    let written = || fs::read_to_string(&log).unwrap_or_default();
    hosted.call(&engine, "test.Plugin.Log", b"").unwrap();
    let config = fs::read_to_string(hosted.folder().join("etc/config.ini")).unwrap();
    hosted.configure(&format!("{config}[LOG]\nLevel=DEBUG\n"));
    wait_until("the record to be written", || {
        hosted.call(&engine, "test.Plugin.Log", b"").unwrap();
        written().contains("said in detail")
    });
    hosted.configure("[LOG\n");
    hosted.wait_for_log("config.ini changed, but says nonsense: line 1");
    hosted.call(&engine, ECHO, b"goes on").unwrap();
}

#[test]
fn sockets_of_systemd_are_used_and_it_is_told_when_all_is_up() {
    let path = std::env::temp_dir().join(format!("msec-notify-{}", std::process::id()));
    let notified = UnixDatagram::bind(&path).unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let config = format!("[SRPC]\nlisten={address}/tcp\ncores=2");
    let hosted = Hosted::new(Some(&plugin(&[])), &config);
    // As systemd does: descriptor 3, and the number of the process that it is for.
    let script = "exec 3<&0 </dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$@\"";
    let mut line = ["-c", script, "sh"].map(str::to_owned).to_vec();
    line.push(command("msec").to_string_lossy().into_owned());
    line.extend(["host", "start", "--foreground", SERVICE, "--root"].map(str::to_owned));
    line.push(hosted.root().to_string_lossy().into_owned());
    let environment = format!("NOTIFY_SOCKET={}", path.display());
    let mut words = vec![environment.as_str(), "sh"];
    words.extend(line.iter().map(String::as_str));
    // It alone has the listener then: one that other tests' children inherited would stay open.
    let listener = std::os::fd::OwnedFd::from(listener);
    let child = Child::of_program_given(std::path::Path::new("env"), &words, listener);
    let mut word = [0; 20];
    notified.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let count = notified.recv(&mut word).unwrap();
    assert_eq!(&word[..count], b"READY=1");
    let engine = engine();
    let client = Client::new(&engine, &address.to_string()).unwrap();
    assert_eq!(&client.call_raw(ECHO, b"x", &CallOptions::new()).unwrap().body[..], b"x");
    child.signal("TERM");
    let (status, stderr) = child.wait();
    assert!(status.success(), "{status}: {stderr}");
    assert!(stderr.contains("Terminate") && stderr.contains("stopping"), "{stderr}");
    let error = client.call_raw(ECHO, b"x", &CallOptions::new()).unwrap_err();
    assert_eq!(error.code(), Code::NETWORK);
    fs::remove_file(path).unwrap();
}

#[test]
fn a_configuration_is_explained_and_checked() {
    let msec = |arguments: &[&str]| {
        let output = Command::new(command("msec")).arg("config").args(arguments).output().unwrap();
        let out = String::from_utf8(output.stdout).unwrap();
        (output.status.code(), out, String::from_utf8(output.stderr).unwrap())
    };
    let (_, all, _) = msec(&["explain"]);
    for part in ["[SRPC]", "procnum = 1", "[JAVA]", "Xmx", "[ENGINE]", "stall_ms", "watchdog"] {
        assert!(all.contains(part), "{part} is not in {all}");
    }
    let hosted = Hosted::new(None, "[SRPC]\nprocnum=2\nlistn=1\nlisten=7963/tcp");
    let path = hosted.folder().join("etc/config.ini");
    let file = path.to_str().unwrap();
    assert!(msec(&["explain", file]).1.contains("procnum = 2    (default: 1)"));
    let (code, out, _) = msec(&["check", file]);
    assert_eq!(code, Some(0));
    assert!(out.contains("line 3: [SRPC] listn is unknown"), "{out}");
    assert!(out.contains("ok: listens at 0.0.0.0:7963; 2 workers"), "{out}");
    hosted.configure("[SRPC]\nprocnum=many");
    let (code, _, err) = msec(&["check", file]);
    assert_eq!(code, Some(2));
    assert!(err.contains("[SRPC] procnum is `many`; allowed is 1 to 64"), "{err}");
}
