//! Who trusts whom: certificates that are accepted, those that are not and why, and what handlers
//! learn of them.

#![allow(clippy::unwrap_used)]

use std::process::Command;

use msec::{CallOptions, Client, ClientTls, Code, Engine, Error, Io, ServerTls};
use msec_tests::certificates::Issued;
use msec_tests::{Authority, ECHO, Fleet, PATIENCE, Stage, Wanted, config, on_both, wait_for_line};

const WHO: &str = "test.Who.Am";

fn patient() -> CallOptions {
    CallOptions::new().timeout(PATIENCE)
}

fn server_tls(issued: &Issued) -> ServerTls {
    ServerTls::new(&issued.chain, &issued.key)
}

/// A server that tells callers who they are.
fn stage(io: Io, tls: ServerTls) -> Stage {
    Stage::at(config(io), |builder| {
        let who = |context: &msec::Context| {
            Ok(match context.identity() {
                None => "nobody".to_owned(),
                Some(who) => format!("{} {:?} {:?}", who.subject(), who.dns_names(), who.uris()),
            })
        };
        builder
            .raw(WHO, who)
            .raw("test.Who.Heavy", who)
            .method("test.Who.Heavy", |options| {
                options.heavy();
            })
            .tls(tls)
            .listen("127.0.0.1:0@tls")
    })
}

fn engine(io: Io, tls: ClientTls) -> Engine {
    Engine::with(config(io).tls(tls)).unwrap()
}

fn ask(engine: &Engine, address: &str, method: &str) -> Result<String, Error> {
    let reply = Client::new(engine, address).unwrap().call_raw(method, b"", &patient())?;
    Ok(String::from_utf8(reply.body.to_vec()).unwrap())
}

/// Calls in vain; the error names all of these.
#[track_caller]
fn refused(engine: &Engine, address: &str, parts: &[&str]) {
    let error = ask(engine, address, ECHO).unwrap_err();
    assert_eq!(error.code(), Code::NETWORK, "{error}");
    for part in parts {
        assert!(error.message().contains(part), "`{error}` does not say `{part}`");
    }
}

/// Callers that are trusted and trust, and keep calling.
fn others(engine: &Engine, address: &str) -> Fleet {
    let client = Client::new(engine, address).unwrap();
    let fleet = Fleet::with(engine, &client, WHO, 2, patient());
    fleet.wait_for_more(20);
    fleet
}

/// They did not notice.
#[track_caller]
fn are_served(fleet: Fleet) {
    fleet.wait_for_more(20);
    assert_eq!(fleet.failures(), [""; 0]);
    fleet.stop();
}

