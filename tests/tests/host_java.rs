//! `msec host` with `bin/msec.jar`: a JVM is a worker like any other. It is started with the
//! sockets, stops and is reloaded without a lost call, and says why when it cannot start.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use msec::{CallOptions, Client, Config, Context, Engine};
use msec_tests::hosted::{Hosted, SERVICE, plugin};
use msec_tests::http::HttpPeer;
use msec_tests::java::{old_service, worker};
use msec_tests::load::Loader;
use msec_tests::{ECHO, Fleet, Load, Peer, Stage, wait_at_most, wait_until};

const BUILD: &str = "test.Worker.Build";
const LISTEN: &str = "[SRPC]\nlisten=127.0.0.1:0/tcp\ncores=1\n";
/// The JVM has half a dozen megabytes to do.
const JAVA: &str = "[JAVA]\noptions=-Xmx128m\n";
/// What a JVM takes to start where others have the processors as well.
const START: Duration = Duration::from_secs(60);

fn engine() -> Engine {
    Engine::with(Config::new().cores(1)).unwrap()
}

fn patient() -> CallOptions {
    CallOptions::new().timeout(Duration::from_secs(30))
}

/// A service that runs, from that build of the worker, with more of a configuration.
#[track_caller]
fn started(build: &str, more: &str) -> Hosted {
    let hosted = Hosted::new(Some(&worker(build, "Worker")), &format!("{LISTEN}{more}{JAVA}"));
    let (ok, said) = hosted.host("start");
    assert!(ok, "{said}{}", hosted.log());
    hosted
}

/// Reloads, once the generation before has gone.
#[track_caller]
fn reload(hosted: &Hosted) {
    wait_at_most(START, "the generation before to have gone", || {
        let (ok, said) = hosted.host("reload");
        assert!(ok || said.contains("generation before"), "{said}{}", hosted.log());
        ok
    });
}

#[test]
fn a_jar_is_called_knows_its_host_and_stops() {
    let config = "[SRPC]\nlisten=127.0.0.1:0/tcp 127.0.0.1:0/udp\ncores=2\nconf=../a.xml\n";
    let config = format!("{config}{JAVA}[TEST]\nword=spoken\n");
    let hosted = Hosted::new(Some(&worker("1", "Worker")), &config);
    assert_eq!(hosted.host("start"), (true, format!("Server({SERVICE}) start ok.\n")));
    let addresses = hosted.addresses();
    let engine = engine();
    for address in &addresses {
        let client = Client::new(&engine, address).unwrap();
        let reply = client.call_raw(ECHO, b"hello", &patient()).unwrap();
        assert_eq!(&reply.body[..], b"hello", "{address}");
    }
    let told = hosted.call(&engine, "test.Worker.Told", b"").unwrap();
    assert_eq!(told, format!("true {SERVICE} 2 ../a.xml 0 spoken"));
    let page = HttpPeer::connect(&addresses[0]).get("/status?format=json");
    assert!(page.body.contains(SERVICE) && page.body.contains(ECHO), "{}", page.body);
    let shown = hosted.workers();
    assert_eq!((shown.len(), shown[0][3].as_str()), (1, "serving"), "{shown:?}");
    assert_eq!(hosted.host("stop"), (true, format!("Server({SERVICE}) stopped.\n")));
    // The main thread has come back from its server and ended.
    assert!(hosted.log().contains("worker 0: the server has stopped"), "{}", hosted.log());
    let log = fs::read_to_string(hosted.folder().join(format!("log/{SERVICE}.log"))).unwrap();
    assert!(log.contains("told"), "{log}");
    let left: Vec<_> = fs::read_dir(hosted.folder().join("bin")).unwrap().collect();
    assert_eq!(left.len(), 1, "the copy is gone: {left:?}");
    assert_eq!(hosted.reports(), [""; 0]);
}

