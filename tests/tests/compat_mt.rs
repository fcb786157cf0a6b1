//! Programs and plugins that were written for the original's coroutines, log, counters and
//! configuration: compiled as they are, and run.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

use msec::{CallOptions, Client, Code, Config, Engine};
use msec_tests::hosted::{Hosted, SERVICE};
use msec_tests::programs::{command, repository, run};
use msec_tests::{HttpPeer, Mariadb, alone, free_address, free_port, wait_until};

/// Where libmsec and what old code needs are installed for these tests.
static PREFIX: LazyLock<PathBuf> = LazyLock::new(|| {
    let prefix = scratch("prefix");
    let library = command("libmsec.so");
    let mut install = Command::new(repository().join("xtask/install.sh"));
    run(install.arg(library.parent().unwrap()).arg(&prefix).arg(&prefix));
    prefix
});

fn scratch(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compat_mt").join(name);
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// What pkg-config says is needed to build with it.
static FLAGS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let mut ask = Command::new("pkg-config");
    ask.env("PKG_CONFIG_PATH", PREFIX.join("lib/pkgconfig"));
    let flags = run(ask.args(["--cflags", "--libs", "msec-compat"]));
    flags.split_whitespace().map(str::to_owned).collect()
});

/// Compiles a source of `tests/compat`, or one with its whole path, without a warning; `compiler`
/// may have flags.
fn compile(compiler: &str, source: &str, name: &str) -> PathBuf {
    let program = scratch("programs").join(name);
    let mut words = compiler.split(' ');
    let mut compiling = Command::new(words.next().unwrap());
    compiling.args(words).args(["-g", "-O1", "-Wall", "-Wextra", "-Werror"]);
    compiling.arg(repository().join("tests/compat").join(source)).arg("-o").arg(&program);
    // The library is C++, whatever the program is.
    run(compiling.args(&*FLAGS).args(["-lstdc++", "-pthread"]));
    program
}

/// A program about to run, which is ended should it hang.
fn program(path: &Path) -> Command {
    let mut running = Command::new("timeout");
    running.args(["--kill-after=5", "60"]).arg(path);
    running.env("LD_LIBRARY_PATH", PREFIX.join("lib"));
    running
}

/// Serves each connection to a free port with that; where.
fn tcp(serve: impl Fn(TcpStream) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || listener.incoming().for_each(|stream| serve(stream.unwrap())));
    address
}

/// A request of ten digits and five bytes; `None` when there is no further one.
fn request(stream: &mut TcpStream) -> Option<[u8; 15]> {
    let mut bytes = [0; 15];
    stream.read_exact(&mut bytes).is_ok().then_some(bytes)
}

fn echo(mut stream: TcpStream) {
    std::thread::spawn(move || {
        while let Some(bytes) = request(&mut stream) {
            stream.write_all(&bytes).unwrap();
        }
    });
}

/// Closes with something unread, which is a reset.
fn reset(mut stream: TcpStream) {
    stream.read_exact(&mut [0; 1]).unwrap();
}

/// Requests that are answered together, when the last has come.
const TOGETHER: usize = 100;

/// The servers of `sockets.cpp`, in its order.
fn servers() -> Vec<String> {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let udp_silent = silent.local_addr().unwrap().to_string();
    let held = Mutex::new(Vec::new());
    let hold = move |stream: TcpStream| held.lock().unwrap().push((stream, silent.local_addr()));
    let requests = Mutex::new(Vec::new());
    let together = move |mut stream: TcpStream| {
        let bytes = request(&mut stream).unwrap();
        let mut streams = requests.lock().unwrap();
        streams.push(stream);
        if streams.len() == TOGETHER {
            streams.iter_mut().for_each(|stream| stream.write_all(&bytes).unwrap());
        }
    };
    let echoes = UdpSocket::bind("127.0.0.1:0").unwrap();
    let udp_echo = echoes.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        let mut bytes = [0; 64];
        while let Ok((size, peer)) = echoes.recv_from(&mut bytes) {
            echoes.send_to(&bytes[..size], peer).unwrap();
        }
    });
    let once = |mut stream: TcpStream| {
        let bytes = request(&mut stream).unwrap();
        stream.write_all(&bytes).unwrap();
        // What comes after an answer is not read any more: a reset, but only then.
        std::thread::spawn(move || {
            stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
            let _ = stream.read_exact(&mut [0; 1]);
        });
    };
    let large = |mut stream: TcpStream| {
        request(&mut stream).unwrap();
        let body = vec![b'z'; 300_000];
        stream.write_all(format!("{:010}", body.len()).as_bytes()).unwrap();
        stream.write_all(&body).unwrap();
    };
    vec![
        tcp(echo),
        free_address(),
        tcp(reset),
        tcp(hold),
        tcp(|mut stream| {
            request(&mut stream).unwrap();
            stream.write_all(b"no digits at all").unwrap();
        }),
        tcp(|mut stream| {
            request(&mut stream).unwrap();
            stream.shutdown(Shutdown::Both).unwrap();
        }),
        tcp(once),
        tcp(large),
        udp_echo,
        free_address(),
        udp_silent,
        tcp(together),
    ]
}

