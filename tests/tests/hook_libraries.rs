//! Libraries that block, in a plugin that runs with the hook: real clients of real servers, a
//! hundred requests at a time on one core that goes on serving others.

#![allow(clippy::unwrap_used)]

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use msec::{CallOptions, Client, Config, Engine, Pending};
use msec_tests::hosted::{Hosted, plugin_of};
use msec_tests::{ECHO, Mariadb, Redis, Stage, alone, now};

const SQL: &str = "hook.Sql.Ask";
/// Requests at a time.
const COUNT: usize = 100;
/// What each of them has the server wait.
const WAIT: Duration = Duration::from_millis(50);
/// Within that all of them are answered; one after the other, as without the hook, takes five
/// seconds.
const LONGEST: Duration = Duration::from_millis(500);
/// By so much more than without requests are 99 of 100 echoes answered later meanwhile; one request
/// that holds up the core would cost them fifty.
const ECHO_P99_MORE: Duration = Duration::from_millis(5);
/// Echoes without requests, to compare with.
const ALONE_COUNT: usize = 500;
/// A figure that is missed is measured again, at most so often: others use this machine, too.
const TRIES: usize = 5;

static ENGINE: LazyLock<Engine> = LazyLock::new(|| Engine::with(Config::new().cores(1)).unwrap());

fn patient() -> CallOptions {
    CallOptions::new().timeout(Duration::from_secs(30))
}

/// A service of one core with the clients, whose servers are at these ports.
fn hosted(hook: &str, sql: u16, redis: &str) -> Hosted {
    let flags = ["-Wextra", "-Wl,--no-as-needed", "-lmariadb", "-lhiredis", "-lcurl"];
    let plugin = plugin_of("hook/tests/libraries.c", "gcc -std=c11", &flags);
    let redis = redis.rsplit(':').next().unwrap();
    Hosted::start(&plugin, &format!("hook={hook}\n[HOOK]\nsql={sql}\nredis={redis}\n"))
}

/// What a hundred requests at a time took, and the slowest but one percent of the echoes meanwhile.
struct Taken {
    all: Duration,
    echo_p99: Duration,
    echoes: usize,
}

/// How long an echo takes.
fn echo(client: &Client) -> Duration {
    let sent = now();
    client.call_raw(ECHO, b"meanwhile", &patient()).unwrap();
    sent.elapsed()
}

/// The slowest but one percent.
fn p99(mut took: Vec<Duration>) -> Duration {
    took.sort();
    took[(took.len() - 1) * 99 / 100]
}

/// Makes the requests, and echoes one after the other until all are answered.
fn take(client: &Client, method: &'static str, body: &str, answer: &str) -> Taken {
    let begin = now();
    let start = |_| client.start_body::<()>(method, body.as_bytes().to_vec(), &patient());
    let asked: Vec<Pending<()>> = (0..COUNT).map(start).collect();
    let echo_client = client.clone();
    let over = Arc::new(AtomicBool::new(false));
    let is_over = over.clone();
    let echoes = std::thread::spawn(move || {
        let mut took = Vec::new();
        while !is_over.load(Ordering::Acquire) {
            took.push(echo(&echo_client));
        }
        took
    });
    for asked in asked {
        let reply = asked.wait_raw().unwrap();
        assert_eq!(String::from_utf8_lossy(&reply.body), answer);
    }
    let all = begin.elapsed();
    over.store(true, Ordering::Release);
    let took = echoes.join().unwrap();
    Taken { all, echoes: took.len(), echo_p99: p99(took) }
}

/// A hundred such requests end in time, while echoes are answered in time.
#[track_caller]
fn is_taken_in_time(client: &Client, method: &'static str, body: &str, answer: &str) {
    let mut said = String::new();
    for _ in 0..TRIES {
        let alone = p99((0..ALONE_COUNT).map(|_| echo(client)).collect());
        let Taken { all, echo_p99, echoes } = take(client, method, body, answer);
        said = format!(
            "{method}: all in {all:?}; {echoes} echoes, 99 of 100 in {echo_p99:?}, and \
             in {alone:?} without requests"
        );
        println!("{said}");
        if all < LONGEST && echo_p99 < alone + ECHO_P99_MORE {
            // Else the server has not waited, and nothing was shown.
            assert!(all >= WAIT, "{said}");
            return;
        }
    }
    panic!("{said}");
}

#[test]
fn a_hundred_queries_at_a_time_hold_up_nobody() {
    let _alone = alone();
    let mariadb = Mariadb::start();
    let hosted = hosted("1", mariadb.port, "");
    let client = Client::new(&ENGINE, &hosted.address()).unwrap();
    client.call_raw("hook.Sql.Warm", COUNT.to_string().as_bytes(), &patient()).unwrap();
    is_taken_in_time(&client, SQL, "SELECT SLEEP(0.05)", "0");
}

/// The same without the hook, which shows that it is the hook that does it.
#[test]
fn without_the_hook_each_query_holds_up_the_core() {
    let _alone = alone();
    let mariadb = Mariadb::start();
    let hosted = hosted("0", mariadb.port, "");
    let client = Client::new(&ENGINE, &hosted.address()).unwrap();
    client.call_raw("hook.Sql.Warm", b"20", &patient()).unwrap();
    let begin = now();
    let start = |_| client.start_body::<()>(SQL, b"SELECT SLEEP(0.05)".to_vec(), &patient());
    let asked: Vec<Pending<()>> = (0..20).map(start).collect();
    asked.into_iter().for_each(|asked| drop(asked.wait_raw().unwrap()));
    assert!(begin.elapsed() >= 20 * WAIT, "{:?}", begin.elapsed());
}

#[test]
fn a_hundred_commands_of_redis_at_a_time_hold_up_nobody() {
    let _alone = alone();
    let redis = Redis::start();
    let hosted = hosted("1", 0, &redis.address);
    let client = Client::new(&ENGINE, &hosted.address()).unwrap();
    is_taken_in_time(&client, "hook.Redis.Ask", "BLPOP nothing 0.05", "nil");
    let reply = client.call_raw("hook.Redis.Ask", b"PING", &patient()).unwrap();
    assert_eq!(&reply.body[..], b"PONG");
}

#[test]
fn a_hundred_requests_of_curl_at_a_time_hold_up_nobody() {
    let _alone = alone();
    let slow = Stage::with(Config::new().cores(1), |builder| {
        builder.raw("slow.Slow.Wait", |_| {
            msec::sleep(WAIT)?;
            Ok(&b"waited"[..])
        })
    });
    let hosted = hosted("1", 0, "");
    let client = Client::new(&ENGINE, &hosted.address()).unwrap();
    // By its name: that is asked for on another thread, by whichever way curl was built for.
    let port = slow.address().rsplit(':').next().unwrap();
    let address = format!("http://localhost:{port}/slow.Slow/Wait");
    is_taken_in_time(&client, "hook.Web.Get", &address, "waited");
}
