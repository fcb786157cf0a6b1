//! Reloads under load: nobody is left without an answer, whether he listens to "leaving" or not.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use msec::{CallOptions, Client, Config, Engine};
use msec_tests::hosted::{Hosted, plugin};
use msec_tests::http::HttpPeer;
use msec_tests::peer::{framed, request};
use msec_tests::{ECHO, Fleet, Peer, UdpPeer, free_address, wait_until};

const BUILD: &str = "test.Plugin.Build";

fn engine() -> Engine {
    Engine::with(Config::new().cores(1)).unwrap()
}

fn patient() -> CallOptions {
    CallOptions::new().timeout(Duration::from_secs(30))
}

fn second_build() -> std::path::PathBuf {
    plugin(&["-DBUILD=\"2\""])
}

/// Clients that know nothing of leaving, each on a thread: one connection for all of its calls, a
/// connection for each, and datagrams.
struct Old {
    stop: Arc<AtomicBool>,
    calls: Arc<AtomicUsize>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Old {
    fn start(addresses: &[String]) -> Old {
        let (stop, calls) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let (stream, datagram) = (addresses[0].clone(), addresses[1].clone());
        let run = |mut call: Box<dyn FnMut(u64) + Send>| {
            let (stop, calls) = (stop.clone(), calls.clone());
            std::thread::spawn(move || {
                for number in 1.. {
                    if stop.load(Ordering::Acquire) {
                        return;
                    }
                    call(number);
                    calls.fetch_add(1, Ordering::Release);
                }
            })
        };
        let mut kept = Peer::connect(&stream);
        let udp = UdpPeer::connect(&datagram);
        let threads = vec![
            run(Box::new(move |_| kept.echo(b"on one connection"))),
            run(Box::new(move |_| Peer::connect(&stream).echo(b"on its own"))),
            run(Box::new(move |number| {
                udp.send(&request(number, ECHO), b"by datagram");
                assert_eq!(udp.answer().head.sequence, number);
            })),
        ];
        Old { stop, calls, threads }
    }

    fn wait_for_more(&self, count: usize) {
        let end = self.calls.load(Ordering::Acquire) + count;
        wait_until("more calls", || {
            assert!(self.threads.iter().all(|thread| !thread.is_finished()), "a call was lost");
            self.calls.load(Ordering::Acquire) >= end
        });
    }

    fn stop(self) {
        self.stop.store(true, Ordering::Release);
        self.threads.into_iter().for_each(|thread| thread.join().expect("no call was lost"));
    }
}

#[test]
fn reloads_under_load_lose_no_call() {
    let builds = [plugin(&[]), second_build()];
    let config = "[SRPC]\nlisten=127.0.0.1:0/tcp 127.0.0.1:0/udp\ncores=2\ndrain_max_s=20\n";
    let hosted = Hosted::new(Some(&builds[0]), config);
    assert!(hosted.host("start").0);
    let addresses = hosted.addresses();
    let engine = engine();
    let client = Client::new(&engine, &addresses[0]).unwrap();
    let fleet = Fleet::with(&engine, &client, BUILD, 8, patient());
    for round in 1..=5 {
        let build = &builds[round % 2];
        hosted.install(build);
        fleet.wait_for_more(200);
        let mut said = (false, String::new());
        wait_until("the generation before to have gone", || {
            said = hosted.host("reload");
            said.0
        });
        let expect = if round % 2 == 1 { "2" } else { "1" };
        wait_until("calls go to the new build", || fleet.part_of_last(100, expect) == 1.0);
    }
    assert_eq!(fleet.failures(), [""; 0]);
    fleet.stop();
}

#[test]
fn clients_that_do_not_understand_leaving_keep_their_connections() {
    let builds = [plugin(&[]), second_build()];
    let config = "[SRPC]\nlisten=127.0.0.1:0/tcp 127.0.0.1:0/udp\ncores=2\ndrain_max_s=60\n";
    let hosted = Hosted::new(Some(&builds[0]), config);
    assert!(hosted.host("start").0);
    let addresses = hosted.addresses();
    let old = Old::start(&addresses);
    old.wait_for_more(300);
    let mut kept = Peer::connect(&addresses[0]);
    let mut silent = Peer::connect(&addresses[0]);
    for round in 1..=5 {
        hosted.install(&builds[round % 2]);
        let (ok, said) = hosted.host("reload");
        assert!(ok, "{said}");
        old.wait_for_more(300);
        wait_until("the old worker to go", || hosted.workers().len() == 1);
        let build = [b"1", b"2"][round % 2];
        assert_eq!(kept.call(BUILD, b"").body, build, "the same connection, the new build");
    }
    // One that has never said a word.
    silent.echo(b"first");
    old.stop();
}

/// The generation before still has peers; whoever asks at the address of the pages is answered by
/// the one that goes on, which is ready.
#[test]
fn pages_are_answered_by_the_new_generation_alone() {
    let admin = free_address();
    let config = format!("admin={admin}/tcp\ndrain_max_s=60\n");
    let hosted = Hosted::start(&plugin(&[]), &config);
    let mut busy = Peer::connect(&hosted.address());
    busy.send(&request(1, "test.Plugin.Long"), b"");
    let ready = || HttpPeer::connect(&admin).get("/ready").status;
    assert_eq!(ready(), 200);
    let (ok, said) = hosted.host("reload");
    assert!(ok, "{said}");
    hosted.wait_for_log("reloaded: generation 2");
    // It has been told to leave by now, and does so in a moment.
    wait_until("the new one alone", || (0..10).all(|_| ready() == 200));
    let answers: Vec<_> = (0..60).map(|_| ready()).collect();
    assert_eq!(hosted.workers().len(), 2, "the generation before is still there");
    assert!(answers.iter().all(|status| *status == 200), "{answers:?}");
    assert_eq!(busy.answer().head.sequence, 1);
}

#[test]
fn a_request_that_is_cut_in_two_by_a_reload_is_served_once() {
    let hosted = Hosted::start(&plugin(&[]), "drain_max_s=60\n");
    let mut peer = Peer::connect(&hosted.address());
    let bytes = framed(&request(7, ECHO), b"in two parts");
    let (begin, rest) = bytes.split_at(bytes.len() / 2);
    peer.send_bytes(begin);
    let mut busy = Peer::connect(&hosted.address());
    busy.send(&request(1, "test.Plugin.Long"), b"");
    busy.send(&request(2, ECHO), b"behind it");
    assert_eq!(busy.answer().head.sequence, 2);
    hosted.install(&second_build());
    let (ok, said) = hosted.host("reload");
    assert!(ok, "{said}");
    let (ok, said) = hosted.host("reload");
    assert!(!ok && said.contains("still waits for its peers to leave"), "{said}");
    peer.send_bytes(rest);
    let answer = peer.answer();
    assert_eq!((answer.head.sequence, &answer.body[..]), (7, &b"in two parts"[..]));
    // Once the old worker reads no more, what is asked waits there for the long request, and is
    // then served by the next one.
    let mut long = 0;
    for sequence in 3.. {
        busy.send(&request(sequence, BUILD), b"");
        let mut answer = busy.answer();
        if answer.head.sequence == 1 {
            long += 1;
            answer = busy.answer();
        }
        assert_eq!(answer.head.sequence, sequence);
        if answer.body == b"2" {
            break;
        }
    }
    assert_eq!(long, 1, "the long one is answered before the connection goes");
    wait_until("the old worker to go", || hosted.workers().len() == 1);
}

#[test]
fn a_reload_that_fails_leaves_the_old_generation_alone() {
    let hosted = Hosted::start(&plugin(&[]), "ready_ms=3000\n");
    let config = fs::read_to_string(hosted.folder().join("etc/config.ini")).unwrap();
    let engine = engine();
    let client = Client::new(&engine, &hosted.address()).unwrap();
    let fleet = Fleet::with(&engine, &client, BUILD, 4, patient());
    let pid = hosted.workers()[0][2].clone();
    let fails = |config: &str, why: &str| hosted.reload_fails(config, why);
    fails(&format!("{config}[TEST]\ninit=throw\n"), "the old generation goes on: init of");
    fails(&format!("{config}[TEST]\ninit=unready\n"), "it was not ready within 3000 ms");
    fails(&format!("{config}procnum=2\n"), "procnum changed, which takes a restart");
    fails("[SRPC]\nprocnum=none\n", "[SRPC] procnum is `none`");
    fs::remove_file(hosted.plugin()).unwrap();
    fails(&config, "bin/msec.so is not there");
    fleet.wait_for_more(200);
    assert_eq!(fleet.failures(), [""; 0]);
    fleet.stop();
    assert_eq!(hosted.workers()[0][2], pid);
}

#[test]
fn reload_can_be_forbidden() {
    let hosted = Hosted::start(&plugin(&[]), "reload=0\n");
    let (ok, said) = hosted.host("reload");
    assert!(!ok && said.contains("[SRPC] reload is 0"), "{said}");
}

#[test]
fn a_plugin_that_is_overwritten_in_place_does_not_hurt_the_one_that_runs() {
    let hosted = Hosted::start(&plugin(&[]), "");
    let engine = engine();
    let client = Client::new(&engine, &hosted.address()).unwrap();
    let fleet = Fleet::with(&engine, &client, BUILD, 4, patient());
    fleet.wait_for_more(100);
    let bytes = fs::read(second_build()).unwrap();
    for _ in 0..20 {
        // Into the same file, as `cp` does.
        fs::write(hosted.plugin(), vec![0; bytes.len()]).unwrap();
        fleet.wait_for_more(50);
    }
    fs::write(hosted.plugin(), bytes).unwrap();
    let (ok, said) = hosted.host("reload");
    assert!(ok, "{said}");
    wait_until("calls go to the new build", || fleet.part_of_last(100, "2") == 1.0);
    assert_eq!(fleet.failures(), [""; 0]);
    fleet.stop();
}

#[test]
fn a_stop_answers_what_is_under_way() {
    let hosted = Hosted::start(&plugin(&[]), "");
    let engine = engine();
    let client = Client::new(&engine, &hosted.address()).unwrap();
    let slow: Vec<_> = (0..50)
        .map(|_| client.start_body::<()>("test.Plugin.Slow", Vec::new(), &patient()))
        .collect();
    client.call_raw(ECHO, b"they are there by now", &patient()).unwrap();
    let (ok, said) = hosted.host("stop");
    assert!(ok, "{said}");
    for pending in slow {
        assert_eq!(&pending.wait_raw().unwrap().body[..], b"1");
    }
}
