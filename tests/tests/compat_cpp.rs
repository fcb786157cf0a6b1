//! Sources of the original: services, clients and programs with sockets of their own, in the
//! projects that `msec gen --compat` makes, built by make against an installed msec. What their
//! calls end with is what the original's did.
//!
//! The library of `cpp-examples/migration` has two services: the counter asks a catalogue, which
//! speaks a protocol of its own, and the shelves. `tests/compat` has what only tests want to know.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use msec::{CallOptions, Client, Config, Engine};
use msec_protocol::{AnswerHead, Code};
use msec_tests::emulated::{resetting, silent};
use msec_tests::hosted::{Hosted, SERVICE};
use msec_tests::programs::{command, outside_of_cargo, repository, run};
use msec_tests::{Emulated, Seen, Wire, curl, free_address, wait_until};

/// The library, as somebody has it who has just come over, and an msec for it.
struct Built {
    prefix: PathBuf,
    project: PathBuf,
}

/// What is built by make.
const FOLDERS: [&str; 6] = [
    "library_server",
    "shelf_server",
    "probe_server",
    "library_client",
    "city_post_server",
    "city_post_client",
];

static BUILT: LazyLock<Built> = LazyLock::new(|| {
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compat_cpp");
    let _ = fs::remove_dir_all(&scratch);
    fs::create_dir_all(&scratch).unwrap();
    let (prefix, project) = (scratch.join("prefix"), scratch.join("migration"));
    let mut install = Command::new(repository().join("xtask/install.sh"));
    run(install.arg(command("msec").parent().unwrap()).arg(&prefix).arg(&prefix));
    copy(&repository().join("cpp-examples/migration"), &project);
    copy(&repository().join("tests/compat/probe_server"), &project.join("probe_server"));
    copy(&repository().join("tests/compat/calls.cpp"), &project.join("calls.cpp"));
    for name in ["library", "shelf", "probe"] {
        let proto = project.join(format!("{name}_server/{name}.proto"));
        let mut generate = Command::new(prefix.join("bin/msec"));
        run(generate.arg("gen").arg("--compat").arg(proto).arg("--out").arg(&project));
    }
    // Two services, a package with a dot, an import, messages within messages.
    let golden = repository().join("codegen/tests/golden");
    let mut generate = Command::new(prefix.join("bin/msec"));
    generate.arg("gen").arg("--compat").arg(golden.join("compat/post.proto"));
    run(generate.arg("-I").arg(golden).arg("--out").arg(&project));
    let built = Built { prefix, project };
    for folder in FOLDERS {
        run(&mut built.make(folder, "all"));
    }
    built.compile("library_cgi/cgi_library.cpp", "library_client", "library");
    built.compile("calls.cpp", "shelf_server", "shelf");
    built
});

fn copy(from: &Path, to: &Path) {
    run(Command::new("cp").arg("-a").arg(from).arg(to));
}

impl Built {
    fn make(&self, folder: &str, target: &str) -> Command {
        let mut make = Command::new("make");
        make.arg("-C").arg(self.project.join(folder)).arg(target);
        make.arg("-j2").arg(format!("MSEC={}", self.prefix.join("bin/msec").display()));
        // What is not clean here would not be at those who come over.
        make.arg("CXXFLAGS=-std=c++11 -O0 -Wall -Wextra -Werror");
        outside_of_cargo(&mut make).env_remove("MAKEFLAGS").env_remove("MAKELEVEL");
        make
    }

    /// Compiles a program of one file and a .proto file's messages.
    fn compile(&self, source: &str, folder: &str, proto: &str) {
        let mut ask = Command::new("pkg-config");
        ask.env("PKG_CONFIG_PATH", self.prefix.join("lib/pkgconfig"));
        let flags = run(ask.args(["--cflags", "--libs", "msec-compat"]));
        let mut compile = Command::new("c++");
        compile.args(["-std=c++11", "-Wall", "-Wextra", "-Werror", "-I"]);
        compile.arg(self.project.join(folder)).arg(self.project.join(source));
        compile.arg(self.project.join(folder).join(format!("{proto}.pb.cc")));
        compile.args(flags.split_whitespace());
        compile.arg(format!("-Wl,-rpath,{}", self.prefix.join("lib").display()));
        run(compile.arg("-o").arg(self.project.join(source).with_extension("")));
    }