#[test]
fn a_jar_that_was_written_for_the_original_runs_unchanged() {
    let config =
        format!("{LISTEN}{JAVA}[LOG]\nLevel=INFO\n[COLOR]\nFieldName0=uin\nFieldValue0=7\n");
    let hosted = Hosted::new(Some(&old_service()), &config);
    let (ok, said) = hosted.host("start");
    assert!(ok, "{said}{}", hosted.log());
    let engine = engine();
    let client = Client::new(&engine, &hosted.address()).unwrap();
    let call = |method: &str, body: &[u8], options: &CallOptions| {
        let reply = client.call_raw(&format!("library.ShelfService.{method}"), body, options);
        String::from_utf8_lossy(&reply.unwrap().body).into_owned()
    };
    for method in ["GetTitles", "getTitles"] {
        // The field `type`, which the answer repeats.
        assert!(call(method, b"\x0a\x01x", &patient()).contains("gefunden: x"), "{method}");
    }
    // A book (title, from) of which a pair of [COLOR] has every record kept.
    call("Lend", b"\x0a\x03map\x12\x017", &patient());
    // One that another library has, which tells of the request that reaches it.
    let dyed = |context: &Context| {
        if context.is_dyed() { *b"\x08\x00\x12\x01d" } else { *b"\x08\x00\x12\x01p" }
    };
    let other = Stage::with(Config::new().cores(1), |builder| {
        builder.raw("library.ShelfService.Lend", move |context| Ok(dyed(context).to_vec()))
    });
    let at = other.address();
    let far = [b"\x0a\x03far\x12", &[at.len() as u8][..], at.as_bytes()].concat();
    assert_eq!(call("Lend", &far, &patient()), "\u{8}\0\u{12}\u{1}p");
    assert_eq!(call("Lend", &far, &patient().dyed(true)), "\u{8}\0\u{12}\u{1}d");
    let (stopped, said) = hosted.host("stop");
    assert!(stopped, "{said}{}", hosted.log());
    let log = fs::read_to_string(hosted.folder().join(format!("log/{SERVICE}.log"))).unwrap();
    assert!(log.contains("DEBUG lending uin=7 title=map"), "{log}");
    assert_eq!(log.matches("title=far").count(), 1, "of the dyed one only: {log}");
}

