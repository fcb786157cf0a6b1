//! A real browser in front of a server: the pages that people look at, and methods called from
//! JavaScript.

#![allow(clippy::unwrap_used)]

use msec::Io;
use msec_tests::http::mirror;
use msec_tests::{ECHO, HttpPeer, MIRROR, Stage, browser::Browser, config};
use serde_json::json;

fn stage() -> Stage {
    Stage::with(config(Io::Auto), |builder| {
        builder.descriptors(mirror()).raw(MIRROR, |context| Ok(context.body_bytes()))
    })
}

/// Calls a method from the page: the status, and what is answered.
fn fetch(url: &str, body: &str) -> String {
    format!(
        "fetch('{url}', {{ method: 'POST', body: '{body}', \
         headers: {{ 'content-type': 'application/json' }} }})\
         .then(async answer => [answer.status, await answer.json()], error => 'refused')"
    )
}

#[test]
fn a_browser_shows_the_pages_and_calls_methods_of_the_server_it_is_on() {
    let stage = stage();
    stage.peer().echo(b"counted");
    let other = self::stage();
    let mut browser = Browser::new();
    browser.open(&format!("http://{}/status", stage.address()));
    let text = browser.evaluate("document.body.innerText");
    assert!(text.as_str().unwrap().contains(ECHO), "{text}");
    assert_eq!(browser.evaluate("document.querySelectorAll('table').length > 0"), true);
    // All that a page shows comes with it.
    let foreign = "performance.getEntriesByType('resource').map(entry => entry.name)\
                   .filter(name => !name.startsWith(location.origin))\
                   .filter(name => !name.startsWith('data:'))";
    assert_eq!(browser.evaluate(foreign), json!([]));
    // One link after the other, as somebody who looks around.
    let links = "[...document.querySelectorAll('nav a')].map(link => link.href)";
    let links = browser.evaluate(links);
    let links = links.as_array().unwrap().clone();
    assert!(links.len() > 5, "{links:?}");
    for link in &links {
        browser.open(link.as_str().unwrap());
        assert_ne!(browser.evaluate("document.body.innerText"), "", "{link}");
    }
    browser.open(&format!("http://{}/status", stage.address()));
    let call = fetch("/test.Mirror/Same", r#"{"bigNumber":"7","text":"Grüße"}"#);
    let answered = browser.evaluate(&call);
    assert_eq!(answered, json!([200, { "bigNumber": "7", "text": "Grüße" }]));
    let call = fetch("/test.Mirror/Same", r#"{"nobody":1}"#);
    assert_eq!(browser.evaluate(&call)[0], 400);
    // Another server's page is none of ours: the browser does not tell it, and nothing has run.
    let call = fetch(&format!("http://{}/test.Mirror/Same", other.address()), "{}");
    assert_eq!(browser.evaluate(&call), "refused");
    let report = other.server.report();
    let calls = |name: &str| report.iter().find(|method| method.name == name).unwrap();
    assert_eq!(calls(MIRROR).counters.ended(), 0);
    assert_eq!(HttpPeer::connect(other.address()).call(MIRROR, "{}").status, 200);
}
