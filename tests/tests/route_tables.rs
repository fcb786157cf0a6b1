//! Tables: files that are followed, pushes that are not believed, and what is told of it all.

#![allow(clippy::unwrap_used)]

use std::path::PathBuf;

use msec::naming::{BadDelta, Change, Delta, Instance, Service, Standing, Table};
use msec::{CallOptions, Client, Code, Config, Engine, Io};
use msec_tests::{Fleet, PATIENCE, Stage, config, on_both, wait_for_line, wait_until};

const WHO: &str = "test.Who.Am";

fn named(io: Io, name: &'static str) -> Stage {
    Stage::with(config(io), move |builder| builder.raw(WHO, move |_| Ok(name)))
}

fn ask(client: &Client) -> String {
    let options = CallOptions::new().timeout(PATIENCE);
    String::from_utf8(client.call_raw(WHO, b"", &options).unwrap().body.to_vec()).unwrap()
}

/// A file for one test, removed afterwards.
struct TestFile(PathBuf);

impl TestFile {
    fn new(name: &str, text: &str) -> Self {
        let name = format!("msec-route-{name}-{}.toml", std::process::id());
        let file = Self(std::env::temp_dir().join(name));
        file.write(text);
        file
    }

    fn write(&self, text: &str) {
        std::fs::write(&self.0, text).unwrap();
    }
}

impl Drop for TestFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn file_of(address: &str) -> String {
    format!("[[service]]\nname = 'Demo.who'\n[[service.instance]]\naddress = '{address}'\n")
}

fn table(addresses: &[&str]) -> Table {
    let instance = |address: &&str| Instance::new(address.parse().unwrap());
    let mut table = Table::new();
    table.add(Service::new("Demo.who", addresses.iter().map(instance).collect())).unwrap();
    table
}

fn up_count(engine: &Engine) -> usize {
    engine.routes().find("Demo.who").map_or(0, |service| service.up_count())
}

