//! The built-in pages that show what a server does, and a real Prometheus that reads them.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use msec::naming::{Instance, Service, Table};
use msec::{CallOptions, Client};
use msec_tests::peer::request;
use msec_tests::{ECHO, HttpPeer, Stage, config, on_both, wait_until};
use serde_json::Value;

/// A page as JSON.
fn page(stage: &Stage, target: &str) -> Value {
    let answer = HttpPeer::connect(stage.address()).get(target);
    assert_eq!(answer.status, 200, "{target}: {}", answer.body);
    answer.json()
}

fn row<'a>(rows: &'a Value, key: &str, value: &str) -> &'a Value {
    let row = rows.as_array().unwrap().iter().find(|row| row[key] == value);
    row.unwrap_or_else(|| panic!("no row with {key}={value}: {rows}"))
}

/// A method that waits until it is let go, and one that fails.
fn stage(io: msec::Io) -> Stage {
    Stage::with(config(io), |builder| {
        builder
            .raw("test.Page.Wait", |_| {
                msec::sleep(Duration::from_secs(60))?;
                Ok(b"")
            })
            .raw::<&[u8]>("test.Page.Fail", |_| Err(msec::Error::failed("it cannot")))
    })
}

on_both! {
    fn status_counts_what_was_served_and_called(io: msec::Io) {
        let stage = stage(io);
        let client = Client::new(&stage.engine, stage.address()).unwrap();
        for _ in 0..20 {
            client.call_raw(ECHO, b"", &CallOptions::new()).unwrap();
        }
        client.call_raw("test.Page.Fail", b"", &CallOptions::new()).unwrap_err();
        let status = page(&stage, "/status?format=json&wait_ms=10");
        let served = row(&status["served"], "method", ECHO);
        assert_eq!((&served["count"], &served["failed"]), (&20.into(), &0.into()));
        let failed = row(&status["served"], "method", "test.Page.Fail");
        assert_eq!((&failed["count"], &failed["failed"]), (&1.into(), &1.into()));
        let called = row(&status["called"], "method", ECHO);
        assert_eq!(called["count"], 20);
        assert_eq!(status["cores"].as_array().unwrap().len(), stage.engine.cores_count());
        let html = HttpPeer::connect(stage.address()).get("/status?wait_ms=10").body;
        assert!(html.contains(ECHO) && html.contains("href=\"/traces\""), "{html}");
    }

    fn coroutines_and_connections_are_listed_with_what_they_wait_for(io: msec::Io) {
        let stage = stage(io);
        let mut peer = stage.peer();
        peer.send(&request(1, "test.Page.Wait"), b"");
        let method = "test.Page.Wait";
        let waits = |target: &str| {
            let rows = page(&stage, target);
            rows.as_array().unwrap().iter().find(|row| row["method"] == method).cloned()
        };
        wait_until("the request waits", || {
            waits("/coroutines?format=json").is_some_and(|row| row["state"] == "waits")
        });
        let row = waits("/coroutines?format=json").unwrap();
        assert_eq!(row["waits_for"], "sleep", "{row}");
        // Its stack is told without disturbing it.
        let stack = waits("/coroutines?format=json&stacks=1").unwrap();
        let text = stack["stack"].as_str().unwrap();
        assert!(text.contains("sleep") && text.contains("pages"), "{text}");
        assert_eq!(waits("/coroutines?format=json").unwrap()["state"], "waits");
        let connections = page(&stage, "/connections?format=json");
        let busy = connections.as_array().unwrap().iter().find(|row| row["in_flight"] == 1);
        assert_eq!(busy.unwrap()["role"], "server", "{connections}");
        assert!(connections.as_array().unwrap().iter().any(|row| row["role"] == "server, HTTP"));
    }

    fn traces_show_a_call_that_failed_from_both_ends(io: msec::Io) {
        let stage = stage(io);
        let client = Client::new(&stage.engine, stage.address()).unwrap();
        client.call_raw("test.Page.Fail", b"", &CallOptions::new()).unwrap_err();
        let traces = page(&stage, "/traces?format=json&reason=failed");
        let spans = traces[0].as_array().unwrap();
        let roles: Vec<_> = spans.iter().map(|span| span["role"].as_str().unwrap()).collect();
        assert!(roles.contains(&"client") && roles.contains(&"server"), "{traces}");
        assert!(spans.iter().all(|span| span["method"] == "test.Page.Fail"), "{traces}");
        let flow_id = &spans[0]["flow_id"];
        let one = page(&stage, &format!("/traces?format=json&flow_id={flow_id}"));
        assert_eq!(one.as_array().unwrap().len(), 1, "{one}");
        let html = HttpPeer::connect(stage.address()).get("/traces").body;
        assert!(html.contains("test.Page.Fail") && html.contains("(failed)"), "{html}");
    }

    fn routes_tell_why_calls_go_where_they_go(io: msec::Io) {
        let stage = stage(io);
        let instance = Instance::new(stage.address().parse().unwrap());
        let mut table = Table::new();
        table.add(Service::new("Demo.page", vec![instance])).unwrap();
        stage.engine.set_routes(table);
        let client = Client::new(&stage.engine, "Demo.page").unwrap();
        for _ in 0..20 {
            client.call_raw(ECHO, b"", &CallOptions::new()).unwrap();
        }
        let routes = page(&stage, "/routes?format=json&service=Demo.page");
        assert_eq!((&routes[0]["service"], &routes[0]["policy"]),
            (&"Demo.page".into(), &"adaptive".into()));
        let instance = &routes[0]["instances"][0];
        assert_eq!((&instance["address"], &instance["share"]),
            (&stage.address().into(), &1.0.into()), "{routes}");
        // A span says it of its own call.
        client.call_raw(ECHO, b"", &CallOptions::new().dyed(true)).unwrap();
        let traces = page(&stage, "/traces?format=json&reason=dyed");
        let spans = traces[0].as_array().unwrap();
        let why = |role: &str| spans.iter().find(|span| span["role"] == role).unwrap()["why"].clone();
        assert_eq!((why("client"), why("server")), ("nobody else".into(), Value::Null), "{traces}");
        let html = HttpPeer::connect(stage.address()).get("/traces").body;
        let at = format!("calls {ECHO} {} [nobody else]", stage.address());
        assert!(html.contains(&at), "{html}");
        let html = HttpPeer::connect(stage.address()).get("/routes").body;
        assert!(html.contains("Demo.page") && html.contains("live"), "{html}");
    }

    fn config_says_what_is_in_force(io: msec::Io) {
        let stage = stage(io);
        let config = page(&stage, "/config?format=json");
        assert_eq!(row(&config, "setting", "cores")["value"], "2");
    }

    fn a_real_prometheus_scrapes_what_was_counted(io: msec::Io) {
        let stage = stage(io);
        let client = Client::new(&stage.engine, stage.address()).unwrap();
        for _ in 0..7 {
            client.call_raw(ECHO, b"", &CallOptions::new()).unwrap();
        }
        let text = HttpPeer::connect(stage.address()).get("/metrics").body;
        assert!(text.contains("# TYPE "), "{text}");
        let prometheus = Prometheus::start(stage.address());
        wait_until("Prometheus has scraped it", || prometheus.ask("up").contains("\"1\"]"));
        let counted = prometheus.ask("sum(%7Brole%3D%22server%22%7D)");
        assert!(counted.contains("success"), "{counted}");
    }
}

/// A Prometheus with one target; ends with this.
struct Prometheus {
    child: std::process::Child,
    address: String,
    folder: std::path::PathBuf,
}

impl Prometheus {
    fn start(target: &str) -> Self {
        // Bound for a moment, it is free a moment later.
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap().to_string();
        drop(free);
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(address.replace(':', "-"));
        std::fs::create_dir_all(&folder).unwrap();
        let config = format!(
            "global: {{scrape_interval: 200ms, scrape_timeout: 200ms}}\n\
             scrape_configs: [{{job_name: msec, static_configs: [{{targets: ['{target}']}}]}}]\n"
        );
        let file = folder.join("prometheus.yml");
        std::fs::write(&file, config).unwrap();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("prometheus is missing: make deps-test installs it");
        Self { child, address, folder }
    }

    /// The answer to a query, as JSON; empty while it does not answer.
    fn ask(&self, query: &str) -> String {
        let url = format!("http://{}/api/v1/query?query={query}", self.address);
        let output = Command::new("curl").args(["-s", "--max-time", "5", &url]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