/// What became of each request, by its name.
const OUTCOMES: &str = "\
    echo 0 - [0000000005hello]\n\
    echo kept 0 - [0000000005hello]\n\
    echo short 0 - [0000000005hello]\n\
    refused -4 ECONNREFUSED []\n\
    reset -3 ECONNRESET []\n\
    silent -3 ETIME []\n\
    junk -5 EBADMSG []\n\
    too small -6 EMSGSIZE []\n\
    closed -7 ECONNABORTED []\n\
    once 0 - [0000000005hello]\n\
    once more 0 - [0000000005hello]\n\
    send only 0 - []\n\
    no arguments -10 EINVAL []\n\
    large 0 - [300010z]\n\
    beyond -11 EMSGSIZE []\n\
    udp echo 0 - [0000000005hello]\n\
    udp refused -3 ECONNREFUSED []\n\
    udp silent -3 ETIME []\n\
    by hand 0 - [0000000005hello]\n\
    nothing more -1 ETIME []\n\
    no event 0 - []\n\
    an event of two 0 - []\n\
    closed by us -1 EBADF []\n\
    lent 0 - [0000000005hello]\n\
    lent again 0 - []\n\
    many 0 - [64 kept]\n";

#[test]
fn each_end_of_an_exchange_has_its_code_at_once() {
    let built = compile("c++ -std=c++11", "sockets.cpp", "sockets");
    for control in ["main", "thread"] {
        let begun = msec_tests::now();
        let said = run(program(&built).args(servers()).arg(control));
        let took = begun.elapsed();
        // On the thread of main nothing but the kernel waits.
        let more = if control == "main" { "" } else { "closed by another -1 EBADF []\n" };
        assert_eq!(said, OUTCOMES.to_owned() + more, "by {control}");
        assert!(took < Duration::from_secs(30), "a failure waited for its time: {took:?}");
    }
}

#[test]
fn connections_are_kept_for_a_minute_and_not_without_a_bound() {
    let inside = PREFIX.join("share/msec/compat");
    let source = inside.join("kept.cpp");
    let compiler = format!("c++ -std=c++11 -I{} {}", inside.display(), source.display());
    let built = compile(&compiler, "kept.cpp", "kept");
    assert_eq!(run(&mut program(&built)), "everything works\n");
}

#[test]
fn one_thread_of_control_runs_at_a_time() {
    let built = compile("c++ -std=c++11", "frame.cpp", "frame");
    let _alone = alone();
    let said = run(&mut program(&built));
    let expected = "\
        counted 4200, together 0\n\
        tasks 0: 1 4 9 in order 321, at once, of one request\n\
        thrown: a task gave up\n\
        none: 0\n\
        a thread of its own has no request\n";
    assert_eq!(said, expected);
}

#[test]
fn a_program_that_ends_has_written_its_log() {
    let built = compile("c++ -std=c++11", "lines.cpp", "lines");
    for end in ["return", "exit", "thread"] {
        let output = program(&built).arg(end).output().unwrap();
        let log = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(3), "{end}: {log}");
        let lines: Vec<&str> = log.lines().filter(|line| line.contains(" ERROR line ")).collect();
        assert_eq!(lines.len(), 100, "{end}");
        assert!(log.contains(" INFO server's line ") && !log.contains("detail"), "{end}: {log}");
        assert!(lines[99].contains(" line 99 ") && lines[99].contains("uin=5"), "{end}: {log}");
    }
}

#[test]
fn the_program_of_the_guide_runs() {
    let page = repository().join("docs/guide/migrating-coroutines.md");
    let text = fs::read_to_string(page).unwrap();
    let (_, block) = text.split_once("```cpp\n").unwrap();
    let source = scratch("guide").join("squares.cpp");
    fs::write(&source, block.split_once("```").unwrap().0).unwrap();
    let built = compile("c++ -std=c++11", source.to_str().unwrap(), "squares");
    assert_eq!(run(&mut program(&built)), "25\n");
}

