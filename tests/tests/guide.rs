//! The guide in docs/guide, held to what the programs do.
//!
//! A block of `sh` is run as it stands, and if a block of `text` follows it, that is what it
//! prints. A block of `rust` stands in a function here. A block of `toml` is a file of routes.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use msec::{CallOptions, Client, ClientTls, Config, Context, Engine, Priority, Server, ServerTls};
use msec_protocol::status;
use msec_tests::Child;
use msec_tests::programs::{command, example, repository};

/// What the pages show as Rust.
#[allow(unused_qualifications, reason = "a page does not show what is imported")]
fn shown(
    bytes: u64,
    order: u64,
    pieces: u64,
    city: &str,
) -> Result<(), Box<dyn std::error::Error>> {
    let server = Server::builder().cors("https://shop.example");
    drop(server);
    let server = Server::builder().descriptors(std::fs::read("shop.set")?);
    drop(server);
    let tls = ServerTls::new("server.pem", "server.key");
    let server = Server::builder().tls(tls).listen("0.0.0.0:7963@tls");
    drop(server);
    let engine = Engine::with(Config::new().tls(ClientTls::new("ca.pem")))?;
    let users = Client::new(&engine, "10.0.0.1:7963@tls")?;
    let orders = Client::new(&engine, "10.0.0.2:7963@tls:orders.example")?;
    drop((users, orders));
    let tls = ServerTls::new("server.pem", "server.key").client_ca("clients-ca.pem");
    let who = |context: &Context| context.identity().map(|who| who.common_name().to_owned());
    drop(Server::builder().tls(tls).raw("a.B.Who", move |context| Ok(who(context).unwrap())));
    let options = CallOptions::new().idempotent(true);
    let quick = CallOptions::new().hedge_at_p95();
    drop((options, quick));
    let options = CallOptions::new().priority(Priority::Critical);
    drop(options);
    let server = Server::builder().quota("Demo.batch", 200, 20).quota_for_others(5000, 500);
    drop(server);
    msec::metric!("orders", 1; city = city);
    msec::metric!(set "stock", 17);
    msec::metric!(record "order_bytes", bytes);
    msec::info!("order {order} placed"; pieces = pieces, warehouse = "north");
    Ok(())
}

struct Block {
    page: String,
    language: String,
    text: String,
}

fn pages() -> Vec<(String, String)> {
    let folder = repository().join("docs/guide");
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut pages: Vec<_> = paths
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, fs::read_to_string(path).unwrap())
        })
        .collect();
    pages.sort();
    pages
}

fn blocks() -> Vec<Block> {
    let mut blocks = Vec::new();
    for (page, text) in pages() {
        let mut rest = &text[..];
        while let Some((_, after)) = rest.split_once("\n```") {
            let (language, after) = after.split_once('\n').unwrap();
            let (block, after) = after.split_once("```\n").expect("a block that ends");
            rest = after;
            let language = language.to_owned();
            blocks.push(Block { page: page.clone(), language, text: block.to_owned() });
        }
    }
    blocks
}

/// The text without what is at either end of its lines.
fn trimmed(text: &str) -> String {
    text.lines().map(str::trim).collect::<Vec<_>>().join("\n")
}

#[test]
fn what_the_guide_shows_as_rust_compiles() {
    let _compiled = shown;
    let here = trimmed(include_str!("guide.rs"));
    let shown: Vec<_> = blocks().into_iter().filter(|block| block.language == "rust").collect();
    assert!(shown.len() >= 8, "{} blocks", shown.len());
    for Block { page, text, .. } in shown {
        assert!(here.contains(trimmed(&text).trim()), "{page} shows what is not here:\n{text}");
    }
}

