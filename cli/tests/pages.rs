//! `msec top`, `msec trace` and `msec route explain` against a real server.

mod common;

use common::{ECHO, Served, echo, failing, msec, serve};
use msec::{CallOptions, Client, Config, Engine, Server};
use serde_json::Value;

const FAIL: &str = "test.Service.Fail";

/// A server that has answered three echoes, and failed once.
fn called() -> Served {
    let served = serve(failing(echo()), "127.0.0.1:0");
    let client = Client::new(&served.engine, &served.address()).expect("an address");
    let options = CallOptions::new();
    for _ in 0..3 {
        client.call_raw(ECHO, b"x", &options).expect("an answer");
    }
    client.call_raw(FAIL, b"fail", &options).expect_err("as it was told to");
    served
}

#[test]
fn top_shows_methods_with_their_counts_as_text_and_as_json() {
    let served = called();
    let ran = msec(&["top", &served.address(), "--once"]);
    assert_eq!((ran.status, &*ran.stderr), (0, ""), "{ran:?}");
    for part in ["cores busy", "served", "called", ECHO, FAIL, "calls/s", "in flight"] {
        assert!(ran.stdout.contains(part), "{part}: {}", ran.stdout);
    }
    let ran = msec(&["top", &served.address(), "--once", "--json"]);
    let json: Value = serde_json::from_str(&ran.stdout).expect("JSON alone");
    let rows = json["served"].as_array().expect("a table");
    let row = |method: &str| rows.iter().find(|row| row["method"] == method).expect("a row");
    assert_eq!((&row(ECHO)["count"], &row(ECHO)["failed"]), (&3.into(), &0.into()), "{json:#}");
    assert_eq!((&row(FAIL)["count"], &row(FAIL)["failed"]), (&1.into(), &1.into()), "{json:#}");
}

#[test]
fn trace_shows_the_failed_call_as_a_tree_by_reason_and_by_flow_id() {
    let served = called();
    let ran = msec(&["trace", "failed", "--at", &served.address()]);
    assert_eq!((ran.status, &*ran.stderr), (0, ""), "{ran:?}");
    let lines: Vec<_> = ran.stdout.lines().collect();
    let flow_id = lines[0].strip_prefix("flow ").expect("it begins with its flow id");
    assert!(ran.stdout.contains(&format!("{FAIL} ")), "{}", ran.stdout);
    assert!(ran.stdout.contains("(failed)"), "{}", ran.stdout);
    let by_id = msec(&["trace", flow_id, "--at", &served.address()]);
    assert_eq!(by_id.status, 0, "{by_id:?}");
    // The server's span was made for the client's: it stands below it.
    let calls = by_id.stdout.lines().position(|line| line.starts_with("calls "));
    let serves = by_id.stdout.lines().position(|line| line.starts_with("  serves "));
    assert!(calls.is_some() && calls < serves, "{}", by_id.stdout);
}

#[test]
fn trace_joins_what_several_servers_know_into_one_tree() {
    let stock = serve(failing(echo()), "127.0.0.1:0");
    let shop = Engine::with(Config::new().cores(1).service("Demo.shop")).expect("it starts");
    let client = Client::new(&shop, &stock.address()).expect("an address");
    let server = Server::builder()
        .raw("shop.Shop.Order", move |_| {
            client.call_raw(ECHO, b"x", &CallOptions::new())?;
            Ok(client.call_raw(FAIL, b"fail", &CallOptions::new())?.body)
        })
        .listen("127.0.0.1:0")
        .start(&shop)
        .expect("it listens");
    let address = &server.addresses()[0];
    let web = Client::new(&shop, address).expect("an address");
    web.call_raw("shop.Shop.Order", b"", &CallOptions::new()).expect_err("as it was told to");
    let ran = msec(&["trace", "failed", "--at", address, "--at", &stock.address()]);
    assert_eq!((ran.status, &*ran.stderr), (0, ""), "{ran:?}");
    assert_eq!(ran.stdout.matches("flow ").count(), 1, "{}", ran.stdout);
    // Also what went well is there, at its depth, since the whole flow is asked for.
    for line in [
        "\ncalls shop.Shop.Order at ".to_owned(),
        "\n  serves shop.Shop.Order from Demo.shop ".to_owned(),
        format!("\n    calls {ECHO} at "),
        format!("\n      serves {ECHO} from Demo.shop "),
        format!("\n    calls {FAIL} at "),
        format!("\n      serves {FAIL} from Demo.shop "),
    ] {
        assert_eq!(ran.stdout.matches(&line).count(), 1, "{line}: {}", ran.stdout);
    }
    assert!(ran.stdout.contains(&format!("[Demo.shop {address}]")), "{}", ran.stdout);
    // One that is gone is told of, and the others are shown.
    let ran = msec(&["trace", "--at", "127.0.0.1:1", "--at", address]);
    assert_eq!(ran.status, 0, "{ran:?}");
    assert!(ran.stderr.contains("msec trace: no page from 127.0.0.1:1"), "{ran:?}");
    assert!(ran.stdout.contains("serves shop.Shop.Order"), "{ran:?}");
}

#[test]
fn what_is_not_there_is_said() {
    let ran = msec(&["top", "127.0.0.1:1", "--once"]);
    assert_eq!(ran.status, 1);
    assert!(ran.stderr.contains("likely cause: no server of msec listens there"), "{ran:?}");
    let served = serve(echo(), "127.0.0.1:0");
    let ran = msec(&["trace", "18446744073709551615", "--at", &served.address()]);
    assert_eq!(ran.status, 1, "{ran:?}");
    assert!(ran.stderr.contains("has kept no such trace"), "{ran:?}");
    assert_eq!(msec(&["trace", "fast", "--at", &served.address()]).status, 2);
    assert_eq!(msec(&["trace", "slow"]).status, 2);
}

#[test]
fn route_explain_shows_each_instance_with_its_share() {
    let served = serve(echo(), "127.0.0.1:0");
    let address = served.address();
    let toml = format!(
        "[[service]]\nname = \"Demo.echo\"\nhedge = \"20ms\"\n\
         canary = {{ labels = {{ version = \"2\" }}, percent = 2.5 }}\n\
         [[service.instance]]\naddress = \"{address}\"\nlabels = {{ version = \"2\" }}\n"
    );
    let table = msec::naming::parse(&toml, "routes.toml").expect("a table");
    served.engine.set_routes(table);
    let client = Client::new(&served.engine, "Demo.echo").expect("a service");
    client.call_raw(ECHO, b"x", &CallOptions::new()).expect("an answer");
    let ran = msec(&["route", "explain", "Demo.echo", "--at", &address]);
    assert_eq!((ran.status, &*ran.stderr), (0, ""), "{ran:?}");
    assert!(ran.stdout.starts_with("Demo.echo: adaptive, "), "{}", ran.stdout);
    let row = ran.stdout.lines().find(|line| line.contains(&address)).expect("its row");
    assert!(row.contains("2.5%") && row.contains("live"), "{row}");
    assert!(row.ends_with("  version=2  canary"), "{row}");
    assert!(ran.stdout.contains("canary: 2.5 % of the calls are for version=2"), "{}", ran.stdout);
    assert!(ran.stdout.contains("calls are hedged after 20 ms"), "{}", ran.stdout);
    let ran = msec(&["route", "explain", "Demo.none", "--at", &address]);
    assert_eq!(ran.status, 1, "{ran:?}");
    assert!(ran.stderr.contains("no route to `Demo.none`; it has Demo.echo"), "{ran:?}");
    assert_eq!(msec(&["route", "forget", "--at", &address]).status, 2);
}