on_both! {
    fn a_file_is_followed_and_a_broken_one_changes_nothing(io: Io) {
        let (a, b) = (named(io, "a"), named(io, "b"));
        let file = TestFile::new(&format!("live-{io:?}"), &file_of(a.address()));
        let engine = Engine::with(config(io).routes(&file.0)).unwrap();
        let client = Client::new(&engine, "Demo.who").unwrap();
        assert_eq!(ask(&client), "a");
        assert_eq!(engine.routes_status().file.as_ref(), Some(&file.0));
        file.write(&file_of(b.address()));
        wait_until("the new instance is called", || ask(&client) == "b");
        // Broken in its last line: the old table stays, and it is told what is wrong and where.
        file.write(&format!("{}weight = 0\n", file_of(a.address())));
        wait_until("the trouble is told", || engine.routes_status().file_error.is_some());
        let told = engine.routes_status().file_error.unwrap();
        let place = format!("{}:5: weight is 0; allowed is", file.0.display());
        assert!(told.contains(&place), "{told}");
        wait_for_line("routes", &place);
        assert!((0..20).all(|_| ask(&client) == "b"));
        // Gone, the same.
        std::fs::remove_file(&file.0).unwrap();
        wait_until("that is told, too", || {
            engine.routes_status().file_error.is_some_and(|error| error.contains("no such file"))
        });
        assert_eq!(ask(&client), "b");
        file.write(&file_of(a.address()));
        wait_until("the mended file counts", || ask(&client) == "a");
        assert_eq!(engine.routes_status().file_error, None);
    }

    fn a_broken_file_at_the_start_is_an_error_of_the_start(io: Io) {
        let file = TestFile::new(&format!("start-{io:?}"), "[[service]]\nname = 'who'\n");
        let error = Engine::with(config(io).routes(&file.0)).err().unwrap();
        assert_eq!(error.code(), Code::INVALID_PARAMETER);
        assert!(error.message().contains(":2: "), "{error}");
    }

    fn a_push_that_takes_most_away_is_held_and_an_operators_edit_is_not(io: Io) {
        let (a, b, c) = (named(io, "a"), named(io, "b"), named(io, "c"));
        let all = [a.address(), b.address(), c.address()];
        let engine = Engine::with(config(io)).unwrap();
        let client = Client::new(&engine, "Demo.who").unwrap();
        assert_eq!(engine.push_routes(table(&all)).held, []);
        assert_eq!(up_count(&engine), 3);
        let status = engine.push_routes(table(&all[..1]));
        assert_eq!(status.held, [("Demo.who".to_owned(), 1)]);
        assert_eq!(up_count(&engine), 3);
        wait_for_line("routes", "a push leaves service Demo.who with 1 instances");
        assert!(!engine.confirm_routes("Demo.other"));
        assert!(engine.confirm_routes("Demo.who"));
        assert_eq!((up_count(&engine), engine.routes_status().held), (1, vec![]));
        assert!((0..20).all(|_| ask(&client) == "a"));
        engine.push_routes(table(&all));
        engine.set_routes(table(&[]));
        assert_eq!(up_count(&engine), 0);
        let error = client.call_raw(WHO, b"", &CallOptions::new()).unwrap_err();
        assert_eq!(error.code(), Code::NO_ROUTE);
    }

    fn deltas_follow_revisions_and_others_are_refused(io: Io) {
        let (a, b) = (named(io, "a"), named(io, "b"));
        let engine = Engine::with(config(io)).unwrap();
        let client = Client::new(&engine, "Demo.who").unwrap();
        let mut routes = table(&[a.address()]);
        routes.revision = 7;
        engine.push_routes(routes);
        let instance = Instance::new(b.address().parse().unwrap());
        let put = Change::PutInstance("Demo.who".into(), instance);
        let delta = Delta { from: 7, to: 8, changes: vec![put] };
        assert_eq!(engine.change_routes(delta.clone()).unwrap().revision, 8);
        wait_until("both are called", || ask(&client) == "b");
        let error = engine.change_routes(delta).unwrap_err();
        assert_eq!(error.code(), Code::INVALID_PARAMETER);
        assert_eq!(error.message(), BadDelta::Revision(8).to_string());
    }

    fn what_decides_can_be_asked_for_from_anywhere(io: Io) {
        let (a, b) = (named(io, "a"), named(io, "b"));
        let engine = Engine::with(config(io)).unwrap();
        let mut routes = table(&[a.address(), b.address()]);
        routes.add(Service::new("Demo.unused", vec![])).unwrap();
        engine.set_routes(routes);
        let client = Client::new(&engine, "Demo.who").unwrap();
        wait_until("something is known", || {
            ask(&client);
            engine.explain_routes().iter().any(|service| service.latency_ns > 0)
        });
        let inside = engine.clone();
        let from_coroutine = engine.run(move || inside.explain_routes()).unwrap();
        for services in [engine.explain_routes(), from_coroutine] {
            let names: Vec<_> = services.iter().map(|service| service.name.as_str()).collect();
            assert_eq!(names, ["Demo.unused", "Demo.who"]);
            assert_eq!(services[0].cores_count, 0);
            let who = &services[1];
            assert!(who.cores_count > 0 && who.latency_ns > 0 && who.failure_ratio == 0.0);
            let shares: f64 = who.instances.iter().map(|instance| instance.share).sum();
            assert!((shares - 1.0).abs() < 1e-6, "{who:?}");
            assert!(who.instances.iter().all(|one| one.standing == Standing::Live), "{who:?}");
            assert!(who.instances.iter().any(|one| one.recent_count > 1.0), "{who:?}");
        }
    }

    fn the_policy_is_switched_live_and_no_call_is_lost(io: Io) {
        let (a, b, c) = (named(io, "a"), named(io, "b"), named(io, "c"));
        let text = |policy: &str| {
            let mut text = format!("[[service]]\nname = 'Demo.who'\npolicy = '{policy}'\n");
            for (stage, zone) in [(&a, "north"), (&b, "north"), (&c, "south")] {
                let address = stage.address();
                text += &format!("[[service.instance]]\naddress = '{address}'\nzone = '{zone}'\n");
            }
            text
        };
        let file = TestFile::new(&format!("policies-{io:?}"), &text("adaptive"));
        let engine = Engine::with(config(io).zone("north").routes(&file.0)).unwrap();
        let client = Client::new(&engine, "Demo.who").unwrap();
        let options = CallOptions::new().timeout(PATIENCE).key(b"ann");
        let fleet = Fleet::with(&engine, &client, WHO, 6, options);
        let part = |name: &str| fleet.part_of_last(600, name);
        let everybody = || ["a", "b", "c"].iter().all(|name| part(name) > 0.15);
        for policy in ["wrr", "hash", "p2c", "zone-first", "adaptive"] {
            file.write(&text(policy));
            let is_in_force = || engine.explain_routes()[0].policy.name() == policy;
            wait_until(&format!("{policy} is in force"), is_in_force);
            wait_until(&format!("calls go as {policy} has it"), || match policy {
                "hash" => ["a", "b", "c"].iter().any(|name| part(name) > 0.95),
                "zone-first" => part("c") == 0.0 && part("a") > 0.15 && part("b") > 0.15,
                _ => everybody(),
            });
        }
        assert_eq!(fleet.failures(), [""; 0]);
        fleet.stop();
    }

    fn a_canary_gets_its_percent_of_the_calls(io: Io) {
        let (a, b, c) = (named(io, "a"), named(io, "b"), named(io, "c"));
        let text = format!(
            "[[service]]\nname = 'Demo.who'\n\
             canary = {{ labels = {{ version = '2' }}, percent = 10 }}\n\
             [[service.instance]]\naddress = '{}'\n\
             [[service.instance]]\naddress = '{}'\n\
             [[service.instance]]\naddress = '{}'\nlabels = {{ version = '2' }}\n",
            a.address(),
            b.address(),
            c.address(),
        );
        let file = TestFile::new(&format!("canary-{io:?}"), &text);
        let engine = Engine::with(config(io).routes(&file.0)).unwrap();
        let client = Client::new(&engine, "Demo.who").unwrap();
        let fleet = Fleet::with(&engine, &client, WHO, 4, CallOptions::new().timeout(PATIENCE));
        fleet.wait_for_more(4000);
        let part = fleet.answered_count("c") as f64 / fleet.count() as f64;
        // Six standard deviations of so many draws.
        assert!((0.07..0.13).contains(&part), "{part} of {}", fleet.count());
        // One user stays on his side.
        for user in 0..20 {
            let options = CallOptions::new().timeout(PATIENCE).key(format!("{user}").as_bytes());
            let side = || client.call_raw(WHO, b"", &options).unwrap().body == "c";
            let first = side();
            assert!((0..10).all(|_| side() == first), "user {user}");
        }
        assert_eq!(fleet.failures(), [""; 0]);
        fleet.stop();
    }

    fn calls_stay_in_the_zone_of_the_configuration(io: Io) {
        let (a, b) = (named(io, "a"), named(io, "b"));
        let text = format!(
            "[[service]]\nname = 'Demo.who'\npolicy = 'zone-first'\n\
             [[service.instance]]\naddress = '{}'\nzone = 'north'\n\
             [[service.instance]]\naddress = '{}'\nzone = 'south'\n",
            a.address(),
            b.address(),
        );
        let file = TestFile::new(&format!("zone-{io:?}"), &text);
        let start = |config: Config| Engine::with(config.routes(&file.0)).unwrap();
        let north = start(config(io).zone("north"));
        let client = Client::new(&north, "Demo.who").unwrap();
        assert!((0..50).all(|_| ask(&client) == "a"));
        let south = start(config(io).zone("south"));
        let client = Client::new(&south, "Demo.who").unwrap();
        assert!((0..50).all(|_| ask(&client) == "b"));
        // Nobody at home is left: better far away than not at all.
        drop(b);
        wait_until("the other zone serves", || {
            client.call_raw(WHO, b"", &CallOptions::new()).is_ok_and(|reply| reply.body == "a")
        });
    }
}