#[test]
fn the_commands_of_the_guide_do_what_it_says() {
    let echo = Child::of_program(&example("echo"), &["--listen", "127.0.0.1:0", "--cores", "1"]);
    let line = echo.line();
    let address = line.split(' ').find(|word| word.contains(':')).unwrap();
    let folder = std::env::temp_dir().join(format!("msec-guide-{}", std::process::id()));
    fs::create_dir_all(folder.join("core")).unwrap();
    std::os::unix::fs::symlink(repository().join("core/examples"), folder.join("core/examples"))
        .unwrap();
    let blocks = blocks();
    let mut commands = 0;
    for (index, block) in blocks.iter().enumerate().filter(|(_, block)| block.language == "sh") {
        let script = block.text.replace("127.0.0.1:7963", address);
        let script = ["msec", "protoc-gen-msec"].iter().fold(script, |script, name| {
            let built = command(name).display().to_string();
            script.replace(&format!("target/debug/{name} "), &format!("{built} "))
        });
        let output =
            Command::new("sh").args(["-ec", &script]).current_dir(&folder).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {}{said}", block.page, block.text);
        let printed = String::from_utf8_lossy(&output.stdout);
        let next = blocks.get(index + 1).filter(|next| next.page == block.page);
        if let Some(shown) = next.filter(|next| next.language == "text" && follows(block, next)) {
            assert_eq!(trimmed(&printed), trimmed(&shown.text), "{}: {}", block.page, block.text);
        }
        commands += 1;
    }
    fs::remove_dir_all(folder).unwrap();
    assert!(commands >= 10, "{commands} commands");
}

/// Whether there is nothing but an empty line between two blocks.
fn follows(first: &Block, next: &Block) -> bool {
    let both = format!("```sh\n{}```\n\n```text\n{}", first.text, next.text);
    pages().iter().any(|(page, text)| *page == first.page && text.contains(&both))
}

#[test]
fn routes_of_the_guide_are_read() {
    let routes: Vec<_> = blocks().into_iter().filter(|block| block.language == "toml").collect();
    assert!(!routes.is_empty());
    for Block { page, text, .. } in routes {
        let table = msec::naming::parse(&text, &page).unwrap();
        assert!(!table.is_empty(), "{page}");
    }
}

/// The variables that a table has a row for.
fn variables(text: &str) -> BTreeSet<&str> {
    let rows = text.lines().map(|line| line.trim().trim_start_matches("///").trim());
    rows.filter_map(|row| row.strip_prefix("| `MSEC_")?.split('`').next()).collect()
}

#[test]
fn the_guide_knows_all_variables_and_no_others() {
    let config = fs::read_to_string(repository().join("core/src/config.rs")).unwrap();
    let page = fs::read_to_string(repository().join("docs/guide/operations.md")).unwrap();
    let known = variables(&config);
    assert!(known.len() > 20, "{known:?}");
    assert_eq!(variables(&page), known);
}

#[test]
fn statuses_stand_in_the_guide_as_they_are_answered() {
    let page = fs::read_to_string(repository().join("docs/guide/http.md")).unwrap();
    let mut codes = 0;
    for row in page.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let statuses: Vec<u16> =
            cells[1].split(", ").filter_map(|cell| cell.parse().ok()).collect();
        for code in cells[2].split(", ").filter_map(|cell| cell.parse::<i32>().ok()) {
            let known = status::ALL.iter().find(|known| known.code.0 == code).unwrap();
            assert!(statuses.contains(&known.http_status), "{code} is not {statuses:?}");
            codes += 1;
        }
    }
    assert!(codes > 12, "{codes} codes");
}

#[test]
fn links_of_the_guide_lead_somewhere() {
    let readme = fs::read_to_string(repository().join("README.md")).unwrap();
    let mut from = vec![(PathBuf::from("."), readme)];
    from.extend(pages().into_iter().map(|(_, text)| (PathBuf::from("docs/guide"), text)));
    for (folder, text) in from {
        // Every second piece is a block of code, in which brackets mean other things.
        let prose: String = text.split("\n```").step_by(2).collect();
        for link in prose.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = repository().join(&folder).join(link.split('#').next().unwrap());
            assert!(link.contains("://") || path.exists(), "{link}");
        }
    }
    for (page, _) in pages() {
        let readme = fs::read_to_string(repository().join("README.md")).unwrap();
        assert!(readme.contains(&format!("(docs/guide/{page})")), "README does not name {page}");
    }
}