#[test]
fn plain_c_has_them_too() {
    let config = scratch("capi").join("own.ini");
    fs::write(&config, "[C]\ncolour = blue ; as the sky\ntaste=\n").unwrap();
    for compiler in ["gcc -std=c99 -D_GNU_SOURCE", "clang -std=c99 -D_GNU_SOURCE"] {
        let built = compile(compiler, "capi.c", &format!("capi-{}", &compiler[..3]));
        assert_eq!(run(program(&built).arg(&config)), "everything works\n");
    }
}

/// Its entry is by hand, so it needs to see what generated ones are given.
static PLUGIN: LazyLock<PathBuf> = LazyLock::new(|| {
    let inside = PREFIX.join("share/msec/compat");
    let compiler = format!("c++ -std=c++11 -fPIC -shared -I{}", inside.display());
    compile(&compiler, "plugin.cpp", "plugin.so")
});

/// The plugin of these tests under a host, with an engine that calls it.
struct Service {
    hosted: Hosted,
    engine: Engine,
}

const CONFIG: &str = "[OLD]\ncolour=blue # of the sky\n\n[COLOR]\nFieldName0=uin\n\
                      FieldValue0=11228491\n[LOG]\nLevel=INFO\n";

impl Service {
    fn start() -> Service {
        let hosted = Hosted::start(&PLUGIN, CONFIG);
        Service { hosted, engine: Engine::with(Config::new().cores(1)).unwrap() }
    }

    fn call(&self, method: &str, body: &str) -> String {
        let client = Client::new(&self.engine, &self.hosted.address()).unwrap();
        let options = CallOptions::new().from_service("Demo.web");
        let reply = client.call_raw(&format!("old.Old.{method}"), body.as_bytes(), &options);
        String::from_utf8(reply.unwrap().body.to_vec()).unwrap()
    }

    /// The lines of its log with that text, once there are any.
    fn lines(&self, text: &str) -> Vec<String> {
        let path = self.hosted.folder().join(format!("log/{SERVICE}.log"));
        let mut lines = Vec::new();
        wait_until(&format!("`{text}` in {}", path.display()), || {
            let log = fs::read_to_string(&path).unwrap_or_default();
            lines = log.lines().filter(|line| line.contains(text)).map(str::to_owned).collect();
            !lines.is_empty()
        });
        lines
    }
}

#[test]
fn lines_have_the_options_of_their_request_and_a_coloured_one_has_all() {
    let service = Service::start();
    assert_eq!(service.call("Log", "77"), "0", "arguments of a line that is not kept");
    let both = service.lines("both of user").remove(0);
    for part in [
        " INFO both of user ",
        "uin=77",
        "count=7",
        "child=0",
        "RPCName=old.Old.Log",
        "Caller=Demo.web",
        "ServerIP=127.0.0.1",
        "ServiceName=Test.plugin",
        "ClientIP=127.0.0.1",
        "ReqID=",
        "Function=Log",
        "plugin.cpp:",
    ] {
        assert!(both.contains(part), "`{part}` is not in {both}");
    }
    assert!(!both.contains("Coloring"), "{both}");
    for part in [
        " ERROR remote only ",
        " FATAL local only ",
        " ERROR server's Test.plugin ",
        " INFO server's 2 ",
        " INFO by a sub-thread ",
    ] {
        assert!(service.lines(part)[0].contains("uin=77"), "{part}");
    }

    assert_eq!(service.call("Log", "11228491"), "2", "a coloured request logs all");
    for part in [" DEBUG detail 1 ", " DEBUG server's detail 2 "] {
        let line = service.lines(part).remove(0);
        assert!(line.contains("uin=11228491") && line.contains("Coloring=1"), "{line}");
    }
    assert_eq!(service.lines("detail").len(), 2, "of the request that is not coloured");

    let client = Client::new(&service.engine, &service.hosted.address()).unwrap();
    let coloured = CallOptions::new().dyed(true);
    let reply = client.call_raw("old.Old.Log", b"78", &coloured).unwrap();
    assert_eq!(&reply.body[..], b"2", "a caller may colour a request, too");
    wait_until("its lines", || service.lines(" DEBUG ").iter().any(|line| line.contains("uin=78")));
}

