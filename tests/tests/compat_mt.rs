//! Programs and plugins that were written for the original's coroutines, log, counters and
//! configuration: compiled as they are, and run.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::time::Duration;

use msec_tests::programs::{command, repository, run};

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

/// Compiles a source of `tests/compat` without a warning; `compiler` may have flags.
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

/// The servers of `sockets.cpp`, in its order.
fn servers() -> Vec<String> {
    let nobody = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let silent_address = silent.local_addr().unwrap();
    let same = TcpListener::bind(silent_address).unwrap();
    std::thread::spawn(move || {
        let held: Vec<_> = same.incoming().collect();
        drop((held, silent));
    });
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
        nobody(),
        tcp(reset),
        silent_address.to_string(),
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
        nobody(),
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
    udp echo 0 - [0000000005hello]\n\
    udp refused -3 ECONNREFUSED []\n\
    udp silent -3 ETIME []\n\
    by hand 0 - [0000000005hello]\n\
    nothing more -1 ETIME []\n\
    no event 0 - []\n\
    an event of two 0 - []\n\
    lent 0 - [0000000005hello]\n\
    lent again 0 - []\n";

#[test]
fn each_end_of_an_exchange_has_its_code_at_once() {
    let built = compile("c++ -std=c++11", "sockets.cpp", "sockets");
    for control in ["main", "thread"] {
        let begun = msec_tests::now();
        let said = run(program(&built).args(servers()).arg(control));
        let took = begun.elapsed();
        assert_eq!(said, OUTCOMES, "by {control}");
        assert!(took < Duration::from_secs(30), "a failure waited for its time: {took:?}");
    }
}

#[test]
fn one_thread_of_control_runs_at_a_time() {
    let said = run(&mut program(&compile("c++ -std=c++11", "frame.cpp", "frame")));
    let expected = "\
        counted 4200, together 0\n\
        tasks 0: 1 4 9 in order 321, at once, of one request\n\
        thrown: a task gave up\n\
        none: 0\n\
        a thread of its own has no request\n";
    assert_eq!(said, expected);
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
