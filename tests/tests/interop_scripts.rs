//! What operators and scripts of the original know: its `config.ini`, where a service lies, and
//! what `srpc.sh` says.
//!
//! Lines of the checklist that others hold already:
//!
//! | line | test |
//! |---|---|
//! | the service is named by the folder that one is in; what the verbs say | `host_life` |
//! | verbs of `srpc.sh`, and their exit codes | `host_life` |
//! | without a file: port 7963, both protocols | `host/src/settings.rs` |
//! | comments, case, sections that are there twice | `host/src/ini.rs` |
//! | a level or an address without sense is no start | `host_start` |
//! | a change of `[LOG] Level` and `[COLOR]` holds without a restart | `host_life` |
//! | names of the log's options: ReqID, RPCName, Caller, … | `report_logs` |

#![allow(clippy::unwrap_used)]

use std::fs;
use std::process::Command;

use msec::{CallOptions, Client, Config, Engine};
use msec_tests::hosted::{Hosted, SERVICE, plugin};
use msec_tests::http::HttpPeer;
use msec_tests::original::{Caller, cpp_request, php_request};
use msec_tests::programs::{command, repository};
use msec_tests::{ECHO, wait_until};

/// A file of a service of the time: each key that there was, lines that end as on Windows, and
/// comments in GBK. Only the ports are free ones.
fn file_of_the_time() -> Vec<u8> {
    let begin =
        "\u{feff}[SRPC]\nlisten=lo:0/udp lo:0/tcp\nmodule=./msec.so\nconf=../etc/shop.xml\n";
    let rest = "shmsize=16\nheartbeat=60\nmsg_timeout=800\nprocnum=2\nreload=1\n\n\
                [LOG]\nLevel=DEBUG\nFileMax=10\nFileSize=10240000\n\n\
                [COLOR]\nFieldName0=uin\nFieldValue0=11228491\n\
                FieldName1=merchID\nFieldValue1=M1234\n\n[SHOP]\nip=127.0.0.1;3306\n";
    let comment = b"# \xc8\xd5\xd6\xbe ; \xc5\xe4\xd6\xc3\n";
    let bytes = [begin.as_bytes(), comment, rest.as_bytes()].concat();
    bytes.split(|byte| *byte == b'\n').collect::<Vec<_>>().join(&b"\r\n"[..])
}

#[test]
fn a_configuration_of_the_original_is_taken_as_it_is() {
    let hosted = Hosted::new(Some(&plugin(&[])), "");
    let path = hosted.folder().join("etc/config.ini");
    fs::write(&path, file_of_the_time()).unwrap();
    let mut check = Command::new(command("msec"));
    let checked = check.args(["config", "check", path.to_str().unwrap()]).output().unwrap();
    let said = String::from_utf8(checked.stdout).unwrap();
    let (warnings, verdict) = said.trim_end().rsplit_once('\n').unwrap();
    // What is gone is told, and nothing else is odd.
    assert!(
        warnings.ends_with("[SRPC] shmsize has no effect: the queues in shared memory are gone")
    );
    assert_eq!(warnings.lines().count(), 1, "{warnings}");
    assert!(verdict.starts_with("ok: ") && verdict.contains("; 2 workers"), "{verdict}");

    // From its own folder, as consoles do it.
    let script = hosted.folder().join("bin/srpc.sh");
    fs::copy(repository().join("deploy/srpc.sh"), &script).unwrap();
    let srpc = |verb: &str| {
        let mut run = Command::new("./srpc.sh");
        run.arg(verb).current_dir(hosted.folder().join("bin")).env("MSEC", command("msec"));
        let output = run.output().unwrap();
        (
            output.status.success(),
            String::from_utf8([output.stdout, output.stderr].concat()).unwrap(),
        )
    };
    assert_eq!(srpc("start"), (true, format!("Server({SERVICE}) start ok.\n")), "{}", hosted.log());
    let (shown, said) = srpc("show");
    assert!(shown && said.contains(&format!("Server({SERVICE}) already started.")), "{said}");
    assert_eq!(hosted.workers().len(), 2);

    let addresses = hosted.addresses();
    let find = |udp: bool| addresses.iter().find(|at| at.ends_with("@udp") == udp).unwrap();
    let engine = Engine::with(Config::new().cores(1)).unwrap();
    let datagrams = Client::new(&engine, find(true)).unwrap();
    assert_eq!(datagrams.call_raw(ECHO, b"x", &CallOptions::new()).unwrap().body, &b"x"[..]);
    let mut caller = Caller::connect(find(false));
    let told = caller.call(&cpp_request(1, "test.Plugin.Where", b""));
    assert!(told.body.ends_with(b"../etc/shop.xml"), "{told:?}");

    // The log names the caller, without the NUL that a service in PHP has behind its name.
    caller.call(&php_request(2, "test.Plugin.Log", b""));
    let logged = || {
        let files = fs::read_dir(hosted.folder().join("log")).unwrap();
        let files = files.map(|file| fs::read_to_string(file.unwrap().path()).unwrap_or_default());
        let text = files.collect::<String>();
        text.lines().find(|line| line.contains("said in detail")).map(str::to_owned)
    };
    wait_until("the record to be written", || logged().is_some());
    let line = logged().unwrap();
    assert!(line.contains(" Caller=Demo.php "), "{line}");

    let config = HttpPeer::connect(find(false)).get("/config?format=json").json();
    let value = |setting: &str| -> Vec<&str> {
        let rows = config.as_array().unwrap().iter().filter(|row| row["setting"] == setting);
        rows.map(|row| row["value"].as_str().unwrap()).collect()
    };
    assert_eq!(value("dye_rule"), ["uin=11228491", "merchID=M1234"], "{config}");
    assert_eq!(value("deadline_ms_default"), ["800"], "{config}");
    assert_eq!(srpc("force_stop"), (true, format!("Server({SERVICE}) stopped.\n")));
}
