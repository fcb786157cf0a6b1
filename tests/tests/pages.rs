//! The built-in pages that show what a server does, and a real Prometheus that reads them.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use msec::naming::{Canary, HedgeDelay, Instance, Labels, Service, Table};
use msec::{CallOptions, Client};
use msec_tests::peer::request;
use msec_tests::{
    ECHO, HttpPeer, PATIENCE, Stage, config, free_address, on_both, wait_on_core, wait_until,
};
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

fn patient() -> CallOptions {
    CallOptions::new().timeout(PATIENCE)
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

    fn latencies_and_failures_of_status_are_those_of_the_time_that_it_looks(io: msec::Io) {
        let stage = stage(io);
        let client = Client::new(&stage.engine, stage.address()).unwrap();
        client.call_raw("test.Page.Fail", b"", &CallOptions::new()).unwrap_err();
        let failing = |target: &str| {
            row(&page(&stage, target)["served"], "method", "test.Page.Fail").clone()
        };
        // Nothing is called while it looks.
        let quiet = failing("/status?format=json&wait_ms=1");
        assert_eq!((&quiet["failed"], &quiet["failed_per_s"]), (&1.into(), &0.0.into()));
        assert_eq!((&quiet["p50_us"], &quiet["p99_us"]), (&Value::Null, &Value::Null), "{quiet}");
        let looked = AtomicBool::new(false);
        let busy = std::thread::scope(|scope| {
            scope.spawn(|| while !looked.load(Ordering::Relaxed) {
                client.call_raw("test.Page.Fail", b"", &CallOptions::new()).unwrap_err();
            });
            let busy = failing("/status?format=json&wait_ms=300");
            looked.store(true, Ordering::Relaxed);
            busy
        });
        assert!(busy["failed_per_s"].as_f64().unwrap() > 0.0, "{busy}");
        assert_eq!(busy["failed_per_s"], busy["per_s"], "{busy}");
        let (p50, p99) = (busy["p50_us"].as_f64().unwrap(), busy["p99_us"].as_f64().unwrap());
        assert!(p50 <= p99, "{busy}");
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
        wait_until("it has grown older", || {
            waits("/coroutines?format=json").unwrap()["age_ms"].as_u64().unwrap() > 2
        });
        // One alone, by its id; and none by an id that is none's, or another job's.
        let id = row["coroutine"].as_str().unwrap();
        let one = page(&stage, &format!("/coroutines?format=json&id={id}"));
        assert_eq!(one.as_array().unwrap().len(), 1, "{one}");
        let text = one[0]["stack"].as_str().unwrap();
        assert!(text.contains("sleep") && one[0]["method"] == method, "{one}");
        for nobody in [format!("{id}7"), format!("{id}.0"), "x".into(), "9.9.9".into()] {
            let none = page(&stage, &format!("/coroutines?format=json&id={nobody}"));
            assert_eq!(none, serde_json::json!([]), "{nobody}");
        }
        // What is left out is told: the page itself is a coroutine, and has a connection.
        for list in ["/coroutines?count=0", "/connections?count=0"] {
            let html = HttpPeer::connect(stage.address()).get(list).body;
            assert!(html.contains("<p>none<p>") && html.contains(" more"), "{list}: {html}");
        }
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
        let mut service = Service::new("Demo.page", vec![instance]);
        let labels: Labels = [("version".to_owned(), "2".to_owned())].into();
        service.instances[0].labels = labels.clone();
        service.canary = Some(Canary { labels, parts: 250 });
        service.hedge = Some(HedgeDelay::AfterNs(20_000_000));
        table.add(service).unwrap();
        table.revision = 12;
        stage.engine.set_routes(table);
        let client = Client::new(&stage.engine, "Demo.page").unwrap();
        for _ in 0..20 {
            client.call_raw(ECHO, b"", &CallOptions::new()).unwrap();
        }
        let routes = page(&stage, "/routes?format=json&service=Demo.page");
        assert_eq!((&routes[0]["service"], &routes[0]["policy"]),
            (&"Demo.page".into(), &"adaptive".into()));
        for (key, value) in [
            ("table_revision", Value::from(12)),
            ("canary_percent", 2.5.into()),
            ("canary_labels", "version=2".into()),
            ("hedge", "after 20 ms".into()),
        ] {
            assert_eq!(routes[0][key], value, "{key}: {routes}");
        }
        let instance = &routes[0]["instances"][0];
        assert_eq!((&instance["labels"], &instance["is_canary"]),
            (&"version=2".into(), &true.into()), "{routes}");
        assert_eq!((&instance["address"], &instance["share"]),
            (&stage.address().into(), &0.025.into()), "{routes}");
        // A span says it of its own call.
        client.call_raw(ECHO, b"", &CallOptions::new().dyed(true)).unwrap();
        let traces = page(&stage, "/traces?format=json&reason=dyed");
        let spans = traces[0].as_array().unwrap();
        let of = |role: &str| spans.iter().find(|span| span["role"] == role).unwrap();
        let why = |role: &str| of(role)["why"].clone();
        assert_eq!((why("client"), why("server")), ("nobody else".into(), Value::Null), "{traces}");
        let html = HttpPeer::connect(stage.address()).get("/traces").body;
        let at = format!("calls {ECHO} {} [nobody else]", stage.address());
        assert!(html.contains(&at), "{html}");
        let html = HttpPeer::connect(stage.address()).get("/routes").body;
        assert!(html.contains("Demo.page") && html.contains("live"), "{html}");
    }

    fn config_says_what_is_in_force(io: msec::Io) {
        let stage = Stage::with(config(io).zone("north"), |builder| {
            builder
                .raw("test.Page.Sort", |_| Ok(b""))
                .method("test.Page.Sort", |options| {
                    options.heavy().requests_max(7).adaptive_limit(false);
                })
                .quota("Demo.web", 100, 10)
                .quota_for_others(5, 1)
                .cors("https://shop.example")
        });
        let rule = |text: &str| text.parse::<msec::dye::Rule>().unwrap();
        stage.engine.set_dye_rules(vec![rule("uin=7 for=1h"), rule("method=a.B.* percent=2")]);
        let config = page(&stage, "/config?format=json");
        for (setting, value) in [
            ("cores", "2"),
            ("zone", "north"),
            ("http_head_ms_max", "10000"),
            ("server_pages", "loopback"),
            ("server_cors", "https://shop.example"),
            ("quota of Demo.web", "100 a second, 10 at once"),
            ("quota of others", "5 a second, 1 at once"),
            ("method test.Page.Sort", "heavy, at most 7 requests, no adaptive limit"),
            (&format!("method {ECHO}"), "coroutine"),
        ] {
            assert_eq!(row(&config, "setting", setting)["value"], value, "{setting}");
        }
        let dye = config.as_array().unwrap().iter().filter(|row| row["setting"] == "dye_rule");
        let dye: Vec<_> = dye.map(|row| row["value"].as_str().unwrap()).collect();
        assert!(dye[0].starts_with("uin=7 for=3600s (3"), "{dye:?}");
        assert_eq!(dye[1..], ["method=a.B.* percent=2"]);
    }

    fn a_core_that_stalls_and_the_stacks_in_use_are_counted(io: msec::Io) {
        let stage = Stage::with(config(io).cores(1).stall_ms(10), |builder| {
            builder
                .raw("test.Page.Wait", |_| {
                    msec::sleep(Duration::from_secs(60))?;
                    Ok(b"")
                })
                .raw("test.Page.Burn", |_| {
                    // Deep enough to be looked at.
                    let mut room = [1u8; 64 * 1024];
                    std::hint::black_box(&mut room);
                    wait_on_core(Duration::from_millis(100));
                    Ok(b"")
                })
        });
        let mut peer = stage.peer();
        for sequence in 1..=3 {
            peer.send(&request(sequence, "test.Page.Wait"), b"");
        }
        stage.wait_for_requests(3);
        let client = Client::new(&stage.engine, stage.address()).unwrap();
        let core = |name: &str| {
            page(&stage, "/status?format=json&wait_ms=1")["cores"][0][name].as_u64().unwrap()
        };
        wait_until("a stall to be counted", || {
            client.call_raw("test.Page.Burn", b"", &patient()).unwrap();
            core("stalls") > 0
        });
        // The page itself is one.
        assert_eq!(core("stacks"), 4);
        assert!(core("stacks_high_water_bytes") > 64 * 1024);
        let text = HttpPeer::connect(stage.address()).get("/metrics").body;
        let own_lines = "msec_own_lines_lost_total{reason=\"stderr\"} ";
        for line in ["msec_stacks{core=\"0\"} 4\n", own_lines] {
            assert!(text.contains(line), "{line} in {text}");
        }
        assert!(!text.contains("msec_stalls_total{core=\"0\"} 0\n"), "{text}");
        assert!(text.contains("msec_stalls_total{core=\"0\"} "), "{text}");
    }

    fn a_real_prometheus_scrapes_what_was_counted(io: msec::Io) {
        let stage = stage(io);
        let client = Client::new(&stage.engine, stage.address()).unwrap();
        for _ in 0..7 {
            client.call_raw(ECHO, b"", &CallOptions::new()).unwrap();
        }
        let json = page(&stage, "/metrics?format=json");
        let calls = json["calls"].as_array().unwrap();
        let is_ours = |row: &&Value| row["role"] == "server" && row["method"] == ECHO;
        let codes = &calls.iter().find(is_ours).unwrap()["codes"];
        assert_eq!((&codes[0]["name"], &codes[0]["count"]), (&"OK".into(), &7.into()), "{json}");
        let counts = codes[0]["latency_ns"]["counts"].as_array().unwrap();
        assert_eq!(counts.iter().map(|count| count.as_u64().unwrap()).sum::<u64>(), 7);
        row(&json["attributes"], "name", "frm.core_cpu_ns");
        let text = HttpPeer::connect(stage.address()).get("/metrics").body;
        assert!(text.contains("# TYPE "), "{text}");
        let prometheus = Prometheus::start(stage.address());
        let counted = |code: &str| {
            let query =
                format!("sum(msec_server_calls_total{{method=\"{ECHO}\",code=\"{code}\"}})");
            prometheus.ask(&query)
        };
        wait_until("Prometheus has scraped it", || counted("OK").is_some());
        assert_eq!(counted("OK"), Some(7.0));
        assert_eq!(counted("TIMEOUT"), None, "a code that no call ended with");
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
        let address = free_address();
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

    /// The value of the one series that a query finds; `None` while there is none.
    fn ask(&self, query: &str) -> Option<f64> {
        let url = format!("http://{}/api/v1/query", self.address);
        let query = format!("query={query}");
        let output = Command::new("curl")
            .args(["-s", "--max-time", "5", "-G", &url, "--data-urlencode", &query])
            .output()
            .unwrap();
        let answer: Value = serde_json::from_slice(&output.stdout).ok()?;
        assert_eq!(answer["status"], "success", "{query}: {answer}");
        answer["data"]["result"][0]["value"][1].as_str()?.parse().ok()
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