#[test]
fn attributes_are_on_metrics_by_the_names_that_they_had() {
    let service = Service::start();
    let nobody = free_port().to_string();
    assert_eq!(service.call("Report", &nobody), "-2", "a command and a code beyond the last");
    let answer = HttpPeer::connect(&service.hosted.address()).get("/metrics");
    let metrics = answer.body;
    let cut = format!("attribute=\"usr.{}\"", "x".repeat(123));
    for (name, value) in [
        ("attribute=\"usr.orders\"", "2"),
        ("attribute=\"usr.bytes\"", "640"),
        ("attribute=\"usr.stock\"", "17"),
        ("attribute=\"frm.rpc caller [Demo.web]\"", "1"),
        ("attribute=\"frm.mt connect failed\"", "1"),
        ("attribute=\"frm.mt recv failed\"", "1"),
        ("attribute=\"plain one\"", "1"),
        ("attribute=\"plain two\"", "2"),
        ("attribute=\"plain three\"", "3"),
        ("attribute=\"stat.turns\"", "5"),
        (&cut, "1"),
    ] {
        let line = metrics.lines().find(|line| line.contains(name));
        let line = line.unwrap_or_else(|| panic!("{name} is not in {metrics}"));
        assert_eq!(line.rsplit(' ').next(), Some(value), "{line}");
    }
    let counted = |line: &&str| {
        let labels =
            ["stat.cost_ms", "command=\"GetTitles\"", "code=\"0\"", "description=\"well\""];
        line.contains("_count{") && labels.iter().all(|label| line.contains(label))
    };
    let line = metrics.lines().find(counted).unwrap_or_else(|| panic!("{metrics}"));
    assert!(line.ends_with(" 2"), "{line}");
}

#[test]
fn configuration_is_read_again_when_it_has_changed() {
    let service = Service::start();
    assert_eq!(service.call("Config", ""), "0 blue");
    // Twice: the second time it is remembered.
    assert_eq!(service.call("Config", ""), "0 blue");
    for colour in ["green", "black", "brown"] {
        let config = fs::read_to_string(service.hosted.folder().join("etc/config.ini")).unwrap();
        let line = config.lines().find(|line| line.starts_with("colour=")).unwrap();
        service.hosted.configure(&config.replace(line, &format!("colour={colour}")));
        assert_eq!(service.call("Config", ""), format!("0 {colour}"));
    }

    let own = scratch("config").join("own.ini");
    for (text, expect) in [
        (&b"[OLD]\n colour = a=b \n"[..], "0 a=b"),
        (b"\xef\xbb\xbf[OLD] # \xc8\xd5\xd6\xbe\r\ncolour=red ; \xbc\xb6\r\n", "0 red"),
        (b"; [OLD]\n[OLD]\ncolour=#red\n", "-2 untouched"),
        (b"[old]\ncolour=red\n", "-2 untouched"),
        (b"[OLD]\ncolour\n", "-3 untouched"),
        (b"[OLD]\n[OLD]\n", "-3 untouched"),
        (b"[OLD\ncolour=red\n", "-3 untouched"),
        (b"colour=red\n", "-3 untouched"),
    ] {
        fs::write(&own, text).unwrap();
        assert_eq!(
            service.call("Config", own.to_str().unwrap()),
            expect,
            "{}",
            text.escape_ascii()
        );
    }
    fs::remove_file(&own).unwrap();
    assert_eq!(service.call("Config", own.to_str().unwrap()), "-1 untouched");
    let folder = own.parent().unwrap().to_str().unwrap();
    assert_eq!(service.call("Config", folder), "-3 untouched");
}

#[test]
fn a_request_that_nobody_waits_for_does_not_hold_up_its_core() {
    let service = Service::start();
    let client = Client::new(&service.engine, &service.hosted.address()).unwrap();
    let soon = CallOptions::new().timeout(Duration::from_millis(400));
    for by in ["sleep", "yield", "event", "read"] {
        let late = client.call_raw("old.Old.Loops", by.as_bytes(), &soon).unwrap_err();
        assert_eq!(late.code(), Code::TIMEOUT, "{by}");
        assert_eq!(service.call("Looping", ""), "loops", "{by}");
        assert_eq!(service.call("Go", ""), "");
        wait_until("the loop to end", || service.call("Looping", "") == "none");
    }
}

#[test]
fn a_thread_that_was_begun_belongs_to_no_request() {
    let service = Service::start();
    assert_eq!(service.call("Starts", ""), "begun");
    let line = service.lines("a thread of nobody's ends").remove(0);
    assert!(!line.contains("RPCName") && !line.contains("uin"), "{line}");
    let (ok, said) = service.hosted.host("stop");
    assert!(ok, "{said}{}", service.hosted.log());
}