on_both! {
    fn a_server_is_trusted_by_its_ca_name_and_time(io: Io) {
        let (good, evil) = (Authority::new(), Authority::new());
        let knows_good = engine(io, ClientTls::new(good.file()));
        let wrong_ca = stage(io, server_tls(&evil.server()));
        let knows_evil = engine(io, ClientTls::new(evil.file()));
        let of_evil = others(&knows_evil, wrong_ca.address());
        refused(&knows_good, wrong_ca.address(), &["of no CA that is trusted", "cannot connect"]);
        let line = wait_for_line("connection", "does not trust the CA");
        assert!(line.text.contains("refuses"), "{}", line.text);
        are_served(of_evil);
        let wanted = Wanted { expired: true, ..Wanted::names(&["127.0.0.1"]) };
        // Who asks for the shop is shown a certificate that is still good.
        let shop = good.issue("shop", &Wanted::names(&["shop.example"]));
        let tls = server_tls(&good.issue("expired", &wanted));
        let expired = stage(io, tls.certificate(&shop.chain, &shop.key));
        let of_shop = others(&knows_good, &format!("{}:shop.example", expired.address()));
        refused(&knows_good, expired.address(), &["its certificate has expired"]);
        wait_for_line("connection", "it refuses: our certificate has expired");
        are_served(of_shop);
        let named = stage(io, server_tls(&good.issue("named", &Wanted::names(&["a.example"]))));
        let by_name = format!("{}:a.example", named.address());
        let of_name = others(&knows_good, &by_name);
        refused(&knows_good, named.address(), &["another name", "127.0.0.1"]);
        wait_for_line("connection", "it refuses: it does not accept our certificate");
        are_served(of_name);
        assert_eq!(ask(&knows_good, &by_name, WHO).unwrap(), "nobody");
        let by_config = engine(io, ClientTls::new(good.file()).server_name("a.example"));
        assert_eq!(ask(&by_config, named.address(), WHO).unwrap(), "nobody");
        let other = format!("{}:b.example", named.address());
        refused(&by_config, &other, &["another name", "b.example"]);
    }

    fn a_client_shows_who_it_is_and_handlers_learn_it(io: Io) {
        let (servers, clients) = (Authority::new(), Authority::new());
        let tls = server_tls(&servers.server()).client_ca(clients.file());
        let stage = stage(io, tls);
        let wanted = Wanted {
            names: &["ann.example"],
            uri: Some("spiffe://example/ann"),
            ..Wanted::client("ann")
        };
        let ann = clients.issue("ann", &wanted);
        let ann_tls = ClientTls::new(servers.file()).certificate(&ann.chain, &ann.key);
        let engine = engine(io, ann_tls);
        let expect = "CN=ann,O=Example [\"ann.example\"] [\"spiffe://example/ann\"]";
        assert_eq!(ask(&engine, stage.address(), WHO).unwrap(), expect);
        // On a thread that is not the connection's, too.
        assert_eq!(ask(&engine, stage.address(), "test.Who.Heavy").unwrap(), expect);
        let tcp = stage.address().strip_suffix("@tls").unwrap();
        let output = Command::new("curl")
            .args(["-sS", "--max-time", "15", "--cacert"])
            .arg(servers.file())
            .arg("--cert")
            .arg(&ann.chain)
            .arg("--key")
            .arg(&ann.key)
            .args(["-H", "content-type: application/octet-stream", "--data-binary", ""])
            .arg(format!("https://{tcp}/test.Who/Am"))
            .output()
            .expect("curl is installed");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(String::from_utf8_lossy(&output.stdout), expect, "{said}");
    }

    fn a_client_without_a_good_certificate_is_refused_and_told_why(io: Io) {
        let (servers, clients) = (Authority::new(), Authority::new());
        let stage = stage(io, server_tls(&servers.server()).client_ca(clients.file()));
        let trusts = ClientTls::new(servers.file());
        let ann = clients.issue("ann", &Wanted::client("ann"));
        let ann = engine(io, trusts.clone().certificate(&ann.chain, &ann.key));
        let anns = others(&ann, stage.address());
        let nobody = engine(io, trusts.clone());
        refused(&nobody, stage.address(), &["TLS: it refuses"]);
        wait_for_line("connection", "it shows no certificate");
        let stranger = servers.issue("stranger", &Wanted::client("stranger"));
        let stranger = trusts.clone().certificate(&stranger.chain, &stranger.key);
        refused(&engine(io, stranger), stage.address(), &["TLS: it refuses"]);
        wait_for_line("connection", "of no CA that is trusted");
        let wanted = Wanted { expired: true, ..Wanted::client("late") };
        let late = clients.issue("late", &wanted);
        let late = trusts.certificate(&late.chain, &late.key);
        refused(&engine(io, late), stage.address(), &["TLS: it refuses"]);
        wait_for_line("connection", "its certificate has expired");
        are_served(anns);
        assert_eq!(ask(&ann, stage.address(), WHO).unwrap(), "CN=ann,O=Example [] []");
    }

    fn a_certificate_may_be_left_to_the_client(io: Io) {
        let (servers, clients) = (Authority::new(), Authority::new());
        let tls = server_tls(&servers.server()).client_ca_if_shown(clients.file());
        let stage = stage(io, tls);
        let trusts = ClientTls::new(servers.file());
        let nobody = engine(io, trusts.clone());
        let nobodies = others(&nobody, stage.address());
        assert_eq!(ask(&nobody, stage.address(), WHO).unwrap(), "nobody");
        let stranger = servers.issue("stranger", &Wanted::client("stranger"));
        let stranger = trusts.clone().certificate(&stranger.chain, &stranger.key);
        refused(&engine(io, stranger), stage.address(), &["TLS: it refuses"]);
        let ann = clients.issue("ann", &Wanted::client("ann"));
        let ann = engine(io, trusts.certificate(&ann.chain, &ann.key));
        assert!(ask(&ann, stage.address(), WHO).unwrap().starts_with("CN=ann,"));
        are_served(nobodies);
    }

    fn the_name_that_is_asked_for_decides_which_certificate_is_shown(io: Io) {
        let (first, second) = (Authority::new(), Authority::new());
        let default = first.server();
        let shop = first.issue("shop", &Wanted::names(&["shop.example"]));
        let wild = second.issue("wild", &Wanted::names(&["*.wild.example"]));
        let tls = server_tls(&default)
            .certificate(&shop.chain, &shop.key)
            .certificate(&wild.chain, &wild.key);
        let stage = stage(io, tls);
        let named = |name: &str| format!("{}:{name}", stage.address());
        let knows_first = engine(io, ClientTls::new(first.file()));
        assert!(ask(&knows_first, stage.address(), WHO).is_ok());
        assert!(ask(&knows_first, &named("shop.example"), WHO).is_ok());
        assert!(ask(&knows_first, &named("SHOP.example"), WHO).is_ok());
        refused(&knows_first, &named("a.wild.example"), &["of no CA"]);
        let knows_second = engine(io, ClientTls::new(second.file()));
        assert!(ask(&knows_second, &named("a.wild.example"), WHO).is_ok());
        // One label stands for the star, and no more: the first certificate is shown.
        refused(&knows_second, &named("a.b.wild.example"), &["of no CA"]);
        refused(&knows_second, stage.address(), &["of no CA"]);
    }
}
