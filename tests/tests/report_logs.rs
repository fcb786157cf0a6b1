//! The log: records in files, with what they know of their request; and what becomes of calls when
//! it cannot be written.
//!
//! The log is the process's, so these tests take turns.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use msec::log::{self, Level};
use msec::report::{AttributeKey, Kind, Value};
use msec::{CallOptions, Client, Config, Context, Engine, Io};
use msec_tests::{ECHO, PATIENCE, Stage, config, lines, now, on_both, wait_until};

static TURN: Mutex<()> = Mutex::new(());

/// A folder for the log of one test, and the right to use the process's log.
struct Folder {
    path: PathBuf,
    _turn: MutexGuard<'static, ()>,
}

impl Folder {
    fn new(name: &str) -> Self {
        let turn = TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let path = std::env::temp_dir().join(format!("msec-log-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        Folder { path, _turn: turn }
    }

    fn config(&self, io: Io) -> Config {
        config(io).service("Demo.shop").log_folder(&self.path)
    }

    fn file(&self) -> PathBuf {
        self.path.join("Demo.shop.log")
    }

    /// What is in the log, in all its files.
    fn text(&self) -> String {
        assert!(log::flush(PATIENCE), "the writer goes on");
        let read = |path: &Path| fs::read_to_string(path).unwrap_or_default();
        let older = (1..10).rev().map(|number| self.path.join(format!("Demo.shop.log.{number}")));
        older.chain([self.file()]).map(|path| read(&path)).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn patient() -> CallOptions {
    CallOptions::new().timeout(PATIENCE)
}

fn dropped(engine: &Engine, reason: &str) -> u64 {
    let labels = vec![("reason".to_owned(), reason.to_owned())];
    let key = AttributeKey { name: "frm.log_dropped".into(), labels, kind: Kind::Sum };
    match engine.snapshot().attributes.get(&key) {
        Some(Value::Sum(count)) => *count,
        Some(Value::Last(_) | Value::Spread(_)) | None => 0,
    }
}

on_both! {
    fn a_record_knows_its_request_without_being_told(io: Io) {
        let folder = Folder::new("request");
        let stage = Stage::with(folder.config(io), |builder| {
            builder.raw("shop.Shop.Order", |context: &Context| {
                log::option("uin", "11228491")?;
                let order = 77;
                msec::info!("order {order} placed"; pieces = 3, city = "Bad Ems");
                msec::debug!("not kept");
                Ok(context.flow_id().to_string())
            })
        });
        let engine = Engine::with(config(io).service("Demo.web").log_folder(&folder.path)).unwrap();
        let client = Client::new(&engine, stage.address()).unwrap();
        // The engine that was started last decides where the log is.
        drop(Engine::with(folder.config(io)).unwrap());
        let flow_id = client.call_raw("shop.Shop.Order", b"", &patient()).unwrap().body;
        let flow_id = String::from_utf8(flow_id.to_vec()).unwrap();
        let text = folder.text();
        let line = text.lines().find(|line| line.contains("order 77 placed")).unwrap();
        for field in [
            " INFO order 77 placed pieces=3 city=\"Bad Ems\" uin=11228491 ",
            " RPCName=shop.Shop.Order ",
            " Caller=Demo.web ",
            " ClientIP=127.0.0.1 ",
            " ServerIP=127.0.0.1 ",
            " ServiceName=Demo.shop ",
            &format!(" ReqID={flow_id} "),
            " FileLine=tests/tests/report_logs.rs:",
        ] {
            assert!(line.contains(field), "{field}: {line}");
        }
        assert!(!text.contains("not kept") && !line.contains("Coloring"), "{text}");
        // The option was that request's alone.
        msec::warn!("outside of any request");
        let text = folder.text();
        let line = text.lines().find(|line| line.contains("outside of any")).unwrap();
        assert!(!line.contains("uin") && !line.contains("ReqID"), "{line}");
    }

    fn a_dyed_request_keeps_every_record_at_every_hop_and_in_its_tasks(io: Io) {
        let folder = Folder::new("dyed");
        let stage = Stage::with(folder.config(io), |builder| {
            builder.raw("shop.Stock.Count", |context: &Context| {
                msec::trace!("counting {}", String::from_utf8_lossy(context.body()));
                msec::spawn(|| msec::debug!("in a task")).join()?;
                msec::offload(|| msec::debug!("offloaded"))?;
                Ok(Vec::new())
            })
        });
        let client = Client::new(&stage.engine, stage.address()).unwrap();
        let server = msec::Server::builder()
            .raw("shop.Shop.Order", move |context: &Context| {
                let reply = client.call_raw("shop.Stock.Count", context.body(), &patient())?;
                Ok(reply.body)
            })
            .listen("127.0.0.1:0")
            .start(&stage.engine)
            .unwrap();
        let client = Client::new(&stage.engine, &server.addresses()[0]).unwrap();
        client.call_raw("shop.Shop.Order", b"plainly", &patient()).unwrap();
        client.call_raw("shop.Shop.Order", b"dyed", &patient().dyed(true)).unwrap();
        let text = folder.text();
        assert!(!text.contains("counting plainly"), "{text}");
        for part in ["TRACE counting dyed", "DEBUG in a task", "DEBUG offloaded"] {
            assert_eq!(text.matches(part).count(), 1, "{part}: {text}");
        }
        assert_eq!(text.matches("Coloring=1").count(), 3, "{text}");
    }

    fn however_a_method_is_run_its_records_know_its_request(io: Io) {
        let folder = Folder::new("kinds");
        let log_all = |context: &Context| {
            msec::info!("served");
            msec::trace!("in detail");
            Ok::<_, msec::Error>(context.flow_id().to_string())
        };
        let stage = Stage::with(folder.config(io), move |builder| {
            builder
                .raw("shop.Shop.Coroutine", log_all)
                .raw("shop.Shop.Heavy", log_all)
                .method("shop.Shop.Heavy", |options| { options.heavy(); })
                .raw("shop.Shop.Loop", log_all)
                .method("shop.Shop.Loop", |options| { options.callback(); })
        });
        let client = Client::new(&stage.engine, stage.address()).unwrap();
        for kind in ["Coroutine", "Heavy", "Loop"] {
            for is_dyed in [false, true] {
                let method = format!("shop.Shop.{kind}");
                let options = patient().from_service("Demo.web").dyed(is_dyed);
                let flow_id = client.call_raw(&method, b"", &options).unwrap().body;
                let flow_id = format!(" ReqID={} ", String::from_utf8(flow_id.to_vec()).unwrap());
                let text = folder.text();
                let own: Vec<_> = text.lines().filter(|line| line.contains(&flow_id)).collect();
                assert_eq!(own.len(), if is_dyed { 2 } else { 1 }, "{method}: {text}");
                for line in own {
                    for field in [
                        &format!(" RPCName={method} ")[..],
                        " Caller=Demo.web ",
                        " ClientIP=127.0.0.1 ",
                        " ServerIP=127.0.0.1 ",
                        " ServiceName=Demo.shop ",
                    ] {
                        assert!(line.contains(field), "{field}: {line}");
                    }
                    assert_eq!(line.contains(" Coloring=1"), is_dyed, "{line}");
                }
            }
        }
    }

    fn what_a_request_spawns_or_offloads_says_whom_it_works_for(io: Io) {
        let folder = Folder::new("spawned");
        let stage = Stage::with(folder.config(io), |builder| {
            builder.raw("shop.Shop.Order", |_| {
                log::option("uin", "11228491")?;
                log::option("tenant", "blue")?;
                msec::spawn(|| {
                    log::option("tenant", "green").unwrap();
                    msec::info!("spawned");
                    msec::spawn(|| msec::info!("spawned by that")).join().unwrap();
                    msec::offload(|| msec::info!("offloaded by that")).unwrap();
                })
                .join()?;
                msec::info!("afterwards");
                Ok(Vec::new())
            })
        });
        let client = Client::new(&stage.engine, stage.address()).unwrap();
        client.call_raw("shop.Shop.Order", b"", &patient()).unwrap();
        // What comes later on the same coroutines and threads is of nobody.
        stage.engine.run(|| {
            msec::info!("later");
            msec::spawn(|| msec::info!("spawned later")).join().unwrap();
            msec::offload(|| msec::info!("offloaded later")).unwrap();
        }).unwrap();
        let text = folder.text();
        let line = |part: &str| {
            let part = format!(" INFO {part} ");
            text.lines().find(|line| line.contains(&part)).unwrap_or_else(|| panic!("{text}"))
        };
        for (part, tenant) in [
            ("spawned", "green"),
            ("spawned by that", "green"),
            ("offloaded by that", "green"),
            ("afterwards", "blue"),
        ] {
            let line = line(part);
            for field in ["RPCName=shop.Shop.Order", "uin=11228491", "ClientIP=127.0.0.1"] {
                assert_eq!(line.matches(field).count(), 1, "{field}: {line}");
            }
            assert!(line.contains(&format!(" tenant={tenant} ")), "{line}");
            assert_eq!(line.matches(" tenant=").count(), 1, "{line}");
        }
        for part in ["later", "spawned later", "offloaded later"] {
            let line = line(part);
            assert!(line.contains(" ServiceName=Demo.shop"), "{line}");
            for field in ["RPCName", "ReqID", "uin", "tenant"] {
                assert!(!line.contains(field), "{field}: {line}");
            }
        }
    }

    fn a_flood_holds_nobody_up_and_what_is_dropped_is_counted_and_told(io: Io) {
        let folder = Folder::new("flood");
        fs::create_dir_all(&folder.path).unwrap();
        // A pipe that nobody reads: whoever opens it to write hangs, as on a dead network disk.
        let made = Command::new("mkfifo").arg(folder.file()).status().unwrap();
        assert!(made.success());
        let stage = Stage::with(folder.config(io), |builder| {
            builder.raw("shop.Shop.Chatter", |_| {
                for number in 0..20_000 {
                    msec::info!("chatter {number}");
                }
                Ok(Vec::new())
            })
        });
        let mut bystander = stage.bystander();
        let client = Client::new(&stage.engine, stage.address()).unwrap();
        let before = dropped(&stage.engine, "queue");
        let begin = now();
        client.call_raw("shop.Shop.Chatter", b"", &patient()).unwrap();
        assert!(begin.elapsed() < PATIENCE / 3, "logging waits for nobody");
        bystander.is_served();
        let lost = dropped(&stage.engine, "queue") - before;
        assert!((10_000..20_000).contains(&lost), "{lost}");
        // Somebody reads at last, and then there is a file.
        let reader = fs::File::open(folder.file()).unwrap();
        fs::remove_file(folder.file()).unwrap();
        let drain = std::thread::spawn(move || {
            let mut reader = reader;
            std::io::copy(&mut reader, &mut std::io::sink())
        });
        wait_until("the log to tell what it lacks", || {
            msec::info!("and on");
            folder.text().contains("records of this log were lost")
        });
        drain.join().unwrap().unwrap();
    }

    fn on_a_full_disk_calls_go_on_and_the_losses_are_counted(io: Io) {
        let folder = Folder::new("full");
        fs::create_dir_all(&folder.path).unwrap();
        std::os::unix::fs::symlink("/dev/full", folder.file()).unwrap();
        let stage = Stage::with(folder.config(io), |builder| {
            builder.raw("shop.Shop.Order", |_| {
                msec::info!("ordered");
                Ok(Vec::new())
            })
        });
        let mut bystander = stage.bystander();
        let client = Client::new(&stage.engine, stage.address()).unwrap();
        let before = dropped(&stage.engine, "disk");
        for call in 0..50 {
            client.call_raw("shop.Shop.Order", b"", &patient()).unwrap();
            if call % 10 == 0 {
                assert!(log::flush(PATIENCE));
                bystander.is_served();
            }
        }
        assert!(log::flush(PATIENCE));
        bystander.is_served();
        assert_eq!(dropped(&stage.engine, "disk") - before, 50);
        let said = lines("log", "records are lost: cannot write to");
        assert!(said.iter().any(|line| line.level == Level::Warn
            && line.text.contains("No space left on device")), "{said:?}");
        // Somebody has made room.
        fs::remove_file(folder.file()).unwrap();
        wait_until("records to be written again", || {
            client.call_raw("shop.Shop.Order", b"", &patient()).unwrap();
            folder.text().contains("ordered")
        });
        let text = folder.text();
        assert!(text.contains("records of this log were lost"), "{text}");
        assert!(text.contains(" disk="), "{text}");
    }

    fn without_a_folder_that_can_be_written_calls_go_on(io: Io) {
        let folder = Folder::new("unwritable");
        fs::create_dir_all(&folder.path).unwrap();
        fs::write(folder.path.join("file"), "").unwrap();
        let place = folder.path.join("file/log");
        let stage = Stage::with(folder.config(io).log_folder(&place), |builder| {
            builder.raw("shop.Shop.Order", |_| {
                msec::info!("into nowhere");
                Ok(Vec::new())
            })
        });
        let mut bystander = stage.bystander();
        let client = Client::new(&stage.engine, stage.address()).unwrap();
        let before = dropped(&stage.engine, "disk");
        for _ in 0..20 {
            client.call_raw("shop.Shop.Order", b"", &patient()).unwrap();
            assert!(log::flush(PATIENCE));
            bystander.is_served();
        }
        client.call_raw(ECHO, b"", &patient()).unwrap();
        assert_eq!(dropped(&stage.engine, "disk") - before, 20);
        let said = lines("log", &format!("records are lost: cannot write to {}", place.display()));
        assert!(said.iter().all(|line| line.level == Level::Warn), "{said:?}");
        assert!(said.iter().any(|line| line.text.contains("Not a directory")), "{said:?}");
    }

    fn files_rotate_and_the_oldest_goes(io: Io) {
        let folder = Folder::new("rotate");
        let config = folder.config(io).log_files(3).log_file_bytes(4096);
        let engine = Engine::with(config).unwrap();
        let padding = "x".repeat(400);
        for number in 0..60 {
            msec::info!("record number {number} {padding}");
            assert!(log::flush(PATIENCE));
        }
        let text = folder.text();
        let mut names: Vec<_> = fs::read_dir(&folder.path)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["Demo.shop.log", "Demo.shop.log.1", "Demo.shop.log.2"]);
        assert!(text.contains("number 59 ") && !text.contains("number 1 "));
        let numbers: Vec<u32> = text
            .lines()
            .map(|line| {
                let (_, rest) = line.split_once("number ").unwrap();
                rest.split(' ').next().unwrap().parse().unwrap()
            })
            .collect();
        assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "none between is missing");
        drop(engine);
    }

    fn what_was_logged_is_written_before_the_last_engine_is_gone(io: Io) {
        let folder = Folder::new("end");
        let engine = Engine::with(folder.config(io)).unwrap();
        engine.run(|| (0..500).for_each(|number| msec::info!("last words {number}"))).unwrap();
        drop(engine);
        let text = fs::read_to_string(folder.file()).unwrap();
        assert_eq!(text.matches("last words").count(), 500);
    }

    fn the_engines_own_lines_are_in_the_files_too(io: Io) {
        let folder = Folder::new("own");
        let stage = Stage::with(folder.config(io), |builder| {
            builder.raw("shop.Shop.Panic", |_| -> msec::Result<Vec<u8>> { panic!("meant to be") })
        });
        msec_tests::quiet_panics("meant to be");
        let client = Client::new(&stage.engine, stage.address()).unwrap();
        assert!(client.call_raw("shop.Shop.Panic", b"", &patient()).is_err());
        let text = folder.text();
        let line = text.lines().find(|line| line.contains("panicked: meant to be")).unwrap();
        assert!(line.contains(" ERROR method shop.Shop.Panic") && line.contains(" kind=panic"));
    }
}

#[test]
fn without_an_engine_a_record_waits_for_nobody() {
    let _folder = Folder::new("none");
    msec::trace!("below the level");
    assert!(!log::is_on(Level::Trace) && log::is_on(Level::Fatal));
    assert!(log::flush(Duration::ZERO), "nothing is queued");
}