/// The headers that programs include, and what compiles them.
#[test]
fn each_header_compiles_alone_without_a_warning() {
    let alone = |compiler: &str, header: &str, language: &str| {
        let mut compiling = Command::new(compiler.split(' ').next().unwrap());
        compiling.args(compiler.split(' ').skip(1)).args(["-Wall", "-Wextra", "-Werror"]);
        compiling.arg("-I").arg(PREFIX.join("include/msec/compat"));
        compiling.args(["-fsyntax-only", "-include", header, "-x", language, "/dev/null"]);
        run(&mut compiling);
    };
    let headers = [
        "configini.h",
        "monitor.h",
        "mt_api.h",
        "mt_capi.h",
        "mt_incl.h",
        "nlbapi.h",
        "serverbase.h",
        "sppincl.h",
        "srpc_log.h",
        "tlog.h",
        "tstat.h",
    ];
    for compiler in ["g++ -std=c++11", "clang++ -std=c++11", "g++ -std=c++20"] {
        headers.iter().for_each(|header| alone(compiler, header, "c++"));
    }
    for compiler in ["gcc -std=c99 -pedantic", "clang -std=c99 -pedantic"] {
        ["configini.h", "mt_capi.h", "nlbapi.h"]
            .iter()
            .for_each(|header| alone(compiler, header, "c"));
    }
}

#[test]
fn calls_by_other_means_leave_an_instance_that_is_dead() {
    let alive = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = alive.local_addr().unwrap().port();
    std::thread::spawn(move || alive.incoming().for_each(drop));
    let service = |name: &str, addresses: &[String]| {
        let instances =
            addresses.iter().map(|at| format!("[[service.instance]]\naddress = \"{at}\"\n"));
        format!("[[service]]\nname = \"{name}\"\n{}", instances.collect::<String>())
    };
    // Nobody listens at the second.
    let both = [format!("127.0.0.1:{port}"), format!("127.0.0.2:{port}")];
    let routes = scratch("naming").join("routes.toml");
    let text = [
        service("Demo.db", &both),
        service("Demo.six", &["[::1]:9".into()]),
        service("Demo.udp", &["127.0.0.1:9@udp".into()]),
        service("Demo.tcp", &["127.0.0.1:9".into()]),
    ];
    fs::write(&routes, text.concat()).unwrap();
    let built = compile("c++ -std=c++11", "naming.cpp", "naming");
    for control in ["main", "thread"] {
        let said = run(program(&built).arg(control).env("MSEC_ROUTES", &routes));
        let (codes, calls) = said.split_once("at first:").unwrap();
        let expected = "Demo.nobody: -2, type 0\nno name at all: -1, type 0\nNULL: -1, type 0\n\
                        Demo.six: -9, type 0\nDemo.udp: 0, type 1\nDemo.tcp: 0, type 2\n\
                        reports: 0 -1 -1\n";
        assert_eq!(codes, expected);
        let (first, later) = calls.split_once("later:").unwrap();
        let count = |ends: &str, what: &str| {
            let end = ends.split(',').find_map(|end| end.trim().strip_suffix(what));
            end.map_or(0, |count| count.trim().parse::<u32>().unwrap())
        };
        let failed = count(first, "127.0.0.2 failed");
        assert!(failed > 0, "both were tried: {said}");
        assert_eq!(count(first, "127.0.0.1 answered") + failed, 100, "{said}");
        let failed = count(later, "127.0.0.2 failed");
        assert!(failed <= 5, "the dead one is left: {said}");
        assert_eq!(count(later, "127.0.0.1 answered") + failed, 100, "{said}");
    }
}

#[test]
fn a_client_of_mysql_asks_the_server_that_is_picked() {
    let server = Mariadb::start();
    let routes = scratch("mysql").join("routes.toml");
    let at = format!("address = \"127.0.0.1:{}\"", server.port);
    let text = format!("[[service]]\nname = \"Demo.db\"\n[[service.instance]]\n{at}\n");
    fs::write(&routes, text).unwrap();
    let compiler = "c++ -std=c++11 -I/usr/include/mariadb -Wl,--no-as-needed -lmariadb";
    let built = compile(compiler, "mysql.cpp", "mysql");
    assert_eq!(run(program(&built).env("MSEC_ROUTES", &routes)), "42\n");
}