    fn plugin(&self, name: &str) -> PathBuf {
        self.project.join(format!("{name}_server/msec.so"))
    }
}

/// A plugin under `msec host`, at an address by UDP and TCP.
fn serve(name: &str, address: &str, config: &str) -> Hosted {
    let listen = format!("[SRPC]\nlisten={address}/udp {address}/tcp\n");
    let hosted = Hosted::new(Some(&BUILT.plugin(name)), &format!("{listen}{config}"));
    let (ok, said) = hosted.host("start");
    assert!(ok, "{said}{}", hosted.log());
    hosted
}

/// Waits for a record in the log of a plugin.
#[track_caller]
fn logs(hosted: &Hosted, text: &str) {
    let path = hosted.folder().join(format!("log/{SERVICE}.log"));
    wait_until(&format!("`{text}` in {}", path.display()), || {
        fs::read_to_string(&path).is_ok_and(|log| log.contains(text))
    });
}

/// A file of routes with one service.
fn routes(name: &str, service: &str, address: &str) -> PathBuf {
    let path = BUILT.project.join(format!("{name}.toml"));
    let text = format!(
        "[[service]]\nname = \"{service}\"\n[[service.instance]]\naddress = \"{address}\"\n"
    );
    fs::write(&path, text).unwrap();
    path
}

/// A catalogue, which answers each packet as `answer` does; its address. Ends with this program.
fn catalogue(answer: impl Fn(&str, &mut TcpStream) + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        thread::scope(|scope| {
            for mut stream in listener.incoming().flatten() {
                let answer = &answer;
                scope.spawn(move || {
                    let mut length = [0; 10];
                    while stream.read_exact(&mut length).is_ok() {
                        let length = std::str::from_utf8(&length).unwrap().parse().unwrap();
                        let mut json = vec![0; length];
                        stream.read_exact(&mut json).unwrap();
                        answer(&String::from_utf8(json).unwrap(), &mut stream);
                    }
                });
            }
        });
    });
    address
}

fn packet(json: &str) -> Vec<u8> {
    format!("{:010}{json}", json.len()).into_bytes()
}

/// What a program of the project says.
fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(BUILT.project.join(program)).args(arguments).output().unwrap();
    let (out, err) = (&output.stdout, String::from_utf8_lossy(&output.stderr));
    assert!(output.status.code().is_some(), "{program} {arguments:?}: {} {err}", output.status);
    String::from_utf8_lossy(out).into_owned()
}