#[test]
fn the_same_jar_runs_by_itself() {
    let mut java = Command::new("java")
        .args(["-Xmx128m", "-jar"])
        .args([worker("1", "Worker").as_os_str(), "127.0.0.1:0".as_ref()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(java.stdout.take().unwrap()).lines().map_while(Result::ok);
    let begin = "listening at ";
    let address = lines.into_iter().find_map(|line| Some(line.strip_prefix(begin)?.to_owned()));
    let engine = engine();
    let client = Client::new(&engine, &address.unwrap()).unwrap();
    let told = client.call_raw("test.Worker.Told", b"", &patient()).unwrap();
    assert!(told.body.starts_with(b"false "), "{:?}", told.body);
    java.kill().unwrap();
    java.wait().unwrap();
}

#[test]
fn a_class_that_the_configuration_names_needs_no_manifest() {
    let config = format!("{LISTEN}[JAVA]\nmain=Worker\noptions=-Xmx128m \"-Dsaid=a b\"\n");
    let hosted = Hosted::new(Some(&worker("1", "")), &config);
    let (ok, said) = hosted.host("start");
    assert!(ok, "{said}{}", hosted.log());
    assert_eq!(hosted.call(&engine(), BUILD, b"").unwrap(), "1");
    let pid = &hosted.workers()[0][2];
    let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
    assert!(line.contains("\0-Dsaid=a b\0"), "{line}");
}

#[test]
fn reloads_at_two_thousand_calls_a_second_lose_none() {
    let hosted = started("1", "drain_max_s=20\n");
    let address = hosted.address();
    let engine = engine();
    // Those who listen to "leaving", those who keep their connection, and those who connect anew.
    let client = Client::new(&engine, &address).unwrap();
    let fleet = Fleet::with(&engine, &client, BUILD, 4, patient());
    let loads = [Load { method: ECHO, rate: 2000.0, options: patient() }];
    let mut kept = Peer::connect(&address);
    for round in 1..=6 {
        let build = ["1", "2"][round % 2];
        hosted.install(&worker(build, "Worker"));
        let tallies = std::thread::scope(|scope| {
            let reloaded = scope.spawn(|| reload(&hosted));
            let loader = Loader::new(&address, 8);
            let tallies = loader.run(&loads, Duration::from_secs(3));
            reloaded.join().unwrap();
            tallies
        });
        assert_eq!(
            tallies[0].good(),
            tallies[0].made,
            "{:?} {:?}",
            tallies[0].codes,
            tallies[0].texts
        );
        wait_until("calls go to the new build", || fleet.part_of_last(100, build) == 1.0);
        assert_eq!(kept.call(BUILD, b"").body, build.as_bytes(), "on the same connection");
        Peer::connect(&address).echo(b"on its own");
    }
    assert_eq!(fleet.failures(), [""; 0]);
    let count = fleet.count();
    fleet.stop();
    println!("{count} calls of the fleet beside {} a round, none lost", 3 * 2000);
    assert_eq!(hosted.reports(), [""; 0], "all went as they should");
}

/// Until then the old one has the traffic.
#[test]
fn a_new_jvm_is_called_after_its_warm_up() {
    let hosted = started("1", "");
    let engine = engine();
    let client = Client::new(&engine, &hosted.address()).unwrap();
    assert!(hosted.log().contains("worker 0: warm after 300 calls"), "{}", hosted.log());
    let fleet = Fleet::with(&engine, &client, BUILD, 2, patient());
    hosted.install(&worker("2", "Worker"));
    reload(&hosted);
    wait_until("calls go to the new build", || fleet.part_of_last(50, "2") == 1.0);
    assert_eq!(fleet.failures(), [""; 0]);
    fleet.stop();
    let log = hosted.log();
    let at = |text: &str| log.rfind(text).unwrap_or_else(|| panic!("{text} is not in {log}"));
    assert!(at("warm after 300 calls") < at("listening at"), "{log}");
    assert!(at("warm after 300 calls") < at("reloaded: generation 2"), "{log}");
}

#[test]
fn a_stop_answers_what_is_under_way_and_so_does_sigterm() {
    for by_signal in [false, true] {
        let hosted = started("1", "");
        let engine = engine();
        let client = Client::new(&engine, &hosted.address()).unwrap();
        let slow: Vec<_> = (0..50)
            .map(|_| client.start_body::<()>("test.Worker.Slow", Vec::new(), &patient()))
            .collect();
        client.call_raw(ECHO, b"they are there by now", &patient()).unwrap();
        let pid = hosted.workers()[0][2].clone();
        match by_signal {
            false => {
                let (ok, said) = hosted.host("stop");
                assert!(ok, "{said}");
            }
            true => {
                let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
                let rest = stat.rsplit_once(") ").unwrap().1;
                signal("TERM", rest.split(' ').nth(1).unwrap());
            }
        }
        for pending in slow {
            assert_eq!(&pending.wait_raw().unwrap().body[..], b"slow");
        }
        let process = format!("/proc/{pid}");
        wait_until("the JVM to go", || !Path::new(&process).exists());
        hosted.wait_for_log("worker 0: the server has stopped");
        assert_eq!(hosted.reports(), [""; 0]);
    }
}

#[test]
fn a_program_that_does_not_end_by_itself_is_ended() {
    let hosted = started("1", "[TEST]\nend=never\n");
    let (ok, said) = hosted.host("stop");
    assert!(ok, "{said}");
    assert_eq!(hosted.reports(), [""; 0], "{}", hosted.log());
}

#[test]
fn a_jvm_that_is_told_to_end_by_itself_answers_first_and_is_replaced() {
    let hosted = started("1", "");
    let engine = engine();
    let client = Client::new(&engine, &hosted.address()).unwrap();
    let slow = client.start_body::<()>("test.Worker.Slow", Vec::new(), &patient());
    client.call_raw(ECHO, b"it is there by now", &patient()).unwrap();
    let pid = hosted.workers()[0][2].clone();
    signal("TERM", &pid);
    assert_eq!(&slow.wait_raw().unwrap().body[..], b"slow");
    wait_at_most(START, "another one", || {
        hosted.workers().iter().all(|row| row[3] == "serving" && row[2] != pid)
    });
    assert_eq!(&client.call_raw(ECHO, b"x", &patient()).unwrap().body[..], b"x");
}

/// `start` fails, says so, and leaves nobody.
#[track_caller]
fn is_refused(jar: &Path, config: &str, why: &str) {
    let hosted = Hosted::new(Some(jar), &format!("{LISTEN}{config}"));
    let (ok, said) = hosted.host("start");
    assert!(!ok && said.contains(why), "`{why}` is not in `{said}`: {}", hosted.log());
    assert!(!hosted.host("show").0);
    let left: Vec<_> = fs::read_dir(hosted.folder().join("bin")).unwrap().collect();
    assert!(left.len() <= 1, "the private copy is left: {left:?}");
}

#[test]
fn what_cannot_be_started_is_told_with_the_reason() {
    let jar = worker("1", "Worker");
    let nonsense = jar.with_file_name("nonsense.jar");
    fs::write(&nonsense, "no jar").unwrap();
    is_refused(&nonsense, "", "Invalid or corrupt jarfile");
    let none = "no main manifest attribute, in ";
    is_refused(&worker("1", ""), "", none);
    is_refused(&worker("1", ""), "", "[JAVA] main may name the class");
    let missing = "find or load main class no.Such; Caused by: java.lang.ClassNotFoundException";
    is_refused(&jar, "[JAVA]\nmain=no.Such\n", missing);
    is_refused(&jar, "[JAVA]\noptions=-Xnonsense\n", "Unrecognized option: -Xnonsense");
    let thrown = "java.lang.IllegalStateException: no database";
    is_refused(&jar, "[TEST]\ninit=throw\n", thrown);
    is_refused(&jar, "[TEST]\ninit=return\n", "returned before it had started a server");
    is_refused(&jar, "[TEST]\ninit=crash\n", "SIGSEGV (0xb) at pc=");
    let late = "it was not ready within 1500 ms";
    is_refused(&jar, "ready_ms=1500\n[TEST]\ninit=block\n", late);
    let nowhere = "there is no JVM at /nowhere/bin/java, which [JAVA] home names";
    is_refused(&jar, "[JAVA]\nhome=/nowhere\n", nowhere);
}

#[test]
fn a_jvm_that_is_too_old_or_missing_is_told() {
    let jar = worker("1", "Worker");
    let hosted = Hosted::new(Some(&jar), LISTEN);
    let home = hosted.root().join("jdk");
    fs::create_dir_all(home.join("bin")).unwrap();
    fs::write(home.join("bin/java"), "").unwrap();
    fs::write(home.join("release"), "JAVA_VERSION=\"11.0.2\"\n").unwrap();
    let start = |variable: &str, value: &Path| {
        let mut start = hosted.command("start");
        let output = start.env_remove("JAVA_HOME").env(variable, value).output().unwrap();
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let said = start("JAVA_HOME", &home);
    assert!(said.contains("found by JAVA_HOME, is Java 11; bin/msec.jar takes 17"), "{said}");
    let said = start("PATH", Path::new("/nowhere"));
    assert!(said.contains("PATH has no java; install a JDK 17 or newer"), "{said}");
}

/// A JVM is none of the hook's business: a handler in Java has a thread, and may block it.
#[test]
fn a_jar_is_not_hooked_and_the_switch_is_warned_about() {
    let warning = "[SRPC] hook has no effect on a jar";
    let hosted = started("1", "hook=1\n");
    let hooked = |pid: &str| {
        ["environ", "maps"].map(|name| {
            let bytes = fs::read(format!("/proc/{pid}/{name}")).unwrap();
            assert!(!bytes.is_empty(), "{name}");
            String::from_utf8_lossy(&bytes).contains("libmsec_hook")
        })
    };
    let pid = hosted.workers()[0][2].clone();
    assert_eq!(hooked(&pid), [false, false]);
    assert_eq!(hosted.log().matches(warning).count(), 1, "{}", hosted.log());
    // Nor is the one that a reload brings.
    hosted.configure(&format!("{LISTEN}hook=diagnose\n{JAVA}"));
    reload(&hosted);
    wait_at_most(START, "another JVM alone", || hosted.workers().iter().all(|row| row[2] != pid));
    assert_eq!(hooked(&hosted.workers()[0][2]), [false, false]);
    assert_eq!(hosted.log().matches(warning).count(), 2, "{}", hosted.log());
    assert_eq!(hosted.call(&engine(), BUILD, b"").unwrap(), "1");
}

#[test]
fn a_plugin_and_a_jar_at_once_are_one_too_many() {
    let hosted = Hosted::new(Some(&worker("1", "Worker")), &format!("{LISTEN}{JAVA}"));
    hosted.install(&plugin(&[]));
    let (ok, said) = hosted.host("start");
    assert!(!ok && said.contains("msec.so and msec.jar are both in"), "{said}");
    let config = LISTEN.replace("[SRPC]\n", "[SRPC]\nmodule=msec.jar\n");
    hosted.configure(&format!("{config}{JAVA}"));
    assert!(hosted.host("start").0, "{}", hosted.log());
    assert_eq!(hosted.call(&engine(), BUILD, b"").unwrap(), "1");
}

#[test]
fn a_reload_that_fails_leaves_the_old_jvm_alone() {
    let config = format!("{LISTEN}ready_ms=10000\n{JAVA}");
    let hosted = started("1", "ready_ms=10000\n");
    let engine = engine();
    let client = Client::new(&engine, &hosted.address()).unwrap();
    let fleet = Fleet::with(&engine, &client, BUILD, 4, patient());
    let pid = hosted.workers()[0][2].clone();
    let fails = |config: &str, why: &str| hosted.reload_fails(config, why);
    let goes_on = "the old generation goes on: ";
    let thrown = format!("{goes_on}java.lang.IllegalStateException: no database");
    fails(&format!("{config}[TEST]\ninit=throw\n"), &thrown);
    let late = format!("{goes_on}it was not ready within 2000 ms");
    let config_late = config.replace("ready_ms=10000", "ready_ms=2000");
    fails(&format!("{config_late}[TEST]\ninit=block\n"), &late);
    fails(&format!("{LISTEN}[JAVA]\nhome=/nowhere\n"), "there is no JVM at /nowhere/bin/java");
    fs::write(hosted.folder().join("bin/msec.jar"), "no jar").unwrap();
    fails(&config, &format!("{goes_on}Invalid or corrupt jarfile"));
    fleet.wait_for_more(200);
    assert_eq!(fleet.failures(), [""; 0]);
    fleet.stop();
    assert_eq!(hosted.workers()[0][2], pid);
}

#[track_caller]
fn signal(name: &str, pid: &str) {
    assert!(Command::new("kill").args([&format!("-{name}"), pid]).status().unwrap().success());
}