#[test]
fn a_service_of_old_is_called_by_everything_and_calls_others() {
    let titles = catalogue(|json, stream| {
        let titles = if json.contains("Austen") { r#"["Emma", "Persuasion"]"# } else { "[]" };
        let bytes = packet(titles);
        // In two parts, as they may come.
        stream.write_all(&bytes[..7]).unwrap();
        stream.write_all(&bytes[7..]).unwrap();
    });
    let (address, shelf_address) = (free_address(), free_address());
    let shelf = serve("shelf", &shelf_address, "");
    let table = routes("library", "Library.shelf", &shelf_address);
    let config =
        format!("[ENGINE]\nroutes={}\n[CATALOGUE]\naddress={titles}@tcp\n", table.display());
    let library = serve("library", &address, &config);

    for kind in ["udp", "tcp"] {
        let lent = said("library_client/client_library_sync", &[kind, &address, "Emma"]);
        assert_eq!(lent, "lent: A 3\n", "{}", library.log());
        let lent = said("library_client/client_library_sync", &[kind, &address, "Ulysses"]);
        assert!(lent.starts_with("failed -18: -18 service implement failed"), "{lent}");
    }

    let (ip, port) = address.split_once(':').unwrap();
    let found = said("library_cgi/cgi_library", &[ip, port, "Austen"]);
    assert_eq!(found, "ret 0, fret 0, sret 0: success\nEmma\nPersuasion\n");
    // What a method returns travels, beside an answer.
    let found = said("library_cgi/cgi_library", &[ip, port, "Nobody"]);
    assert_eq!(found, "ret 0, fret 0, sret 1: success\n");

    let post = |method: &str, json: &str| {
        let target = format!("http://{address}/invoke?methodName=library.LibraryService.{method}");
        curl(&["-H", "Content-Type: application/json", "-d", json, &target], "")
    };
    let lent = post("Lend", r#"{"title": "Emma"}"#);
    assert_eq!(lent, r#"{"ret":0,"errmsg":"","resultObj":{"place":"A 3"}}"#);
    let refused = post("Lend", r#"{"title": "Ulysses"}"#);
    assert_eq!(refused, r#"{"ret":-18,"errmsg":"-18 service implement failed"}"#);
    let found = post("GetTitles", "{}");
    assert_eq!(found, r#"{"ret":0,"errmsg":"","resultObj":{}}"#);

    let failed =
        "frm.rpc call [Library.shelf:shelf.ShelfService.Find] fail:service implement failed";
    let own = [
        (&library, "usr.lent"),
        (&shelf, "usr.searched"),
        (&shelf, "frm.rpc caller [Test.plugin]"),
        (&shelf, "frm.rpc service implement failed"),
        (&library, "frm.rpc call [Library.shelf:shelf.ShelfService.Find]"),
        (&library, "frm.rpc call [Library.shelf:shelf.ShelfService.Find] success"),
        (&library, failed),
        (&library, "frm.rpc call [Library.shelf] cost ["),
    ];
    for (hosted, attribute) in own {
        let metrics = curl(&[&format!("http://{}/metrics", hosted.addresses()[1])], "");
        assert!(metrics.contains(attribute), "{attribute}: {metrics}");
    }
    logs(&shelf, "no book Ulysses");
}

#[test]
fn a_method_finds_its_request_its_thread_and_its_failures_as_before() {
    let address = free_address();
    let table = routes("probe", "Test.plugin", &address);
    let config = format!("conf=probe.xml\n[ENGINE]\nroutes={}\n", table.display());
    let hosted = serve("probe", &address, &config);
    let look = |what: &str| {
        let target = format!("http://{address}/invoke?methodName=probe.ProbeService.Look");
        let body = format!("{{\"what\": \"{what}\"}}");
        curl(&["-H", "caller: Test.reader", "-d", &body, &target], "")
    };
    let text = |text: &str| format!("{{\"ret\":0,\"errmsg\":\"\",\"resultObj\":{text}}}");
    assert_eq!(look("tasks"), text(r#"{"text":"both for Test.reader"}"#), "{}", hosted.log());
    assert_eq!(look("thread"), text(r#"{"text":"alone, and answered"}"#), "{}", hosted.log());
    assert_eq!(look("loop"), text(r#"{"text":"it turns"}"#));
    assert_eq!(look("returned"), text(r#"{"text":"and more"}"#));
    assert_eq!(look("failed"), r#"{"ret":-18,"errmsg":"nothing to look at"}"#);
    assert_eq!(look("thrown"), r#"{"ret":-18,"errmsg":"thrown by the probe"}"#);
    assert_eq!(look("nothing"), r#"{"ret":-8,"errmsg":"the answer lacks text"}"#);
    thread::scope(|scope| {
        let turns: Vec<_> = (0..8).map(|_| scope.spawn(|| look("turns"))).collect();
        for turn in turns {
            assert_eq!(turn.join().unwrap(), text(r#"{"text":"in turns"}"#));
        }
    });
}

#[test]
fn what_a_plugin_does_at_its_start_and_its_end_is_in_the_log() {
    let address = free_address();
    let hosted = serve("probe", &address, "conf=probe.xml\n[LOG]\nLevel=INFO\n");
    logs(&hosted, "Test.plugin begins with probe.xml");
    assert!(hosted.host("stop").0);
    logs(&hosted, "ended with probe.xml");
    hosted.configure(&format!("[SRPC]\nlisten={address}/tcp\nconf=broken\n"));
    let (ok, said) = hosted.host("start");
    assert!(!ok && said.contains("spp_handle_init returned -7"), "{said}");
}

/// The method that the backends of the next test have.
const FIND: &str = "shelf.ShelfService.Find";

/// `ret fret sret` of calls of a backend in every manner: by the name of the service, by a proxy,
/// by a stub over TCP.
fn codes(address: &str, title: &str, timeout_ms: u32) -> [String; 3] {
    let port = address.rsplit(':').next().unwrap();
    let table = routes(&format!("codes-{port}"), "Library.shelf", address);
    let timeout_ms = timeout_ms.to_string();
    let of = |how: &str, target: &str| {
        let mut calls = Command::new(BUILT.project.join("calls"));
        calls.env("MSEC_ROUTES", &table).args([how, target, FIND, title, &timeout_ms]);
        let said = run(&mut calls);
        said.split_once(':').unwrap().0.to_owned()
    };
    [of("service", "Library.shelf"), of("proxy", address), of("tcp", address)]
}

/// Answers with a body and a code.
fn answering(code: i32, body: &'static [u8]) -> impl Fn(&Seen, &mut Wire) + Send + Sync {
    move |seen, wire| {
        let answer = AnswerHead::to(&seen.head, &seen.head_bytes);
        wire.answer(&AnswerHead { err: Code(code), result: 7, ..answer }, body);
    }
}

#[test]
fn calls_end_with_the_codes_of_the_original() {
    const FOUND: &[u8] = b"\x0a\x03A 3";
    let other = |seen: &Seen, wire: &mut Wire| {
        let answer = AnswerHead::to(&seen.head, &seen.head_bytes);
        wire.answer(&AnswerHead { sequence: seen.head.sequence + 1000, ..answer }, FOUND);
    };
    let check = |server: Emulated, timeout_ms, expect: [&str; 3]| {
        assert_eq!(codes(&server.address(), "Emma", timeout_ms), expect);
    };
    check(Emulated::start(answering(0, FOUND)), 2000, ["0 0 0", "0 0 7", "0 0 7"]);
    check(Emulated::start(silent), 150, ["-13 0 0", "-12 -12 0", "-13 1 0"]);
    check(Emulated::start(resetting), 2000, ["-13 0 0", "-13 -13 0", "-13 1 0"]);
    check(Emulated::start(other), 600, ["-16 0 0", "-16 -16 0", "-16 1 0"]);
    check(Emulated::start(answering(0, b"")), 2000, ["-17 0 0", "-17 -17 7", "-17 1 7"]);
    check(Emulated::start(answering(0, b"\xff")), 2000, ["-5 0 0", "-5 -5 7", "-5 1 7"]);
    check(Emulated::start(answering(-18, b"")), 2000, ["-18 0 0", "-19 -18 0", "-18 1 0"]);
    check(Emulated::start(answering(-1000, b"")), 2000, ["-1000 0 0", "-19 -1000 0", "-1000 1 0"]);
    check(Emulated::start(answering(-11, b"")), 2000, ["-11 0 0", "-19 -11 0", "-11 1 0"]);
    check(Emulated::start(answering(-101, b"")), 2000, ["-13 0 0", "-13 -13 0", "-13 1 0"]);
    check(Emulated::start(answering(-102, b"")), 2000, ["-13 0 0", "-12 -12 0", "-13 1 0"]);

    check(Emulated::start(answering(-107, b"")), 2000, ["-107 0 0", "-19 -107 0", "-107 1 0"]);

    let refused = codes(&free_address(), "Emma", 2000);
    assert_eq!(refused, ["-13 0 0", "-13 -13 0", "-13 1 0"]);
    // Without a required field nothing is sent.
    let unsent = codes(&free_address(), "-", 2000);
    assert_eq!(unsent, ["-8 0 0", "-8 -8 0", "-8 1 0"]);
    for (how, target, expect) in [
        ("service", "Library.none", "-15 0 0: get route failed\n"),
        ("service", "Library", "-15 0 0: get route failed\n"),
        ("proxy", "Library.none", "-15 -15 0: "),
        ("proxy", "nonsense", "-14 -14 0: invalid endpoint\n"),
        ("proxy", "127.0.0.1:0@tcp", "-14 -14 0: invalid endpoint\n"),
        ("tcp", "nonsense", "-14 1 0: invalid endpoint\n"),
        ("udp", "127.0.0.1", "-14 1 0: invalid endpoint\n"),
    ] {
        let said = said("calls", &[how, target, FIND, "Emma", "500"]);
        assert!(said.starts_with(expect), "{how} {target}: {said}");
    }
}

#[test]
fn each_header_stands_alone_and_warns_of_nothing() {
    let mut ask = Command::new("pkg-config");
    ask.env("PKG_CONFIG_PATH", BUILT.prefix.join("lib/pkgconfig"));
    let flags = run(ask.args(["--cflags", "msec-compat"]));
    let check = |compiler: &str, header: &str| {
        let source = BUILT.project.join(format!("{header}.cpp"));
        fs::write(&source, format!("#include \"{header}\"\n")).unwrap();
        let mut words = compiler.split(' ');
        let mut compile = Command::new(words.next().unwrap());
        compile.args(words).args(["-Wall", "-Wextra", "-Werror", "-fsyntax-only"]);
        run(compile.args(flags.split_whitespace()).arg(source));
    };
    for header in [
        "SyncFrame.h",
        "srpc_channel.h",
        "srpc_comm.h",
        "srpc_intf.h",
        "srpc_plugin.h",
        "srpc_proto.h",
        "srpc_service.h",
    ] {
        check("g++ -std=c++11", header);
    }
    for compiler in ["clang++ -std=c++11", "clang++ -std=c++20", "g++ -std=c++20"] {
        check(compiler, "srpcincl.h");
    }
}

#[test]
fn packages_are_made_and_read_where_there_is_no_engine() {
    assert_eq!(said("calls", &["packages"]), "");
}

#[test]
fn a_third_party_is_spoken_to_in_its_own_protocol() {
    let address = catalogue(|json, stream| match json {
        "malformed" => stream.write_all(b"<html>\r\n\r\n").unwrap(),
        "oversized" => stream.write_all(b"9999999999[]").unwrap(),
        "large" => stream.write_all(&packet(&"x".repeat(1 << 20))).unwrap(),
        "cut" => {
            stream.write_all(b"0000000010[").unwrap();
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
        "late" => {}
        json => stream.write_all(&packet(json)).unwrap(),
    });
    let call = |json: &str, timeout_ms: &str| {
        let packet = String::from_utf8(packet(json)).unwrap();
        said("calls", &["third", &format!("{address}@tcp"), &packet, timeout_ms])
    };
    assert_eq!(call("[1]", "2000"), "0: 0000000003[1]\n");
    assert_eq!(call("large", "5000").len(), "0: \n".len() + 10 + (1 << 20));
    assert_eq!(call("malformed", "2000"), "-13: the answer is not well formed\n");
    assert_eq!(call("oversized", "2000"), "-13: the answer is not well formed\n");
    assert_eq!(call("cut", "2000"), "-13: network sendrecv failed\n");
    assert_eq!(call("late", "400"), "-12: recevice timeout\n");
    let refused = said("calls", &["third", &free_address(), "x", "2000"]);
    assert_eq!(refused, "-13: network sendrecv failed\n");
    // By its name, where there is a route to it.
    for (name, expect) in [("catalogue", "0: 0000000003[1]\n"), ("none", "-15: get route failed\n")]
    {
        let mut calls = Command::new(BUILT.project.join("calls"));
        calls.env("MSEC_ROUTES", routes("third", "Library.catalogue", &address));
        calls.args(["third", &format!("Library.{name}"), "0000000003[1]", "2000"]);
        assert_eq!(run(&mut calls), expect);
    }
}

/// What a client of the shelves asks for.
fn find(address: &str, title: &str) -> String {
    let target = format!("http://{address}/invoke?methodName=shelf.ShelfService.Find");
    curl(&["-d", &format!("{{\"title\": \"{title}\"}}"), &target], "")
}

#[test]
fn on_a_full_disk_a_service_of_old_goes_on_without_its_log() {
    let address = free_address();
    let config = format!("[SRPC]\nlisten={address}/tcp\n");
    let hosted = Hosted::new(Some(&BUILT.plugin("shelf")), &config);
    let log = hosted.folder().join("log");
    fs::create_dir_all(&log).unwrap();
    symlink("/dev/full", log.join(format!("{SERVICE}.log"))).unwrap();
    let (ok, said) = hosted.host("start");
    assert!(ok, "{said}{}", hosted.log());
    for _ in 0..20 {
        assert!(find(&address, "Ulysses").contains("\"ret\":-18,"));
        assert!(find(&address, "Emma").contains("A 3"));
    }
    let lost = || {
        curl(&[&format!("http://{address}/metrics")], "").lines().any(|line| {
            line.starts_with("msec_log_dropped_total") && line.contains("reason=\"disk\"")
        })
    };
    wait_until("the losses to be counted", lost);
    assert_eq!(hosted.workers()[0][4], "0", "no worker was replaced");
    // Somebody has made room.
    fs::remove_file(log.join(format!("{SERVICE}.log"))).unwrap();
    wait_until("records to be written again", || {
        find(&address, "Ulysses");
        fs::read_to_string(log.join(format!("{SERVICE}.log")))
            .is_ok_and(|text| text.contains("no book Ulysses"))
    });
}

#[test]
fn a_worker_of_old_that_is_killed_fails_its_calls_at_once_and_is_replaced() {
    let address = free_address();
    let hosted = serve("shelf", &address, "");
    let engine = Engine::with(Config::new().cores(1)).unwrap();
    let client = Client::new(&engine, &address).unwrap();
    // A message with one text, whose tag is 1.
    let call = || {
        let patient = CallOptions::new().timeout(Duration::from_secs(30));
        client.call_raw("shelf.ShelfService.Find", b"\x0a\x04Emma", &patient)
    };
    call().unwrap();
    let (over, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    let more = |count: usize| {
        let least = answered.load(Ordering::Acquire) + count;
        wait_until("more answers", || answered.load(Ordering::Acquire) >= least);
    };
    let codes = thread::scope(|scope| {
        let calls = || {
            let mut codes = Vec::new();
            while !over.load(Ordering::Acquire) {
                match call() {
                    Ok(_) => _ = answered.fetch_add(1, Ordering::AcqRel),
                    Err(error) => codes.push(error.code()),
                }
            }
            codes
        };
        let callers: Vec<_> = (0..4).map(|_| scope.spawn(calls)).collect();
        more(100);
        run(Command::new("kill").args(["-9", &hosted.workers()[0][2]]));
        wait_until("it is replaced", || hosted.workers()[0][4] == "1");
        more(100);
        over.store(true, Ordering::Release);
        callers.into_iter().flat_map(|caller| caller.join().unwrap()).collect::<Vec<_>>()
    });
    assert!(!codes.is_empty() && codes.iter().all(|code| *code == Code::NETWORK), "{codes:?}");
}
